"""The ink of a canvas, kept in the session: what can be undone, and the picture that is read."""

import json
from typing import Any

import streamlit as st
from PIL import Image

from ui import drawings

MOST_SNAPSHOTS = 60
MOST_TOLD = 2_000_000  # characters of all that are kept; a drawing takes some thousands
MOST_DRAWN = 400_000  # of one; what is more is no drawing of anybody's, and would take seconds to draw again
BLANK = ""


class Pad:
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
        return drawings.picture(self.now, self.dataset) if self.now else None

    @property
    def initial(self) -> dict[str, Any]:
        # The canvas loads only what differs from what it loaded last, and two clears in a row would not.
        return {"objects": json.loads(self.state["initial"] or "[]"), "changes": self.state["changes"]}

    def hear(self, strokes: str) -> None:
        """Keeps what the canvas says, unless it is what it said before: what was undone or cleared since then."""
        if strokes != self.state["told"]:
            self.state["told"] = strokes
            if strokes != self.now and len(strokes) <= MOST_DRAWN:
                self.history.append(strokes)
                del self.history[:-MOST_SNAPSHOTS]
                while sum(map(len, self.history)) > MOST_TOLD:
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
