"""Settings given to the retrain form from outside it: by a cell of a table or by a link. They are carried whole; the form
shows the usual ones, and what runs is the given configuration with what the form shows in its place."""

import dataclasses

import streamlit as st

from jobs import links, summary, tables
from jobs.config import RunConfig
from ui import figures

DATASET = "data"  # key of the data set's picker, and so its name in the address
EXPERIMENTS = "experiments"  # address of the page that writes tables, cells and settings into it
GIVEN = "retrain-given"  # also the architecture's name in the form
SHOWN = ("dataset", "network", "optimizer", "lr", "batch_size", "epochs", "augmentation")  # by the form and the data set's picker
NOT_GIVEN = ("seed", "threads", "device", "publish")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Given:
    """Settings from outside, and whose they are."""

    title: str
    config: RunConfig


def give(config: RunConfig, title: str) -> None:
    """Fills the form. Must run before the data set's picker is made: in a callback, or at the start of a run."""
    default = RunConfig()
    kept = dataclasses.replace(config, **{name: getattr(default, name) for name in NOT_GIVEN})
    st.session_state[GIVEN] = Given(title=title, config=kept)
    st.session_state[DATASET] = kept.dataset
    _renew()


def given() -> Given | None:
    """What was given, if anything was."""
    return st.session_state.get(GIVEN)


def take_back() -> None:
    """Leaves the form as a visitor first finds it. A callback, as `give`."""
    st.session_state.pop(GIVEN, None)
    _renew()


def _renew() -> None:
    st.session_state["retrain-filled"] = st.session_state.get("retrain-filled", 0) + 1


def key(name: str) -> str:
    """The key of a widget of the form. Each filling makes new widgets, which begin with their defaults: a value set for a
    widget in a closed expander does not reach the browser."""
    filled = st.session_state.get("retrain-filled", 0)
    return f"retrain-{name}-{filled}" if filled else f"retrain-{name}"


def with_option(options: tuple, value: object) -> tuple:
    """A slider's options with one more, in order."""
    return options if value in options else tuple(sorted((*options, value)))


def asked() -> RunConfig | None:
    """What the form would run now, as far as a link can say it; None while it is as a visitor first finds it."""
    return st.session_state.get("retrain-asked")


def ask(config: RunConfig | None) -> None:
    """Notes what the form would run, for `asked`."""
    st.session_state["retrain-asked"] = config


def changed_since(now: RunConfig) -> list[str]:
    """The settings, in words, in which the form differs from what was given."""
    before, after = summary.settings_that_matter(given().config), summary.settings_that_matter(now)
    return [name.replace("_", " ") for name in {**before, **after} if before.get(name) != after.get(name)]


def show_complaints(page: str) -> None:
    """Shows what of the link that opened this visit could not be used, on the page that it led to. page: its address."""
    if st.session_state.setdefault("link-page", page) == page:
        for complaint in st.session_state.get("link-complaints", []):
            st.html(figures.error("Not all of the link could be used", complaint))


def open_link() -> None:
    """Once a visit, before any widget: takes sweep, cells and settings from the address."""
    if "link-opened" in st.session_state:
        return
    st.session_state["link-opened"] = True
    texts = st.query_params.to_dict()
    complaints = st.session_state["link-complaints"] = []
    name = texts.get("sweep", "")
    if name and name not in tables.SWEEPS:
        complaints.append(f"There is no table {name[:40]!r}; the first one is shown instead.")
    elif name or "cells" in texts:
        name = name or next(iter(tables.SWEEPS))
        places, sentence = links.read_cells(name, texts.get("cells", ""))
        st.session_state["experiments-kept"] = {"sweep": name, "cells": {name: places} if places else {}}
        complaints += [sentence] if sentence else []
    config, sentence = links.read_config(texts)
    complaints += [sentence] if sentence else []
    if config is not None:
        give(config, summary.name_of(config, name) or "a shared link")
