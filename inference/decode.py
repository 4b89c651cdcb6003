"""Bytes from strangers -> a small Pillow image, within limits, or one clear sentence why not.

The type is read from the bytes, never from the name; sizes are checked before anything is decoded.
"""

import contextlib
import io
import threading
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from inference import parts
from models.errors import InklingError

PILLOWS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")  # never all of Pillow's: a renamed EPS would look for Ghostscript
FORMATS = (*PILLOWS, "HEIC")
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
MAX_BYTES = 20 * 2**20
JPEGS = ("JPEG", "MPO")  # as Pillow calls them; the latter have a second picture inside, such as how far away things are
MAX_PIXELS = dict.fromkeys(JPEGS, 50_000_000)  # a JPEG is decoded at a reduced scale, and phones take 48 megapixels
MAX_PIXELS_OTHER = 25_000_000
MAX_FRAMES = 100
MAX_SIDE = 65_535  # a JPEG's own limit; a picture of one row of 25 megapixels takes Pillow 1.1 GB
TILE_WIDTH, TILE_LENGTH = 322, 323  # tags of TIFF 6.0, section 15
FINISHED_SIDE = 28  # of the pictures of MNIST and Fashion-MNIST
WORKING_SIDE = 512  # longest side kept: plenty for a 28x28 picture, and every later step is then quick

# About what is checked here. For good: filters are the process's, and two threads decode at once.
warnings.filterwarnings("ignore", module=r"PIL\b")

# Two pictures at a time, however many visitors: bounds the memory that decoding can take.
_decoding = threading.BoundedSemaphore(2)

_SIGNATURES = (
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML or SVG file"),
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript file"),
    (b"PK\x03\x04", "a zip archive or office document"),
    (b"<!DOCTYPE", "a web page"),
    (b"<html", "a web page"),
)
_STARTS = (b"\x89PNG", b"\xff\xd8", b"GIF8", b"II*\0", b"MM\0*")  # of the types that are read, where no text starts like that


class UnreadableImage(InklingError):
    """The bytes are no image that Inkling reads. The message says what they are, the limit and the fix."""


def decode(content: bytes) -> Image.Image:
    """Reads an image of any supported type as mode L, RGB or RGBA, upright, longest side at most 512 pixels.

    Of an animation the first frame counts. Raises UnreadableImage.
    """
    if not content:
        raise UnreadableImage("The file is empty; choose one that holds a picture.")
    if len(content) > MAX_BYTES:
        raise UnreadableImage(
            f"The file has {len(content) / 2**20:.1f} MB, more than the {MAX_BYTES // 2**20} MB allowed; save it smaller."
        )
    if more := parts.excess(content, MAX_FRAMES):
        raise UnreadableImage(f"The picture has {more}; save it, or one of its frames, anew with another program.")
    with _decoding:
        try:
            with Image.open(io.BytesIO(content), formats=_formats(content)) as image:
                _check_size(image)
                return _upright_and_small(image)
        except UnidentifiedImageError:
            raise UnreadableImage(_what_it_is(content)) from None
        except UnreadableImage:
            raise
        except Image.DecompressionBombError:
            limit = MAX_PIXELS["JPEG"] if content.startswith(b"\xff\xd8") else MAX_PIXELS_OTHER
            raise UnreadableImage(f"The picture has more than the {limit // 10**6} megapixels allowed; save it smaller.") from None
        # Decoders raise nearly anything on hostile bytes; whatever it is, this file is unreadable and the next one is not.
        except Exception as error:
            reason = str(error).split("\n")[0][:120] or type(error).__name__
            raise UnreadableImage(f"The picture is damaged or cut off ({reason}); save or download it again.") from None


def _is_heic(content: bytes) -> bool:
    return content[4:8] == b"ftyp" and content[8:12] in HEIC_BRANDS


def _formats(content: bytes) -> tuple[str, ...]:
    """What Pillow may try. HEIC, as phones photograph, is a plug-in, loaded with the first such photo."""
    if not _is_heic(content):
        return PILLOWS
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False)
    return ("HEIF",)


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    limit = MAX_PIXELS.get(image.format or "", MAX_PIXELS_OTHER)
    if width * height > limit:
        raise UnreadableImage(
            f"The picture has {width}x{height} = {width * height / 1e6:.0f} megapixels, more than the {limit // 10**6} allowed; save it smaller."
        )
    if max(width, height) > MAX_SIDE:
        raise UnreadableImage(f"The picture has {width}x{height} pixels, a side of more than the {MAX_SIDE:,} allowed; cut it up.")
    if image.format == "TIFF" and (tile := _tile(image)) > limit:
        raise UnreadableImage(  # the decoder fills whole tiles, however little of them the picture is
            f"The picture comes in tiles of {tile / 1e6:,.0f} megapixels, more than the {limit // 10**6} allowed; save it anew with another program."
        )
    # A TIFF's pages are never counted: Pillow walks them in quadratic time, and only the first one is read.
    frames = getattr(image, "n_frames", 1) if image.format != "TIFF" else 1
    if frames > MAX_FRAMES:
        raise UnreadableImage(f"The animation has {frames} frames, more than the {MAX_FRAMES} allowed; save one of them as a picture.")


