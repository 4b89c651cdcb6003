"""What is written in a picture: its ink, without paper, uneven light, rules and dust."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from inference.components import enlarged, labelled, reduced
from inference.opencv import opencv
from inference.rules import edge_depth, without_rules
from inference.sheets import Sheet, find_sheet, with_sheet_alone
from inference.surroundings import cut_off, find_frames, flattened, without_surroundings

DUST, DUST_AT_EDGE = 0.06, 0.35  # pieces smaller than this, times the largest, are none; at the picture's edge they are cut off things
DUST_SIDE = 640  # pixels of the longest side when dust is looked for
MARGIN = 3  # pixels around the ink that its soft rim needs
WINDOW_SIDE = 320  # pixels of the longest side of a picture whose ink alone is looked at: a canvas
LEAST_SIDE = 64  # pixels of the shorter side: in smaller pictures nothing lies around the ink
LEAST_WIDE = 0.002  # of the picture: what is cut off by its edge, wide and no less may be a shadow
GREY = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue, as Pillow has it
CARD, PAPER = 0.15, 0.6  # of a picture with nothing around what is seen: the box of a card, and how much of that box a card fills
LEAST_CONTRAST = 24  # of 255: below it there is nothing on the paper


@dataclass(frozen=True, kw_only=True)
class Ink:
    """What is written in a picture, or the part of it that has ink.

    values: float32 [h, w], 0 to 255, bright on black; solid: bool [h, w], where it is ink for sure. frame: height and width of the
    picture; origin: row and column where values begin in it; to_picture: of a sheet set upright, float [2, 3], the matrix that takes columns and
    rows of values to the picture's, in origin's place. connected: the components of solid and their boxes, as
    `components.labelled` gives them, where they are known already.
    """

    values: np.ndarray
    solid: np.ndarray
    frame: tuple[int, int]
    origin: tuple[int, int] = (0, 0)
    to_picture: np.ndarray | None = None
    connected: tuple[np.ndarray, np.ndarray] | None = None


def find_ink(image: Image.Image, invert: bool | None = None) -> tuple[Ink | None, bool]:
    """The ink of a picture as `prepare` takes it, None of a blank one, and whether brightness was negated."""
    is_alone = invert is not None or min(image.size) < LEAST_SIDE  # a canvas or a small picture: nothing lies around the ink
    frame, origin, to_picture = image.size[::-1], (0, 0), None
    if invert is None:
        grey, inverted, to_picture = _facing(image, is_alone)
    else:
        grey, inverted = np.asarray(over_contrasting_ground(image)), invert
    dark = 255 - grey if inverted else grey
    # Somebody who overrides the polarity wants to see all that is bright taken as ink, an uneven ground included.
    ink = _without_background(dark.astype(np.float32)) if invert is None else dark - dark.min()
    if ink.max() < LEAST_CONTRAST:
        return None, inverted
    if invert is not None and (window := _free_window(ink)):
        ink, origin = ink[window], (window[0].start, window[1].start)  # a canvas: the rest has nothing to say
        ink = ink.astype(np.float32) * (255 / ink.max())
    else:
        ink = without_rules(ink / ink.max() * 255)
    level = otsu(ink, blank=dark.size - ink.size)
    solid = ink > level
    if not is_alone:
        ink, level, solid = _without_frames(*_without_shadow(dark, ink, level, solid))
        solid = without_surroundings(_without_hairlines(solid))
    values, solid, connected = _without_dirt(ink, level, solid, frame)
    if not solid.any():
        return None, inverted
    return Ink(values=values, solid=solid, frame=frame, origin=origin, to_picture=to_picture, connected=connected), inverted


def find_narrow_ink(image: Image.Image, on_sheet: bool) -> Ink | None:
    """What is dark and narrow in a photo, whatever wide things lie beside it or under it, such as half of a hand's shadow or a table as dark
    as the ink: for a second look, where what `find_ink` finds is nothing known. on_sheet: only on the sheet that is found in it. None where
    there is none, and of a picture that no camera made.
    """
    if min(image.size) < LEAST_SIDE:
        return None
    frame, to_picture = image.size[::-1], None
    if on_sheet:
        grey, _, to_picture = _facing(image, is_alone=False)
        if to_picture is None:
            return None
    else:
        grey = np.asarray(over_contrasting_ground(_most_telling_channel(image)))
    if to_picture is None and _shade_of_border(grey, least=0.5) is not None:
        return None
    ink = _without_background(flattened(255 - grey))
    if ink.max() < LEAST_CONTRAST:
        return None
    ink = without_rules(ink / ink.max() * 255)
    level = otsu(ink)
    ink, level, solid = _without_frames(ink, level, ink > level)
    solid = without_surroundings(_without_hairlines(solid))
    values, solid, connected = _without_dirt(ink, level, solid, frame)
    return Ink(values=values, solid=solid, frame=frame, to_picture=to_picture, connected=connected) if solid.any() else None


def _without_dirt(
    ink: np.ndarray, level: float, solid: np.ndarray, frame: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray] | None]:
    """Values, mask and components of ink, as `Ink` has them, without dust and lines from edge to edge."""
    solid, connected = _without_dust(solid, frame)
    if (cores := _without_hairlines(solid)) is not solid:
        solid, connected = _without_dust(cores, frame)
    # The rim around the mask keeps soft edges soft.
    return np.where(spread(solid, 2), np.clip(ink * (255 / max(level * 1.6, 128)), 0, 255), 0), solid, connected


def _facing(image: Image.Image, is_alone: bool) -> tuple[np.ndarray, bool, np.ndarray | None]:
    """A picture in grey, uint8 [h, w], or the sheet in it, upright and alone; whether what is written in it is dark; and the matrix that takes
    the sheet back to the picture, as `with_sheet_alone` gives it, None without one."""
    grey = np.asarray(over_contrasting_ground(_most_telling_channel(image)))
    if not is_alone and image.mode == "RGBA" and (card := _cut_out_card(image)):
        plain, to_picture = with_sheet_alone(grey, card)
        return plain, card.is_bright, to_picture
    level = otsu(grey)
    shade = _shade_of_border(grey, least=0.8)  # a frame's line has less of it
    by_camera = _shade_of_border(grey, least=0.5) is None
    sheet = None if is_alone else find_sheet(grey, level, by_camera)
    # The ground of a drawing is no sheet that lies on its strokes, and has no uneven light, where they touch the picture's edge.
    if sheet and (shade is None or border(sheet.inside).mean() < 0.5):
        plain, to_picture = with_sheet_alone(grey, sheet)
        return plain, sheet.is_bright, to_picture
    return grey, shade > level if shade is not None else _is_dark_on_light(grey.astype(np.float32), level), None


def _cut_out_card(image: Image.Image) -> Sheet | None:
    """What is seen of a picture with nothing around it, where that is paper with writing and no ink: as large as its box, and of many shades."""
    seen = np.asarray(image.getchannel("A")) > 127
    shades = np.asarray(image.convert("L"))[seen]
    if not shades.size or np.ptp(shades) < 2 * LEAST_CONTRAST:
        return None
    _, _, across, down = opencv().boundingRect(seen.view(np.uint8))
    is_whole = (down, across) == seen.shape  # a screenshot with round corners: a sheet in it has still to be looked for
    if is_whole or across * down < CARD * seen.size or shades.size < PAPER * across * down:
        return None
    inside = opencv().erode(np.pad(seen, 1).view(np.uint8), np.ones((3, 3), np.uint8))[1:-1, 1:-1] > 0
    return Sheet(inside, bool((shades > otsu(shades[None])).mean() > 0.5))


def _shade_of_border(values: np.ndarray, least: float) -> float | None:
    """The one shade, 0 to 255, of more than a share of the border of a picture that no camera made; None where there is none."""
    ground = border(values)
    shade = np.median(ground)
    return float(shade) if (ground == shade).mean() > least else None


def _most_telling_channel(image: Image.Image) -> Image.Image:
    """The channel in which ink stands out that is as bright as its ground, such as red on green; otherwise the picture as it is."""
    if image.mode != "RGB":
        return image
    colours = np.asarray(image.resize((64, 64), Image.Resampling.BOX)).reshape(-1, 3).astype(np.float32)
    spread_of_each, of_grey = colours.std(0), (colours @ GREY).std()
    return image.getchannel(int(spread_of_each.argmax())) if spread_of_each.max() > 4 * of_grey + 4 else image


def _without_shadow(dark: np.ndarray, ink: np.ndarray, level: float, solid: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """Ink, level and mask as they are, or found anew where something wide that the picture's edge cuts off is taken for ink, such as what a
    hand's shadow darkens, and most of it is gone once each place is compared with what lies around it."""
    wide, _ = cut_off(solid)
    # In a picture that no camera made there are no shadows: what is wide there and touches the edge was drawn.
    if wide <= LEAST_WIDE * solid.size or _shade_of_border(dark, least=0.5) is not None:
        return ink, level, solid
    other = _without_background(flattened(dark))
    if other.max() < LEAST_CONTRAST:
        return ink, level, solid
    other = without_rules(other / other.max() * 255)
    other_level = otsu(other)
    other_wide, high = cut_off(other > other_level)
    return (other, other_level, other > other_level) if high and other_wide < 0.3 * wide else (ink, level, solid)


