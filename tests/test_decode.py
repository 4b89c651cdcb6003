"""Bytes to pictures: every mode that people send, every file that is none, and noise by the hundred."""

import io
import struct
import time
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from inference import decode as decode_module
from inference.decode import MAX_BYTES, MAX_FRAMES, WORKING_SIDE, UnreadableImage, decode

LOSSLESS_WEBP = {"format": "WEBP", "lossless": True, "exact": True}


def encoded(image: Image.Image, format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def corner_picture(mode: str = "RGB") -> Image.Image:
    """White, with a black block in the upper left quarter: tells up from down and left from right."""
    image = Image.new("RGB", (60, 40), "white")
    ImageDraw.Draw(image).rectangle((0, 0, 29, 19), fill=(0, 0, 0))
    return image.convert(mode)


def complaint(content: bytes) -> str:
    """The message about an unreadable file, once it is seen to be one sentence and no traceback."""
    with pytest.raises(UnreadableImage) as caught:
        decode(content)
    message = str(caught.value)
    assert message.endswith(".")
    assert message[0].isupper()
    assert not message.endswith("..")
    assert message.isprintable()  # so no newline and no tab
    assert "Traceback" not in message
    assert "object at 0x" not in message
    assert len(message) < 300
    return message


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG of a hundred bytes whose header declares any size."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(b"\0" * 64)) + png_chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("mode", "decoded"),
    [("L", "L"), ("1", "L"), ("I;16", "L"), ("LA", "RGB"), ("RGB", "RGB"), ("RGBA", "RGB"), ("P", "RGB")],
)
def test_every_png_mode_becomes_grey_or_colour_with_the_same_picture(mode: str, decoded: str):
    if mode == "I;16":
        content = encoded(Image.fromarray(np.asarray(corner_picture("L")).astype(np.uint16) * 257))
    else:
        content = encoded(corner_picture(mode))
    image = decode(content)
    assert (image.mode, image.size) == (decoded, (60, 40))
    grey = np.asarray(image.convert("L"))
    assert grey[5, 5] < 8
    assert all(grey[at] > 232 for at in ((5, 55), (35, 5), (35, 55)))


@pytest.mark.parametrize(("format", "tolerance"), [("PNG", 0), ("BMP", 0), ("TIFF", 0), ("GIF", 0), ("JPEG", 8), ("WEBP", 8)])
def test_every_format_shows_the_same_picture(format: str, tolerance: int):
    difference = np.abs(np.asarray(decode(encoded(corner_picture(), format)).convert("L"), int) - np.asarray(corner_picture("L"), int))
    assert np.median(difference) <= tolerance
    assert difference.mean() <= tolerance


