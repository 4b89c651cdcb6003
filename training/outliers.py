"""Pictures that a network is not made for, so that a gate may learn to know them (outlier exposure: Hendrycks et al. 2019, arXiv:1812.04606).

Each kind comes as the networks of a data set see it, prepared as what people send is: uint8 [N, 28, 28]. Letters are of
hands.npz, garments and digits of the other data set; scribbles and noise are made here, signs in signs.py.
"""

import math
import string
from functools import partial

import numpy as np
from PIL import Image, ImageFilter

from inference.prepare import SIDE, prepare
from training import pictures, signs
from training.data import Dataset
from training.redrawn import HURRIED, PIECES
from training.strokes import fitted

# Letters that are written like digits: O and o like 0, I and l like 1.
LETTERS = "".join(sorted(set(string.ascii_letters) - set("OoIl")))
# Shares of scribbles that are signs and small drawings, as they come and as a gate learns them: each of sixty has to be seen often enough.
SIGNS, SIGNS_LEARNED = 1 / 7, {"mnist": 0.5, "fashion-mnist": 1 / 7}
AS_THEY_ARE = 0.6  # share of the other data set's pictures that are sent as 28x28 files


def scribble(random: np.random.Generator) -> list[np.ndarray]:
    """Strokes that are nothing, or a sign."""
    return _scribble(random.integers(1, len(signs.SIGNS) + 1) if random.random() < SIGNS else 0, random)


def _scribble(number: int, random: np.random.Generator) -> list[np.ndarray]:
    """number: 0 for strokes that are nothing, and from 1 on which of signs.SIGNS."""
    if number:
        return fitted(signs.sign(list(signs.SIGNS.values())[number - 1], random))
    return fitted(SCRIBBLES[random.integers(len(SCRIBBLES))](random))


def _tangle(random: np.random.Generator) -> list[np.ndarray]:
    strokes = []
    for _ in range(random.integers(1, 4)):
        steps = random.normal(0, 1, (int(random.integers(12, 60)), 2))
        for _ in range(random.integers(1, 4)):  # the smoother the longer a hand goes one way
            steps[1:] = 0.6 * steps[:-1] + 0.4 * steps[1:]
        strokes.append(np.cumsum(steps, axis=0) + random.normal(0, 3, 2))
    return strokes


def _coil(random: np.random.Generator) -> list[np.ndarray]:
    turns = np.linspace(0, 2 * math.pi * random.uniform(2.5, 8), 160)
    drift, fast = random.uniform(0, 0.35), random.uniform(0.8, 1.3)
    size = 1 + random.uniform(-0.1, 0.1) * turns
    return [np.stack([np.cos(turns) * size + drift * turns, np.sin(turns * fast) * size], axis=1)]


def _spiral(random: np.random.Generator) -> list[np.ndarray]:
    turns = np.linspace(0.5, 2 * math.pi * random.uniform(2, 5), 140)
    return [np.stack([np.cos(turns) * turns, np.sin(turns) * turns * random.uniform(0.6, 1.2)], axis=1)]


def _zigzag(random: np.random.Generator) -> list[np.ndarray]:
    count = int(random.integers(6, 20))
    heights = np.where(np.arange(count) % 2, 1, -1) * random.uniform(0.3, 1, count)
    points = np.stack([np.linspace(0, random.uniform(0.6, 3), count) + random.normal(0, 0.05, count), heights], axis=1)
    return [_turned(points, random.uniform(0, math.pi))]


def _lines(random: np.random.Generator) -> list[np.ndarray]:
    return [random.uniform(0, 1, (int(random.integers(2, 5)), 2)) for _ in range(random.integers(3, 9))]


def _hatching(random: np.random.Generator) -> list[np.ndarray]:
    count, angle = int(random.integers(3, 8)), random.uniform(0, math.pi)
    lines = [np.array([[at, 0.0], [at, 1.0]]) + random.normal(0, 0.06, (2, 2)) for at in np.linspace(0, 1, count)]
    if random.random() < 0.6:
        lines += [np.array([[0.0, at], [1.0, at]]) + random.normal(0, 0.06, (2, 2)) for at in np.linspace(0, 1, count)]
    return [_turned(line, angle) for line in lines]


def _star(random: np.random.Generator) -> list[np.ndarray]:
    points = int(random.integers(5, 9))
    if random.random() < 0.5:  # in one line
        angles = np.arange(points + 1) * 2 * math.pi * (2 if points % 2 else 3) / points
        return [_turned(np.stack([np.cos(angles), np.sin(angles)], axis=1), random.uniform(0, 6))]
    angles = np.arange(points) * math.pi / points + random.uniform(0, 1)
    return [np.array([[math.cos(angle), math.sin(angle)], [-math.cos(angle), -math.sin(angle)]]) for angle in angles]


def _heart(random: np.random.Generator) -> list[np.ndarray]:
    turn = np.linspace(0, 2 * math.pi, 60)
    down = -(13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn))
    return [np.stack([16 * np.sin(turn) ** 3, down], axis=1) * random.uniform(0.7, 1.3, 2)]


