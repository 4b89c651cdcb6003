"""Finds a bright sheet by its straight edges: lines across a picture, along which it is brighter on one side at one stroke.

Light that falls off over a sheet, or makes a part of it as dark as the table elsewhere, changes brightness slowly and makes no such line, so
that no threshold has to part the sheet from the table. Beyond an edge that something else has, a thick stroke or a ruled line, paper goes on.
"""

from typing import NamedTuple

import numpy as np

from inference.opencv import opencv

# Up to 12 degrees either way, half a degree apart: tangents.
SLOPES = np.linspace(-0.21, 0.21, 43)
STROKE = 9  # pixels: what is narrower and dark is filled before edges are looked for
BEYOND_STROKES = 0.14  # of the shorter side: no stroke is as wide
STEP = 8.0  # of 255: least difference of brightness
SHARP = 0.5  # of the difference between sheet and table: as much of it is met at the edge itself
LEAST_LENGTH = 0.35  # of a picture's side that an edge crosses
HELD = 0.85  # of an edge's length along the sheet makes a step: a thick stroke is shorter
LEAST = 0.12  # of the picture: the smallest sheet
# So much of what lies beyond all edges is darker than the sheet; and beyond one of them, where the others' tables may lie on the sheet's side.
DARKER, DARKER_BEYOND_ONE = 0.8, 0.4
RIM = 3  # pixels to either side of an edge that belong to neither
WRITTEN = 0.03  # of the longer side: what is written is no smaller


class _Edge(NamedTuple):
    """A line across a picture. length: share of the side it crosses along which brightness makes a step its way, 0 to 1; within: bool [H, W],
    the brighter side of it; steps: bool [H, W], where brightness makes such a step, on the line or not; slope: columns a row, of one that
    crosses columns rows a column."""

    length: float
    within: np.ndarray
    steps: np.ndarray
    slope: float


class Bounded(NamedTuple):
    """What edges bound, bool [H, W], and how far they are turned, in radians, from left to right downwards."""

    inside: np.ndarray
    tilt: float


def bounded_by_edges(grey: np.ndarray) -> Bounded | None:
    """The bright sheet that one to four straight edges bound, with something written on it; None where there is none.

    grey: uint8 [H, W], of at most some 256 pixels to a side.
    """
    filled = _smooth(_without_strokes(grey))
    down, across = _edges(filled), _edges(np.ascontiguousarray(filled.T))
    # A sheet is turned as one: the slopes of its two pairs of edges have opposite signs.
    edges = [_Edge(each.length, each.within, each.steps, -each.slope) for each in down]
    edges += [_Edge(each.length, each.within.T, each.steps.T, each.slope) for each in across]
    edges = [each for each in edges if each.length >= LEAST_LENGTH and each.within.mean() >= LEAST and not each.within.all()]
    edges = [each for each in edges if _darker_beyond(grey, filled, each.within)[0] >= DARKER_BEYOND_ONE]
    found = _bounded(edges)
    if found is None:
        return None
    darker, difference = _darker_beyond(grey, filled, found.inside)
    is_sheet = darker >= DARKER and _step_at_rim(filled, found.inside) >= SHARP * difference
    return found if is_sheet and _is_written_on(grey, found.inside) else None