def test_a_palette_picture_with_a_transparent_colour_keeps_it_transparent():
    image = Image.new("P", (30, 20), 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(1, (0, 0, 10, 20))
    decoded = decode(encoded(image, transparency=0))
    assert decoded.mode == "RGBA"
    assert decoded.getpixel((5, 5)) == (0, 0, 255, 255)
    assert decoded.getpixel((25, 5))[3] == 0


@pytest.mark.parametrize(("mode", "key"), [("L", 255), ("RGB", (255, 255, 255))])
def test_a_colour_named_transparent_becomes_alpha(mode: str, key):
    image = Image.new(mode, (30, 20), "white")
    image.paste("black", (0, 0, 10, 20))
    decoded = decode(encoded(image, transparency=key))
    assert decoded.mode == "RGBA"
    assert (decoded.getpixel((5, 5))[3], decoded.getpixel((25, 5))[3]) == (255, 0)


def test_a_cmyk_jpeg_keeps_its_colours():
    image = Image.new("RGB", (64, 64), (250, 20, 20)).convert("CMYK")
    red, green, blue = decode(encoded(image, "JPEG", quality=95)).getpixel((32, 32))
    assert red > 200
    assert max(green, blue) < 70


def test_a_float_tiff_is_stretched_from_its_darkest_to_its_brightest():
    values = np.full((20, 30), -3.5, np.float32)
    values[:10], values[0, 0] = 1e6, np.nan
    decoded = np.asarray(decode(encoded(Image.fromarray(values), "TIFF")))
    assert (decoded[5, 5], decoded[15, 15]) == (255, 0)


def test_a_float_tiff_of_nothing_but_nan_is_flat():
    assert np.ptp(np.asarray(decode(encoded(Image.fromarray(np.full((20, 30), np.nan, np.float32)), "TIFF")))) == 0


def test_sixteen_bit_mid_grey_stays_mid_grey():
    assert decode(encoded(Image.fromarray(np.full((20, 30), 32896, np.uint16)))).getpixel((3, 3)) == 128


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_exif_rotation_gives_the_same_upright_picture(orientation: int, format: str):
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transpose that stores an upright picture turned that way
    upright = corner_picture("L")
    stored = upright.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode(encoded(stored, format, exif=exif.tobytes()))
    assert decoded.size == upright.size
    assert np.abs(np.asarray(decoded.convert("L"), int) - np.asarray(upright, int)).mean() < 5


def test_a_large_rotated_photo_is_upright_too():
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = corner_picture().resize((1200, 800)).transpose(Image.Transpose.ROTATE_90)
    decoded = decode(encoded(stored, "JPEG", exif=exif.tobytes()))
    assert decoded.size == (512, 341)
    assert [decoded.getpixel(at)[0] > 128 for at in ((20, 20), (490, 20), (20, 320), (490, 320))] == [False, True, True, True]


@pytest.mark.parametrize("size", [(1, 1), (28, 28), (1, 500), (512, 512)])
def test_a_small_picture_keeps_its_size_and_pixels(size: tuple[int, int]):
    pixels = np.random.default_rng(0).integers(0, 256, size[::-1], np.uint8)
    decoded = decode(encoded(Image.fromarray(pixels)))
    assert decoded.mode == "L"
    assert np.array_equal(np.asarray(decoded), pixels)


@pytest.mark.parametrize(
    ("size", "small"), [((513, 100), (512, 100)), ((2000, 1000), (512, 256)), ((1, 9000), (1, 512)), ((3000, 3), (512, 1))]
)
def test_a_large_picture_is_shrunk_in_proportion(size: tuple[int, int], small: tuple[int, int]):
    assert decode(encoded(Image.new("L", size, 200))).size == small


def test_of_an_animation_the_first_frame_counts():
    frames = [Image.new("RGB", (30, 20), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)
    assert decode(content).convert("RGB").getpixel((10, 10)) == (255, 0, 0)


def test_as_many_frames_as_allowed_are_accepted():
    frames = [Image.new("L", (4, 4), shade) for shade in range(MAX_FRAMES)]
    assert decode(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])).size == (4, 4)


DEPTH_INSIDE = {"save_all": True, "append_images": [Image.new("L", (40, 30))]}


@pytest.mark.parametrize(("format", "options"), [("JPEG", {}), ("MPO", DEPTH_INSIDE)])
def test_a_phone_photo_of_48_megapixels_is_accepted_quickly(format: str, options: dict):
    content = encoded(Image.new("L", (8000, 6000), 90), format, quality=5, **options)
    start = time.process_time()
    decoded = decode(content)
    assert time.process_time() - start < 2
    assert decoded.size == (512, 384)
    assert abs(decoded.getpixel((200, 200)) - 90) < 12


@pytest.mark.parametrize(("format", "options"), [("JPEG", {}), ("MPO", DEPTH_INSIDE)])
def test_a_phone_photo_is_never_unpacked_at_full_size(monkeypatch: pytest.MonkeyPatch, format: str, options: dict):
    unpacked, convert = [], decode_module._to_eight_bits
    monkeypatch.setattr(decode_module, "_to_eight_bits", lambda image: unpacked.append(image.size) or convert(image))
    decode(encoded(Image.new("L", (4000, 3000), 90), format, quality=5, **options))
    assert unpacked == [(1000, 750)]


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_a_data_sets_own_picture_is_grey_however_it_was_saved(mode: str):
    pixels = np.zeros((28, 28), np.uint8)
    pixels[6:22, 10:18] = 200
    decoded = decode(encoded(Image.fromarray(pixels).convert(mode)))
    assert decoded.mode == "L"
    assert np.array_equal(np.asarray(decoded), pixels)
    for other in (Image.new("RGB", (28, 28), (9, 8, 8)), Image.new("RGBA", (28, 28), (9, 9, 9, 254)), Image.new("RGB", (29, 28))):
        assert decode(encoded(other)).mode == other.mode


