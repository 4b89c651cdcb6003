"""Ways to write a digit, as schools teach them and hands wear them down: strokes made by rule, every one of them a little different.

Fonts draw digits as their designers think they ought to look. Here are the ways that they leave out: a 9 with a foot, a 4 with a short stem, a 1
that is nearly all flag, a zero struck through, ends that overshoot. Curves are Chaikin's (1974): corners of a line, cut three times; a corner named twice stays one.
"""

import math
from collections.abc import Callable

import numpy as np

from training.strokes import fitted

CUTS = 3
ASTRAY = 0.04  # standard deviation of a corner's place, times the digit's height, where its neighbours are FAR or farther; less where they are nearer
FAR = 0.3
WIDER = 0.2  # standard deviation of the logarithm of how wide a digit is
STRUCK_THROUGH = 0.1  # share of zeros

Line = list[tuple[float, float]]
Random = np.random.Generator


def digit(number: int, random: Random) -> list[np.ndarray]:
    """A digit, 0 to 9, written in one of its ways: strokes, float32 [P, 2] each; see `training.strokes`."""
    ways = WAYS[number]
    lines, wide = ways[random.integers(len(ways))](random), math.exp(random.normal(0, WIDER))
    return fitted([_smooth(_astray(np.array(line, float), random)) * (wide, 1) for line in lines])


def _astray(corners: np.ndarray, random: Random) -> np.ndarray:
    """The corners somewhat beside their places; one that is named twice stays one."""
    kept, places = np.unique(corners, axis=0, return_inverse=True)
    gaps = np.hypot(*np.diff(corners, axis=0).T)
    moved = random.normal(0, ASTRAY * min(1.0, float(np.median(gaps[gaps > 0])) / FAR), kept.shape)
    return corners + moved[places.ravel()]


def _smooth(corners: np.ndarray) -> np.ndarray:
    for _ in range(CUTS):
        first, second = corners[:-1], corners[1:]
        cut = np.stack([0.75 * first + 0.25 * second, 0.25 * first + 0.75 * second], axis=1).reshape(-1, 2)
        corners = np.concatenate([corners[:1], cut, corners[-1:]])
    return corners


def _ring(random: Random, x: float, y: float, across: float, down: float, start: float, turn: float = 360.0) -> Line:
    """Part of an ellipse around x, y from the angle `start` on, degrees, 0 to the right and 90 below; its end misses its beginning, either way, by up to a tenth."""
    missed = random.normal(6.0, 14.0)
    angles = np.radians(np.linspace(start, start + turn + math.copysign(1, turn) * missed, 13))
    return [(x + across * math.cos(angle), y + down * math.sin(angle)) for angle in angles]


def _zero(random: Random) -> list[Line]:
    wide, turn = random.uniform(0.16, 0.48), 360 * random.choice([-1, 1])
    lines = [_ring(random, 0.5, 0.5, wide, 0.5, random.normal(-80, 30), turn)]
    if random.random() < STRUCK_THROUGH:
        over = random.uniform(-0.15, 0.1)
        lines.append([(0.5 + wide - over * 0.5, over), (0.5 - wide + over * 0.5, 1 - over)])
    return lines


def _bar(random: Random) -> list[Line]:
    return [[(0.5 + random.normal(0, 0.04), 0), (0.5, 0.5), (0.5, 1)]]


def _one(random: Random) -> list[Line]:
    long = random.uniform(0.1, 0.5)
    drop = min(0.5, long * random.uniform(0.5, 1.6))  # a flag that hardly falls makes it a 7
    flag = [(0.5 - long, drop), (0.5 - long / 2, drop / 2 + random.normal(0, 0.04)), (0.5, 0), (0.5, 0)]
    lines = [[*flag, (0.5, 0.5), (0.5, 1)]]
    if random.random() < 0.35:
        half = random.uniform(0.12, 0.35)
        lines.append([(0.5 - half, 1), (0.5 + half, 1)])
    return lines


def _two(random: Random) -> list[Line]:
    low, waist, right = random.uniform(0, 0.15), random.uniform(0.12, 0.45), random.uniform(0.6, 0.85)
    top = [(0.15, waist), (0.15, 0.0), (right - 0.05, -0.02), (right, random.uniform(0.3, 0.5))]
    foot = random.choice(["corner", "loop", "wave"])
    if foot == "corner":
        return [[*top, (0.1, 1), (0.1, 1), (0.85, 1 - low)]]
    if foot == "loop":
        return [[*top, (0.35, 0.85), (0.1, 1.05), (0.02, 0.85), (0.25, 0.82), (0.5, 1), (0.9, 0.95)]]
    return [[*top, (0.1, 0.98), (0.1, 0.98), (0.4, 0.85), (0.6, 1.05), (0.9, 0.92)]]


def _three(random: Random) -> list[Line]:
    waist, deep = random.uniform(0.38, 0.52), random.uniform(0.3, 0.6)
    belly = [(0.85, waist + 0.05), (0.85, 0.98), (0.3, 1.08), (0.1, 0.8)]
    if random.random() < 0.35:
        return [[(0.15, 0), (0.15, 0), (0.75, 0), (0.75, 0), (0.4, waist), (0.4, waist), *belly]]
    top = [(0.12, 0.2), (0.2, -0.08), (0.85, -0.08), (0.8, 0.4)]
    if random.random() < 0.25:
        return [[*top, (deep, waist), (deep - 0.15, waist + 0.06), (deep - 0.1, waist - 0.06), (deep, waist), *belly]]
    return [[*top, (deep, waist), (deep, waist), *belly]]


