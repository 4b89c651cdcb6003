"""The sidebar: data set, network, and retraining. Settings hold for all pages; the data set is in the address, for links and reloads."""

from collections import Counter

import streamlit as st

from models import datasets, shelf
from models.datasets import DATASETS, DatasetError
from ui import figures, retrain, settings, visitor

TITLES = {"mnist": "Digits", "fashion-mnist": "Clothing"}
SHORTEST_END, LONGEST_NAME = 6, 64


def show(page: str = "") -> None:
    """Shows the sidebar beside the page of this address, the first one's being empty."""
    settings.open_link()
    with st.sidebar:
        _show_picker(page)
        dataset = chosen_dataset()
        cards = shelf.list_cards(dataset)
        if cards:
            _show_network(dataset, cards)
        elif dataset in DATASETS:
            st.html(figures.error("The shelf is empty", f"There is no network for {dataset} yet{_what_to_do('below')}."))
        else:  # of one's own it is how all of them begin
            st.html(figures.note(f"No network for {datasets.info(dataset).title} yet{_what_to_do('here')}."))
        retrain.show(dataset, chosen_card())


def _what_to_do(where: str) -> str:
    """For those who have the form for it; strangers on a public page have not."""
    return f": retrain one {where}" if visitor.may_act() else ""


def chosen_dataset() -> str:
    """The data set that the visitor works with; the first one when theirs was deleted."""
    name = st.session_state.get(settings.DATASET)
    try:
        return datasets.info(name).name
    except DatasetError:
        return next(iter(DATASETS))


def choose_dataset(name: str) -> None:
    """Makes a data set the chosen one when the page runs next: its picker stands already."""
    st.session_state["sidebar-dataset-wanted"] = name


def in_address() -> dict[str, str]:
    """What the address says of the chosen data set: nothing of the first one."""
    title = _titles()[chosen_dataset()]
    return {settings.DATASET: title} if title != next(iter(TITLES.values())) else {}


def _titles() -> dict[str, str]:
    """What the picker shows for each data set's name, the built-in ones first."""
    return told_apart(TITLES | {each.name: each.title for each in datasets.list_own()[0]})


def _show_picker(page: str) -> None:
    """The built-in data sets side by side; a list in a visit that begins with one's own beside them.

    It stays what it was when the visit began: of a picker of another kind the address would not tell until the next click.
    """
    titles = _titles()
    wanted = st.session_state.pop("sidebar-dataset-wanted", None)
    if settings.DATASET not in st.session_state:  # the visit begins
        wanted = next((name for name, title in titles.items() if title == st.query_params.get(settings.DATASET)), None)
    # Set on every run, not default=: retrain.py sets it too, and it outlives a data set that is deleted.
    st.session_state[settings.DATASET] = wanted if wanted in titles else chosen_dataset()
    shared = {
        "label": "Data set",
        "options": list(titles),
        "format_func": titles.get,
        "key": settings.DATASET,
        "bind": None if page == settings.EXPERIMENTS else "query-params",  # that page writes the address itself, all of it at once
        "width": "stretch",
        "help": "Digits: MNIST, 70,000 handwritten digits. Clothing: Fashion-MNIST, 70,000 photos of garments. Add your own on the page Own images.",
    }
    if st.session_state.setdefault("sidebar-picker-is-list", len(titles) > len(TITLES)):
        st.selectbox(**shared)
    else:
        st.segmented_control(**shared, required=True)


def chosen_card() -> shelf.Card | None:
    """The network that the visitor chose, or the best of the shelf; None when the shelf is empty."""
    dataset = chosen_dataset()
    name = st.session_state.get("sidebar-chosen", {}).get(dataset)
    chosen = shelf.find_card(dataset, name) if name else None
    if chosen and chosen.graph_path.is_file():  # no need to look at all of them after every stroke
        return chosen
    cards = {card.name: card for card in shelf.list_cards(dataset)}
    if not cards:
        return None
    return cards.get(name) or cards.get(shelf.USUAL.get(dataset, "ensemble")) or next(iter(cards.values()))


def choose(dataset: str, name: str) -> None:
    """Makes a network the chosen one of its data set."""
    st.session_state.setdefault("sidebar-chosen", {})[dataset] = name
    st.session_state[f"sidebar-network-{dataset}"] = name


def told_apart(titles: dict[str, str]) -> dict[str, str]:
    """What a picker shows for each name: its title, and where several have one title, the end of the name too.

    Streamlit knows an option by what it shows: of two that look the same it would take the last one, whichever was chosen.
    """
    counts = Counter(titles.values())
    alike = [name for name, title in titles.items() if counts[title] > 1]
    length = next((each for each in range(SHORTEST_END, LONGEST_NAME) if len({name[-each:] for name in alike}) == len(alike)), LONGEST_NAME)
    return titles | {name: f"{titles[name]} · {name[-length:]}" for name in alike}


def _show_network(dataset: str, cards: list[shelf.Card]) -> None:
    chosen = chosen_card()
    titles = told_apart({card.name: f"{card.title} · {figures.percent(card.test_accuracy, 2)}" for card in cards})
    names = list(titles)
    key = f"sidebar-network-{dataset}"
    if key in st.session_state and st.session_state[key] not in names:  # it was deleted, and the browser still shows it
        st.session_state[key] = chosen.name
    # index=, not the session's state, for the first value: a visitor who leaves the first page at once has not heard of the latter yet,
    # and the browser would answer with the first name of the list.
    first = 0 if key in st.session_state else names.index(chosen.name)
    name = st.selectbox("Network", names, index=first, format_func=titles.get, key=key, help="Each with its accuracy on its test images.")
    st.session_state.setdefault("sidebar-chosen", {})[dataset] = name
