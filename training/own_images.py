"""Imports one's own pictures: a folder or zip with a folder for each class becomes a data set of $INKLING_DATASETS.

No torch here, only numpy and Pillow: the app runs this as a child process and waits for it. A data set is put in place by
one rename, so that it is there whole or not at all. Its dataset.json says: name, title, labels, height, width, channels,
mean, std, counts (a list a part, one number a class), skipped (how many files were), reasons (file and reason of the first of them),
created.
"""

import hashlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from inference.decode import UnreadableImage, decode
from inference.prepare import prepare_own
from models import datasets, scratch
from models.datasets import DATASETS, FEWEST_CLASSES, LARGEST_SIDE, MOST_CLASSES, SMALLEST_SIDE, DatasetError, DatasetInfo
from models.errors import InklingError
from training.archive import File, Source, UnreadableFile, opened

FEWEST_IMAGES = 10  # a class: eight to learn from, and one each for validation and test
MOST_IMAGES = 50_000
MOST_BYTES = 2**30  # of all pixels, which stay in memory
LONGEST_TITLE = 60
MOST_REASONS = 100  # skipped files that are named; the others are counted
SPLIT_SEED = 54_006  # fixed for ever: the same pictures are always split the same way
DEFAULT_SIDE = 64


class ImportRefused(InklingError):
    """Pictures do not make a data set. The message names the value, the limit and the fix."""


