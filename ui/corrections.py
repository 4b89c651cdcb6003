"""The Corrections page: what people said was read wrong, to review and delete, and to retrain a network on."""

import base64
import html
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from inference import sessions
from jobs.recipes import fine_tuned
from models import datasets, shelf
from models.datasets import DatasetInfo
from models.errors import InklingError
from ui import figures, panel, retrain, serving, sidebar, visitor

if TYPE_CHECKING:
    from corrections.store import Correction, Engine

FEW, MORE = 24, 96  # shown at first, and more on each click
CELL = 132  # pixels
RETRAINED = (
    "A retrain shows it each of them many times among all training images, for one epoch. It becomes a new network beside the old one; "
    "what would make it worse on validation images is taken back."
)
DAMAGED = "cannot be asked about them: the Models page says why. To retrain on them, choose another network in the sidebar."
MIXED = "It is of several kinds of networks, which no run goes on from; to retrain on them, choose another one in the sidebar."


def page() -> None:
    """Shows the page."""
    from corrections import store

    about, chosen = datasets.info(sidebar.chosen_dataset()), sidebar.chosen_card()
    st.html(
        figures.heading(
            "Corrections",
            f"{_pictures(about)} that were read wrong, each with the label that somebody gave it. Choose another data set in the sidebar "
            "for its own. They stay on this server until they are deleted here. A retrain keeps copies of them until it is done, or, "
            "where it stopped, until it is deleted on the page Retrains.",
        )
    )
    try:
        visitor.demand("correct")  # pictures of other people
    except visitor.NotAllowed as error:
        st.html(figures.empty("Not for everybody", str(error)))
        return
    try:
        engine = serving.corrections()
        found = store.find(engine, about, with_pixels=False)
        left_over = 0 if _is_any_damaged() else store.count_left_over(engine, _known())
        shown = found[: st.session_state.get("corrections-shown", FEW)]
        pictures = store.pictures(engine, [each.id for each in shown])
    except InklingError as error:
        st.html(figures.error("The corrections cannot be shown", str(error)))
        return
    _show_left_over(engine, left_over)
    if not found:
        st.html(figures.empty("None yet", "Where an answer on the Draw or Upload page is wrong, choose “Wrong? Tell me” below it."))
        return
    said_now = _said_now(chosen, found, engine, about)
    if chosen:
        _show_retrain(chosen, found, said_now)
    with st.container(horizontal=True, gap="medium"):
        for correction, now in zip(shown, said_now, strict=False):
            with st.container(width=CELL, gap="xsmall", horizontal_alignment="center", key=f"correction-{correction.id}"):
                st.html(_cell(correction, pictures.get(correction.id, b""), now))
                st.button("Delete", key=f"corrections-delete-{correction.id}", icon=":material/delete:", type="tertiary", on_click=_remove, args=(engine, [correction]))  # fmt: skip
    with st.container(horizontal=True):
        if len(shown) < len(found):
            st.button(f"Show more of {len(found):,}", key="corrections-more", on_click=_show_more)
        with st.popover("Delete all", icon=":material/delete_sweep:"):
            st.write(
                f"Deletes all {_count(found)} for good. Networks that learned from them stay, and the copies of retrains that stopped."
            )
            st.button("Delete for good", type="primary", key="corrections-delete-all", on_click=_remove, args=(engine, found))  # fmt: skip
    if problem := st.session_state.pop("corrections-problem", None):
        st.html(figures.error("Not deleted", problem))


def _known() -> list[DatasetInfo]:
    return [*datasets.DATASETS.values(), *datasets.list_own()[0]]


def _is_any_damaged() -> bool:
    """Whether an own data set is there and cannot be read now: it is not known whose the corrections are that none of the others shows."""
    return bool(datasets.list_own()[1])


def _show_left_over(engine: "Engine", count: int) -> None:
    """Corrections that no data set shows any more: they are somebody's pictures all the same."""
    if not count:
        return
    with st.container(border=True):
        st.write(
            f"{count:,} correction{' is' if count == 1 else 's are'} of data sets that are not here any more, or that have other classes or another size now."
        )
        st.button(
            "Delete for good", icon=":material/delete:", key="corrections-delete-left-over", on_click=_remove_left_over, args=(engine,)
        )
    if problem := st.session_state.pop("corrections-left-over-problem", None):
        st.html(figures.error("Not deleted", problem))


def _pictures(about: DatasetInfo) -> str:
    return f"Pictures of {about.title}" if about.is_own else f"{about.noun.capitalize()}s"


