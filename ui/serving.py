"""What all visitors share: the classifiers, loaded once each, the database of corrections, and the warm-up that keeps the page quick."""

import contextlib
import functools
import gc
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st
from streamlit.errors import StreamlitAPIException

from inference.classify import Classifier, add_gate, load_classifier
from jobs import giving_way
from jobs.config import RunConfig
from models import shelf

if TYPE_CHECKING:
    from corrections.store import Engine

MOST_CLASSIFIERS = 64  # 3 MB each of a LeNet-5; loading one that had to go takes longer than an answer
AGAIN = 10.0  # seconds between two looks for a gate that could not be loaded
STALE = 0.5  # seconds that one look at the shelf serves all who draw
CROWD = 1  # answers at work at once, beyond which slow networks are asked only where they were chosen
FIRST_PAGE = 1.0  # seconds: the browser is still fetching the canvas, and loading here would hold up what it asks for


_loading = threading.Lock()


# functools, not st.cache_resource, which takes half a millisecond to find what it has, four times a stroke.
@functools.lru_cache(maxsize=MOST_CLASSIFIERS)
def _classifier(folder: Path, dataset: str, name: str, sha256: str, decline_below: float, gate: int) -> Classifier:
    return load_classifier(shelf.load_card(dataset, name))


_without_gate: dict[tuple[str, str], float] = {}  # when the gate of each network that was loaded without one was looked for last


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


def cards(dataset: str) -> list[shelf.Card]:
    """The networks of a data set, as `shelf.list_cards`, looked up at most twice a second for all who draw."""
    return _cards(dataset, shelf.shelf_folder(), int(time.monotonic() / STALE))


@functools.lru_cache(maxsize=8)
def _cards(dataset: str, folder: Path, moment: int) -> list[shelf.Card]:
    return shelf.list_cards(dataset)


_at_work: set[object] = set()


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """Counts as an answer at work for the time of a with block; retrains stand back while there are several."""
    own = object()
    _at_work.add(own)
    if is_crowded():
        giving_way.ask()
    try:
        yield
    finally:
        _at_work.discard(own)


def is_crowded() -> bool:
    """Whether more people wait for an answer than the processor has room for."""
    return len(_at_work) > CROWD


def corrections() -> "Engine":
    """The database of corrections: that of [connections.corrections] in .streamlit/secrets.toml, else of $INKLING_CORRECTIONS, else a file.

    Raises StoreError.
    """
    from corrections import store

    is_readable = st.secrets.load_if_toml_exists()
    if not is_readable and any(Path(path).exists() for path in st.get_option("secrets.files")):
        raise store.StoreError(
            "corrections cannot be opened: .streamlit/secrets.toml, which may name their database, cannot be read; mend it"
        )
    is_named = is_readable and "corrections" in st.secrets.get("connections", {})
    with store.told("opened"):
        try:
            engine = st.connection("corrections", type="sql", **({} if is_named else {"url": store.url()})).engine
        except StreamlitAPIException:  # what it says may hold a part of the address
            raise store.StoreError(
                "corrections cannot be opened: [connections.corrections] in .streamlit/secrets.toml lacks a setting; give it a url"
            ) from None
    number = store.file_number(engine)
    if number == 0:  # there is none yet, or it was deleted: what is open of it would take in nothing more, and still show what was in it
        engine.dispose()
        store.make_table(engine)
    else:
        _make_table(engine, str(engine.url), number)
    return engine


def environment(config: RunConfig) -> dict[str, str]:
    """What a run's process has to know that no file may say: the address of the corrections, where it learns from them. Raises StoreError."""
    if not config.corrections:
        return {}
    from corrections import store

    return {store.VARIABLE: corrections().url.render_as_string(hide_password=False)}


@st.cache_resource(max_entries=4, show_spinner=False)
def _make_table(_engine: "Engine", address: str, number: int | None) -> None:
    """number: of the file, which may have been put in place of another."""
    from corrections import store

    _engine.dispose()
    store.make_table(_engine)


@st.cache_resource(show_spinner=False)
def warm_up() -> threading.Thread:
    """Once a server, after the first page: loads what later clicks need, then takes it out of the garbage collector's way.

    Frozen, the modules are not searched for garbage again and again, which would hold up everybody's answers;
    .streamlit/config.toml keeps Streamlit from collecting after every stroke.
    """

    def load() -> None:
        time.sleep(FIRST_PAGE)
        import altair  # noqa: F401

        from inference import graph  # noqa: F401
        from inference.opencv import opencv
        from jobs import artefacts

        opencv()
        artefacts.forget_done()
        gc.collect()
        gc.freeze()

    thread = threading.Thread(target=load, name="warm-up", daemon=True)
    thread.start()
    return thread