def import_images(
    source: Path,
    name: str,
    *,
    title: str = "",
    side: int = DEFAULT_SIDE,
    grey: bool = False,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> DatasetInfo:
    """Makes the data set `name` of the pictures in a folder or zip, side x side pixels, and returns its facts.

    A file that cannot be read is skipped, with the reason in dataset.json. tell: called with the files done and all files.
    Raises ImportRefused, SourceError or DatasetError, and then leaves nothing behind.
    """
    target = datasets.own_folder(name)
    if name in DATASETS:
        raise ImportRefused(f"{name} is the name of a data set that came with Inkling; give another name, such as my-{name}")
    if target.exists():
        raise ImportRefused(f"there is a data set {name} already; give another name, or delete that one first")
    title = title.strip() or name
    if len(title) > LONGEST_TITLE or not title.isprintable():
        raise ImportRefused(f"the title is {title[:80]!r}; give one of at most {LONGEST_TITLE} characters that can be shown")
    if not SMALLEST_SIDE <= side <= LARGEST_SIDE:
        raise ImportRefused(f"size is {side}; it must be from {SMALLEST_SIDE} to {LARGEST_SIDE} pixels (default {DEFAULT_SIDE})")
    shape = (1 if grey else 3, side, side)
    with opened(source) as found:
        _check_counts(found, shape)
        pixels, labels, skipped = _read(found, shape, tell)
    names = tuple(sorted({file.label for file in found.files}))
    _check_readable(names, labels, skipped)
    numbers = np.array([names.index(label) for label in labels], np.int64)
    parts = _split(numbers, len(names))
    mean, std = mean_and_std(pixels, parts["train"])
    counts = {part: np.bincount(numbers[chosen], minlength=len(names)).tolist() for part, chosen in parts.items()}
    facts = {
        "name": name, "title": title, "labels": names, "height": side, "width": side, "channels": shape[0],
        "mean": round(mean, 6), "std": round(max(std, 0.001), 6),  # all pictures may be flat and alike: nothing is divided by zero
        "counts": counts, "skipped": len(skipped),
        "reasons": [{"file": file, "reason": reason} for file, reason in skipped[:MOST_REASONS]],
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }  # fmt: skip
    _put_in_place(target, facts, parts, pixels, numbers)
    return datasets.info(name)


def _check_counts(found: Source, shape: tuple[int, int, int]) -> None:
    """What can be said before any picture is decoded. Raises ImportRefused."""
    counts = Counter(file.label for file in found.files)
    if len(counts) < FEWEST_CLASSES:
        there = f"only the folder {next(iter(counts))}" if counts else "no folder with files in it"
        raise ImportRefused(
            f"there is {there}, and a network needs at least {FEWEST_CLASSES} classes to tell apart: make one folder for each class"
        )
    if len(counts) > MOST_CLASSES:
        raise ImportRefused(
            f"there are {len(counts)} folders, more than the {MOST_CLASSES} classes allowed; leave some out, or put some together"
        )
    if len(found.files) > MOST_IMAGES:
        raise ImportRefused(
            f"there are {len(found.files):,} files, more than the {MOST_IMAGES:,} pictures allowed; leave some out of each class"
        )
    _check_class_counts(counts, "")
    size = len(found.files) * int(np.prod(shape))
    if size > MOST_BYTES:
        raise ImportRefused(
            f"{len(found.files):,} pictures of {shape[1]}x{shape[2]} take {size / 2**20:,.0f} MB of memory, more than the {MOST_BYTES // 2**20:,} MB allowed; choose a smaller size, grey, or fewer pictures"
        )


def _check_class_counts(counts: dict[str, int], because: str) -> None:
    label = min(counts, key=counts.__getitem__)
    if counts[label] < FEWEST_IMAGES:
        said = f"{counts[label]} picture{'' if counts[label] == 1 else 's'}"
        raise ImportRefused(f"the class {label} has {said} that can be used, and at least {FEWEST_IMAGES} are needed: add some{because}")


def _check_readable(names: tuple[str, ...], labels: list[str], skipped: list[tuple[str, str]]) -> None:
    first = f" ({skipped[0][0]} was skipped: {skipped[0][1].rstrip('.')})" if skipped else ""
    _check_class_counts({label: labels.count(label) for label in names}, first)


def _read(
    found: Source, shape: tuple[int, int, int], tell: Callable[[int, int], None]
) -> tuple[np.ndarray, list[str], list[tuple[str, str]]]:
    """Pixels uint8 [N, C, H, W], their labels, and the name and reason of every file that was skipped."""
    pixels = np.empty((len(found.files), *shape), np.uint8)
    labels: list[str] = []
    skipped = [(name, "It lies in no class's folder.") for name in found.strays]
    for file, one, reason in _prepared(found.files, shape, tell):
        if one is None:
            skipped.append((file.name, reason))
        else:
            pixels[len(labels)] = one
            labels.append(file.label)
    return pixels[: len(labels)], labels, skipped


def _prepared(
    files: tuple[File, ...], shape: tuple[int, int, int], tell: Callable[[int, int], None]
) -> Iterator[tuple[File, np.ndarray | None, str]]:
    """Each file with its pixels uint8 [C, H, W], or with the reason why it has none."""
    seen: dict[bytes, str] = {}
    for done, file in enumerate(files, 1):
        try:
            content = file.read()
            digest = hashlib.sha256(content).digest()
            if digest in seen:  # in two parts, it would be learned and then asked
                yield file, None, f"It is the same file as {seen[digest]}."
            else:
                yield file, prepare_own(decode(content), shape).batch[0], ""
                seen[digest] = file.name
        except (UnreadableImage, UnreadableFile) as error:
            yield file, None, str(error)
        tell(done, len(files))


def _split(numbers: np.ndarray, classes: int) -> dict[str, np.ndarray]:
    """Indices of each part: of every class a tenth for validation, a tenth for test, at least one each, and the rest to train on."""
    random = np.random.default_rng(SPLIT_SEED)
    chosen: dict[str, list[np.ndarray]] = {part: [] for part in datasets.PARTS}
    for number in range(classes):
        order = random.permutation(np.flatnonzero(numbers == number))
        tenth = max(1, round(len(order) / 10))
        chosen["test"].append(order[:tenth])
        chosen["validation"].append(order[tenth : 2 * tenth])
        chosen["train"].append(order[2 * tenth :])
    return {part: np.concatenate(each) for part, each in chosen.items()}


def mean_and_std(pixels: np.ndarray, chosen: Iterable[int]) -> tuple[float, float]:
    """Of the values of the chosen among pixels uint8 [N, C, H, W], scaled to 0..1; counted, so that no large float array is made."""
    counts = np.zeros(256, np.int64)
    for index in chosen:
        counts += np.bincount(pixels[index].ravel(), minlength=256)
    values, weights = np.arange(256) / 255, counts / counts.sum()
    mean = float((values * weights).sum())
    return mean, float((((values - mean) ** 2) * weights).sum() ** 0.5)


def _put_in_place(target: Path, facts: dict[str, Any], parts: dict[str, np.ndarray], pixels: np.ndarray, numbers: np.ndarray) -> None:
    """Writes a folder under another name and renames it. Raises DatasetError when the disk will not have it."""
    new = None
    try:
        new = scratch.new(target.parent)
        for part, chosen in parts.items():
            np.save(new / f"{part}-pixels.npy", pixels[chosen], allow_pickle=False)
            np.save(new / f"{part}-labels.npy", numbers[chosen], allow_pickle=False)
        (new / datasets.FACTS).write_text(json.dumps(facts, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        new.rename(target)  # onto a folder that somebody else has just made it fails
    except OSError as error:
        raise DatasetError(
            f"the data set cannot be written to {target} ({error.strerror or error}); make room there, or give another name"
        ) from None
    finally:
        if new is not None:
            shutil.rmtree(new, ignore_errors=True)
