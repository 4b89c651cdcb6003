"""The classifiers that a process has loaded, once each for all who ask."""

import functools
import threading
import time
from pathlib import Path

from inference.classify import Classifier, add_gate, load_classifier
from models import shelf

MOST_CLASSIFIERS = 64  # 3 MB each of a LeNet-5; loading one that had to go takes longer than an answer
AGAIN = 10.0  # seconds between two looks for a gate that could not be loaded

_loading = threading.Lock()
_without_gate: dict[tuple[str, str], float] = {}  # when the gate of each network that was loaded without one was looked for last


# functools, not st.cache_resource, which takes half a millisecond to find what it has, four times a stroke.
@functools.lru_cache(maxsize=MOST_CLASSIFIERS)
def _classifier(folder: Path, dataset: str, name: str, sha256: str, decline_below: float, gate: int) -> Classifier:
    return load_classifier(shelf.load_card(dataset, name))


def classifier(card: shelf.Card) -> Classifier:
    """The session of a published network; where it or its data set's gate was published anew or mended, it is loaded anew.

    Raises ShelfError.
    """
    gate = shelf.gate_version(card.dataset)
    with _loading:  # once for all who ask for it at the same moment
        found = _classifier(card.folder, card.dataset, card.name, card.sha256, card.decline_below, gate)
        if gate and found.gate is None and not card.takes_photos:
            _look_for_gate(found)
        return found


def _look_for_gate(found: Classifier) -> None:
    """Looks once more, and now and then: a gate is damaged, or could not be read at the moment when the network was loaded."""
    name = found.card.dataset, found.card.name
    if time.monotonic() - _without_gate.get(name, -AGAIN) >= AGAIN:
        _without_gate[name] = time.monotonic()
        add_gate(found)
    if found.gate is not None:
        _without_gate.pop(name, None)
