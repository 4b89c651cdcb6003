"""The look: what Streamlit's theme does not reach, and the theme itself looked up once."""

from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.runtime import app_session

STYLE = Path(__file__).with_name("style.css")


def apply_style() -> None:
    """Adds the style sheet and the logo to the page."""
    st.html(STYLE)
    st.logo("static/logo.svg", size="large")


def remember_theme() -> None:
    """Has Streamlit put its theme together once.

    It does so six times a stroke from forty options each, a tenth of the interpreter's time when a class draws; the theme
    stands in .streamlit/config.toml, which is read at the start. A Streamlit that has no such function any more is left as it is.
    """
    fill = getattr(app_session, "_populate_theme_msg", None)
    if fill is None:
        return
    kept: dict[tuple[str, ...], Any] = {}

    def fill_from_kept(message: Any, *section: str) -> None:
        if section not in kept:
            part = type(message)()
            fill(part, *section)
            kept[section] = part
        message.MergeFrom(kept[section])

    app_session._populate_theme_msg = fill_from_kept
