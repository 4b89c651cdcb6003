"""The Own images page: a zip of one's own pictures becomes a data set like digits and clothing; what there is, and deleting it."""

import contextlib
import html

import numpy as np
import streamlit as st

from jobs import queue
from jobs.imports import import_zip, name_of
from models import datasets, shelf
from models.datasets import DatasetInfo
from models.errors import InklingError
from ui import figures, panel, problems, serving, sidebar, uploads, visitor

SIDES = (16, 28, 32, 48, 64, 96, 128)
MOST_MB = 100  # as .streamlit/config.toml and the import itself have it
STAY = "a click elsewhere on this page would end the import"
A_CLASS = 6  # pictures shown of each class
MOST_ROWS = 12  # classes shown before the others are only counted


class InUse(InklingError):
    """A data set cannot be deleted now. The message says why."""


def page() -> None:
    """Shows the page."""
    st.html(
        figures.heading(
            "Your own images",
            "A zip with one folder for each class, and at least 10 pictures in each. It becomes a data set of its own: train on it, draw and upload.",
        )
    )
    if news := st.session_state.pop("own-news", None):
        st.success(news, icon=":material/check:")
    if problem := st.session_state.pop("own-problem", None):  # of an import that this very run has ended
        st.html(figures.error("Nothing was imported", problem))
    own, unreadable = datasets.list_own()
    if visitor.may_act():
        _form(is_open=not own)
    elif not own:
        st.html(figures.empty("None yet", "Adding some is for those who signed in and are on this server's list."))
    for problem in (*unreadable, *shelf.list_orphans()):
        st.html(figures.error("Left out", problem))
    for about in own:
        _show(about)


def _form(is_open: bool) -> None:
    with st.expander("Add a data set", icon=":material/add_photo_alternate:", expanded=is_open):
        round_ = st.session_state.setdefault("own-round", 0)  # a new key empties the form after an import
        file = st.file_uploader("Zip file", type="zip", key=f"own-zip-{round_}", max_upload_size=MOST_MB)
        left, middle, right = st.columns([3, 2, 2], vertical_alignment="bottom")
        title = left.text_input("Name", key=f"own-title-{round_}", placeholder="for example: Scenes")
        side = middle.selectbox(
            "Size",
            SIDES,
            index=SIDES.index(64),
            format_func=lambda side: f"{side}x{side} pixels",
            key=f"own-side-{round_}",
            help="What a network sees of each picture. Larger shows more and trains slower.",
        )
        grey = right.toggle("Without colours", key=f"own-grey-{round_}", help="For drawings and writing, whose colour says nothing.")
        # Not before the zip has arrived: its arrival runs the page again, which would take a click from it, or what was said of one.
        if st.button("Import", type="primary", icon=":material/upload:", key="own-import", disabled=file is None):
            _import(file, title.strip(), side, grey)


def _import(file: object, title: str, side: int, grey: bool) -> None:
    if not title:
        st.html(figures.error("The name is missing", "Give the data set a name, such as Scenes."))
        return
    bar = st.progress(0.0, text=f"Reading the zip; {STAY}")
    st.session_state["own-problem"] = (
        f"The import of {title} was ended by a click elsewhere on the page: import it again, and wait for its end."
    )
    try:
        visitor.demand("import")
        name = name_of(title)
        with contextlib.closing(import_zip(file.getbuffer(), name, title, side, grey)) as steps:
            for done, total in steps:
                bar.progress(done / total, text=f"{done:,} of {total:,} files; {STAY}")
        about = datasets.info(name)
    except (InklingError, OSError) as error:
        st.session_state.pop("own-problem")
        bar.empty()
        st.html(figures.error("Nothing was imported", figures.sentence(str(error))))
        return
    st.session_state.pop("own-problem")
    uploads.forget()  # the zip: the form is empty after this
    st.session_state["own-round"] += 1
    st.session_state["own-news"] = (
        f"{_count(about)} are imported and chosen. Train a network on them with **Start training** in the sidebar."
    )
    sidebar.choose_dataset(name)
    st.rerun()


