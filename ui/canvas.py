"""The drawing widget: streamlit-drawable-canvas with pen width, undo and clear that also work by touch.

The ink is kept in the session, one drawing a data set, so that it is still there after a visit to another page.
"""

import io
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import streamlit as st
import streamlit_drawable_canvas
from PIL import Image
from streamlit_drawable_canvas import st_canvas

from ui.pens import PENS, SIDE

MOST_SNAPSHOTS = 60
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


def draw(dataset: str, on_paper: bool = False, on_change: Callable[[], None] | None = None) -> Image.Image | None:
    """Shows the canvas and returns the drawing, grey, 320x320; None while it is blank.

    White on black, as in the built-in data sets, or black on white `on_paper`, which stays the same for a data set: another
    ground would wipe the drawing. on_change: called before what a stroke runs again.
    """
    pad = _Pad(dataset)
    pad.begin()
    result = st_canvas(
        stroke_width=PENS[_pen()],
        stroke_color="#000000" if on_paper else "#ffffff",
        background_color="#ffffff" if on_paper else "#000000",
        width=SIDE,
        height=SIDE,
        drawing_mode="freedraw",
        initial_drawing=pad.initial,
        return_image_data=True,
        key=pad.key,
        on_change=on_change,
    )
    if result.image_bytes is not None:  # None until this canvas has been drawn on
        strokes = result.json_data["objects"]
        pad.remember(_Snapshot(strokes=json.dumps(strokes) if strokes else "", png=result.image_bytes))
    return pad.drawing


def drawing(dataset: str) -> Image.Image | None:
    """What `draw` returned last."""
    return _Pad(dataset).drawing


def tools(dataset: str, again: Callable[[], None]) -> None:
    """Shows pens, undo and clear. again: called after one of them was used; it says what runs again."""

    def pick() -> None:
        st.session_state["draw-pen-kept"] = st.session_state["draw-pen"]
        again()

    def undo() -> None:
        _Pad(dataset).undo()
        again()

    def clear() -> None:
        _Pad(dataset).clear()
        again()

    with st.container(horizontal=True, gap="small", width=SIDE, vertical_alignment="center", horizontal_alignment="distribute"):
        st.segmented_control("Pen", list(PENS), default=_pen(), key="draw-pen", label_visibility="collapsed", required=True, format_func=ICONS.get, on_change=pick)  # fmt: skip
        with st.container(horizontal=True, gap="xsmall", width="content"):
            st.button("", icon=":material/undo:", key="draw-undo", help="Undo", on_click=undo)
            st.button("", icon=":material/delete:", key="draw-clear", help="Clear", on_click=clear)


def traces(dataset: str) -> str:
    """An invisible mark, by which style.css tells whether there is something to undo and to clear."""
    pad = _Pad(dataset)
    return f'<i class="ink-traces{" undo" if pad.history else ""}{" clear" if pad.now.strokes else ""}"></i>'


def _pen() -> str:
    return st.session_state.get("draw-pen-kept", "medium")  # Streamlit forgets a widget that another page does not show


@dataclass(frozen=True, kw_only=True)
class _Snapshot:
    """A drawing as it was reported once: fabric.js strokes to restore it, and its picture.

    The strokes are kept as text: as lists of lists they would keep the garbage collector busy after every answer.
    """

    strokes: str
    png: bytes = b""


_BLANK = _Snapshot(strokes="")


class _Pad:
    """The ink of one data set in the session, and the canvas that shows it.

    A canvas is told its drawing once, when it is made: telling it again on every rerun would redraw it under the pen.
    Every report is kept, so that undo needs no answer from the browser, and takes a clear back too.
    """

    def __init__(self, dataset: str) -> None:
        pads: dict[str, dict[str, Any]] = st.session_state.setdefault("draw-ink", {})
        self.state = pads.setdefault(dataset, {"history": [], "initial": "", "generation": 0})
        self.dataset = dataset

    def begin(self) -> None:
        """Before the canvas is shown: has a new one show the ink that there is."""
        if self.key not in st.session_state:  # first showing, or back from another page
            self.state["initial"] = self.now.strokes

    @property
    def key(self) -> str:
        return f"draw-canvas-{self.dataset}-{self.state['generation']}"

    @property
    def history(self) -> list[_Snapshot]:
        return self.state["history"]

    @property
    def now(self) -> _Snapshot:
        return self.history[-1] if self.history else _BLANK

    @property
    def drawing(self) -> Image.Image | None:
        return Image.open(io.BytesIO(self.now.png)).convert("L") if self.now.strokes else None

    @property
    def initial(self) -> dict[str, Any] | None:
        return {"objects": json.loads(self.state["initial"])} if self.state["initial"] else None

    def remember(self, snapshot: _Snapshot) -> None:
        if snapshot.strokes != self.now.strokes:
            self.history.append(snapshot)
            del self.history[:-MOST_SNAPSHOTS]

    def undo(self) -> None:
        if self.history:
            self.history.pop()
            self._show_now()

    def clear(self) -> None:
        if self.now.strokes:
            self.history.append(_BLANK)
            self._show_now()

    def _show_now(self) -> None:
        self.state.update(initial=self.now.strokes, generation=self.state["generation"] + 1)
