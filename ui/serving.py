"""What all visitors share: the list of networks, the count of those who wait, the database of corrections, and the warm-up that keeps the page quick."""

import contextlib
import functools
import gc
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st
from streamlit.errors import StreamlitAPIException

from inference.classify import Answer
from jobs import giving_way
from jobs.config import RunConfig
from models import shelf
from ui import drawings
from ui.answerer import Answerer

if TYPE_CHECKING:
    from corrections.store import Engine

STALE = 0.5  # seconds that one look at the shelf serves all who draw
CROWD = 1  # answers at work at once, beyond which slow networks are asked only where they were chosen
FIRST_PAGE = 1.0  # seconds: the browser is still fetching the canvas, and loading here would hold up what it asks for


def cards(dataset: str) -> list[shelf.Card]:
    """The networks of a data set, as `shelf.list_cards`, looked up at most twice a second for all who draw."""
    return _cards(dataset, shelf.shelf_folder(), int(time.monotonic() / STALE))


@functools.lru_cache(maxsize=8)
def _cards(dataset: str, folder: Path, moment: int) -> list[shelf.Card]:
    return shelf.list_cards(dataset)


_at_work: set[object] = set()
answerer = Answerer()


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """Counts as an answer at work for the time of a with block; retrains stand back while there are several."""
    own = object()
    _at_work.add(own)
    try:
        if is_crowded():
            giving_way.ask()
            answerer.start()
        yield
    finally:
        _at_work.discard(own)


def is_crowded() -> bool:
    """Whether more people wait for an answer than the processor has room for."""
    return len(_at_work) > CROWD


def answers(told: str, cards: Sequence[shelf.Card]) -> list[Answer | shelf.ShelfError]:
    """As `drawings.answers`, by the process that a crowd started, where it is there and can."""
    by_process = answerer.ask(told, cards)
    return drawings.answers(told, cards) if by_process is None or isinstance(by_process[0], shelf.ShelfError) else by_process


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