def _tile(image: Image.Image) -> int:
    """Pixels of a TIFF's tiles, 0 where it has none. Pillow gives a tag in the type that the file declares, and text times a number
    is that text over and over, gigabytes of it."""
    sides = [image.tag_v2.get(tag, 0) for tag in (TILE_WIDTH, TILE_LENGTH)]
    if wrong := [side for side in sides if type(side) is not int]:
        raise UnreadableImage(
            f"The picture is damaged (the side of its tiles is a {type(wrong[0]).__name__}, not a number); save or download it again."
        )
    return sides[0] * sides[1]


def _upright_and_small(image: Image.Image) -> Image.Image:
    if image.format in JPEGS:
        image.draft(None, (WORKING_SIDE, WORKING_SIDE))  # decodes at a half, quarter or eighth, never below this size
    image.load()
    orientation = _orientation(image)
    plain = _grey_where_it_may_be_finished(_without_idle_alpha(_to_eight_bits(image)))
    # Alpha must not bleed the colour of invisible pixels into visible ones: resizing RGBA premultiplied does not.
    if max(plain.size) > WORKING_SIDE:
        scale = WORKING_SIDE / max(plain.size)
        size = tuple(max(1, round(side * scale)) for side in plain.size)
        premultiplied = plain.convert("RGBa") if plain.mode == "RGBA" else plain
        plain = premultiplied.resize(size, Image.Resampling.BOX if scale < 0.5 else Image.Resampling.LANCZOS)
        plain = plain.convert("RGBA") if plain.mode == "RGBa" else plain
    if orientation:
        plain.getexif()[0x0112] = orientation
        plain = ImageOps.exif_transpose(plain)
    return plain


def _orientation(image: Image.Image) -> int | None:
    """How the camera was held, as EXIF numbers it; None where that is not told, or told in a block that is damaged."""
    with contextlib.suppress(Exception):  # Pillow raises nearly anything at one; the picture itself is whole
        return image.getexif().get(0x0112)
    return None


def _without_idle_alpha(image: Image.Image) -> Image.Image:
    """Without a channel of transparency that hides nothing, as screenshots have one."""
    return image.convert("RGB") if image.mode == "RGBA" and image.getextrema()[3] == (255, 255) else image


def _grey_where_it_may_be_finished(image: Image.Image) -> Image.Image:
    """A picture of a data set's size that was saved in colour, as some programs save all, and has none: mode L, as it would be read."""
    if max(image.size) > FINISHED_SIDE or image.mode == "L":
        return image
    pixels = np.asarray(image)
    is_grey = image.mode == "RGB" and (pixels == pixels[..., :1]).all()
    return Image.fromarray(pixels[..., 0]) if is_grey else image


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Any mode to L, RGB or RGBA."""
    if image.mode.startswith("I") or image.mode == "F":
        return _scaled_to_eight_bits(image)
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        return image.convert("RGBA")
    if image.mode in ("L", "1"):
        return image.convert("L")
    return image.convert("RGB")


def _scaled_to_eight_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.float32)
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 65535 and image.mode.startswith("I"):
        low, high = 0.0, next(top for top in (255.0, 4095.0, 65535.0) if high <= top)  # 8 or 12 bits kept in a wider type; 16-bit scanners
    values = (values - low) / max(high - low, 1e-9) * 255
    return Image.fromarray(values.round().astype(np.uint8))


def _what_it_is(content: bytes) -> str:
    fix = "choose a PNG, JPEG, WebP, GIF, BMP, TIFF or HEIC picture."
    start = content[:256].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(_STARTS) or _is_heic(content) or (start[:4] == b"RIFF" and b"WEBP".startswith(start[8:12])):
        return "The picture is damaged or cut off (its header cannot be read); save or download it again."
    for signature, what in _SIGNATURES:
        if start.startswith(signature):
            return f"This is {what}, not a picture of pixels; {fix}"
    if b"\0" not in content[:1024]:
        return f"This is a text file, not a picture; {fix}"
    return f"This is no picture that Inkling knows; {fix}"
