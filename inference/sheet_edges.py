"""Finds a bright sheet by its straight edges: lines across a picture, along which it is brighter on one side at one stroke.

Light that falls off over a sheet, or makes a part of it as dark as the table elsewhere, changes brightness slowly and makes no such line, so
that no threshold has to part the sheet from the table. Beyond an edge that something else has, a thick stroke or a ruled line, paper goes on.
"""

from typing import NamedTuple

import numpy as np

from inference.opencv import opencv

# Up to 17 degrees either way, half a degree apart: tangents.
SLOPES = np.linspace(-0.31, 0.31, 63)
STROKE = 9  # pixels: what is narrower and dark is filled before edges are looked for
BEYOND_STROKES = 0.14  # of the shorter side: no stroke is as wide
STEP, STRIP = 8.0, 48.0  # of 255: least difference of brightness, and beyond what is as narrow as a rim
SHARP = 0.5  # of the difference between sheet and table: as much of it is met at the edge itself
LEAST_LENGTH = 0.35  # of a picture's side that an edge crosses
HELD = 0.85  # of an edge's length along the sheet makes a step: a thick stroke is shorter
LEAST = 0.12  # of the picture: the smallest sheet
# So much of what lies beyond all edges is darker than the sheet; and beyond one of them, where the others' tables may lie on the sheet's side.
DARKER, DARKER_BEYOND_ONE = 0.8, 0.4
RIM = 3  # pixels to either side of an edge that belong to neither
WRITTEN, MOST_INK = 0.03, 0.35  # of the longer side: what is written is no smaller; of the sheet: it is no more
ALIKE = 0.01  # lengths of edges, as shares, that differ by no more
# What stands out from the ground beyond the edges by so much, is longer than the share of the longer side, lies free and is no filled shape may
# be the digit: a fold, a shadow's edge or a bright wall beside a board makes edges too.
STANDS_OUT, LONG, FILLED = 30.0, 0.15, 0.5
GOES_ON = 12  # pixels of a stroke on each side of an edge


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
    anywhere = np.ones(grey.shape, bool)
    edges = [each for each in _edges_within(filled, anywhere) if each.length >= LEAST_LENGTH and each.within.mean() >= LEAST]
    edges = [each for each in edges if _darker_beyond(grey, filled, each.within)[0] >= DARKER_BEYOND_ONE]
    edges = _that_hold(edges)
    if not edges:
        return None
    inside = _within_all(edges)
    ends = [each for each in _edges_within(filled, inside) if each.length >= HELD and (inside & ~each.within).any()]
    ends = [each for each in ends if _darker_beyond(grey, filled, inside & each.within, inside)[0] >= DARKER]
    edges = _that_hold([*edges, *ends]) or edges  # a narrow sheet's ends are short beside the picture
    inside = _within_all(edges)
    darker, difference = _darker_beyond(grey, filled, inside)
    if darker < DARKER or _step_at_rim(filled, inside) < SHARP * difference:
        return None
    if not _is_written_on(grey, inside) or _is_written_beyond(grey, inside) or _is_written_across(grey, inside):
        return None
    return Bounded(inside, float(np.arctan(np.mean([each.slope for each in edges]))))


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


def _edges_within(filled: np.ndarray, inside: np.ndarray) -> list[_Edge]:
    """The longest edge of each kind, with the sheet on its right, left, below and above; in a part of the picture, bool [H, W]."""
    down, across = _edges(filled, inside), _edges(np.ascontiguousarray(filled.T), np.ascontiguousarray(inside.T))
    # A sheet is turned as one: the slopes of its two pairs of edges have opposite signs.
    edges = [_Edge(each.length, each.within, each.steps, -each.slope) for each in down]
    edges += [_Edge(each.length, each.within.T, each.steps.T, each.slope) for each in across]
    return [each for each in edges if not each.within.all()]


def _edges(filled: np.ndarray, inside: np.ndarray) -> list[_Edge]:
    """The longest upright edge with the brighter side on its right, and that with it on its left."""
    cv2 = opencv()
    height, width = filled.shape
    steps = _steps(filled)
    rows = np.median(inside.sum(0)[inside.any(0)])
    down, across = np.arange(height)[:, None] - (height - 1) / 2, np.arange(width)
    edges = []
    for is_left, makes_step in ((True, steps > STEP), (False, steps < -STEP)):
        lengths = np.stack([_lengths((makes_step & inside).astype(np.float32), slope) for slope in SLOPES]) / rows
        slope, at = _middle_of_best(lengths)
        heights = np.where(makes_step & inside, np.abs(steps), 0)
        for _ in range(3):  # of short edges many slopes are as long
            slope, at = _fitted(heights, slope, at)
        right_of_it = across - at - slope * down
        near = cv2.dilate(makes_step.view(np.uint8), np.ones((3, 3), np.uint8)) > 0
        within = right_of_it > 0 if is_left else right_of_it < 0
        edges.append(_Edge(min(1.0, float(lengths.max())), within, near, slope))
    return edges


def _middle_of_best(lengths: np.ndarray) -> tuple[float, float]:
    """Slope and column of the longest line: the middle of those that are as long, since a step is some pixels wide. lengths: [SLOPES, W]."""
    _, best = np.unravel_index(lengths.argmax(), lengths.shape)
    slopes, columns = np.nonzero(lengths >= lengths.max() - ALIKE)
    near = np.abs(columns - best) < STROKE
    return float(SLOPES[slopes[near]].mean()), float(columns[near].mean())


