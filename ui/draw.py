"""The Draw page: a canvas, the answer after every stroke, and all networks side by side."""

import streamlit as st

from inference.classify import answer_image
from models import datasets
from ui import beside, canvas, figures, serving, sidebar, tell, visitor, why

LEADS = {
    "mnist": "Write a digit, or several in a row, any size, anywhere. The networks answer after every stroke.",
    "fashion-mnist": "Draw one garment and fill it in: these networks learned from photos of whole pieces, not from outlines.",
}


def page() -> None:
    """Draws the page."""
    about = datasets.info(sidebar.chosen_dataset())
    st.html(figures.heading(f"Draw a {about.noun}", LEADS.get(about.name) or _lead_for_own(about)))
    _pad_and_answer()


@st.fragment
def _pad_and_answer() -> None:
    """Only this part runs again after a stroke."""
    dataset, chosen = sidebar.chosen_dataset(), sidebar.chosen_card()
    about = datasets.info(dataset)
    side_by_side = st.container(horizontal=True, gap="large")
    with side_by_side, st.container(width=canvas.SIDE):
        drawing = canvas.draw(dataset, on_paper=about.is_own)
    with side_by_side, st.container(width="stretch", key="draw-answer"):
        if chosen is None:
            st.html(figures.no_network(about))
            return
        if drawing is None:
            _show_blank(about.noun)
            return
        try:
            visitor.count("drawings", "answers_per_minute")
        except visitor.NotAllowed as error:
            st.html(figures.error("Not so fast", str(error)))
            return
        with serving.answering():
            answer = answer_image(serving.classifier(chosen), drawing, invert=False)
        if answer.prepared.is_blank:
            _show_blank(about.noun)
            return
        st.html(figures.verdict(chosen, answer))
        # Places of their own: what moves up or down between two quick strokes may be left standing twice by the browser.
        with st.container(key="draw-place-why"):
            why.show(chosen, answer, "draw")
        with st.container(key="draw-place-tell"):
            tell.show(chosen, answer, lambda: drawing, "draw")
    with serving.answering():
        cards, answers = beside.others(dataset, chosen, answer)
    st.html(figures.trio(cards, answers, chosen.name))


def _lead_for_own(about: datasets.DatasetInfo) -> str:
    return (
        f"Your drawing goes to the network as dark ink on white paper. A network of {about.title} knows pictures like those it was "
        "trained on: if these are photos, show it photos, on the Upload page."
    )


def _show_blank(noun: str) -> None:
    st.html(figures.empty(f"Draw a {noun}", "Use the mouse, a pen or a finger. The answer appears here."))
