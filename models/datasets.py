"""What Inkling knows about each data set before any picture is read: its classes, in label order, and its pixels' shape.

Two are built in. One's own are folders of $INKLING_DATASETS, each written whole by `python -m training data --images`:
dataset.json, and for each part PART-pixels.npy (uint8 [N, C, H, W]) and PART-labels.npy (int64 [N]).
"""

import itertools
import json
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import scratch
from models.errors import InklingError

OWN_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")  # it becomes part of paths, so neither dots nor slashes
FACTS = "dataset.json"
PARTS = ("train", "validation", "test")
FEWEST_CLASSES, MOST_CLASSES = 2, 100
SMALLEST_SIDE, LARGEST_SIDE = 8, 128  # pixels


class DatasetError(InklingError):
    """There is no such data set, or what is known of it is damaged. The message names it, the fault and the fix."""


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """Facts about a data set.

    mean, std: of all training pixels scaled to 0..1 (computed by `python -m training data`). height, width: pixels.
    channels: 1 grey, 3 red, green and blue. train_images: how many there are to train on. is_own: imported by a user.
    """

    name: str
    title: str
    labels: tuple[str, ...]
    noun: str
    mean: float
    std: float
    height: int = 28
    width: int = 28
    channels: int = 1
    train_images: int = 54_000
    is_own: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one picture's pixels: channels, height, width."""
        return self.channels, self.height, self.width


DATASETS = {
    info.name: info
    for info in (
        DatasetInfo(
            name="mnist",
            title="MNIST digits",
            labels=tuple("0123456789"),
            noun="digit",
            mean=0.1307,
            std=0.3081,
        ),
        DatasetInfo(
            name="fashion-mnist",
            title="Fashion-MNIST clothing",
            labels=(
                "T-shirt/top",
                "Trouser",
                "Pullover",
                "Dress",
                "Coat",
                "Sandal",
                "Shirt",
                "Sneaker",
                "Bag",
                "Ankle boot",
            ),
            noun="garment",
            mean=0.2860,
            std=0.3530,
        ),
    )
}
NONE_OF_THEM = "None of the ten"
PHOTO_LABELS = (*DATASETS["fashion-mnist"].labels, NONE_OF_THEM)  # of the photo network
GATE_LABELS = {  # of a data set's gate: what its networks are made for, then what they may be shown all the same
    "mnist": ("digit", "letter", "scribble", "garment", "noise"),
    "fashion-mnist": ("garment", "digit", "letter", "scribble", "noise"),
}


def datasets_folder() -> Path:
    """Where one's own data sets are kept: $INKLING_DATASETS, or the folder datasets beside app.py."""
    return Path(os.environ.get("INKLING_DATASETS") or Path(__file__).parent.parent / "datasets")


def names() -> list[str]:
    """Every data set that can be used: the built-in ones, then one's own."""
    return [*DATASETS, *(each.name for each in list_own()[0])]


def info(name: str) -> DatasetInfo:
    """The facts of a data set, built-in or own. Raises DatasetError."""
    if isinstance(name, str) and name in DATASETS:
        return DATASETS[name]
    return _info_from(name, read_facts(name))


def read_facts(name: str) -> dict[str, Any]:
    """All that dataset.json of an own data set says: see training/own_images.py. Raises DatasetError."""
    try:
        if not (isinstance(name, str) and OWN_NAME.fullmatch(name) and (datasets_folder() / name / FACTS).is_file()):
            raise DatasetError(f"there is no data set {name!r}; there are {', '.join(names())}")
        facts = json.loads((datasets_folder() / name / FACTS).read_text(encoding="utf-8"))
        _info_from(name, facts)
    except OSError as error:  # its own words would tell strangers where the folder lies
        raise DatasetError(f"{FACTS} of the data set {name} cannot be read ({error.strerror}); check the rights to it") from None
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{FACTS} of the data set {name} cannot be read ({error}); delete the folder and import it again") from None
    return facts


