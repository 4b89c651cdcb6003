"""The look that Streamlit's theme does not reach."""

from pathlib import Path

import streamlit as st

STYLE = Path(__file__).with_name("style.css")


def apply_style() -> None:
    """Adds the style sheet and the logo to the page."""
    st.html(STYLE)
    st.logo("static/logo.svg", size="large")
