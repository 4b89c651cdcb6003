"""Any image -> the pixels that a network sees, made the way its data set was made.

MNIST (LeCun et al. 1998, section III.A): ink bright on black, fitted antialiased into a 20x20 box, moved so that its
centre of mass is the centre of 28x28. Fashion-MNIST (Xiao et al. 2017, arXiv:1708.07747, section 2): the background
trimmed off, the longest side 28, brightness negated, centred on black. An own data set: the whole picture, scaled to fit, on
a ground of its own border's colour; its import and every answer go through the same `prepare_own`.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageFilter

from inference.foreground import between_bands, cut_out, is_plain
from inference.ink import LEAST_CONTRAST, Ink, border, find_ink, otsu, without_specks
from inference.opencv import opencv

SIDE = 28
DIGIT_BOX = 20
DIGIT_WORKING_BOX = 160  # strokes are measured and evened out at this size, eight times the final one
# Of a garment's longer side: what is left around it of a plain ground, and of another, where straps and sleeves may not have been found.
CLOSE, CLOSE_ON_UNEVEN = 0.03, 0.25
LEAST_DISTANCE = 12.0  # of 255: what differs from a plain ground by more is not of it; cloth may be as pale, beside what is printed on it
SMALL = 0.7  # of a photo's longer side: a garment that is as long fills it, where the ground is not plain
STROKE = (11.0, 20.0)  # thinnest and thickest stroke left alone at the working size (EXPERIMENTS.md, "Pens")


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What the network sees, and how it came about.

    pixels: uint8 [28, 28], bright on black; of an own data set [H, W] grey or [H, W, 3] in colour. inverted: brightness was negated. box: what was cut out, as
    left, top, right, bottom fractions of the image, None when all of it was kept. is_blank: nothing to recognise. inside: bool [h, w], which pixels
    of the image, scaled, are the garment; None where the ground is plain.
    """

    pixels: np.ndarray
    inverted: bool
    box: tuple[float, float, float, float] | None
    is_blank: bool
    inside: np.ndarray | None = None

    @property
    def batch(self) -> np.ndarray:
        """The pixels as a network takes them: uint8 [1, C, H, W]."""
        planes = self.pixels[None] if self.pixels.ndim == 2 else self.pixels.transpose(2, 0, 1)
        return np.ascontiguousarray(planes[None])


def prepare(image: Image.Image, dataset: str, invert: bool | None = None, crop: bool = True) -> Prepared:
    """image: mode L, RGB or RGBA, as `decode` returns it. invert, crop: None and True decide from the picture.

    A picture that is 28x28 and mostly dark at its border already is what a network sees, and is passed on as it is.
    """
    if is_finished(image) and not invert:
        pixels = np.asarray(image)
        return Prepared(pixels=pixels, inverted=False, box=None, is_blank=bool(np.ptp(pixels) < LEAST_CONTRAST))
    return (_prepare_garment if dataset == "fashion-mnist" else _prepare_digit)(image, invert, crop)


def is_finished(image: Image.Image) -> bool:
    """Whether a picture is what a network for 28x28 grey sees already: of that size, and mostly dark at its border."""
    return image.size == (SIDE, SIDE) and image.mode == "L" and bool(np.median(border(np.asarray(image))) < 32)