def _fitted(steps: np.ndarray, slope: float, at: float) -> tuple[float, float]:
    """Slope and column of the line through the steps, float32 [H, W], that lie near another, by their weights; that one where there are few."""
    height, width = steps.shape
    near = np.abs(np.arange(width) - at - slope * (np.arange(height)[:, None] - (height - 1) / 2)) < STROKE / 2
    rows, columns = np.nonzero(near & (steps > 0))
    if len(np.unique(rows)) < STROKE:
        return slope, at
    fitted, middle = np.polyfit(rows - (height - 1) / 2, columns, 1, w=steps[rows, columns])
    return float(np.clip(fitted, SLOPES[0], SLOPES[-1])), float(middle)


def _lengths(steps: np.ndarray, slope: float) -> np.ndarray:
    """How many rows have a step on the line of a slope that crosses the middle row at each column: float32 [W]."""
    cv2 = opencv()
    height, width = steps.shape
    upright = np.array([[1, -slope, slope * (height - 1) / 2], [0, 1, 0]], np.float32)
    return cv2.blur(cv2.warpAffine(steps, upright, (width, height), flags=cv2.INTER_NEAREST).sum(0)[None], (3, 1))[0]


def _within_all(edges: list[_Edge]) -> np.ndarray:
    return np.logical_and.reduce([each.within for each in edges])


def _that_hold(edges: list[_Edge]) -> list[_Edge]:
    """Those that hold along what lies within all of them: the one that holds least is given up as long as one does not."""
    while edges:
        if _within_all(edges).mean() < LEAST:
            edges = _without(edges, [each.length for each in edges])
            continue
        held = [_share_held(each, [other.within for other in edges if other is not each]) for each in edges]
        if min(held) >= HELD:
            break
        edges = _without(edges, held)
    return edges


def _without(edges: list[_Edge], worth: list[float]) -> list[_Edge]:
    worst = int(np.argmin(worth))
    return [*edges[:worst], *edges[worst + 1 :]]


def _share_held(edge: _Edge, others: list[np.ndarray]) -> float:
    """How much of an edge's line, where it bounds what lies within the others, makes a step."""
    line = opencv().morphologyEx(edge.within.view(np.uint8), opencv().MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    line = np.logical_and.reduce([line, *others])
    return float(edge.steps[line].mean()) if line.any() else 0.0


def _darker_beyond(grey: np.ndarray, filled: np.ndarray, inside: np.ndarray, within: np.ndarray | None = None) -> tuple[float, float]:
    """How much of what lies beyond is darker than the sheet's paper would be there, and by how much it is in the middle. within: the part of the
    picture that is looked at."""
    beyond, least = opencv().dilate(inside.view(np.uint8), np.ones((2 * RIM + 1,) * 2, np.uint8)) == 0, STEP
    beyond = beyond if within is None else beyond & within
    if not beyond.any():  # a strip that is no wider than the rim: a scan's, which is black, and no joint of bricks
        beyond, least = ~inside if within is None else ~inside & within, STRIP
    if not beyond.any() or not inside.any():
        return 0.0, 0.0
    difference = (paper_shade(grey, inside) - filled)[beyond]
    return float((difference > least).mean()), float(np.median(difference))


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
    darker = np.where(core, paper_shade(grey, inside) - _smooth(grey), 0)
    ink = darker > STEP
    _, _, facts, _ = cv2.connectedComponentsWithStats(ink.view(np.uint8), connectivity=8)
    return bool(facts[1:, 2:4].max(initial=0) >= WRITTEN * max(grey.shape) and (darker > STANDS_OUT).sum() <= MOST_INK * core.sum())


def _is_written_beyond(grey: np.ndarray, inside: np.ndarray) -> bool:
    """Whether something that may be a digit, dark or bright, lies beyond a sheet's edges."""
    cv2 = opencv()
    sheet = cv2.dilate(inside.view(np.uint8), np.ones((4 * RIM + 1,) * 2, np.uint8)) > 0
    if sheet.all():
        return False
    ground = np.where(sheet, np.uint8(np.median(grey[~sheet])), grey)
    for values in (ground, 255 - ground):
        _, _, facts, _ = cv2.connectedComponentsWithStats((~sheet & _strokes(values)).view(np.uint8), connectivity=8)
        _, _, across, down, areas = facts[1:].T
        is_long = np.maximum(across, down) >= LONG * max(grey.shape)
        if (_lies_free(facts[1:], grey.shape) & is_long & (areas < FILLED * across * down + 60)).any():
            return True
    return False


def _is_written_across(grey: np.ndarray, inside: np.ndarray) -> bool:
    """Whether a dark stroke goes on across an edge: that is a fold's, or a shadow's."""
    cv2 = opencv()
    around = np.ones((2 * RIM + 3,) * 2, np.uint8)
    core, far = cv2.erode(inside.view(np.uint8), around) > 0, cv2.dilate(inside.view(np.uint8), around) == 0
    count, numbers, facts, _ = cv2.connectedComponentsWithStats(_strokes(grey).view(np.uint8), connectivity=8)
    on_both = np.minimum(*(np.bincount(numbers[part], minlength=count)[1:] for part in (core, far)))
    return bool((_lies_free(facts[1:], grey.shape) & (on_both >= GOES_ON)).any())


def _lies_free(facts: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Which pieces, as OpenCV tells of them, the picture's edge does not cut off: bool [N]."""
    left, top, across, down, _ = facts.T
    return (left > 1) & (top > 1) & (left + across < shape[1] - 1) & (top + down < shape[0] - 1)


def _strokes(grey: np.ndarray) -> np.ndarray:
    """Where a picture is darker than all around it, in something that is no wider than a stroke: bool [H, W]."""
    kernel = np.ones((int(BEYOND_STROKES * max(grey.shape)) | 1,) * 2, np.uint8)
    return opencv().morphologyEx(grey, opencv().MORPH_CLOSE, kernel, borderType=opencv().BORDER_REPLICATE) - _smooth(grey) > STANDS_OUT
