"""MNIST's digits in other hands and with other pens, as people send them: kept on disk, since making them takes minutes."""

import hashlib
import os
import tempfile
from pathlib import Path

import numpy as np

import inference
from training import hands, pictures, strokes
from training.data import Dataset, Split, cache_folder

COUNTS = {"train": (24_000, 24_000), "validation": (3_000, 3_000)}  # digits of the data set traced and drawn anew, and digits of hands.npz
HOW_FAR_BENT = {"train": 1.0, "validation": 0.5}  # see strokes.bend
DIGITS = "0123456789"
PREPARED_BY = ("prepare", "ink", "rules", "components", "strokes")


def redrawn(part: str, source: Dataset) -> Split:
    """The digits made of a part ("train" or "validation") of MNIST and of that part's hands."""
    path = cache_folder() / f"redrawn-{part}-{_fingerprint(part, source)}.npz"
    if not path.exists():
        made = _make(part, source)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".partial", delete=False) as file:
            np.savez_compressed(file, pixels=made.pixels, labels=made.labels)
        os.replace(file.name, path)
    with np.load(path, allow_pickle=False) as file:
        return Split(pixels=file["pixels"], labels=file["labels"])


def _make(part: str, source: Dataset) -> Split:
    images, (of_images, of_hands) = getattr(source, part), COUNTS[part]
    chosen = np.random.default_rng(len(images)).permutation(len(images))[:of_images]
    strength = HOW_FAR_BENT[part]
    traced = pictures.in_parts(pictures.redrawn, images.pixels[chosen, 0])
    written, labels = pictures.written(part, DIGITS, of_hands, "mnist", strength)
    pixels, labels = np.concatenate([traced, written])[:, None], np.concatenate([images.labels[chosen], labels])
    kept = pixels.any((1, 2, 3))
    return Split(pixels=pixels[kept], labels=labels[kept])


def _fingerprint(part: str, source: Dataset) -> str:
    """Of everything that the pictures depend on: the digits, the hands, and the code that draws and prepares them."""
    made_by = [Path(__file__), Path(pictures.__file__), Path(strokes.__file__), Path(hands.__file__), hands.FILE]
    digest = hashlib.sha256(getattr(source, part).labels.tobytes())
    for path in [*made_by, *(Path(inference.__file__).with_name(f"{name}.py") for name in PREPARED_BY)]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
