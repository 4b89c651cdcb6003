"""The corrections that a run learns from beside its data set: read once, kept in the run's folder until it is done, and shown again and again."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from jobs import artefacts, events
from jobs.config import ConfigError
from models import datasets, scratch
from models.errors import InklingError
from training.data import Split, redrawn_sample

FILE = artefacts.CORRECTIONS
SHARE = 0.1  # of the images of an epoch: what corrections are repeated to
MOST_TIMES = 100  # a correction is shown in an epoch
REMINDED = 3  # times a bundled redrawn digit is shown in an epoch
MOST_LOST = 0.0  # of validation accuracy: nothing, so that on other images it is hardly more than their noise
BACK = (0.7, 0.5, 0.25, 0.0)  # shares of the way from the network that was corrected, tried in turn: all of it forgets (EXPERIMENTS.md)


class NothingLearned(InklingError):
    """Validation let nothing of what was learned from corrections stand. The message says what to do."""


def corrected(folder: Path, dataset: str) -> Split:
    """The corrections of a data set. A run that is resumed learns from those that it began with, whatever was kept or deleted since.

    Raises ConfigError where there are none, StoreError where the database cannot be read.
    """
    path = folder / FILE
    if not path.exists():
        made = _read(dataset)
        with scratch.whole(path) as file:
            np.savez_compressed(file, pixels=made.pixels, labels=made.labels)
    with np.load(path, allow_pickle=False) as file:
        return Split(pixels=file["pixels"], labels=file["labels"])


def demand_any(dataset: str) -> None:
    """Raises ConfigError where a data set has no corrections, StoreError where the database cannot be read."""
    _read(dataset)


def _read(dataset: str) -> Split:
    from corrections import store  # it needs SQLAlchemy, and most runs do not need it

    about = datasets.info(dataset)
    found = store.find(store.open_store(), about)
    if not found:
        raise ConfigError(
            f"there are no corrections of {about.title} to learn from; make some on the Draw and Upload pages, or leave corrections out"
        )
    labels = np.array([about.labels.index(each.label) for each in found], np.int64)
    return Split(pixels=np.stack([each.pixels for each in found]), labels=labels)


def reminders(dataset: str) -> Split | None:
    """Bundled digits of other hands and pens, three times each, which a network would forget between MNIST's own; None for other data sets."""
    if dataset != "mnist":
        return None
    few = redrawn_sample()
    return Split(pixels=np.tile(few.pixels, (REMINDED, 1, 1, 1)), labels=np.tile(few.labels, REMINDED))


def repeated(corrections: Split, images: int) -> Split:
    """The corrections as often as they are shown in an epoch of `images` others: a few would not be noticed among thousands."""
    times = int(np.clip(round(SHARE * images / len(corrections)), 1, MOST_TIMES))
    return Split(pixels=np.tile(corrections.pixels, (times, 1, 1, 1)), labels=np.tile(corrections.labels, times))


@torch.no_grad()
def hold_back(network: nn.Module, start: dict[str, Tensor], lost: Callable[[], float]) -> float:
    """Moves weights back towards those that training began with, further until no more than MOST_LOST is lost; returns the share of the way kept.

    Weights between those of a network and of what it was fine-tuned to lose less than they give up (Wortsman et al. 2022, arXiv:2109.01903).
    lost: validation accuracy of the start less that of the network as it is.
    """
    end = {name: each.clone() for name, each in network.state_dict().items()}
    for share in BACK:
        network.load_state_dict({name: _between(start[name].to(each.device), each, share) for name, each in end.items()})
        if lost() <= MOST_LOST:
            break
    return share


def demand_learned(folder: Path) -> None:
    """Raises NothingLearned where a run gave up all that it had learned from corrections: its network is the one it started from."""
    shares = [event["share"] for event in events.read(folder) if event["kind"] == "held_back"]
    if shares and not any(shares):
        raise NothingLearned(
            "the network is left as it was, since whatever it learned from these corrections cost it images that it had read right; "
            "delete doubtful corrections, or add more, and retrain again"
        )


def _between(start: Tensor, end: Tensor, share: float) -> Tensor:
    return torch.lerp(start, end, share) if end.is_floating_point() else end