def prepare_own(image: Image.Image, shape: tuple[int, int, int]) -> Prepared:
    """A picture of an own data set. image: mode L, RGB or RGBA, as `decode` returns it; shape: channels (1 or 3), height, width.

    It is scaled, antialiased, to fit, and the rest filled with the median colour of its own border. Nothing is cut off,
    since what tells a class may stand at the edge, and nothing is stretched, since proportions may tell it; a ground of the
    picture's own colour keeps its frame from telling classes apart by the camera. What is transparent is laid over white.
    A flat picture is not called blank: it may well be one of the classes.
    """
    channels, height, width = shape
    mode = "L" if channels == 1 else "RGB"
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    plain = image.convert(mode)
    if plain.size != (width, height):
        scale = min(width / plain.width, height / plain.height)
        size = (max(1, round(plain.width * scale)), max(1, round(plain.height * scale)))
        small = plain.resize(size, Image.Resampling.BOX if scale < 0.5 else Image.Resampling.BICUBIC)
        ground = np.median(border(np.asarray(small)), axis=0).round().astype(int)
        plain = Image.new(mode, (width, height), int(ground) if channels == 1 else tuple(ground.tolist()))
        plain.paste(small, ((width - size[0]) // 2, (height - size[1]) // 2))
    return Prepared(pixels=np.asarray(plain), inverted=False, box=None, is_blank=False)


def prepare_photo(image: Image.Image, shape: tuple[int, int, int], crop: bool = True) -> Prepared:
    """A photo for the network that sees garments in colour: without a film's or a print's bands, and closer to a garment that does not fill it.

    What it learned from are garments that fill their photos: of those a third as long it knows one in five, and nine in ten once they are
    close (EXPERIMENTS.md, "Accuracy"). image, shape: as of `prepare_own`; crop: False takes the whole picture.
    """
    if not crop:
        return prepare_own(image, shape)
    colours, alpha = _colours_and_alpha(image)
    height, width = colours.shape[:2]
    left, top, right, bottom = window = between_bands(colours) if alpha is None else (0, 0, width, height)
    if is_plain(colours[top:bottom, left:right]):  # as in `_prepare_garment`
        window = 0, 0, width, height
    left, top, right, bottom = _close_up(colours[window[1] : window[3], window[0] : window[2]], alpha)
    box = left + window[0], top + window[1], right + window[0], bottom + window[1]
    if box == (0, 0, width, height):
        return prepare_own(image, shape)
    return replace(prepare_own(image.crop(box), shape), box=_fractions(box, colours.shape))


def _close_up(colours: np.ndarray, alpha: np.ndarray | None) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what a photo shows, with a little around it; of all of it where it fills the photo, or nothing is found."""
    height, width = colours.shape[:2]
    if min(height, width) < 2:
        return 0, 0, width, height
    is_uneven = alpha is None and not is_plain(colours)
    found = cut_out(colours, whole=True) if is_uneven else (colours, _before_plain_ground(colours, alpha, LEAST_DISTANCE))
    if found is None or not found[1].any():
        return 0, 0, width, height
    across, down = width / found[1].shape[1], height / found[1].shape[0]  # it may have been found in a smaller copy
    left, top, right, bottom = (scale * side for scale, side in zip((across, down) * 2, bounds(found[1]), strict=True))
    length = max(right - left, bottom - top)
    if is_uneven and length >= SMALL * max(height, width):
        return 0, 0, width, height
    around = (CLOSE_ON_UNEVEN if is_uneven else CLOSE) * length
    return (
        max(0, math.floor(left - around)), max(0, math.floor(top - around)),
        min(width, math.ceil(right + around)), min(height, math.ceil(bottom + around)),
    )  # fmt: skip


def prepare_ink(ink: Ink | None, inverted: bool, crop: bool = True) -> Prepared:
    """The ink, or a part of it with the rest blackened, as a network for digits sees it; none is a blank picture."""
    if ink is None:
        return _blank(inverted)
    values, (top_of_all, left_of_all) = (ink.values, ink.origin) if crop else (_whole(ink), (0, 0))
    left, top, right, bottom = bounds(ink.solid) if crop else (0, 0, ink.frame[1], ink.frame[0])
    even = _even_strokes(_fit(Image.fromarray(values[top:bottom, left:right].astype(np.uint8)), DIGIT_WORKING_BOX))
    small = np.asarray(_fit(even, DIGIT_BOX))
    pixels = _centre_of_mass_at_centre(small) if crop else _centred(small)
    box = left + left_of_all, top + top_of_all, right + left_of_all, bottom + top_of_all
    if crop and ink.to_picture is not None:
        box = _taken_back(ink)
    return Prepared(pixels=pixels, inverted=inverted, box=_fractions(box, ink.frame) if crop else None, is_blank=False)


def _taken_back(ink: Ink) -> tuple[int, int, int, int]:
    """Left, top, right and bottom, in the picture, of ink on a sheet that was set upright."""
    rows, columns = np.nonzero(ink.solid)
    points = np.column_stack([columns + 0.5, rows + 0.5, np.ones(len(rows))]) @ ink.to_picture.T
    first, last = (np.clip(each, 0, ink.frame[::-1]) for each in (points.min(0) - 0.5, points.max(0) + 0.5))
    return *map(math.floor, first), *map(math.ceil, last)


def _whole(ink: Ink) -> np.ndarray:
    """The ink's values in the frame of the whole picture."""
    if ink.to_picture is not None:
        return opencv().warpAffine(ink.values, ink.to_picture, ink.frame[::-1])
    values = np.zeros(ink.frame, ink.values.dtype)
    top, left = ink.origin
    values[top : top + ink.values.shape[0], left : left + ink.values.shape[1]] = ink.values
    return values


def _prepare_digit(image: Image.Image, invert: bool | None, crop: bool) -> Prepared:
    return prepare_ink(*find_ink(image, invert), crop)


def _prepare_garment(image: Image.Image, invert: bool | None, crop: bool) -> Prepared:
    colours, alpha = _colours_and_alpha(image)
    if min(image.size) < 2:
        return _blank(False)
    if alpha is None and (window := between_bands(colours)) != (0, 0, *image.size):
        left, top, right, bottom = window
        if not is_plain(colours[top:bottom, left:right]):  # otherwise it is a garment with straight sides, such as a bag
            return _in_window(_prepare_garment(image.crop(window), invert, crop), window, image.size)
    found = cut_out(colours) if alpha is None and not is_plain(colours) else None
    if found is not None:
        colours, inside = found
    else:
        inside = _before_plain_ground(colours, alpha)
        if not inside.any():
            return _blank(False)
    light = colours @ np.array([0.299, 0.587, 0.114], np.float32)
    ground_is_light = alpha is not None or float(np.median(light[~inside] if found else border(light))) > 96
    inverted = ground_is_light if invert is None else invert
    values = 255 - light if inverted else light
    # Cloth that comes out as dark as the ground is lifted: a white shirt is not a hole.
    values = _lifted(values, inside)
    box = bounds(inside) if crop else (0, 0, inside.shape[1], inside.shape[0])
    left, top, right, bottom = box
    garment = np.where(inside, values, 0)[top:bottom, left:right]
    small = np.asarray(_fit(Image.fromarray(garment.astype(np.uint8)), SIDE))
    place = _fractions(box, inside.shape) if crop else None
    return Prepared(pixels=_centred(small), inverted=inverted, box=place, is_blank=False, inside=inside if found else None)


def _in_window(part: Prepared, window: tuple[int, int, int, int], size: tuple[int, int]) -> Prepared:
    """What was prepared of a window of a picture, left, top, right, bottom, told of the whole picture, of that width and height."""
    (left, top, right, bottom), (width, height) = window, size
    within = part.box or (0.0, 0.0, 1.0, 1.0)
    across, down = (left, right - left, width), (top, bottom - top, height)
    box = tuple((start + share * length) / whole for share, (start, length, whole) in zip(within, (across, down) * 2, strict=True))
    inside = part.inside
    if inside is not None:
        scale = inside.shape[0] / (bottom - top), inside.shape[1] / (right - left)
        margins = (
            (round(top * scale[0]), round((height - bottom) * scale[0])),
            (round(left * scale[1]), round((width - right) * scale[1])),
        )
        inside = np.pad(inside, margins)
    return replace(part, box=box, inside=inside)


def _before_plain_ground(colours: np.ndarray, alpha: np.ndarray | None, least: float | None = None) -> np.ndarray:
    """What is not of the border's colour, or not transparent: bool [H, W], nothing where all is alike.

    least: by how much it differs, 0 to 255; by default that follows from the picture.
    """
    if alpha is not None:
        return without_specks(alpha > 127)
    ground = np.median(border(colours), axis=0)
    distance = np.abs(colours - ground).max(axis=2)
    if distance.max() < LEAST_CONTRAST:
        return np.zeros(distance.shape, bool)
    # Soft shadows and paper grain stay near the ground's colour; a fixed share of the way to Otsu's level keeps pale cloth.
    return without_specks(distance > (least or max(LEAST_DISTANCE, 0.6 * otsu(distance))))


def _blank(inverted: bool) -> Prepared:
    return Prepared(pixels=np.zeros((SIDE, SIDE), np.uint8), inverted=inverted, box=None, is_blank=True)


def _colours_and_alpha(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """float32 [H, W, 3], and the alpha channel [H, W] where it hides anything."""
    colours = np.asarray(image.convert("RGB")).astype(np.float32)
    alpha = np.asarray(image.getchannel("A")) if image.mode == "RGBA" else None
    return colours, alpha if alpha is not None and alpha.min() < 128 else None


def bounds(solid: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what is set in a mask, in pixels."""
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _fractions(box: tuple[int, int, int, int], shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    height, width = shape[:2]
    return box[0] / width, box[1] / height, box[2] / width, box[3] / height


def _fit(image: Image.Image, side: int) -> Image.Image:
    """Scaled, antialiased, so that the longest side is `side`."""
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BOX if scale < 0.5 else Image.Resampling.BICUBIC)


def _even_strokes(image: Image.Image) -> Image.Image:
    """Thickens thin strokes and thins thick ones, to the widths that digits are read best in."""
    solid = np.asarray(image) > 127
    area = np.count_nonzero(solid)
    edge = np.count_nonzero(solid[1:] != solid[:-1]) + np.count_nonzero(solid[:, 1:] != solid[:, :-1])
    edge += sum(map(np.count_nonzero, (solid[0], solid[-1], solid[:, 0], solid[:, -1])))  # beyond the picture there is none
    if not area or not edge:
        return image
    width = 2.0 * area / (edge * 0.8)  # a slanted edge is counted as stairs, on average 1/0.8 times its length
    thinnest, thickest = STROKE
    if width < thinnest:
        grow = int((thinnest - width) / 2) * 2 + 1
        margin = grow // 2
        framed = Image.new("L", (image.width + 2 * margin, image.height + 2 * margin))
        framed.paste(image, (margin, margin))
        return framed.filter(ImageFilter.MaxFilter(grow)).filter(ImageFilter.BoxBlur(1)) if grow > 1 else image
    if width > thickest:
        shrink = min(int((width - thickest) / 2) * 2 + 1, 15)
        thinned = image.filter(ImageFilter.MinFilter(shrink)) if shrink > 1 else image
        return thinned if (np.asarray(thinned) > 127).sum() > 0.3 * area else image
    return image


def _centred(small: np.ndarray) -> np.ndarray:
    pixels = np.zeros((SIDE, SIDE), np.uint8)
    top, left = (SIDE - small.shape[0]) // 2, (SIDE - small.shape[1]) // 2
    pixels[top : top + small.shape[0], left : left + small.shape[1]] = small
    return pixels


def _centre_of_mass_at_centre(small: np.ndarray) -> np.ndarray:
    pixels = np.zeros((SIDE, SIDE), np.uint8)
    weight = max(float(small.sum()), 1e-9)
    row = float((small.sum(1) * (np.arange(small.shape[0]) + 0.5)).sum()) / weight
    column = float((small.sum(0) * (np.arange(small.shape[1]) + 0.5)).sum()) / weight
    top = int(np.clip(round(SIDE / 2 - row), 0, SIDE - small.shape[0]))
    left = int(np.clip(round(SIDE / 2 - column), 0, SIDE - small.shape[1]))
    pixels[top : top + small.shape[0], left : left + small.shape[1]] = small
    return pixels


def _lifted(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    middle = float(np.median(values[inside]))
    if middle >= 110:
        return values
    return 255 - (255 - values) * (255 - 110) / max(255 - middle, 1)
