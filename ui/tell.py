"""'Wrong? Tell me': keeps a picture with the right label, once somebody clicks."""

import hashlib
import io
from collections.abc import Callable

import numpy as np
import streamlit as st
from PIL import Image
from streamlit.delta_generator import DeltaGenerator

from inference.classify import Answer
from inference.ink import over_contrasting_ground
from models import datasets
from models.errors import InklingError
from models.shelf import Card
from ui import figures, serving, visitor

LARGEST = 320  # pixels of a side of the picture that is kept


class NothingTold(InklingError):
    """There is no label to keep. The message says which one is missing."""


def expander(key: str) -> DeltaGenerator | None:
    """Shows what opens it; None to a visitor who may not. `show` fills it when it is open.

    Its widgets are sent only then: after a stroke they would be a third of what the page is told, and hardly anybody looks at them. No
    popover, which lies over the sidebar or is cut off where a window is low.
    """
    if not visitor.may_act():
        return None
    return st.expander("Wrong? Tell me", icon=":material/flag:", type="compact", key=f"{key}-tell", on_change="rerun")


def is_open(key: str) -> bool:
    """Whether an expander of the page is open."""
    return bool(st.session_state.get(f"{key}-tell"))


def show(place: DeltaGenerator, card: Card, answer: Answer, picture: Callable[[], Image.Image], key: str, beside: str = "") -> None:
    """Asks what is right, and keeps it. place: the open expander. picture: gives the picture as it came. beside: the title of another
    network whose answer stands above, and which learns from no corrections."""
    key = f"{key}-{hashlib.sha256(answer.prepared.pixels.tobytes()).hexdigest()[:12]}"
    with place:
        try:
            about = datasets.info(card.dataset)
        except InklingError as error:  # deleted since it was answered
            st.html(figures.error("Nothing can be kept", str(error)))
            return
        label = _ask(about, answer, key)
        if st.button("Keep it", key=f"{key}-keep", type="primary", icon=":material/save:"):
            try:
                kept = _keep_number(card, answer, label) if answer.digits else _keep(card, answer, label, picture(), beside)
            except InklingError as error:
                st.html(figures.error("Nothing was kept", str(error)))
            else:
                st.success(f"Kept as {figures.in_markdown(kept)}.", icon=":material/check:")
        if beside:
            st.caption(
                f"For {figures.in_markdown(card.title)}, which sees 28x28 grey pixels and can be retrained on corrections; {figures.in_markdown(beside)} cannot, and "
                "what is none of these classes cannot be kept."
            )
        st.caption(
            "Keeps the picture with its right label on this server, for the Corrections page and for retraining. Nothing is kept without this click."
        )


def _ask(about: datasets.DatasetInfo, answer: Answer, key: str) -> str | None:
    if answer.digits:
        count = len(answer.digits)
        return st.text_input(
            f"Which {count} digits are they?" if count > 1 else "Which digit is it?", key=f"{key}-number", max_chars=40
        ).strip()
    if len(about.labels) <= figures.MOST_BARS:
        return st.pills("What is it?", about.labels, key=f"{key}-label", format_func=figures.in_markdown)
    return st.selectbox("What is it?", about.labels, index=None, key=f"{key}-label", placeholder="Choose")


def _keep(card: Card, answer: Answer, label: str | None, picture: Image.Image, beside: str) -> str:
    """Keeps what the chosen network saw, which is what learns from it; the photo network does not. Raises StoreError, NothingTold."""
    if not label:
        raise NothingTold("Choose above what the picture shows.")
    if label == answer.label:
        raise NothingTold(f"{label} is what {card.title} read{f'; {beside} learns from no corrections' if beside else ''}.")
    _store(card, [(answer, label, picture)])
    return label


def _keep_number(card: Card, answer: Answer, text: str) -> str:
    """Keeps the digits of a number that were read wrong. Raises StoreError, NothingTold."""
    if len(text) != len(answer.digits) or not set(text) <= set(card.labels):
        raise NothingTold(
            f"{text!r} is not {len(answer.digits)} digit{'s'[: len(answer.digits) > 1]}: the picture was read as so many. Where it was divided wrongly, show its digits one by one."
        )
    wrong = [(each, label) for each, label in zip(answer.digits, text, strict=True) if each.label != label]
    if not wrong:
        raise NothingTold(f"{text} is what was read.")
    _store(card, [(each, label, _as_written(each)) for each, label in wrong])
    return ", ".join(label for _, label in wrong)


def _as_written(digit: Answer) -> Image.Image:
    """Dark on light where it was so."""
    pixels = digit.prepared.pixels
    return Image.fromarray(255 - pixels if digit.prepared.inverted else pixels)


def _store(card: Card, told: list[tuple[Answer, str, Image.Image]]) -> None:
    """Keeps answers of a network with their right labels and pictures: all of them or none."""
    from corrections import store  # it brings SQLAlchemy, which the first page does not need

    visitor.demand("correct")
    corrections = [
        store.Correction(
            dataset=card.dataset,
            label=label,
            said=answer.label or "",
            network=card.name,
            pixels=answer.prepared.batch[0],
            picture=_small(picture),
        )
        for answer, label, picture in told
    ]
    store.keep_all(serving.corrections(), corrections, datasets.info(card.dataset))


def _small(picture: Image.Image) -> bytes:
    """A PNG of at most LARGEST pixels a side, of its pixels alone: what a file says beside them, such as a place, is not kept."""
    small = over_contrasting_ground(picture, "L" if picture.mode == "L" else "RGB")
    small.thumbnail((LARGEST, LARGEST))
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(small)).save(buffer, "PNG")
    return buffer.getvalue()
