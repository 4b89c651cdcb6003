"""Signs and small drawings that are no digit: what people put before a reader of digits to see what it says. A gate learns to decline them.

A sign is its strokes in a square of 0 to 1, downwards, and comes out of `sign` as a hand would draw it; `training.pictures` bends it and draws it with
a pen. Left out is what may be meant for a digit or a number: a ring, a ring in a ring, an upright line, two of them, S, Z.
"""

import math

import numpy as np

Points = list[tuple[float, float]]

WOBBLE = 0.025  # standard deviation of a corner's place, times the side
CORNERS = 9  # at most; a stroke of more points has arcs
STRETCHED = 0.15  # of the logarithm of how much wider than high it gets


def arc(x: float, y: float, across: float, down: float, first: float = 0, last: float = 360) -> Points:
    """Around a centre with two radii, from one angle to another, in degrees, clockwise from the right."""
    angles = np.radians(np.linspace(first, last, max(CORNERS + 1, int(abs(last - first) / 15))))
    return [(x + across * math.cos(angle), y + down * math.sin(angle)) for angle in angles]


def _rays(x: float, y: float, inner: float, outer: float, count: int) -> list[Points]:
    angles = [2 * math.pi * at / count for at in range(count)]
    return [[(x + r * math.cos(angle), y + r * math.sin(angle)) for r in (inner, outer)] for angle in angles]


def _petals(x: float, y: float, away: float, radius: float, count: int) -> list[Points]:
    angles = [2 * math.pi * at / count for at in range(count)]
    return [arc(x + away * math.cos(angle), y + away * math.sin(angle), radius, radius) for angle in angles]


def _box(left: float, top: float, right: float, bottom: float) -> Points:
    return [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]


