"""Data and configurations so small that a training takes a second."""

import gzip
import struct
from pathlib import Path

import numpy as np

from jobs.config import RunConfig
from training.data import Dataset

COUNT = {"train": 300, "t10k": 60}


def pictures(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Ten classes that a small network tells apart: a bright bar at a height of its own, on noise."""
    random = np.random.default_rng(seed)
    labels = (np.arange(count) % 10).astype(np.uint8)
    pixels = random.integers(0, 60, (count, 28, 28), dtype=np.uint8)
    for index, label in enumerate(labels):
        pixels[index, 2 + 2 * label : 5 + 2 * label, 4:24] = 230
    return pixels, labels


def write_idx(path: Path, values: np.ndarray) -> None:
    """An IDX file of uint8, gzipped if its name says so."""
    content = bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()
    path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)


def write_folder(folder: Path) -> Path:
    """A folder of four IDX files."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (part, count) in enumerate(COUNT.items()):
        pixels, labels = pictures(count, seed)
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", pixels)
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", labels)
    return folder


def dataset(folder: Path, name: str = "mnist") -> Dataset:
    """The pictures as a data set; sample, so that its sizes may differ from the full set's."""
    return Dataset(name=name, folder=write_folder(folder), origin="tests", is_sample=True)


def config(**settings) -> RunConfig:
    """A network that learns the pictures in a few epochs on one thread."""
    small = {"network": "fc", "hidden": (16,), "batch_size": 30, "epochs": 3, "lr": 0.01, "threads": 1, "device": "cpu"}
    return RunConfig(**small | settings)
