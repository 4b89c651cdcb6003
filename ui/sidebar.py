"""The sidebar: data set, network, and retraining. Settings hold for all pages."""

import streamlit as st

from models import shelf
from models.datasets import DATASETS
from ui import figures, retrain, settings


def show() -> None:
    """Shows the sidebar."""
    settings.open_link()
    with st.sidebar:
        st.session_state.setdefault("sidebar-dataset", next(iter(DATASETS)))  # not default=: retrain.py sets it too
        st.segmented_control(
            "Data set",
            list(DATASETS),
            required=True,
            format_func=lambda name: {"mnist": "Digits", "fashion-mnist": "Clothing"}[name],
            key="sidebar-dataset",
            width="stretch",
            help="Digits: MNIST, 70,000 handwritten digits. Clothing: Fashion-MNIST, 70,000 photos of garments.",
        )
        dataset = chosen_dataset()
        cards = shelf.list_cards(dataset)
        if cards:
            _show_network(dataset, cards)
        else:
            st.html(figures.error("The shelf is empty", f"There is no network for {dataset} yet: retrain one below."))
        retrain.show(dataset, chosen_card())


def chosen_dataset() -> str:
    """The data set that the visitor works with."""
    return st.session_state.get("sidebar-dataset") or next(iter(DATASETS))


def chosen_card() -> shelf.Card | None:
    """The network that the visitor chose, or the best of the shelf; None when the shelf is empty."""
    dataset = chosen_dataset()
    cards = {card.name: card for card in shelf.list_cards(dataset)}
    if not cards:
        return None
    name = st.session_state.get("sidebar-chosen", {}).get(dataset)
    return cards.get(name) or cards.get("ensemble") or next(iter(cards.values()))


def choose(dataset: str, name: str) -> None:
    """Makes a network the chosen one of its data set."""
    st.session_state.setdefault("sidebar-chosen", {})[dataset] = name
    st.session_state[f"sidebar-network-{dataset}"] = name


def _show_network(dataset: str, cards: list[shelf.Card]) -> None:
    chosen = chosen_card()
    titles = {card.name: f"{card.title} · {figures.percent(card.test_accuracy, 2)}" for card in cards}
    names = list(titles)
    key = f"sidebar-network-{dataset}"
    if st.session_state.get(key) not in names:
        st.session_state[key] = chosen.name
    name = st.selectbox("Network", names, format_func=titles.get, key=key, help="Each with its accuracy on its test images.")
    st.session_state.setdefault("sidebar-chosen", {})[dataset] = name
