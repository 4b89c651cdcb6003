"""The look: what Streamlit's theme does not reach, and the theme itself looked up once."""

import functools
from pathlib import Path

import streamlit as st
from streamlit import config

STYLE = Path(__file__).with_name("style.css")


def apply_style() -> None:
    """Adds the style sheet and the logo to the page."""
    st.html(STYLE)
    st.logo("static/logo.svg", size="large")


def remember_theme() -> None:
    """Has Streamlit look its theme up once.

    It goes through all of its options six times a stroke for it, a twelfth of the interpreter's time when a class draws; the theme
    stands in .streamlit/config.toml, which is read at the start. A Streamlit that has no such function any more is left as it is.
    """
    look_up = getattr(config, "get_options_for_section", None)
    if look_up is None:
        return
    kept = functools.cache(look_up)
    config.get_options_for_section = lambda section: dict(kept(section)) if section.startswith("theme") else look_up(section)
