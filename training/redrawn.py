"""MNIST's digits in other hands and with other pens, as people send them: kept on disk, since making them takes minutes."""

import hashlib
from functools import partial
from pathlib import Path

import numpy as np

import inference
from training import hands, pictures, strokes, ways
from training.data import Dataset, Split, cache_folder, digest
from training.kept import kept

# Digits of the data set traced and drawn anew, digits of hands.npz, and digits by the rules of ways.py, which are no measure of anything.
COUNTS = {"train": (24_000, 24_000, 20_000), "validation": (3_000, 3_000, 0)}
HOW_FAR_BENT = {"train": 1.0, "validation": 0.5}  # see strokes.bend
HURRIED = {"train": 0.4, "validation": 0.0}  # shares; see strokes.loosened
PIECES = {"train": 0.1, "validation": 0.0}  # shares of the hands' digits; see strokes.in_pieces
PIECES_BY_RULE = 0.25
DIGITS = "0123456789"
PREPARED_BY = ("prepare", "ink", "surroundings", "sheets", "sheet_edges", "rules", "components", "strokes")


def redrawn(part: str, source: Dataset) -> Split:
    """The digits made of a part ("train" or "validation") of MNIST and of that part's hands."""
    path = cache_folder() / f"redrawn-{part}-{fingerprint(part, source)}.npz"
    return Split(**kept(path, partial(_make, part, source)))


def _make(part: str, source: Dataset) -> dict[str, np.ndarray]:
    images, (of_images, of_hands, of_ways) = getattr(source, part), COUNTS[part]
    random = np.random.default_rng(len(images))
    chosen = random.permutation(len(images))[:of_images]
    strength, hurried, pieces = HOW_FAR_BENT[part], HURRIED[part], PIECES[part]
    drawn = pictures.in_parts(partial(pictures.redrawn, hurried=hurried), images.pixels[chosen, 0], pictures.SEEDS[part])
    made = [(drawn, images.labels[chosen])]
    made.append(pictures.written(part, DIGITS, of_hands, "mnist", strength, hurried, pieces))
    if of_ways:
        made.append(by_rule(of_ways, random, strength, hurried, PIECES_BY_RULE))
    pixels, labels = np.concatenate([each for each, _ in made])[:, None], np.concatenate([each for _, each in made])
    shows = pixels.any((1, 2, 3))
    return {"pixels": pixels[shows], "labels": labels[shows]}


def by_rule(count: int, random: np.random.Generator, strength: float, hurried: float, pieces: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Digits in the ways of ways.py, as `pictures.seen`: uint8 [count, 28, 28], and which they are, int64 [count], as many of each."""
    numbers = np.arange(count) % len(DIGITS)
    glyphs = [ways.digit(number, random) for number in numbers]
    return pictures.in_parts(partial(pictures.seen, dataset="mnist", strength=strength, hurried=hurried, pieces=pieces), glyphs), numbers


def fingerprint(part: str, source: Dataset) -> str:
    """Of everything that the pictures depend on: the digits, the hands, and the code that draws and prepares them."""
    made_by = [Path(__file__), Path(pictures.__file__), Path(strokes.__file__), Path(hands.__file__), Path(ways.__file__), hands.FILE]
    found = hashlib.sha256(digest(getattr(source, part)).encode())
    for path in [*made_by, *(Path(inference.__file__).with_name(f"{name}.py") for name in PREPARED_BY)]:
        found.update(path.read_bytes())
    return found.hexdigest()[:16]