def _without_frames(ink: np.ndarray, level: float, solid: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """Ink, level and mask as they are, or what is left of them without lines around what is written, by a level of its own."""
    pale = otsu(np.where(solid, 0, ink))  # a pencil in a printed box is no darker
    lines = find_frames(ink, level, max(pale, LEAST_CONTRAST))
    if not lines.any():
        return ink, level, solid
    rest = np.where(spread(lines, 2), 0, ink)
    if rest.max() < LEAST_CONTRAST:
        return ink, level, solid
    rest *= 255 / rest.max()
    level = otsu(rest)
    return rest, level, rest > level


def _free_window(ink: np.ndarray) -> tuple[slice, slice] | None:
    """Rows and columns around all that is not zero, where it keeps away from one side of the picture at least each way, so that no
    line goes from edge to edge; else None, as of pictures that are looked at on a coarser grid later. ink: uint8 [H, W]."""
    height, width = ink.shape
    if min(height, width) < 64 or max(height, width) > WINDOW_SIDE:
        return None
    left, top, across, down = opencv().boundingRect(ink)
    right, bottom = left + across, top + down
    rows, columns = edge_depth(height), edge_depth(width)
    if (left < columns and right > width - columns) or (top < rows and bottom > height - rows):
        return None
    return slice(max(0, top - MARGIN), min(height, bottom + MARGIN)), slice(max(0, left - MARGIN), min(width, right + MARGIN))


def over_contrasting_ground(image: Image.Image, mode: str = "L") -> Image.Image:
    """To grey, or mode RGB; ink on nothing is laid over white or black, whichever it stands out from, and cut-out paper over its own shade."""
    if image.mode != "RGBA":
        return image.convert(mode)
    grey, alpha = image.convert("L"), image.getchannel("A")
    visible = np.asarray(grey)[np.asarray(alpha) > 127]
    shade = 0 if visible.size and visible.mean() > 127 else 255
    if visible.size > 0.6 * grey.width * grey.height and np.ptp(visible) >= 2 * LEAST_CONTRAST:
        shade = int(np.median(visible))  # what is seen is paper and ink: a screenshot with round corners
    ground = Image.new("L", image.size, shade).convert(mode)
    return Image.composite(image.convert(mode), ground, alpha)


def border(values: np.ndarray) -> np.ndarray:
    """The outermost pixels, a fiftieth of the side deep, in a row [M] or [M, channels]."""
    depth = max(1, min(values.shape[:2]) // 50)
    sides = (values[:depth], values[-depth:], values[:, :depth], values[:, -depth:])
    return np.concatenate([side.reshape(-1, *values.shape[2:]) for side in sides])


def _is_dark_on_light(grey: np.ndarray, level: float) -> bool:
    """Whether most of the border is on the bright side of the picture's own threshold, level, or, where light is so uneven that the border
    is on both sides, whether what stands out from the light most is dark."""
    bright = float((border(grey) > level).mean())
    if min(grey.shape) < 3 or bright >= 0.85:
        return bright > 0.5
    low, high = np.percentile(border(grey), (5, 95))
    if bright <= 0.15 and high - low < LEAST_CONTRAST:  # otherwise light falls off to all sides, as a flash's does
        return False
    standing_out = grey - _light(grey, both_sides=True)
    return bool(((standing_out - np.median(standing_out)) ** 3).sum() < 0)


def _without_background(ink: np.ndarray) -> np.ndarray:
    """Takes off the paper's own brightness, which uneven light makes different from place to place."""
    height, width = ink.shape
    if min(height, width) < 3:
        return ink - np.median(border(ink))
    ink = ink - _light(ink)
    paper = Image.fromarray(np.clip(ink, 0, 255).astype(np.uint8))
    # The paper under the ink, where shadows end: the low side of each cell of a coarse grid, smoothed and stretched back.
    cell = max(1, max(height, width) // 12)
    small = paper.reduce(cell) if cell > 1 else paper
    small = small.filter(ImageFilter.MinFilter(5)).filter(ImageFilter.BoxBlur(1))
    ground = np.asarray(small.resize((width, height), Image.Resampling.BILINEAR)).astype(np.float32)
    return np.clip(ink - np.maximum(ground, np.percentile(ink, 20)), 0, 255)


def _light(ink: np.ndarray, both_sides: bool = False) -> np.ndarray:
    """How dark the paper is from place to place, float32 [H, W]: a surface of second degree through what is no ink.

    ink: dark as high. What is above the surface of the last round by more than noise is left out of the next, as ink is; what is below
    it too, where it is not known which side ink is on (both_sides).
    """
    height, width = ink.shape
    step = max(1, min(max(height, width) // 48, min(height, width) // 6))
    cells = ink[: height // step * step, : width // step * step].reshape(height // step, step, width // step, step).mean((1, 3))
    if np.ptp(cells) == 0 or (np.ptp(border(cells)) <= 1 and not both_sides):
        return np.full_like(ink, np.median(border(cells)))  # a canvas, a screenshot
    down, across = (((np.arange(count) + 0.5) * step / size * 2 - 1) for count, size in zip(cells.shape, ink.shape, strict=True))
    terms = _terms(*np.meshgrid(down, across, indexing="ij"))
    values = cells.ravel()
    surface = np.full(cells.size, np.percentile(cells, 50 if both_sides else 20))
    for _ in range(12):
        above = values - surface
        noise = np.median(np.abs(above if both_sides else above[above <= 0]))
        paper = (np.abs(above) if both_sides else above) < 2.5 * noise + 2
        if paper.sum() < 0.3 * paper.size:
            return np.zeros_like(ink)
        chosen = terms[paper]
        weights = np.linalg.solve(chosen.T @ chosen + 1e-6 * np.eye(terms.shape[1]), chosen.T @ values[paper])
        surface = terms @ weights
    down, across = (((np.arange(size) + 0.5) / size * 2 - 1).astype(np.float32) for size in ink.shape)
    constant, *slopes = weights.astype(np.float32)
    surface = constant + slopes[0] * down[:, None] + slopes[1] * across + slopes[2] * (down**2)[:, None] + slopes[3] * across**2
    return surface + slopes[4] * np.outer(down, across)


def _terms(down: np.ndarray, across: np.ndarray) -> np.ndarray:
    down, across = down.ravel(), across.ravel()
    return np.stack([np.ones_like(down), down, across, down**2, across**2, down * across], axis=1)


def otsu(values: np.ndarray, blank: int = 0) -> float:
    """The threshold that best splits values of 0..255 in two (Otsu 1979). blank: how many zeros there are besides."""
    counts = opencv().calcHist([values.astype(np.uint8)], [0], None, [256], [0, 256]).ravel().astype(np.float64)
    counts[0] += blank
    below = np.cumsum(counts)
    above = below[-1] - below
    total = np.cumsum(counts * np.arange(256))
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (total / below - (total[-1] - total) / above) ** 2
    between = np.nan_to_num(between)
    best = np.flatnonzero(between >= between.max() * (1 - 1e-9))
    return float(best.mean()) + 0.5  # the middle of the gap where it is empty


def _reaches_all_sides(solid: np.ndarray) -> bool:
    return bool(solid[0].any() and solid[-1].any() and solid[:, 0].any() and solid[:, -1].any())


def _without_hairlines(solid: np.ndarray) -> np.ndarray:
    """The mask without lines from edge to edge as dark as the ink, that no rule was seen in; the same one where there are none."""
    if _reaches_all_sides(solid) and not _reaches_all_sides(cores := without_specks(solid)):
        return cores
    return solid


def without_specks(solid: np.ndarray) -> np.ndarray:
    """Drops what is narrower than two pixels in a picture large enough for that to be dirt."""
    if min(solid.shape) < 64:
        return solid
    kept = _cores(solid)
    return kept if kept.any() else solid


def _cores(solid: np.ndarray) -> np.ndarray:
    return solid & spread(~spread(~solid, 1), 2)


def _without_dust(solid: np.ndarray, frame: tuple[int, int]) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray] | None]:
    """Drops pieces that are small beside the largest one, but no thin part of a stroke; of noise, what is narrower than two pixels.

    frame: height and width of the picture that solid is of, or a part of. Also gives its components where none was dropped.
    """
    if min(frame) < 64:
        return solid, None
    factor = -(-max(frame) // DUST_SIDE)
    small = reduced(solid, factor)
    found = labelled(small)
    if found is None:
        return without_specks(solid), None
    numbers, boxes = found
    if not len(boxes):
        return solid, None
    extents = (boxes[:, 2:] - boxes[:, :2]).max(1)
    cut = (boxes[:, :2] == 0).any(1) | (boxes[:, 2] == small.shape[1]) | (boxes[:, 3] == small.shape[0])
    is_kept = extents >= np.maximum(np.where(cut, DUST_AT_EDGE, DUST) * extents.max(), 3)
    if is_kept.all():
        return solid, found if factor == 1 else None
    kept = np.concatenate([[False], is_kept])[numbers]
    return solid & enlarged(kept, factor)[: solid.shape[0], : solid.shape[1]], None


def spread(solid: np.ndarray, reach: int) -> np.ndarray:
    """The mask grown by `reach` pixels all round: what Pillow's MaxFilter does, eight times as fast on a mask."""
    for axis in (0, 1):
        grown = solid.copy()
        target, source = (grown, solid) if axis == 0 else (grown.T, solid.T)
        for step in range(1, reach + 1):
            target[step:] |= source[:-step]
            target[:-step] |= source[step:]
        solid = grown
    return solid
