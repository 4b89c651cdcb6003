"""What all visitors share: the classifiers, loaded once each, and the warm-up that keeps the page quick."""

import gc
import threading
import time

import streamlit as st

from inference.classify import Classifier, load_classifier
from models import shelf

MOST_CLASSIFIERS = 24
FIRST_PAGE = 1.0  # seconds: the browser is still fetching the canvas, and loading here would hold up what it asks for


@st.cache_resource(max_entries=MOST_CLASSIFIERS, show_spinner=False)
def _classifier(dataset: str, name: str, sha256: str) -> Classifier:
    return load_classifier(shelf.load_card(dataset, name))


def classifier(card: shelf.Card) -> Classifier:
    """The session of a published network; one that was published anew has another sha256 and is loaded anew.

    Raises ShelfError.
    """
    return _classifier(card.dataset, card.name, card.sha256)


@st.cache_resource(show_spinner=False)
def warm_up() -> threading.Thread:
    """Once a server, after the first page: loads what later clicks need, then takes it out of the garbage collector's way.

    Frozen, the modules are not searched for garbage again and again, which would hold up everybody's answers;
    .streamlit/config.toml keeps Streamlit from collecting after every stroke.
    """

    def load() -> None:
        time.sleep(FIRST_PAGE)
        import altair  # noqa: F401

        gc.collect()
        gc.freeze()

    thread = threading.Thread(target=load, name="warm-up", daemon=True)
    thread.start()
    return thread