def face(random: np.random.Generator) -> list[np.ndarray]:
    turn = np.linspace(0, 2 * math.pi, 40)
    ring = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    mouth = np.stack([np.linspace(-0.5, 0.5, 12), 0.4 + random.uniform(-0.25, 0.25) * np.cos(np.linspace(-1.5, 1.5, 12))], axis=1)
    return [ring, ring * 0.08 + (-0.35, -0.3), ring * 0.08 + (0.35, -0.3), mouth]


def _wave(random: np.random.Generator) -> list[np.ndarray]:
    along = np.linspace(0, 1, 80)
    down = np.sin(along * random.uniform(12, 40)) * random.uniform(0.1, 0.5)
    return [_turned(np.stack([along, down], axis=1), random.uniform(-0.5, 1.8))]


def _turned(points: np.ndarray, angle: float) -> np.ndarray:
    cos, sin = math.cos(angle), math.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


SCRIBBLES = (_tangle, _tangle, _tangle, _coil, _spiral, _zigzag, _lines, _hatching, _star, _heart, face, _wave)


def noise(random: np.random.Generator) -> Image.Image:
    """A picture of nothing: grains, blotches, dots, stripes, squares or shades, 28 to 200 pixels a side."""
    side = SIDE if random.random() < 0.5 else int(random.integers(40, 201))
    kind = random.integers(7)
    if kind == 0:
        values = random.uniform(0, 255, (side, side))
    elif kind == 1:
        values = random.normal(random.uniform(30, 200), random.uniform(20, 80), (side, side))
    elif kind == 2:
        values = (random.random((side, side)) < random.uniform(0.02, 0.5)) * random.uniform(100, 255)
    elif kind == 3:
        wide = int(random.integers(3, 13))
        small = Image.fromarray(random.integers(0, 256, (wide, wide), dtype=np.uint8))
        values = np.asarray(small.resize((side, side), Image.Resampling.BICUBIC if random.random() < 0.5 else Image.Resampling.NEAREST))
    elif kind == 4:
        down, across = np.mgrid[0:side, 0:side] / side
        values = 127 + 127 * np.sin((down * random.normal(0, 40) + across * random.normal(0, 40)) + random.uniform(0, 6))
    elif kind == 5:
        down, across = np.mgrid[0:side, 0:side] / side
        values = (down * random.uniform(-1, 1) + across * random.uniform(-1, 1)) * 200 + random.uniform(40, 200)
    else:
        spots = Image.fromarray(((random.random((side, side)) < 0.02) * 255).astype(np.uint8))
        values = np.asarray(spots.filter(ImageFilter.GaussianBlur(side / 40)), float)
        values = values / max(values.max(), 1) * 255
    image = Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
    return image.filter(ImageFilter.GaussianBlur(random.uniform(0, 2))) if random.random() < 0.3 else image


def sent(pixels: np.ndarray, dataset: str, random: np.random.Generator) -> np.ndarray:
    """Pictures of another data set, uint8 [N, 28, 28], as files of 28x28 or enlarged, on black or white."""
    return np.stack([_sent(each, dataset, random) for each in pixels])


def _sent(pixels: np.ndarray, dataset: str, random: np.random.Generator) -> np.ndarray:
    image = Image.fromarray(pixels)
    if random.random() > AS_THEY_ARE:
        side = int(random.integers(60, 281))
        image = image.resize((side, side), Image.Resampling.BICUBIC)
        if random.random() < 0.5:
            image = Image.eval(image, lambda value: 255 - value)
    return prepare(image, dataset).pixels


def _of_scribbles(numbers: np.ndarray, dataset: str, random: np.random.Generator) -> np.ndarray:
    return pictures.seen((_scribble(number, random) for number in numbers), dataset, random)


def _of_noise(numbers: np.ndarray, dataset: str, random: np.random.Generator) -> np.ndarray:
    return np.stack([prepare(noise(random), dataset).pixels for _ in numbers])


def make(kind: str, part: str, dataset: str, count: int, other: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """`count` outliers of a kind for the networks of a data set, of a part ("train" or "validation"), some fewer where some come out blank.

    uint8 [N, 28, 28], and what each is among its kind, int64 [N]: which letter of LETTERS, which class of the other data set, of scribbles
    which of signs.SIGNS, counted from 1; else 0.
    other: the data set that garments or digits are of.
    """
    seed = {"train": 1, "validation": 2}[part]
    if kind == "letter":
        made, each = pictures.written(part, LETTERS, count, dataset, hurried=HURRIED[part], pieces=PIECES[part])
    elif kind == "scribble":
        random, share = np.random.default_rng(seed), SIGNS_LEARNED[dataset] if part == "train" else SIGNS
        each = np.where(random.random(count) < share, random.integers(1, len(signs.SIGNS) + 1, count), 0)
        made = pictures.in_parts(partial(_of_scribbles, dataset=dataset), each, seed)
    elif kind == "noise":
        made, each = pictures.in_parts(partial(_of_noise, dataset=dataset), np.arange(count), seed), np.zeros(count, np.int64)
    else:
        pool = getattr(other, part)
        chosen = np.random.default_rng(seed).permutation(len(pool))[:count]
        made, each = pictures.in_parts(partial(sent, dataset=dataset), pool.pixels[chosen, 0], seed), pool.labels[chosen]
    is_seen = made.any((1, 2))
    return made[is_seen], each[is_seen]
