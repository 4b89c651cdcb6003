"""The registry of published networks: models/<dataset>/<name>.onnx with its card, <name>.json, beside it."""

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import card_checks, datasets, scratch
from models.datasets import DATASETS, GATE_LABELS, PHOTO_LABELS, DatasetError
from models.errors import InklingError

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
SHIPPED = ("fc", "lenet5", "small", "ensemble")
LARGEST_GRAPH, LARGEST_CARD = 200 * 2**20, 2**20  # bytes; the largest of those that came with Inkling have 30 MB and 12 kB
# For what people draw: of the networks that answer in a fraction of a millisecond, the one that reads digits in a hurry best
# (docs/accuracy.md).
USUAL = {"mnist": "small", "fashion-mnist": "ensemble"}
TITLES = {
    "fc": "Fully connected",
    "lenet5": "LeNet-5",
    "lenet5-1998": "LeNet-5 of 1998",
    "mixpool": "Mixed-pooling CNN",
    "softmax": "Softmax regression",
    "lenet": "LeNet-like CNN",
    "resnet": "Small ResNet",
    "cnn": "CNN",
    "unpadded": "Unpadded CNN",
    "small": "Small CNN",
    "ensemble": "Ensemble",
    "photo": "Photo network",
    "gate": "Gate",
}
PHOTO = "photo"  # Fashion-MNIST's network for colour photos, which sees more than 28x28 grey and may say "none of the ten"
NUMBER = "number"  # what it is called in the graph, how likely a picture is a number whose digits touch
GATE = "gate"  # a built-in data set's network that tells what its other networks are made for from anything else
KEPT = {("fashion-mnist", PHOTO), *((dataset, GATE) for dataset in DATASETS)}  # names that a run cannot be published under


class ShelfError(InklingError):
    """A published network is missing or damaged. The message names it, the fault and the fix."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is known of a published network. Accuracies and errors are fractions, 0 to 1.

    shape: of the pixels it takes: channels, height, width. facts: the whole card as it was written; folder: where the pair lies.
    """

    dataset: str
    name: str
    labels: tuple[str, ...]
    parameters: int
    val_accuracy: float
    test_accuracy: float
    decline_below: float
    sha256: str
    facts: dict[str, Any]
    folder: Path
    shape: tuple[int, int, int] = (1, 28, 28)

    @property
    def title(self) -> str:
        """The name for people: the shipped ones by architecture, a retrained one by architecture and time."""
        if self.name in TITLES:
            return TITLES[self.name]
        return self.facts.get("title") or self.name

    @property
    def is_shipped(self) -> bool:
        """Whether it came with Inkling."""
        return self.name in SHIPPED and self.dataset in DATASETS

    @property
    def takes_photos(self) -> bool:
        """Whether it is the photo network."""
        return self.name == PHOTO and self.dataset == "fashion-mnist"

    @property
    def is_mixed(self) -> bool:
        """Whether its graph is of networks of several kinds, averaged or mixed by a router: no run can go on from it."""
        return "mixture" in self.facts or len(self.facts.get("architectures", [])) > 1

    @property
    def is_gate(self) -> bool:
        """Whether it tells what the data set's networks are made for from anything else: its first label, and the others."""
        return self.name == GATE and self.dataset in DATASETS

    @property
    def gives_also(self) -> tuple[str, ...]:
        """Names of what the graph gives beside probabilities and logits: the gate of digits tells numbers whose digits touch."""
        return (NUMBER,) if "number_from" in self.facts else ()

    @property
    def graph_path(self) -> Path:
        """The ONNX file."""
        return self.folder / f"{self.name}.onnx"

    def read_graph(self) -> bytes:
        """The ONNX file's bytes, checked against the card. Raises ShelfError."""
        try:
            with self.graph_path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size > LARGEST_GRAPH:
                    raise ShelfError(
                        f"{self.graph_path.name} has {size / 2**20:,.0f} MB, more than the {LARGEST_GRAPH // 2**20} allowed; publish {self.name} again"
                    )
                graph = file.read(size + 1)
        except OSError as error:
            raise ShelfError(
                f"{self.graph_path.name} cannot be read ({error.strerror}); publish {self.name} again or delete its card"
            ) from None
        if hashlib.sha256(graph).hexdigest() != self.sha256:
            raise ShelfError(f"{self.graph_path.name} is not the file its card describes (sha256 differs); publish {self.name} again")
        return graph


