"""What goes wrong on a click: a callback has no place of its own to say it, so it is kept until the page shows it."""

import contextlib
import time
from collections.abc import Iterator

import streamlit as st

from jobs import runs
from models.errors import InklingError
from ui import figures

READING = 20  # seconds that it is shown, however often the place runs again by itself


@contextlib.contextmanager
def telling(key: str) -> Iterator[None]:
    """Keeps what goes wrong in a with block until it can have been read; what went wrong there before is forgotten."""
    st.session_state.pop(key, None)
    try:
        yield
    except (InklingError, OSError) as error:
        said = str(error) if isinstance(error, InklingError) else runs.sentence(error, runs.runs_folder())
        st.session_state[key] = (said, time.monotonic())


def told(key: str) -> str | None:
    """What `telling` kept lately, if anything."""
    problem, moment = st.session_state.get(key, ("", 0.0))
    return problem if problem and time.monotonic() - moment < READING else None


def show(key: str) -> None:
    """Shows what `telling` kept lately, if anything."""
    if problem := told(key):
        st.html(figures.error("Nothing was done", problem))
