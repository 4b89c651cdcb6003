"""The drawing widget: streamlit-drawable-canvas with pen width, undo and clear that also work by touch.

The ink is kept in the session, one drawing a data set, so that it is still there after a visit to another page.
"""

import json
import logging
from collections.abc import Callable

import streamlit as st
import streamlit_drawable_canvas
from PIL import Image
from streamlit_drawable_canvas import st_canvas

from ui.drawings import INK_ON_PAPER
from ui.pad import BLANK, Pad
from ui.pens import PENS, SIDE

# The canvas's own toolbar lies unseen over its right upper corner until the mouse has rested there, and takes the strokes that begin in it.
# Streamlit keeps other styles out of a component, so it is registered once more with one of its own, of which Streamlit would warn.
_registry_log = logging.getLogger("streamlit.components.v2.component_registry")
_registry_log.disabled = True
streamlit_drawable_canvas.out = st.components.v2.component(
    "streamlit-drawable-canvas.streamlit_drawable_canvas",
    js="index-*.js",
    css="index-*.css",
    html='<style>.dc-toolbar { display: none !important; }</style><div class="canvas-root"></div>',
    isolate_styles=True,
)
_registry_log.disabled = False
ICONS = {pen: f":material/pen_size_{size}:" for pen, size in zip(PENS, (1, 2, 3, 5), strict=True)}


def draw(dataset: str, on_paper: bool = False, on_change: Callable[[], None] | None = None) -> bool:
    """Shows the canvas and returns whether anything is drawn on it.

    White on black, as in the built-in data sets, or black on white `on_paper`, which stays the same for a data set: another
    ground would wipe the drawing. on_change: called before what a stroke runs again.
    """
    pad = Pad(dataset)
    pad.begin()
    result = st_canvas(
        stroke_width=PENS[_pen()],
        stroke_color=INK_ON_PAPER if on_paper else "#ffffff",
        background_color="#ffffff" if on_paper else "#000000",
        width=SIDE,
        height=SIDE,
        drawing_mode="freedraw",
        initial_drawing=pad.initial,
        key=pad.key,
        on_change=on_change,
    )
    strokes = result.json_data["objects"]
    pad.hear(json.dumps(strokes) if strokes else BLANK)
    return bool(pad.now)


def told(dataset: str) -> str:
    """The strokes of the drawing as `drawings` takes them; empty while the canvas is blank."""
    return Pad(dataset).now


def drawing(dataset: str) -> Image.Image | None:
    """The drawing, grey, 320x320; None while the canvas is blank. Digits written with too thick a pen come as a finer one would have left them."""
    return Pad(dataset).drawing


def tools(dataset: str, again: Callable[[], None]) -> None:
    """Shows pens, undo and clear. again: called after one of them was used; it says what runs again."""

    def pick() -> None:
        st.session_state["draw-pen-kept"] = st.session_state["draw-pen"]
        again()

    def undo() -> None:
        Pad(dataset).undo()
        again()

    def clear() -> None:
        Pad(dataset).clear()
        again()

    with st.container(horizontal=True, gap="small", width=SIDE, vertical_alignment="center", horizontal_alignment="distribute"):
        st.segmented_control("Pen", list(PENS), default=_pen(), key="draw-pen", label_visibility="collapsed", required=True, format_func=lambda pen: f"{ICONS[pen]} {pen}", on_change=pick)  # fmt: skip
        with st.container(horizontal=True, gap="xsmall", width="content"):
            st.button("Undo", icon=":material/undo:", key="draw-undo", help="Undo", on_click=undo)
            st.button("Clear", icon=":material/delete:", key="draw-clear", help="Clear", on_click=clear)


def traces(dataset: str) -> str:
    """An invisible mark, by which style.css tells whether there is something to undo and to clear."""
    pad = Pad(dataset)
    return f'<i class="ink-traces{" undo" if pad.history else ""}{" clear" if pad.now else ""}"></i>'


def _pen() -> str:
    return st.session_state.get("draw-pen-kept", "medium")  # Streamlit forgets a widget that another page does not show