def shelf_folder() -> Path:
    """Where published networks are kept: $INKLING_MODELS, or this package's folder."""
    return Path(os.environ.get("INKLING_MODELS") or Path(__file__).parent)


def check_dataset(dataset: str) -> None:
    """Raises ShelfError unless there is such a data set."""
    try:
        datasets.info(dataset)
    except DatasetError as error:
        raise ShelfError(str(error)) from None


def check_name(dataset: str, name: str) -> None:
    """Raises ShelfError unless both may become part of a path."""
    check_dataset(dataset)
    if not NAME.fullmatch(name):
        raise ShelfError(
            f"{name!r} is not a network's name: 1 to 64 of a-z, 0-9, dot, dash and underscore, starting with a letter or digit"
        )


def load_card(dataset: str, name: str) -> Card:
    """The card of one network. Raises ShelfError when there is none or it is damaged."""
    check_name(dataset, name)
    folder = shelf_folder() / dataset
    path = folder / f"{name}.json"
    try:
        status = path.stat()
        if dataset in DATASETS:
            return _load_once(dataset, name, path, status.st_mtime_ns, status.st_ino)
        return _load(dataset, name, path)  # the classes and size of an own data set may have changed
    except FileNotFoundError:
        there = ", ".join(sorted(each.stem for each in folder.glob("*.onnx") if NAME.fullmatch(each.stem))) or "none"
        raise ShelfError(f"there is no network {name!r} for {dataset}; there are: {there}") from None
    except OSError as error:
        raise ShelfError(f"the card {path.name} is damaged ({error!r}); publish {name} again or delete it") from None


@functools.lru_cache(maxsize=256)
def _load_once(dataset: str, name: str, path: Path, changed: int, number: int) -> Card:
    """A card is published by a rename: one that was read is read again when it is another file, by time or inode."""
    return _load(dataset, name, path)


def _load(dataset: str, name: str, path: Path) -> Card:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(LARGEST_CARD + 1)
        if len(text) > LARGEST_CARD:
            raise ShelfError(f"the card {path.name} is damaged (it has over {LARGEST_CARD // 2**20} MB); publish {name} again or delete it")
    except UnicodeDecodeError as error:
        raise ShelfError(f"the card {path.name} is damaged ({error!r}); publish {name} again or delete it") from None
    return parse_card(dataset, name, text, path.parent)


def parse_card(dataset: str, name: str, text: str, folder: Path) -> Card:
    """The card of a network from what its file says. folder: where the pair lies. Raises ShelfError when it is damaged."""
    try:
        return _parse(dataset, name, json.loads(text), folder)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        told = str(error) if isinstance(error, ValueError) else repr(error)
        raise ShelfError(f"the card {name}.json is damaged ({told}); publish {name} again or delete it") from None


def _parse(dataset: str, name: str, facts: dict[str, Any], folder: Path) -> Card:
    card = Card(
        dataset=dataset,
        name=name,
        labels=tuple(facts["labels"]),
        parameters=int(facts["parameters"]),
        val_accuracy=float(facts["validation"]["accuracy"]),
        test_accuracy=float(facts["test"]["accuracy"]),
        decline_below=float(facts["decline_below"]),
        sha256=str(facts["sha256"]),
        facts=facts,
        folder=folder,
        shape=tuple(facts.get("shape", (1, 28, 28))),
    )
    about = datasets.info(dataset)
    if about.is_own and (card.labels, card.shape) != (about.labels, about.shape):
        raise ShelfError(
            f"{name} was trained on pictures of {dataset} with other classes or another size than it has now; retrain it, or delete {name}.json"
        )
    _check(card)
    return card


def _check(card: Card) -> None:
    """Raises ValueError unless the card says what one of its kind has to. Of an own data set, labels and shape were compared before."""
    about = datasets.info(card.dataset)
    labels, shape = about.labels, about.shape
    if card.takes_photos:
        labels, shape = PHOTO_LABELS, (3, *card.shape[1:])
    elif card.is_gate:
        labels = GATE_LABELS[card.dataset]
    if card.labels != labels:
        raise ValueError(f"its labels are {str(list(card.labels))[:80]}, not {', '.join(labels)} in this order")
    if card.shape != shape or len(shape) != 3 or any(type(side) is not int or side < 1 for side in card.shape):
        raise ValueError(f"its shape is {str(list(card.shape))[:40]}, not that of its pictures: channels, height and width")
    if not all(0 <= share <= 1 for share in (card.decline_below, card.val_accuracy, card.test_accuracy)):
        raise ValueError("its threshold or an accuracy is not from 0 to 1")
    if not all(isinstance(card.facts.get(each, ""), str) for each in ("title", "created")):
        raise ValueError("its title or date is no text")
    if card.takes_photos:
        card_checks.check_photo_network(card.facts)
    elif card.is_gate:
        card_checks.check_gate(card.facts)
    else:
        card_checks.check_network(card.facts, card.labels)