def _four_in_two(random: Random) -> list[Line]:
    bar, past, lean = random.uniform(0.42, 0.85), random.uniform(0, 0.3), random.uniform(-0.1, 0.35)
    stem, above = random.uniform(0.5, 0.75), random.uniform(0.15, bar + 0.02)
    below = min(1.15, bar + random.uniform(0.12, 0.6))
    corner = [(lean, bar)] * random.integers(1, 3)
    return [
        [(lean + random.uniform(0.05, 0.45), 0), *corner, (stem + past, bar + random.normal(0, 0.05))],
        [(stem + random.normal(0, 0.05), bar - above), (stem - random.normal(0, 0.05), below)],
    ]


def _four_closed(random: Random) -> list[Line]:
    bar = random.uniform(0.5, 0.75)
    return [[(0.6, 1), (0.62, 0), (0.62, 0), (0, bar), (0, bar), (random.uniform(0.75, 1), bar)]]


def _four_in_one(random: Random) -> list[Line]:
    """A bowl, and the pen goes up and down again at its right, or along a loop."""
    deep, right = random.uniform(0.4, 0.6), random.uniform(0.6, 0.75)
    bowl = [(0.05, 0), (0.0, deep), (0.12, deep + 0.1), (right, deep)]
    up = random.uniform(0.0, 0.3)
    return [[*bowl, (right, up), (right, up), (right - random.uniform(0, 0.12), 1)]]


def _five(random: Random) -> list[Line]:
    cap, waist = random.uniform(0.4, 0.8), random.uniform(0.35, 0.5)
    corner = [(0.14, waist)] * random.integers(1, 3)
    belly = [*corner, (0.5, waist - 0.12), (0.88, waist + 0.1), (0.8, 1), (0.35, 1.08), (0.05, 0.88)]
    if random.random() < 0.5:
        return [[(0.15 + cap, random.normal(0, 0.06)), (0.2, 0), (0.2, 0), *belly]]
    gap = random.uniform(-0.02, 0.12)  # the cap is set on last, and not always on
    return [[(0.2, 0), *belly], [(0.2 + gap, -gap / 2), (0.2 + gap + cap, random.normal(-0.05, 0.06))]]


def _six(random: Random) -> list[Line]:
    small, lean = random.uniform(0.18, 0.32), random.uniform(0, 0.5)
    ring = _ring(random, 0.42, 1 - small, random.uniform(0.2, 0.42), small, 185, -360)
    return [[(0.35 + lean, 0), (0.25 + lean / 2, 0.15), (0.05, 0.5), *ring]]


def _seven(random: Random) -> list[Line]:
    foot, bow = random.uniform(0.05, 0.4), random.normal(0, 0.08)
    corner = [(0.75, 0.02)] * random.integers(1, 3)
    top = [(0, 0.02), (0.35, random.normal(0, 0.03))]
    if random.random() < 0.35:
        top = [(0.02, random.uniform(0.08, 0.25)), (0, 0), *top[1:]]
    lines = [[*top, *corner, (0.5 * (0.75 + foot) - bow, 0.5), (foot, 1)]]
    if random.random() < 0.5:
        middle, half = 0.5 * (0.75 + foot), random.uniform(0.15, 0.3)
        lines.append([(middle - half, 0.5 + random.normal(0, 0.06)), (middle + half, 0.48 + random.normal(0, 0.06))])
    return lines


def _eight(random: Random) -> list[Line]:
    waist, end = random.uniform(0.4, 0.52), random.uniform(-0.1, 0.08)
    return [[
        (0.72, 0.12), (0.5, -0.06), (0.12, 0.0), (0.1, 0.35), (0.5, waist), (0.92, 0.62), (0.85, 1.04), (0.2, 1.04), (0.08, 0.65),
        (0.5, waist), (0.82, 0.28), (0.75 + end, 0.1 + end / 2),
    ]]  # fmt: skip


def _eight_in_rings(random: Random) -> list[Line]:
    top = random.uniform(0.18, 0.27)
    wide = random.uniform(0.16, 0.3)
    return [
        _ring(random, 0.4, top, wide, top, random.uniform(60, 120), -360),
        _ring(random, 0.4, 0.5 + top, wide * random.uniform(1, 1.5), 0.5 - top + 0.02, random.uniform(-120, -60), 360),
    ]


def _nine(random: Random) -> list[Line]:
    small, wide = random.uniform(0.18, 0.29), random.uniform(0.2, 0.36)
    ring = _ring(random, 0.4, small, wide, small, random.uniform(-60, 10), -360)
    right = 0.4 + wide
    end = random.choice(["straight", "curved", "foot"])
    if end == "straight":
        return [[*ring, (right, small), (right - random.uniform(-0.05, 0.35), 1)]]
    if end == "curved":
        return [[*ring, (right, small), (right, 0.7), (right - 0.1, 1.02), (0.3, 1.05), (0.1, random.uniform(0.75, 0.95))]]
    out = random.uniform(0, 0.25)  # down to a foot that runs to the left, level with the line
    corner = [(right + out, 0.98)] * random.integers(1, 3)
    return [[*ring, (right, small), (right + out / 2, 0.6), *corner, (random.uniform(0.0, 0.3), 1)]]


WAYS: tuple[tuple[Callable[[Random], list[Line]], ...], ...] = (
    (_zero,),
    (_bar, _one, _one, _one),
    (_two,),
    (_three,),
    (_four_in_two, _four_in_two, _four_closed, _four_in_one),
    (_five,),
    (_six,),
    (_seven,),
    (_eight, _eight, _eight_in_rings),
    (_nine,),
)
