"""Handwriting as strokes: traced from pictures, bent as hands differ, drawn with a round pen.

A glyph is a list of strokes, each float32 [P, 2] of x and y; its longest side is 1.
"""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from inference.strokes import drawn
from models.errors import InklingError

STEPS = [(-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1)]  # straight ones first: no corner is cut

NEARLY_CLOSED = 0.06  # of the glyph's side
LOOSE = 0.1  # of a stroke's way
PIECES = (0.16, 0.42)  # shortest and longest, times the glyph's longest side
NEVER_LIFTED = 0.4  # share of the glyphs in pieces

Glyph = Sequence[np.ndarray]


class StrokesError(InklingError):
    """What strokes are found with is not installed. The message says how to install it."""


def trace(ink: np.ndarray) -> list[np.ndarray]:
    """The centre lines of what is written. ink: bool [H, W]; 100 to 200 pixels high is fine.

    One stroke for each connected piece: the pen goes along every branch and back, so that it leaves the same ink as the hand did.
    Raises StrokesError.
    """
    try:
        from skimage.measure import approximate_polygon
        from skimage.morphology import skeletonize
    except ImportError:
        raise StrokesError(
            "scikit-image, which finds the middle of strokes, is not installed; run: python -m pip install -r requirements-shelf.txt"
        ) from None

    left = set(map(tuple, np.argwhere(skeletonize(np.pad(ink, 1))).tolist()))
    strokes = []
    while left:
        tour = _tour(_end(left), left)
        strokes.append(approximate_polygon(np.array(tour, np.float32), tolerance=0.7)[:, ::-1])
    return fitted(strokes)


def _end(left: set[tuple[int, int]]) -> tuple[int, int]:
    """Where a hand would begin: the topmost loose end of some piece, or the topmost pixel where there is none."""
    ends = [at for at in left if sum((at[0] + down, at[1] + across) in left for down, across in STEPS) <= 1]
    return min(ends or left)


def _tour(start: tuple[int, int], left: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """Every pixel that hangs together with `start`, which are taken out of `left`: along each branch and back, up to the last new one."""
    tour, path, needed = [start], [start], 1
    left.remove(start)
    while path:
        at = path[-1]
        following = next((step for down, across in STEPS if (step := (at[0] + down, at[1] + across)) in left), None)
        if following:
            left.remove(following)
            path.append(following)
            tour.append(following)
            needed = len(tour)
        else:
            path.pop()
            if path:
                tour.append(path[-1])
    return tour[:needed]


def fitted(strokes: Glyph) -> list[np.ndarray]:
    """The glyph moved and scaled so that it begins at 0, 0 and its longest side is 1."""
    points = np.concatenate(strokes)
    low = points.min(0)
    side = max(float((points.max(0) - low).max()), 1e-6)
    return [((stroke - low) / side).astype(np.float32) for stroke in strokes]


def bend(glyph: Glyph, random: np.random.Generator, strength: float = 1.0) -> list[np.ndarray]:
    """As another hand would write it: turned (standard deviation 6 degrees), slanted (0.15), wider or narrower (12 %), and bent by slow
    waves (2 % of its side), all times `strength`."""
    turn, slant, wide = random.normal(0, (0.105, 0.15, 0.12)) * strength
    cos, sin = math.cos(turn), math.sin(turn)
    matrix = np.array([[cos, -sin], [sin, cos]]) @ np.array([[1.0, -slant], [0.0, 1.0]]) @ np.diag([math.exp(wide), 1.0])
    waves = random.normal(0, 1, (3, 2)) * random.uniform(1.5, 7, (3, 1))  # radians over the glyph
    heights, phases = random.normal(0, 0.02 * strength, (3, 2)), random.uniform(0, 2 * math.pi, 3)
    bent = []
    for stroke in glyph:
        dense = _dense(stroke)
        bent.append(dense @ matrix.T + np.sin(dense @ waves.T + phases) @ heights)
    return fitted(bent)


def loosened(glyph: Glyph, random: np.random.Generator) -> list[np.ndarray]:
    """As a hand in a hurry ends its strokes: a ring begins anywhere, and strokes end up to a tenth of their way early; half of all rings are
    left open so, the others go over their own beginning."""
    loose = []
    for stroke in glyph:
        dense = _dense(stroke)
        count = len(dense)
        if count > 8 and np.hypot(*(dense[0] - dense[-1])) < NEARLY_CLOSED:
            dense = np.roll(dense[:-1], int(random.integers(count)), axis=0)
            dense = dense if random.random() < 0.5 else np.concatenate([dense, dense[: count // 6]])
        kept = len(dense) - int(random.uniform(0, LOOSE) * len(dense))
        loose.append(dense[: max(2, kept)] if len(dense) > 1 else dense)
    return fitted(loose)


def in_pieces(glyph: Glyph, random: np.random.Generator) -> list[np.ndarray]:
    """As few straight pieces as a mouse in a hurry, or a slow page, leaves of a glyph; of two in five the pen was never lifted between strokes."""
    if random.random() < NEVER_LIFTED:
        glyph = [np.concatenate(glyph)]
    long = random.uniform(*PIECES)
    cut = []
    for stroke in glyph:
        way = np.concatenate([[0.0], np.hypot(*np.diff(stroke, axis=0).T).cumsum()])
        stops = np.linspace(0, way[-1], max(1, round(way[-1] / long)) + 1)
        cut.append(np.stack([np.interp(stops, way, stroke[:, axis]) for axis in (0, 1)], axis=1))
    return fitted(cut)


def _dense(stroke: np.ndarray, step: float = 0.04) -> np.ndarray:
    """The same line with points at most `step` apart."""
    if len(stroke) < 2:
        return stroke
    lengths = np.hypot(*np.diff(stroke, axis=0).T)
    pieces = [
        np.linspace(first, second, max(1, math.ceil(length / step)), endpoint=False)
        for first, second, length in zip(stroke[:-1], stroke[1:], lengths, strict=True)
    ]
    return np.concatenate([*pieces, stroke[-1:]])


def draw(
    glyph: Glyph, side: float, pen: float, canvas: tuple[int, int] | None = None, at: tuple[float, float] | None = None
) -> Image.Image:
    """A glyph in one size and with one pen, as `drawn`.

    side: pixels of the glyph's longest side, from centre line to centre line; pen: pixels wide. canvas: width and height (as large as
    it needs when None), at: where the glyph's left and top are on it.
    """
    left, top = at or (pen / 2 + 1, pen / 2 + 1)
    if canvas is None:
        extent = np.concatenate(glyph).max(0) * side + pen + 2
        canvas = (math.ceil(extent[0]), math.ceil(extent[1]))
    return drawn([(stroke * side + (left, top), pen) for stroke in glyph], canvas)
