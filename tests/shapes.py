"""Coloured shapes as PNG files: pictures of three classes that a small network tells apart."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

LABELS = ("bars", "discs", "wedges")
COLOURS = {"bars": "#2864c8", "discs": "#c0392b", "wedges": "#2e9e5b"}


def picture(label: str, seed: int, side: int = 48) -> bytes:
    """A PNG of one shape on nearly white paper; no two seeds give the same one."""
    random = np.random.default_rng((LABELS.index(label), seed))
    paper = 215 + int(random.integers(0, 40))
    image = Image.new("RGB", (side, side + int(random.integers(0, 16))), (paper,) * 3)
    image.putpixel((0, 0), (seed % 256, seed // 256, 0))
    pen, size = ImageDraw.Draw(image), int(random.integers(side // 5, side // 3))
    x, y = (int(each) for each in random.integers(side // 3, 2 * side // 3, 2))
    box = (x - size, y - size, x + size, y + size)
    if label == "discs":
        pen.ellipse(box, fill=COLOURS[label])
    elif label == "bars":
        pen.rectangle((box[0], y - 4, box[2], y + 4), fill=COLOURS[label])
    else:
        pen.polygon([(x, box[1]), (box[0], box[3]), (box[2], box[3])], fill=COLOURS[label])
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def own_dataset(folder: Path, name: str, side: int, channels: int, classes: int = 3) -> None:
    """An own data set of noise in the folder of data sets, as an import leaves it: for what needs its facts, not its pictures."""
    target = folder / name
    target.mkdir(parents=True)
    random = np.random.default_rng(0)
    for part, count in (("train", 4), ("validation", 1), ("test", 1)):
        labels = np.repeat(np.arange(classes), count)
        np.save(target / f"{part}-labels.npy", labels)
        np.save(target / f"{part}-pixels.npy", random.integers(0, 256, (len(labels), channels, side, side), dtype=np.uint8))
    facts = {
        "name": name, "title": name.title(), "labels": [f"class {k}" for k in range(classes)], "height": side, "width": side,
        "channels": channels, "mean": 0.5, "std": 0.25, "skipped": 0, "reasons": [], "created": "2026-01-01T00:00:00Z",
        "counts": {"train": [4] * classes, "validation": [1] * classes, "test": [1] * classes},
    }  # fmt: skip
    (target / "dataset.json").write_text(json.dumps(facts))


def files(count: int = 12, labels: tuple[str, ...] = LABELS) -> dict[str, bytes]:
    """Paths and contents of `count` pictures a class."""
    return {f"{label}/{number}.png": picture(label, number) for label in labels for number in range(count)}


def write_folder(folder: Path, count: int = 12, extra: dict[str, bytes] | None = None, labels: tuple[str, ...] = LABELS) -> Path:
    """A folder with a sub-folder for each class, and `extra` files."""
    for name, content in (files(count, labels) | (extra or {})).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def write_zip(path: Path, count: int = 12, extra: dict[str, bytes] | None = None, top: str = "") -> Path:
    """The same as a zip, inside the folder `top` where one is given."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (files(count) | (extra or {})).items():
            archive.writestr(top + name, content)
    return path