def paper_shade(grey: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """What a bright sheet's paper is like at each place, and beyond it what it is like at the nearest ones: float32 [H, W].

    grey: uint8 [H, W]; inside: bool [H, W], with any pixel set. Ink on it is narrower than BEYOND_STROKES.
    """
    cv2 = opencv()
    kernel = np.ones((max(3, int(BEYOND_STROKES * min(grey.shape)) | 1),) * 2, np.uint8)
    paper = cv2.morphologyEx(np.where(inside, cv2.GaussianBlur(grey, (0, 0), 1.0), 0).astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    core = cv2.erode(inside.view(np.uint8), np.ones((5, 5), np.uint8)).astype(np.float32)
    count, total = (cv2.GaussianBlur(each, (0, 0), max(grey.shape) / 10, borderType=cv2.BORDER_REPLICATE) for each in (core, core * paper))
    least = 1e-3  # where no paper is near at all, what it is like on the whole
    return (total + least * float(np.median(paper[inside]))) / (count + least)


def _without_strokes(grey: np.ndarray) -> np.ndarray:
    """With what is dark and narrow filled, but for what the picture's edge cuts off, such as a scan's border."""
    cv2 = opencv()
    wider = cv2.copyMakeBorder(grey, *(STROKE,) * 4, cv2.BORDER_REPLICATE)
    return cv2.morphologyEx(wider, cv2.MORPH_CLOSE, np.ones((STROKE, STROKE), np.uint8))[STROKE:-STROKE, STROKE:-STROKE]


def _smooth(values: np.ndarray) -> np.ndarray:
    return opencv().GaussianBlur(values, (0, 0), 1.0).astype(np.float32)


def _weights(first: int, last: int) -> np.ndarray:
    """Of a row of 27 pixels, those that take the mean from so many pixels right of its middle to so many."""
    weights = np.zeros(27, np.float32)
    weights[13 + first : 14 + last] = 1 / (last - first + 1)
    return weights


ACROSS = _weights(2, 5) - _weights(-5, -2)  # brightness on the right less that on the left
# What of it the slopes on both sides would come to over the seven pixels between the middles: light that falls off has no step left.
FALLING_OFF = (_weights(7, 12) - _weights(2, 5) + _weights(-5, -2) - _weights(-12, -7)) * (7 / 6 / 2)


def _steps(filled: np.ndarray) -> np.ndarray:
    """By how much brightness rises at one stroke from left to right, float32 [H, W]."""
    rise, less = (
        opencv().filter2D(filled, -1, each[None], borderType=opencv().BORDER_REPLICATE) for each in (ACROSS, ACROSS - FALLING_OFF)
    )
    return np.where(rise > 0, np.clip(less, 0, np.maximum(rise, 0)), np.clip(less, np.minimum(rise, 0), 0))


def _edges(filled: np.ndarray) -> list[_Edge]:
    """The longest upright edge with the brighter side on its right, and that with it on its left."""
    cv2 = opencv()
    height, width = filled.shape
    steps = _steps(filled)
    down, across = np.arange(height)[:, None] - (height - 1) / 2, np.arange(width)
    edges = []
    for is_left, makes_step in ((True, steps > STEP), (False, steps < -STEP)):
        lengths = np.stack([_lengths(makes_step.view(np.uint8) * np.float32(1), slope) for slope in SLOPES])
        slope, at = np.unravel_index(lengths.argmax(), lengths.shape)
        right_of_it = across - at - SLOPES[slope] * down
        near = cv2.dilate(makes_step.view(np.uint8), np.ones((3, 3), np.uint8)) > 0
        within = right_of_it > 0 if is_left else right_of_it < 0
        edges.append(_Edge(float(lengths.max()), within, near, float(SLOPES[slope])))
    return edges


def _lengths(steps: np.ndarray, slope: float) -> np.ndarray:
    """What share of the rows has a step on the line of a slope that crosses the middle row at each column: float32 [W]."""
    cv2 = opencv()
    height, width = steps.shape
    upright = np.array([[1, -slope, slope * (height - 1) / 2], [0, 1, 0]], np.float32)
    return cv2.blur(cv2.warpAffine(steps, upright, (width, height), flags=cv2.INTER_NEAREST).mean(0)[None], (3, 1))[0]


def _bounded(edges: list[_Edge]) -> Bounded | None:
    """What lies within all edges that hold along it: the one that holds least is given up as long as one does not."""
    while edges:
        inside = np.logical_and.reduce([each.within for each in edges])
        if inside.mean() < LEAST:
            edges = _without(edges, [each.length for each in edges])
            continue
        held = [_share_held(each, [other.within for other in edges if other is not each]) for each in edges]
        if min(held) >= HELD:
            return Bounded(inside, float(np.arctan(np.mean([each.slope for each in edges]))))
        edges = _without(edges, held)
    return None


def _without(edges: list[_Edge], worth: list[float]) -> list[_Edge]:
    worst = int(np.argmin(worth))
    return [*edges[:worst], *edges[worst + 1 :]]


def _share_held(edge: _Edge, others: list[np.ndarray]) -> float:
    """How much of an edge's line, where it bounds what lies within the others, makes a step."""
    line = opencv().morphologyEx(edge.within.view(np.uint8), opencv().MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    line = np.logical_and.reduce([line, *others])
    return float(edge.steps[line].mean()) if line.any() else 0.0


def _darker_beyond(grey: np.ndarray, filled: np.ndarray, inside: np.ndarray) -> tuple[float, float]:
    """How much of what lies beyond is darker than the sheet's paper would be there, and by how much it is in the middle."""
    beyond = opencv().dilate(inside.view(np.uint8), np.ones((2 * RIM + 1,) * 2, np.uint8)) == 0
    if not beyond.any():
        return 0.0, 0.0
    difference = (paper_shade(grey, inside) - filled)[beyond]
    return float((difference > STEP).mean()), float(np.median(difference))


def _step_at_rim(filled: np.ndarray, inside: np.ndarray) -> float:
    """By how much brightness changes at the outline of a sheet, in the middle."""
    cv2 = opencv()
    outline = cv2.morphologyEx(inside.view(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    both_ways = (cv2.filter2D(filled, -1, each, borderType=cv2.BORDER_REPLICATE) for each in (ACROSS[None], ACROSS[:, None]))
    return float(np.median(np.maximum(*map(np.abs, both_ways))[outline]))


def _is_written_on(grey: np.ndarray, inside: np.ndarray) -> bool:
    """Whether anything on a sheet is darker than its paper and as large as writing is."""
    cv2 = opencv()
    core = cv2.erode(inside.view(np.uint8), np.ones((2 * RIM + 1,) * 2, np.uint8)) > 0
    ink = core & (paper_shade(grey, inside) - _smooth(grey) > STEP)
    _, _, facts, _ = cv2.connectedComponentsWithStats(ink.view(np.uint8), connectivity=8)
    return bool(facts[1:, 2:4].max(initial=0) >= WRITTEN * max(grey.shape))