def _show(about: DatasetInfo) -> None:
    facts = datasets.read_facts(about.name)
    size = f"{about.height}x{about.width}, {'grey' if about.channels == 1 else 'in colour'}"
    networks = len(shelf.list_cards(about.name))
    may_look = visitor.may_act()  # pictures and the names of files may be of people
    with st.container(border=True, key=f"own-images-of-{about.name}"):
        st.html(
            f'<div class="ink"><h3 style="padding:0;margin:0">{html.escape(about.title)}</h3>'
            f'<p class="ink-lead">{_count(about)} of {size}; {networks or "no"} network{"" if networks == 1 else "s"}; '
            f"<code>--dataset {about.name}</code> in commands</p>{_rows(about, facts, with_pictures=may_look)}</div>"
        )
        if facts["skipped"] and may_look:
            with st.expander(f"{facts['skipped']} file{'' if facts['skipped'] == 1 else 's'} left out", icon=":material/report:"):
                st.dataframe(facts["reasons"], hide_index=True, width="stretch")
        with st.container(horizontal=True):
            if sidebar.chosen_dataset() != about.name:
                st.button("Use it", key=f"own-use-{about.name}", on_click=sidebar.choose_dataset, args=(about.name,))
            if may_look:
                with st.popover("Delete", icon=":material/delete:"):
                    st.write("Deletes these pictures, every network trained on them, and what was corrected of them.")
                    st.button("Delete for good", type="primary", key=f"own-delete-{about.name}", on_click=_delete, args=(about, facts["created"]))  # fmt: skip
        problems.show(f"own-problem-{about.name}")


def _count(about: DatasetInfo) -> str:
    counts = datasets.read_facts(about.name)["counts"]
    return f"{sum(map(sum, counts.values())):,} pictures in {len(about.labels)} classes"


def _rows(about: DatasetInfo, facts: dict, with_pictures: bool) -> str:
    """A line a class: its name, how many pictures it has, and the first of them, where they may be looked at."""
    pictures = _pictures(about.name, facts["created"]) if with_pictures else {}
    rows = []
    for number, label in enumerate(about.labels[:MOST_ROWS]):
        count = sum(facts["counts"][part][number] for part in datasets.PARTS)
        shown = "".join(f'<img src="{url}" alt="">' for url in pictures.get(number, ()))
        rows.append(f"<span><b>{html.escape(label)}</b><small>{count:,}</small></span><span>{shown}</span>")
    more = len(about.labels) - len(rows)
    note = f'<p class="ink-note">and {more} more class{"" if more == 1 else "es"}</p>' if more > 0 else ""
    return f'<div class="ink-classes" data-testid="classes">{"".join(rows)}</div>{note}'


def _pictures(name: str, created: str) -> dict[int, list[str]]:
    """Of each class the first training pictures as data URLs; none of files that are damaged, as training will say."""
    try:
        return _first_pictures(name, created)
    except (OSError, ValueError, EOFError, IndexError):
        return {}


@st.cache_data(max_entries=20, show_spinner=False)
def _first_pictures(name: str, created: str) -> dict[int, list[str]]:
    """created: tells a data set from an earlier one of its name. What it raises is not kept."""
    pixels, labels = (np.load(path, mmap_mode="r", allow_pickle=False) for path in datasets.part_paths(name, "train"))
    found = {number: np.flatnonzero(labels == number)[:A_CLASS] for number in range(MOST_ROWS)}
    return {
        number: [figures.data_url(np.ascontiguousarray(pixels[i].transpose(1, 2, 0).squeeze())) for i in each]
        for number, each in found.items()
    }


def _delete(about: DatasetInfo, created: str) -> None:
    """created: of the data set that was shown; another one may have its name since."""
    with problems.telling(f"own-problem-{about.name}"):
        visitor.demand("delete")
        from corrections import store

        engine = serving.corrections()  # before the queue is held: a database that does not answer shall hold up nobody else's retrain
        with queue.held_still() as active:  # a retrain that is started meanwhile finds them gone, and does not find them going
            for run in active:
                if (config := panel.config_of(run)) and config.dataset == about.name:
                    raise InUse("a retrain is at work on these pictures; wait for its end or cancel it")
            if datasets.read_facts(about.name)["created"] != created:
                raise InUse(f"{about.title} was deleted and another data set has its name now; look at that one first")
            store.remove_all(engine, about.name)  # first: where it fails, there is still a page to delete them on
            datasets.remove(about.name)
        _first_pictures.clear()  # they are in memory
        shelf.remove_all(about.name)
