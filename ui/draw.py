"""The Draw page: a canvas, the answer after every stroke, and all networks side by side."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.scriptrunner import get_script_run_ctx

from models import datasets
from models.shelf import Card, ShelfError
from ui import beside, canvas, figures, panel, serving, sidebar, tell, visitor, why

LEADS = {
    "mnist": "Write a digit, or several in a row, any size, anywhere. The networks answer after every stroke.",
    "fashion-mnist": "Draw one garment and fill it in: these networks learned from photos of whole pieces, not from outlines.",
}
STROKE, ASKING = "draw-stroke", "draw-asking"  # the parts that run again by themselves


def page() -> None:
    """Draws the page.

    A stroke runs nothing again but the canvas and what is said of it: a class draws a hundred a second, and every widget that is sent
    along costs the server half a millisecond. What cannot be used before there is ink, style.css hides until then.
    """
    dataset = sidebar.chosen_dataset()
    about = datasets.info(dataset)
    st.html(figures.heading(f"Draw a {about.noun}", LEADS.get(about.name) or _lead_for_own(about)))
    side_by_side = st.container(horizontal=True, gap="large")
    left, right = side_by_side.container(width=canvas.SIDE), side_by_side.container(width="stretch", key="draw-answer")
    verdict, others = right.container(), st.container()
    with left:
        _answer_stroke(verdict, others)
        _show_tools(dataset)
    with right:
        _show_asking()


@st.fragment(key=STROKE)
def _answer_stroke(verdict: DeltaGenerator, others: DeltaGenerator) -> None:
    """The canvas; what the chosen network says goes to one place, what all of them say to another."""
    dataset, chosen = sidebar.chosen_dataset(), sidebar.chosen_card()
    about = datasets.info(dataset)
    is_drawn = canvas.draw(dataset, on_paper=about.is_own, on_change=_run_again_after_stroke)
    st.session_state["draw-said"] = None
    said = beside_it = ""
    if chosen is None:
        said = figures.no_network(about, visitor.may_act())
    elif is_drawn:
        try:
            visitor.count("drawings", "answers_per_minute")
        except visitor.NotAllowed as error:
            said = figures.error("Not so fast", str(error))
        else:
            said, beside_it = _read(dataset, chosen, canvas.told(dataset))
    if not said:
        said = figures.empty(f"Draw a {about.noun}", "Use the mouse, a pen or a finger. The answer appears here.")
    verdict.html(said)
    others.html(beside_it + canvas.traces(dataset))


def _read(dataset: str, chosen: Card, told: str) -> tuple[str, str]:
    """What the chosen network says of a drawing, and what all of them say; empty where there is nothing to read."""
    with serving.answering():
        cards = beside.cards(dataset, chosen)
        asked = [chosen, *(card for card, is_asked in cards if is_asked and card.name != chosen.name)]
        # Fewer than were asked where the first cannot be served, or sees nothing.
        answers = dict(zip([card.name for card in asked], serving.answers(told, asked), strict=False))
    answer = answers[chosen.name]
    if isinstance(answer, ShelfError):
        return figures.error(f"{chosen.title} cannot be served", str(answer)), ""
    if answer.prepared.is_blank:
        return "", ""
    st.session_state["draw-said"] = chosen, answer
    shown = [card for card, _ in cards if not isinstance(answers.get(card.name), ShelfError)]
    return figures.verdict(chosen, answer), figures.trio(shown, [answers.get(card.name) for card in shown], chosen.name)


@st.fragment(key=ASKING)
def _show_asking() -> None:
    """What can be asked about the answer, and told of it."""
    card, answer = st.session_state.get("draw-said") or (None, None)
    # Places of their own: what moves up or down between two quick strokes may be left standing twice by the browser.
    with st.container(key="draw-place-why"):
        if why.is_asked("draw") and answer and not answer.digits:
            why.show(card, answer)
    with st.container(key="draw-place-tell"):
        expander = tell.expander("draw")
        if expander and expander.open and answer:
            tell.show(expander, card, answer, lambda: canvas.drawing(card.dataset), "draw")


@st.fragment
def _show_tools(dataset: str) -> None:
    """A fragment, so that a click on one of them asks for this part alone: see `_run_again`."""
    canvas.tools(dataset, lambda: _run_again(_touched_by_ink()))


def _run_again(parts: list[str]) -> None:
    """Has these parts alone run again in place of the one that was clicked. Not where a click on something else, such as another data set, came
    while an earlier run was at work: Streamlit makes one request of both, for the whole page, which this would take the place of."""
    context = get_script_run_ctx()
    if context and context.fragment_ids_this_run:
        st.rerun(parts)


def _run_again_after_stroke() -> None:
    touched = _touched_by_ink()
    if panel.is_behind():  # looked at here and not after the answer: only a callback may have single fragments run again
        touched.append(panel.PANEL)
    if len(touched) > 1:
        _run_again(touched)


def _touched_by_ink() -> list[str]:
    """What shows something else once the ink is another: what can be asked stays as it is while it is closed."""
    return [STROKE, ASKING] if why.is_shown("draw") or tell.is_open("draw") else [STROKE]


def _lead_for_own(about: datasets.DatasetInfo) -> str:
    return (
        f"Your drawing goes to the network as dark ink on white paper. A network of {about.title} knows pictures like those it was "
        "trained on: if these are photos, show it photos, on the Upload page."
    )