def _count(found: "list[Correction]") -> str:
    return f"{len(found):,} correction{'' if len(found) == 1 else 's'}"


def _said_now(chosen: shelf.Card | None, found: "list[Correction]", engine: "Engine", about: DatasetInfo) -> list[str]:
    """What the chosen network itself says of each picture now; nothing where it cannot be asked."""
    if not chosen:
        return [""] * len(found)
    from corrections import store

    try:
        best = _most_probable(chosen, found, engine, about)
    except (shelf.ShelfError, store.StoreError):  # the Models page says why; a database that went away is told on the next click
        best = {}
    return [chosen.labels[best[each.id]] if each.id in best else "" for each in found]


_asked: dict[tuple, int] = {}  # what a network said of a correction; of visitors that ask at once each writes the same
MOST_ASKED = 50_000
AT_ONCE = 64  # pictures


def _most_probable(chosen: shelf.Card, found: "list[Correction]", engine: "Engine", about: DatasetInfo) -> dict[int, int]:
    """The number of the most probable class by the correction's id. Each is asked about once, not on every click: 2,000 pictures take an
    ensemble seconds."""
    from corrections import store

    keys = {each.id: (str(engine.url), chosen.sha256, each.id, each.created) for each in found}
    known = {number: _asked.get(key) for number, key in keys.items()}  # at one look: another visitor's thread may empty it
    best = {number: index for number, index in known.items() if index is not None}
    new = [number for number in keys if number not in best]
    if not new:
        return best
    classifier = sessions.classifier(chosen)
    for at in range(0, len(new), AT_ONCE):
        pixels = store.pixels(engine, new[at : at + AT_ONCE], about)
        if pixels:
            probable = classifier.probabilities(np.stack(list(pixels.values()))).argmax(1)
            best |= {number: int(index) for number, index in zip(pixels, probable, strict=True)}
    if len(_asked) + len(new) > MOST_ASKED:
        _asked.clear()
    _asked.update({keys[number]: best[number] for number in new if number in best})
    return best


def _show_retrain(chosen: shelf.Card, found: "list[Correction]", said_now: list[str]) -> None:
    right = sum(now == each.label for now, each in zip(said_now, found, strict=True))
    is_served = any(said_now)
    reads = f"now reads {right:,} of {len(found):,} rightly. {MIXED if chosen.is_mixed else RETRAINED}" if is_served else DAMAGED
    with st.container(border=True):
        st.html(
            f'<div class="ink" data-testid="corrections-summary"><h3 style="padding:0;margin:0">{_count(found)}</h3>'
            f'<p class="ink-lead">{html.escape(chosen.title)} {reads}</p></div>'
        )
        if chosen.is_mixed or not is_served:
            return
        if st.button("Retrain on these corrections", type="primary", icon=":material/play_arrow:", key="corrections-retrain"):
            try:
                retrain.begin(fine_tuned(chosen), chosen.facts["architecture"])
            except (InklingError, OSError, KeyError) as error:
                st.html(figures.error("The retrain did not start", str(error)))
        if panel.is_busy():
            st.caption("A retrain is at work: the sidebar shows how far it is. This one would wait for its turn.")


def _cell(correction: "Correction", picture: bytes, now: str) -> str:
    """The picture, what had been said, the right label, and whether the chosen network reads it right now."""
    said = f"said {html.escape(correction.said)}" if correction.said else "declined"
    verdict = (
        ""
        if not now
        else '<i class="right">now read right</i>'
        if now == correction.label
        else f'<i class="wrong">now {html.escape(now)}</i>'
    )
    url = "data:image/png;base64," + base64.b64encode(picture).decode()
    return (
        f'<div class="ink ink-correction" data-testid="correction"><img src="{url}" alt="a picture that was read wrong"><b>{html.escape(correction.label)}</b>'
        f'<span title="by {html.escape(correction.network)}, {correction.created:%Y-%m-%d %H:%M} UTC">{said}</span>{verdict}</div>'
    )


def _show_more() -> None:
    st.session_state["corrections-shown"] = st.session_state.get("corrections-shown", FEW) + MORE


def _remove_left_over(engine: "Engine") -> None:
    from corrections import store

    try:
        visitor.demand("correct")
        if not _is_any_damaged():
            store.remove_left_over(engine, _known())
    except InklingError as error:
        st.session_state["corrections-left-over-problem"] = str(error)


def _remove(engine: "Engine", corrections: "list[Correction]") -> None:
    from corrections import store

    try:
        visitor.demand("correct")
        store.remove(engine, corrections)
    except InklingError as error:
        st.session_state["corrections-problem"] = str(error)