def list_own() -> tuple[list[DatasetInfo], list[str]]:
    """One's own data sets by title, and one sentence for each folder that holds a damaged one."""
    found, problems = [], []
    try:
        folders = [each for each in datasets_folder().iterdir() if OWN_NAME.fullmatch(each.name)]
    except FileNotFoundError:  # there is none yet
        return [], []
    except OSError as error:
        return [], [f"The folder of own data sets cannot be read ({error.strerror}); check INKLING_DATASETS and the rights to it"]
    for folder in sorted(folders):
        try:
            if is_there(folder.name):
                found.append(info(folder.name))
        except DatasetError as error:
            problems.append(str(error))
    return sorted((each for each in found if each.is_own), key=lambda each: each.title.casefold()), problems


def is_there(name: str) -> bool:
    """Whether there is an own data set of this name; also where its folder may not be looked into."""
    try:
        return bool(OWN_NAME.fullmatch(name)) and (datasets_folder() / name / FACTS).is_file()
    except OSError:
        return True


def own_folder(name: str) -> Path:
    """The folder of an own data set, whether it exists or not. Raises DatasetError when the name cannot be one's."""
    if not isinstance(name, str) or not OWN_NAME.fullmatch(name):
        raise DatasetError(f"{name!r} is not a data set's name: 1 to 40 of a-z, 0-9 and dash, starting with a letter or digit")
    return datasets_folder() / name


def part_paths(name: str, part: str) -> tuple[Path, Path]:
    """The files of one part of an own data set: pixels and labels."""
    folder = own_folder(name)
    return folder / f"{part}-pixels.npy", folder / f"{part}-labels.npy"


def remove(name: str) -> None:
    """Deletes an own data set's pictures; of two that do so at once both succeed. Raises DatasetError for a name that is not its own."""
    folder = own_folder(name)
    if name in DATASETS:
        raise DatasetError(f"{name} came with Inkling and is not kept in {datasets_folder()}; there is nothing to delete")
    scratch.remove(folder)


def _info_from(name: str, facts: Any) -> DatasetInfo:
    """Raises DatasetError unless the facts describe a data set that Inkling could have written."""
    try:
        found = DatasetInfo(
            name=name, title=facts["title"], labels=tuple(facts["labels"]), noun="picture", mean=float(facts["mean"]),
            std=float(facts["std"]), height=facts["height"], width=facts["width"], channels=facts["channels"],
            train_images=sum(facts["counts"]["train"]), is_own=True,
        )  # fmt: skip
        texts = (found.title, *found.labels)
        if not all(isinstance(text, str) and text for text in texts) or len(set(found.labels)) != len(found.labels):
            raise ValueError("its title or labels cannot be right")
        if not FEWEST_CLASSES <= len(found.labels) <= MOST_CLASSES:
            raise ValueError(f"it has {len(found.labels)} classes")
        sides = (found.height, found.width)
        if not all(isinstance(side, int) and SMALLEST_SIDE <= side <= LARGEST_SIDE for side in sides) or found.channels not in (1, 3):
            raise ValueError("its size cannot be right")
        if not (math.isfinite(found.mean) and math.isfinite(found.std) and found.std > 0):
            raise ValueError("its mean or std cannot be right")
        counts = [facts["counts"][part] for part in PARTS]
        if set(facts["counts"]) != set(PARTS) or any(len(each) != len(found.labels) for each in counts):
            raise ValueError("its counts cannot be right")
        if not all(type(count) is int and count >= 0 for count in itertools.chain(*counts, [facts["skipped"]])):
            raise ValueError("its counts cannot be right")
        if not isinstance(facts["created"], str) or not isinstance(facts["reasons"], list):
            raise ValueError("its date or what was left out cannot be right")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DatasetError(f"{FACTS} of the data set {name} is damaged ({error}); delete the folder and import it again") from None
    return found