def photo_card() -> Card | None:
    """The photo network, which is not among `list_cards`; None where it is missing or damaged."""
    return find_card("fashion-mnist", PHOTO)


def gate_card(dataset: str) -> Card | None:
    """A data set's gate, which is not among `list_cards`; None where it is missing or damaged, and for an own data set."""
    return find_card(dataset, GATE) if dataset in DATASETS else None


def gate_version(dataset: str) -> int:
    """A number that is another one when the graph of a data set's gate is; 0 where there is none. The card is put there after it."""
    path = shelf_folder() / dataset / f"{GATE}.json"
    try:
        return hash((path.stat().st_mtime_ns, path.with_suffix(".onnx").stat().st_mtime_ns))
    except OSError:
        return 0


def find_card(dataset: str, name: str) -> Card | None:
    """The card of one network; None where it is missing or damaged."""
    try:
        return load_card(dataset, name)
    except ShelfError:
        return None


def list_cards(dataset: str) -> list[Card]:
    """Every network of a data set that can be served on its own kind of pictures: the shipped ones first, then the newest. Damaged ones
    are left out."""
    return _list(dataset)[0]


def list_problems(dataset: str) -> list[str]:
    """One sentence for every card that `list_cards` leaves out."""
    return _list(dataset)[1]


def list_orphans() -> list[str]:
    """One sentence for every folder of networks whose own data set is not there any more. One that is there but damaged has a sentence
    of its own: `datasets.list_own`."""
    orphans = []
    for folder in sorted({path.parent for path in shelf_folder().glob("*/*.json") if NAME.fullmatch(path.stem)}):
        if folder.name not in DATASETS and not datasets.is_there(folder.name):
            orphans.append(
                f"The data set {folder.name} is not there any more, so its networks cannot answer: import its pictures again under this name, or delete the folder {folder.name} of the shelf"
            )
    return orphans


def remove_all(dataset: str) -> None:
    """Takes every network of an own data set off the shelf. Raises DatasetError for a built-in one."""
    name = datasets.own_folder(dataset).name
    if name in DATASETS:
        raise DatasetError(f"{name} came with Inkling; delete its networks one by one")
    shutil.rmtree(shelf_folder() / name, ignore_errors=True)


def put(card: str, name: str, graph: Path, folder: Path) -> None:
    """Puts a pair on the shelf: the card's text, and a graph, which is moved there. The card goes last: it implies its graph. Raises OSError."""
    scratch.clear(folder, (".*.json.partial",))
    path, partial = folder / f"{name}.json", folder / f".{name}.{uuid.uuid4().hex}.json.partial"
    try:
        partial.write_text(card, encoding="utf-8")
        with _alone(folder):
            path.unlink(missing_ok=True)  # while the graph is exchanged there is no card
            graph.replace(folder / f"{name}.onnx")
            partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Has nobody else exchange a pair of a folder within the block: of two who publish one name at once each puts a whole pair there."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # some shared folders' file systems do not lock folders
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def remove(card: Card) -> None:
    """Takes a network off the shelf, its card first, so that a card always implies a graph. Raises OSError."""
    with contextlib.suppress(FileNotFoundError), _alone(card.folder):  # the folder itself may be gone
        (card.folder / f"{card.name}.json").unlink(missing_ok=True)
        card.graph_path.unlink(missing_ok=True)


def _list(dataset: str) -> tuple[list[Card], list[str]]:
    cards, problems = [], []
    for path in sorted((shelf_folder() / dataset).glob("*.json")):
        if not NAME.fullmatch(path.stem):
            continue
        try:
            card = load_card(dataset, path.stem)
            if not card.graph_path.is_file():
                raise ShelfError(
                    f"the card {path.name} has no {card.graph_path.name} beside it; publish {card.name} again or delete the card"
                )
            if (dataset, card.name) not in KEPT:
                cards.append(card)
        except ShelfError as error:
            problems.append(str(error))
    cards.sort(key=lambda card: card.facts.get("created", ""), reverse=True)
    cards.sort(key=lambda card: SHIPPED.index(card.name) if card.is_shipped else len(SHIPPED))
    return cards, problems
