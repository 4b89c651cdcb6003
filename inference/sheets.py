"""The sheet that is written on, where a photo or scan shows more: a table around it, a scan's black border.

A sheet is told from what lies around it by its straight edges, along which brightness makes a step, or as one piece of the bright or the
dark part of the picture; never by what is written on it.
"""

from typing import NamedTuple

import numpy as np

from inference.opencv import opencv
from inference.sheet_edges import bounded_by_edges, paper_shade

LOOKED_AT = 256  # pixels of the longest side of the copy that sheets are looked for in
SMALLEST = 32  # pixels of its shorter side: below it there is no room for anything around
# A sheet: its share of the picture, of its own convex hull and of the rectangle around it; how much of it may be ink; how large what is written
# on it is and how wide the widest free spot, both times its shorter side.
SHEET, CONVEX, RECTANGULAR, MOST_INK, WRITTEN, OPEN = 0.12, 0.93, 0.85, 0.35, 0.1, 0.13
ALL = 0.97  # of the picture: a sheet as large has nothing around it
STEP, STEP_OF_ALL = 20.0, 0.4  # brightness changes at a sheet's outline by this much, and by this share of the whole difference
SOFT = 1.0  # pixels over which what is painted around a sheet meets it
ROUNDED, MOST_CORNERS = 0.01, 6  # of a sheet's outline, by which corners may be rounded; corners, where the picture cuts some off


class Sheet(NamedTuple):
    """Where the sheet is that is written on, bool [H, W], whether it is the bright side of the picture's threshold, and how far it is turned,
    in radians, as far as that is known."""

    inside: np.ndarray
    is_bright: bool
    tilt: float = 0.0


def find_sheet(grey: np.ndarray, level: float, by_camera: bool = True) -> Sheet | None:
    """The largest upright or turned rectangle of one shade that has something written on it and something else around it.

    grey: uint8 [H, W]; level: its threshold; by_camera: whether edges are looked for too, which in drawings are those of their frames. None
    where there is none.
    """
    small = _reduced(grey)
    if min(small.shape) < SMALLEST:
        return None
    bounded = bounded_by_edges(small) if by_camera else None
    if bounded is not None:
        return _as_large_as(grey, bounded.inside, is_bright=True, tilt=bounded.tilt)
    return _of_one_shade(grey, small, level)


def _of_one_shade(grey: np.ndarray, small: np.ndarray, level: float) -> Sheet | None:
    """The sheet that is a piece of one side of the picture's threshold, whatever its edges are like, such as a slate or a round-cornered card."""
    cv2 = opencv()
    found: tuple[int, np.ndarray, bool] | None = None
    for is_bright in (True, False):
        mask = ((small > level) == is_bright).astype(np.uint8)
        mask = cv2.morphologyEx(np.pad(mask, 1), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))[1:-1, 1:-1]
        _, numbers, facts, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
        for number in 1 + np.flatnonzero(facts[1:, 4] >= max(SHEET * small.size, found[0] if found else 0)):
            inside = _outline_of_sheet((numbers == number).astype(np.uint8))
            if inside is not None and _has_edge(small, inside):
                found = int(facts[number, 4]), inside, is_bright
    if found is None:
        return None
    _, inside, is_bright = found
    return _as_large_as(grey, inside, is_bright)


