"""The drawing widget: streamlit-drawable-canvas with pen width, undo and clear that also work by touch.

The ink is kept in the session, one drawing a data set, so that it is still there after a visit to another page.
"""

import json
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import streamlit as st
import streamlit_drawable_canvas
from PIL import Image, ImageOps
from streamlit_drawable_canvas import st_canvas

from inference.strokes import Stroke, drawn, with_finer_pens
from ui.pens import PENS, SIDE

MOST_SNAPSHOTS = 60
MOST_TOLD = 2_000_000  # characters of all that are kept; a drawing takes some thousands
BLANK = ""
INK_ON_PAPER = "#000000"
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
    ground would wipe the drawing. Digits written with too thick a pen come as a finer one would have left them. on_change:
    called before what a stroke runs again.
    """
    pad = _Pad(dataset)
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
        st.segmented_control("Pen", list(PENS), default=_pen(), key="draw-pen", label_visibility="collapsed", required=True, format_func=lambda pen: f"{ICONS[pen]} {pen}", on_change=pick)  # fmt: skip
        with st.container(horizontal=True, gap="xsmall", width="content"):
            st.button("Undo", icon=":material/undo:", key="draw-undo", help="Undo", on_click=undo)
            st.button("Clear", icon=":material/delete:", key="draw-clear", help="Clear", on_click=clear)


def traces(dataset: str) -> str:
    """An invisible mark, by which style.css tells whether there is something to undo and to clear."""
    pad = _Pad(dataset)
    return f'<i class="ink-traces{" undo" if pad.history else ""}{" clear" if pad.now else ""}"></i>'


def _pen() -> str:
    return st.session_state.get("draw-pen-kept", "medium")  # Streamlit forgets a widget that another page does not show


class _Pad:
    """The ink of one data set in the session, and the canvas that shows it.

    A canvas is told its drawing when it is made, and again only after undo and clear: on every rerun it would redraw it under the pen.
    It is the same canvas all along, since a new one takes half a second to come, in which strokes are lost. Every report is kept, so
    that undo needs no answer from the browser, and takes a clear back too: the strokes as fabric.js tells them, as text, since as
    lists of lists they would keep the garbage collector busy after every answer.
    """

    def __init__(self, dataset: str) -> None:
        pads: dict[str, dict[str, Any]] = st.session_state.setdefault("draw-ink", {})
        self.state = pads.setdefault(dataset, {"history": [], "told": BLANK, "initial": BLANK, "changes": 0})
        self.dataset = dataset

    def begin(self) -> None:
        """Before the canvas is shown: has a new one show the ink that there is."""
        if self.key not in st.session_state:  # first showing, or back from another page
            self.state["initial"] = self.state["told"] = self.now

    @property
    def key(self) -> str:
        return f"draw-canvas-{self.dataset}"

    @property
    def history(self) -> list[str]:
        return self.state["history"]

    @property
    def now(self) -> str:
        return self.history[-1] if self.history else BLANK

    @property
    def drawing(self) -> Image.Image | None:
        if not self.now:
            return None
        objects = json.loads(self.now)
        strokes = list(map(_stroke, objects))
        picture = drawn(with_finer_pens(strokes) if self.dataset == "mnist" else strokes, (SIDE, SIDE))
        return ImageOps.invert(picture) if objects[0]["stroke"] == INK_ON_PAPER else picture

    @property
    def initial(self) -> dict[str, Any]:
        # The canvas loads only what differs from what it loaded last, and two clears in a row would not.
        return {"objects": json.loads(self.state["initial"] or "[]"), "changes": self.state["changes"]}

    def hear(self, strokes: str) -> None:
        """Keeps what the canvas says, unless it is what it said before: what was undone or cleared since then."""
        if strokes != self.state["told"]:
            self.state["told"] = strokes
            if strokes != self.now:
                self.history.append(strokes)
                del self.history[:-MOST_SNAPSHOTS]
                while self.history and sum(map(len, self.history)) > MOST_TOLD:  # of one alone too: nobody draws so much
                    del self.history[0]

    def undo(self) -> None:
        if self.history:
            self.history.pop()
            self._show_now()

    def clear(self) -> None:
        if self.now:
            self.history.append(BLANK)
            self._show_now()

    def _show_now(self) -> None:
        self.state.update(initial=self.now, changes=self.state["changes"] + 1)


def _stroke(told: dict[str, Any]) -> Stroke:
    """A path of fabric.js: pieces of curves, each a command and its points, of which the last is where the piece ends."""
    ends, points = [piece[-2:] for piece in told["path"]], []
    for start, piece in zip([ends[0], *ends], told["path"], strict=False):
        if len(piece) == 5:  # Q: a curve of second degree; they are so short that its middle is enough
            points.append([(a + 2 * b + c) / 4 for a, b, c in zip(start, piece[1:3], piece[3:], strict=True)])
        points.append(piece[-2:])
    # The browser says what it likes; beyond the canvas there is nothing to see.
    return np.clip(np.array(points, np.float32), -SIDE, 2 * SIDE), min(float(told["strokeWidth"]), SIDE)