def test_hidden_colours_do_not_bleed_into_visible_ones():
    pixels = np.zeros((1500, 1500, 4), np.uint8)
    pixels[..., 0] = 255  # bright red where nothing is to be seen
    for at in range(0, 1500, 10):
        pixels[:, at : at + 5] = (0, 0, 255, 255)
    decoded = np.asarray(decode(encoded(Image.fromarray(pixels), compress_level=1)))
    visible = decoded[decoded[..., 3] > 40]
    assert len(visible)
    assert visible[..., 0].max() < 12
    assert visible[..., 2].min() > 240


def zip_archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("one.png", encoded(corner_picture()))
    return buffer.getvalue()


NOT_PICTURES = {
    "empty": (b"", "empty"),
    "text": (b"Dear Sir or Madam,\nplease find enclosed", "a text file"),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
    "svg with a prologue": (b'\xef\xbb\xbf<?xml version="1.0"?>\n<svg/>', "SVG"),
    "web page": (b"<!DOCTYPE html><html></html>", "a web page"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF document"),
    "zip": (zip_archive(), "a zip archive"),
    "heic": (struct.pack(">I", 24) + b"ftypheic" + bytes(12) + b"mif1" + bytes(200), "damaged or cut off"),
    "avif": (struct.pack(">I", 24) + b"ftypavif" + bytes(12) + b"avif" + bytes(200), "no picture that Inkling knows"),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\n%%EndComments\nshowpage\n", "a PostScript file"),
    "noise": (bytes(range(256)) * 20, "no picture that Inkling knows"),
    "zeros": (bytes(1000), "no picture that Inkling knows"),
}


@pytest.mark.parametrize("name", NOT_PICTURES)
def test_what_is_no_picture_is_called_what_it_is(name: str):
    content, words = NOT_PICTURES[name]
    assert words in complaint(content)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_a_truncated_picture_is_called_damaged(format: str, kept: float):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8))
    content = encoded(noise, format)
    assert "damaged or cut off" in complaint(content[: int(len(content) * kept)])


@pytest.mark.parametrize("size", [(5001, 5000), (12_000, 12_000)])
def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(decode_module, "_upright_and_small", lambda image: pytest.fail("it was decoded"))
    message = complaint(png_that_claims(*size))
    assert f"{size[0]}x{size[1]}" in message
    assert "25" in message


def test_a_bomb_is_refused_at_once():
    message = complaint(png_that_claims(60_000, 60_000))
    assert "more than the 25 megapixels allowed" in message


def test_a_jpeg_over_50_megapixels_is_refused_with_its_own_limit():
    content = bytearray(encoded(Image.new("L", (64, 64)), "JPEG"))
    at = content.index(b"\xff\xc0") + 5  # start of frame: length, precision, then height and width
    content[at : at + 4] = struct.pack(">HH", 8000, 8000)
    message = complaint(bytes(content))
    assert "8000x8000" in message
    assert "50" in message


def test_a_picture_of_25_megapixels_is_not_too_large():
    message = complaint(png_that_claims(5000, 5000))  # the header is believed, the missing pixels are the fault
    assert "damaged or cut off" in message


def test_too_many_frames_are_refused():
    frames = [Image.new("L", (2, 2), shade) for shade in range(MAX_FRAMES + 1)]
    message = complaint(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert f"{MAX_FRAMES + 1} frames" in message
    assert str(MAX_FRAMES) in message


def test_a_file_over_20_mb_is_refused_whatever_it_is():
    message = complaint(encoded(corner_picture()).ljust(MAX_BYTES + 2**20, b"\0"))
    assert "21.0 MB" in message
    assert "20 MB" in message


def test_a_file_of_exactly_20_mb_is_read():
    assert decode(encoded(corner_picture()).ljust(MAX_BYTES, b"\0")).size == (60, 40)


def test_a_jpeg_of_a_gigapixel_is_refused_with_the_limit_of_a_jpeg():
    content = bytearray(encoded(Image.new("L", (64, 64)), "JPEG"))
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = struct.pack(">HH", 60_000, 60_000)
    assert "more than the 50 megapixels allowed" in complaint(bytes(content))


def tiff_of_pages(count: int) -> bytes:
    """As short as pages get: one pixel each, all the same byte."""
    tags = ((256, 4, 1, 1), (257, 4, 1, 1), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8), (277, 3, 1, 1), (279, 4, 1, 1))
    page = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    following = (8 + (number + 1) * (len(page) + 4) for number in range(count - 1))
    return b"II*\0" + struct.pack("<I", 8) + b"".join(page + struct.pack("<I", at) for at in (*following, 0))