def _as_large_as(grey: np.ndarray, inside: np.ndarray, is_bright: bool, tilt: float = 0.0) -> Sheet:
    """What was found in a smaller copy, without its rim, which is the shadow it throws."""
    cv2 = opencv()
    inside = cv2.erode(np.pad(inside.astype(np.uint8), 1, mode="edge"), np.ones((7, 7), np.uint8), borderValue=1)[1:-1, 1:-1]
    return Sheet(cv2.resize(inside, grey.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0, is_bright, tilt)


def _reduced(grey: np.ndarray) -> np.ndarray:
    height, width = grey.shape
    factor = -(-max(height, width) // LOOKED_AT)
    size = (max(1, width // factor), max(1, height // factor))
    return grey if factor == 1 else opencv().resize(grey, size, interpolation=opencv().INTER_AREA)


def _outline_of_sheet(piece: np.ndarray) -> np.ndarray | None:
    """All within the outline of a piece, uint8 [H, W], if it can be a sheet: a rectangle with holes where it is written on."""
    cv2 = opencv()
    contours, tree = cv2.findContours(piece, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    outer = max((each for each, (*_, parent) in zip(contours, tree[0], strict=True) if parent < 0), key=cv2.contourArea)
    holes = [cv2.boundingRect(each) for each, (*_, parent) in zip(contours, tree[0], strict=True) if parent >= 0]
    area, (_, sides, _) = cv2.contourArea(outer), cv2.minAreaRect(outer)
    if area > ALL * piece.size or area < CONVEX * cv2.contourArea(cv2.convexHull(outer)) or area < RECTANGULAR * sides[0] * sides[1]:
        return None
    corners = cv2.approxPolyDP(cv2.convexHull(outer), ROUNDED * cv2.arcLength(outer, True), True)
    if len(corners) > MOST_CORNERS:  # a thick 0
        return None
    if not any(max(hole[2:]) > WRITTEN * min(sides) for hole in holes) or area - np.count_nonzero(piece) > MOST_INK * area:
        return None
    if cv2.distanceTransform(np.pad(piece, 1), cv2.DIST_L2, 3).max() < OPEN * min(sides):
        return None
    inside = np.zeros_like(piece)
    cv2.drawContours(inside, [outer], -1, 1, -1)
    return inside


def _has_edge(grey: np.ndarray, inside: np.ndarray) -> bool:
    """Whether brightness makes a step at an outline, as it does where a sheet ends and does not where light fades."""
    beyond, within = _ring(inside), _ring(1 - inside)
    if not beyond.any() or not within.any():
        return False
    all_of_it = inside.astype(bool)
    whole, step = (abs(float(np.median(grey[a])) - float(np.median(grey[b]))) for a, b in ((all_of_it, ~all_of_it), (within, beyond)))
    return step > max(STEP, STEP_OF_ALL * whole)


def _ring(mask: np.ndarray) -> np.ndarray:
    """What is three to five pixels outside of a mask: nearer, both sides are mixed."""
    near, far = (opencv().dilate(mask, np.ones((2 * reach + 1,) * 2, np.uint8)) > 0 for reach in (2, 5))
    return far & ~near


def with_sheet_alone(grey: np.ndarray, sheet: Sheet) -> tuple[np.ndarray, np.ndarray]:
    """The sheet set upright, uint8 [h, w], with its own shade, as it is at the nearest places, in its corners and where the picture cuts it off;
    and the matrix, float [2, 3], that takes its columns and rows back to the picture's.

    It ends where the sheet does: rules, and what is left of a shadow at its rim, are known by reaching the edge.
    """
    cv2 = opencv()
    small = _reduced(grey)
    inside = cv2.resize(sheet.inside.view(np.uint8), small.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
    if not inside.any():
        return grey, np.eye(2, 3)
    shade = paper_shade(small, inside) if sheet.is_bright else 255 - paper_shade(255 - small, inside)
    ground = cv2.resize(shade, grey.shape[::-1])
    share = cv2.GaussianBlur(sheet.inside.astype(np.float32), (0, 0), SOFT)
    plain = np.clip(grey * share + ground * (1 - share), 0, 255).astype(np.uint8)
    contours, _ = cv2.findContours(sheet.inside.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    upright = np.array([[np.cos(sheet.tilt), np.sin(sheet.tilt)], [-np.sin(sheet.tilt), np.cos(sheet.tilt)]])
    outline = np.concatenate(contours)[:, 0] @ upright.T
    across, down = np.ptp(outline, axis=0).astype(int) + 1
    there = np.column_stack([upright, -outline.min(0)])
    part = cv2.warpAffine(plain, there, (int(across), int(down)), borderMode=cv2.BORDER_REPLICATE)
    return part, cv2.invertAffineTransform(there)