ROOF = [(0.0, 0.4), (0.5, 0.0), (1.0, 0.4)]
HEART = [(0.5 + 0.5 * math.sin(t) ** 3, 0.45 - (13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 30) for t in np.linspace(0, 2 * math.pi, 40)]  # fmt: skip

SIGNS: dict[str, list[Points]] = {
    "question mark": [[*arc(0.5, 0.27, 0.3, 0.27, 180, 420), (0.5, 0.6), (0.5, 0.75)], arc(0.5, 0.97, 0.03, 0.03)],
    "question mark, round": [[*arc(0.5, 0.25, 0.28, 0.25, 200, 450), (0.5, 0.72)], [(0.5, 0.93), (0.51, 0.98)]],
    "exclamation mark": [[(0.5, 0), (0.5, 0.68)], arc(0.5, 0.95, 0.04, 0.04)],
    "percent": [arc(0.2, 0.22, 0.18, 0.2), arc(0.8, 0.78, 0.18, 0.2), [(0.85, 0.0), (0.15, 1.0)]],
    "at": [arc(0.5, 0.5, 0.2, 0.2), [(0.7, 0.3), (0.7, 0.65), (0.8, 0.72), (0.95, 0.5), *arc(0.5, 0.5, 0.46, 0.48, 0, -310)]],
    "dollar": [[(0.8, 0.25), (0.5, 0.12), (0.2, 0.28), (0.5, 0.5), (0.8, 0.7), (0.5, 0.88), (0.2, 0.75)], [(0.5, 0), (0.5, 1)]],
    "euro": [arc(0.55, 0.5, 0.42, 0.48, -50, -310), [(0, 0.42), (0.6, 0.42)], [(0, 0.58), (0.55, 0.58)]],
    "pi": [[(0, 0.15), (0.15, 0.03), (1, 0.03)], [(0.3, 0.05), (0.25, 1)], [(0.7, 0.05), (0.7, 0.9), (0.8, 1), (0.9, 0.95)]],
    "sum": [[(0.95, 0.15), (0.9, 0), (0.05, 0), (0.5, 0.5), (0.05, 1), (0.95, 1), (1, 0.85)]],
    "root": [[(0, 0.6), (0.1, 0.5), (0.28, 1), (0.5, 0), (1, 0)]],
    "tick": [[(0, 0.6), (0.3, 1), (1, 0)]],
    "tick in a box": [_box(0.1, 0.2, 0.9, 1.0), [(0.25, 0.6), (0.45, 0.85), (1.0, 0.0)]],
    "asterisk": [*_rays(0.5, 0.5, 0, 0.5, 6)],
    "cross": [[(0, 0), (1, 1)], [(1, 0), (0, 1)]],
    "plus": [[(0.5, 0), (0.5, 1)], [(0, 0.5), (1, 0.5)]],
    "equals": [[(0, 0.3), (1, 0.3)], [(0, 0.7), (1, 0.7)]],
    "division": [[(0, 0.5), (1, 0.5)], arc(0.5, 0.15, 0.05, 0.05), arc(0.5, 0.85, 0.05, 0.05)],
    "hash": [[(0.2, 0), (0.1, 1)], [(0.7, 0), (0.6, 1)], [(0, 0.3), (1, 0.3)], [(0, 0.7), (1, 0.7)]],
    "arrow right": [[(0, 0.5), (1, 0.5)], [(0.65, 0.2), (1, 0.5), (0.65, 0.8)]],
    "arrow left": [[(1, 0.5), (0, 0.5)], [(0.35, 0.2), (0, 0.5), (0.35, 0.8)]],
    "arrow up": [[(0.5, 1), (0.5, 0)], [(0.2, 0.35), (0.5, 0), (0.8, 0.35)]],
    "arrow down": [[(0.5, 0), (0.5, 1)], [(0.2, 0.65), (0.5, 1), (0.8, 0.65)]],
    "triangle": [[(0, 1), (0.5, 0), (1, 1), (0, 1)]],
    "triangle on its tip": [[(0, 0), (1, 0), (0.5, 1), (0, 0)]],
    "diamond": [[(0, 0.5), (0.5, 0), (1, 0.5), (0.5, 1), (0, 0.5)]],
    "gem": [[(0, 0.35), (0.25, 0), (0.75, 0), (1, 0.35), (0.5, 1), (0, 0.35)], [(0, 0.35), (1, 0.35)]],
    "box, crossed out": [_box(0, 0, 1, 1), [(0, 0), (1, 1)], [(1, 0), (0, 1)]],
    "cube": [_box(0, 0.3, 0.7, 1), [(0, 0.3), (0.3, 0), (1, 0), (1, 0.7), (0.7, 1)], [(0.7, 0.3), (1, 0)]],
    "house": [[*ROOF, (1, 1), (0, 1), (0, 0.4)]],
    "house with eaves": [[(0, 0.4), (0.5, 0), (1, 0.4), (0, 0.4)], [(0.12, 0.4), (0.12, 1), (0.88, 1), (0.88, 0.4)]],
    "house with a door": [[*ROOF, (1, 1), (0, 1), (0, 0.4), (1, 0.4)], [(0.4, 1), (0.4, 0.65), (0.62, 0.65), (0.62, 1)]],
    "house with windows": [[*ROOF, (1, 1), (0, 1), (0, 0.4)], _box(0.15, 0.5, 0.4, 0.75), _box(0.6, 0.5, 0.85, 0.75)],
    "house in one line": [[(0, 1), (0, 0.4), (1, 0.4), (0.5, 0), (0, 0.4), (1, 1), (1, 0.4), (0, 1), (1, 1)]],
    "tree": [[(0.42, 1), (0.42, 0.6)], [(0.58, 1), (0.58, 0.6)], arc(0.5, 0.32, 0.4, 0.3)],
    "fir": [[(0.5, 0), (0.2, 0.35), (0.38, 0.35), (0.1, 0.65), (0.9, 0.65), (0.62, 0.35), (0.8, 0.35), (0.5, 0)], [(0.5, 0.65), (0.5, 1)]],
    "sun": [arc(0.5, 0.5, 0.22, 0.22), *_rays(0.5, 0.5, 0.3, 0.5, 8)],
    "moon": [[*arc(0.5, 0.5, 0.5, 0.5, 60, 300), *arc(0.75, 0.5, 0.38, 0.43, 270, 90)]],
    "cloud": [[*arc(0.22, 0.6, 0.2, 0.2, 90, 270), *arc(0.5, 0.42, 0.28, 0.3, 190, 340), *arc(0.8, 0.6, 0.2, 0.2, 270, 450), (0.2, 0.8)]],
    "flower": [arc(0.5, 0.3, 0.1, 0.1), *_petals(0.5, 0.3, 0.2, 0.1, 5), [(0.5, 0.5), (0.5, 1)], [(0.5, 0.8), (0.7, 0.65)]],
    "heart": [HEART],
    "star": [[(0.5 + 0.5 * math.sin(t), 0.5 - 0.5 * math.cos(t)) for t in np.arange(6) * 0.8 * math.pi]],
    "lightning": [[(0.6, 0), (0.15, 0.55), (0.5, 0.5), (0.25, 1), (0.85, 0.38), (0.5, 0.42), (0.75, 0), (0.6, 0)]],
    "stick man": [arc(0.5, 0.14, 0.14, 0.14), [(0.5, 0.28), (0.5, 0.65)], [(0.2, 1), (0.5, 0.65), (0.8, 1)], [(0.15, 0.42), (0.85, 0.42)]],
    "face": [arc(0.5, 0.5, 0.5, 0.5), arc(0.32, 0.35, 0.04, 0.04), arc(0.68, 0.35, 0.04, 0.04), arc(0.5, 0.55, 0.28, 0.22, 20, 160)],
    "sad face": [arc(0.5, 0.5, 0.5, 0.5), arc(0.32, 0.35, 0.03, 0.03), arc(0.68, 0.35, 0.03, 0.03), arc(0.5, 0.85, 0.25, 0.2, 200, 340)],
    "cat": [arc(0.5, 0.6, 0.42, 0.4), [(0.12, 0.42), (0.15, 0), (0.4, 0.22)], [(0.6, 0.22), (0.85, 0), (0.88, 0.42)], arc(0.35, 0.5, 0.04, 0.04), arc(0.65, 0.5, 0.04, 0.04)],
    "cup": [[(0.05, 0.1), (0.1, 1), (0.65, 1), (0.7, 0.1), (0.05, 0.1)], arc(0.7, 0.5, 0.28, 0.25, -80, 80)],
    "car": [[(0, 0.75), (0, 0.45), (0.25, 0.4), (0.38, 0.1), (0.75, 0.1), (0.85, 0.42), (1, 0.5), (1, 0.75), (0, 0.75)], arc(0.25, 0.82, 0.13, 0.15), arc(0.77, 0.82, 0.13, 0.15)],
    "boat": [[(0, 0.65), (0.2, 1), (0.8, 1), (1, 0.65), (0, 0.65)], [(0.5, 0.65), (0.5, 0), (0.9, 0.55), (0.5, 0.55)]],
    "envelope": [_box(0, 0.15, 1, 0.85), [(0, 0.15), (0.5, 0.55), (1, 0.15)]],
    "eye": [[*arc(0.5, 0.72, 0.5, 0.45, 205, 335), *arc(0.5, 0.28, 0.5, 0.45, 25, 155)], arc(0.5, 0.5, 0.13, 0.15)],
    "note": [arc(0.25, 0.85, 0.22, 0.14), [(0.46, 0.85), (0.46, 0.05), (0.85, 0.3)]],
    "two notes": [arc(0.15, 0.87, 0.15, 0.12), [(0.3, 0.87), (0.3, 0.12), (1, 0), (1, 0.75)], arc(0.85, 0.76, 0.15, 0.12)],
    "ring, crossed out": [arc(0.5, 0.5, 0.5, 0.5), [(0.15, 0.15), (0.85, 0.85)], [(0.85, 0.15), (0.15, 0.85)]],
    "clock": [arc(0.5, 0.5, 0.5, 0.5), [(0.5, 0.15), (0.5, 0.5), (0.75, 0.6)]],
    "peace": [arc(0.5, 0.5, 0.5, 0.5), [(0.5, 0), (0.5, 1)], [(0.15, 0.85), (0.5, 0.5), (0.85, 0.85)]],
    "male": [arc(0.35, 0.65, 0.33, 0.33), [(0.6, 0.4), (1, 0)], [(0.7, 0), (1, 0), (1, 0.3)]],
    "female": [arc(0.5, 0.3, 0.3, 0.3), [(0.5, 0.6), (0.5, 1)], [(0.25, 0.8), (0.75, 0.8)]],
    "mushroom": [[*arc(0.5, 0.5, 0.5, 0.5, 180, 360), (0, 0.5)], [(0.38, 0.5), (0.35, 1), (0.65, 1), (0.62, 0.5)]],
    "stairs": [[(0, 1), (0, 0.75), (0.25, 0.75), (0.25, 0.5), (0.5, 0.5), (0.5, 0.25), (0.75, 0.25), (0.75, 0), (1, 0)]],
    "table": [[(0, 0.2), (1, 0.2)], [(0.12, 0.2), (0.12, 1)], [(0.88, 0.2), (0.88, 1)]],
    "grid": [_box(0, 0, 1, 1), [(0.5, 0), (0.5, 1)], [(0, 0.5), (1, 0.5)]],
    "bow": [[(0, 0), (0, 1), (1, 0), (1, 1), (0, 0)]],
}  # fmt: skip
# By these, which it learns none of, it is seen whether a gate knows signs (benchmarks/strangers.py).
HELD_OUT: dict[str, list[Points]] = {
    "ampersand": [[(1, 1), (0.2, 0.3), *arc(0.42, 0.2, 0.22, 0.2, 180, 360), (0.15, 0.7), *arc(0.42, 0.75, 0.3, 0.25, 200, 0), (0.95, 0.6)]],
    "infinity": [[*arc(0.25, 0.5, 0.25, 0.2, 45, 315), *arc(0.75, 0.5, 0.25, 0.2, -135, 135), (0.43, 0.36)]],
    "fish": [[*arc(0.42, 0.5, 0.42, 0.28, -25, -335), (1, 0.25), (1, 0.75), (0.8, 0.4)], arc(0.2, 0.42, 0.03, 0.03)],
    "umbrella": [[*arc(0.5, 0.5, 0.5, 0.48, 180, 360), (0, 0.5)], [(0.5, 0.5), (0.5, 0.9), *arc(0.4, 0.9, 0.1, 0.1, 0, 180)]],
    "crown": [[(0, 1), (0, 0.2), (0.25, 0.6), (0.5, 0), (0.75, 0.6), (1, 0.2), (1, 1), (0, 1)]],
    "anchor": [arc(0.5, 0.1, 0.1, 0.1), [(0.5, 0.2), (0.5, 1)], [(0.3, 0.35), (0.7, 0.35)], arc(0.5, 0.6, 0.42, 0.4, 0, 180)],
    "ice cream": [[(0.15, 0.4), (0.5, 1), (0.85, 0.4), (0.15, 0.4)], arc(0.5, 0.35, 0.35, 0.33, 180, 360)],
    "apple": [[*arc(0.3, 0.6, 0.3, 0.38, 310, 90), *arc(0.7, 0.6, 0.3, 0.38, 90, -130)], [(0.5, 0.32), (0.55, 0.05)]],
    "bird": [[*arc(0.25, 0.6, 0.25, 0.4, 190, 350), *arc(0.75, 0.6, 0.25, 0.4, 190, 350)]],
    "ladder": [[(0.2, 0), (0.2, 1)], [(0.8, 0), (0.8, 1)], *([(0.2, y), (0.8, y)] for y in (0.2, 0.4, 0.6, 0.8))],
    "glasses": [arc(0.22, 0.5, 0.22, 0.2), arc(0.78, 0.5, 0.22, 0.2), arc(0.5, 0.5, 0.08, 0.06, 180, 360)],
    "rocket": [[(0.3, 0.8), (0.3, 0.35), (0.5, 0), (0.7, 0.35), (0.7, 0.8), (0.3, 0.8)], [(0.3, 0.6), (0.1, 1), (0.3, 0.8)], [(0.7, 0.6), (0.9, 1), (0.7, 0.8)]],
}  # fmt: skip


def sign(strokes: list[Points], random: np.random.Generator) -> list[np.ndarray]:
    """The strokes of a sign as somebody draws it, float [P, 2] each: a corner is somewhat off its place, an arc as a whole."""
    wide = math.exp(random.normal(0, STRETCHED))
    off = [random.normal(0, WOBBLE, (1 if len(stroke) > CORNERS else len(stroke), 2)) for stroke in strokes]
    return [(np.array(stroke, float) + each) * (wide, 1) for stroke, each in zip(strokes, off, strict=True)]