def test_the_first_of_very_many_tiff_pages_is_read_at_once():
    content = tiff_of_pages(20_000)
    start = time.process_time()
    assert decode(content).size == (1, 1)
    assert time.process_time() - start < 0.3


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "TIFF"])
@pytest.mark.parametrize("kept", [4, 10, 20])
def test_a_picture_cut_off_within_its_header_is_still_called_damaged(format: str, kept: int):
    assert "damaged or cut off" in complaint(encoded(corner_picture(), format)[:kept])


@pytest.mark.parametrize("text", [b"GIF is a format", b"II. The second chapter", b"RIFFRAFF and more", b"MM"])
def test_text_that_starts_somewhat_like_a_picture_is_called_text(text: bytes):
    assert "a text file" in complaint(text)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_fewer_bits_kept_in_a_wider_type_are_not_taken_for_darkness(bits: int):
    values = np.full((20, 30), 2**bits - 1, np.uint16)
    values[:10] = 2 ** (bits - 1)
    decoded = decode(encoded(Image.fromarray(values)))
    assert (decoded.getpixel((5, 15)), decoded.getpixel((5, 5))) == (255, 128)


def test_a_fault_without_words_is_called_by_its_type(monkeypatch: pytest.MonkeyPatch):
    def give_up(image: Image.Image) -> None:
        raise MemoryError

    monkeypatch.setattr(decode_module, "_upright_and_small", give_up)
    assert "damaged or cut off (MemoryError)" in complaint(encoded(corner_picture()))


def test_after_bad_files_good_ones_are_still_read():
    for content, _ in NOT_PICTURES.values():
        complaint(content)
    assert decode(encoded(corner_picture())).size == (60, 40)


def encodings() -> list[bytes]:
    random = np.random.default_rng(0)
    colour = Image.fromarray(random.integers(0, 256, (24, 33, 4), np.uint8))
    wide = Image.fromarray(random.integers(0, 65536, (12, 9), np.uint16))
    real = Image.fromarray(random.normal(0, 1e4, (12, 9)).astype(np.float32))
    frames = [Image.new("P", (20, 20), shade) for shade in range(3)]
    exif = Image.Exif()
    exif[0x0112] = 5
    return [
        encoded(colour),
        encoded(colour.convert("P"), transparency=3),
        encoded(wide),
        encoded(colour.convert("1")),
        encoded(colour.convert("RGB"), "JPEG", exif=exif.tobytes()),
        encoded(colour.convert("CMYK"), "JPEG", progressive=True),
        encoded(colour, "WEBP"),
        encoded(colour, **LOSSLESS_WEBP),
        encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        encoded(colour.convert("RGB"), "BMP"),
        encoded(colour.convert("P"), "BMP"),
        encoded(colour.convert("RGB"), "TIFF"),
        encoded(colour.convert("RGB"), "TIFF", compression="tiff_lzw"),
        encoded(colour, "TIFF", compression="tiff_adobe_deflate"),
        encoded(real, "TIFF"),
        encoded(wide, "TIFF"),
    ]


@settings(derandomize=True, max_examples=150, deadline=None, database=None)
@given(
    content=st.sampled_from(encodings()),
    flips=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 7)), max_size=12),
    header_flips=st.lists(st.tuples(st.integers(0, 63), st.integers(0, 7)), max_size=3),
    kept=st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_damage_never_escapes_as_anything_but_unreadable_image(content: bytes, flips: list, header_flips: list, kept: float):
    damaged = bytearray(content)
    for place, bit in flips:
        damaged[int(place * (len(damaged) - 1))] ^= 1 << bit
    for at, bit in header_flips:
        damaged[at] ^= 1 << bit
    damaged = bytes(damaged[: round(len(damaged) * kept)])
    try:
        image = decode(damaged)
    except UnreadableImage:
        complaint(damaged)
    else:
        assert image.mode in ("L", "RGB", "RGBA")
        assert 1 <= min(image.size) <= max(image.size) <= WORKING_SIDE
        assert np.asarray(image).dtype == np.uint8
