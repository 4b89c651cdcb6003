"""The Upload page: several pictures at once, the camera, or the samples; each with what the network sees."""

import contextlib
import csv
import hashlib
import html
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import streamlit as st
from PIL import Image

from inference import sessions
from inference.classify import Answer, answer_image
from inference.decode import FORMATS, MAX_BYTES, UnreadableImage, decode
from inference.ink import over_contrasting_ground
from inference.prepare import is_finished
from models import datasets, shelf
from models.errors import InklingError
from models.shelf import Card
from ui import figures, region, sidebar, tell, visitor, why
from ui.uploads import MOST_UPLOADED

SAMPLES = Path(__file__).parent / "samples"
MOST_FILES, FEW = 40, 3
LONGEST_LABEL = 24  # characters of a class in the page's first lines
LEADS_ON = {"mnist": ", or of several in a row"}
INVERT = {"auto": None, "yes": True, "no": False}


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A file as it came."""

    name: str
    content: bytes


def page() -> None:
    """Shows the page."""
    about, card = datasets.info(sidebar.chosen_dataset()), sidebar.chosen_card()
    st.html(figures.heading(*_heading(about)))
    if card is None:
        st.html(figures.no_network(about, visitor.may_act()))
        return
    pictures = _choose_pictures(about)
    if not pictures:
        return
    try:
        sessions.classifier(card)
    except shelf.ShelfError as error:
        st.html(figures.error(f"{card.title} cannot be served", str(error)))
        return
    table = st.container() if len(pictures) > FEW else None  # many pictures: what came out of them first
    for_photos = shelf.photo_card() if about.name == "fashion-mnist" else None
    rows, met = [], Counter()
    for picture in pictures:
        digest = hashlib.sha256(picture.content).hexdigest()[:12]
        # By what it shows and not by its place in the list, which changes when another is taken out of it.
        rows.append(_show_picture(f"upload-{digest}-{met[digest]}", picture, card, for_photos))
        met[digest] += 1
    with table or st.container():
        _show_table(rows)


def _heading(about: datasets.DatasetInfo) -> tuple[str, str]:
    if about.is_own:
        some = [label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1]}…" for label in about.labels[: figures.MOST_BARS]]
        classes = ", ".join(some) + (" and so on" if len(about.labels) > len(some) else "")
        return (
            about.title,
            f"Pictures like those of your own data set. The answer is one of its {len(about.labels)} classes: {classes}. There is no gate before these networks: a picture of something else may be called one of these too.",
        )
    if about.name == "fashion-mnist" and shelf.photo_card():
        return (
            "Recognise garments in pictures",
            "Photos of one garment each, worn or not. The photo network sees them in colour and may say that they show none of the ten "
            "classes; under its answer stands that of the chosen network, which sees 28x28 grey pixels.",
        )
    return (
        f"Recognise {about.noun}s in pictures",
        f"Photos, scans or drawings of one {about.noun} each{LEADS_ON.get(about.name, '')}. What is none of the ten is declined.",
    )


def _choose_pictures(about: datasets.DatasetInfo) -> list[Picture]:
    source = st.segmented_control(
        "Pictures from",
        ["files", "camera"] if about.is_own else ["files", "camera", "samples"],
        default="files",
        required=True,
        key="upload-source-own" if about.is_own else "upload-source",
        format_func={
            "files": ":material/upload_file: Files",
            "camera": ":material/photo_camera: Camera",
            "samples": ":material/collections: Samples",
        }.get,
        label_visibility="collapsed",
    )
    if source == "samples":
        return [Picture(name=path.name, content=path.read_bytes()) for path in sorted((SAMPLES / about.name).glob("*.*"))]
    if source == "camera":
        shot = st.camera_input("Take a picture", key="upload-camera", label_visibility="collapsed")
        return [Picture(name="camera.jpg", content=shot.getvalue())] if shot else []
    # The type is read from the bytes, so any file may come: one that is no picture gets its sentence.
    files = st.file_uploader(
        "Pictures", accept_multiple_files=True, key="upload-files", label_visibility="collapsed", max_upload_size=MAX_BYTES // 2**20
    )
    if not files:
        limits = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}, up to {MAX_BYTES // 2**20} MB, {MOST_UPLOADED // 2**20} MB together."
        if about.is_own:
            st.html(figures.empty("Pictures to name", f"{limits} They are scaled as the pictures of {about.title} were."))
        else:
            st.html(figures.empty(f"Pictures of one {about.noun} each", f"{limits} No picture at hand? Try the samples."))
    if len(files) > MOST_FILES:
        st.html(figures.error(f"{len(files)} files", f"Only the first {MOST_FILES} are answered; upload the rest afterwards."))
    if sum(file.size for file in files) > MOST_UPLOADED - MAX_BYTES:
        st.html(
            figures.error(
                "No room for more",
                f"The files of one page end at {MOST_UPLOADED // 2**20} MB: take some away before you add others that failed.",
            )
        )
    return [Picture(name=file.name, content=file.getvalue()) for file in files[:MOST_FILES]]


def _show_picture(key: str, picture: Picture, card: Card, for_photos: Card | None) -> dict[str, str]:
    """One picture's row; returns its line of the table. What goes wrong with one file stays with that file. key: tells it from the others."""
    try:
        photo_sha256 = for_photos.sha256 if for_photos else ""
        invert, crop, part = _overrides(key)
        found = _answer(
            card.dataset, card.name, card.sha256, photo_sha256, shelf.gate_version(card.dataset), picture.content, invert, crop, part
        )
        if isinstance(found, str):
            raise UnreadableImage(found)
        image_url, answer, in_colour = found
    except InklingError as error:  # also of a network that somebody has just deleted
        st.html(figures.error(picture.name, str(error)))
        return _line(picture, card, note=str(error))
    with st.container(border=True):
        left, right = st.columns([1, 2], gap="medium")
        with left:
            st.html(_original(picture.name, image_url, answer))
            if card.dataset in datasets.DATASETS:  # an own picture is shown to the network as it was imported
                _show_overrides(key, picture, datasets.DATASETS[card.dataset].noun)
        with right:
            if in_colour:
                st.html(figures.verdict(for_photos, in_colour))
            if answer.probabilities is None and not answer.digits:
                st.html(figures.empty("Nothing to recognise", answer.reason))
            else:
                st.html(figures.verdict(card, answer, with_bars=not in_colour))
                if not answer.digits and why.is_asked(key):
                    why.show(for_photos if in_colour else card, in_colour or answer)
                expander = tell.expander(key)
                if expander and expander.open:
                    beside = for_photos.title if in_colour else ""
                    tell.show(expander, card, answer, lambda: region.cut(decode(picture.content), part), key, beside)
    return _line(picture, for_photos, in_colour) if in_colour else _line(picture, card, answer, answer.reason)


def _line(picture: Picture, card: Card, answer: Answer | None = None, note: str = "") -> dict[str, str]:
    """A line of the table: the answer that is shown first."""
    shown, probability = "", ""
    if answer and (answer.digits or answer.probabilities is not None):
        shown, note = figures.said(card, answer)[0], answer.reason
        # How sure the network would be of what its gate declined, says nothing.
        is_let_in = not any(each.stranger for each in (answer, *answer.digits))
        probability = f"{answer.probability:.6f}" if is_let_in else ""
    return {"file": picture.name, "answer": shown, "probability": probability, "note": note, "data set": card.dataset, "network": card.name}


def _show_overrides(key: str, picture: Picture, noun: str) -> None:
    with st.expander("Adjust", icon=":material/tune:", type="compact", key=f"{key}-adjust"):
        st.segmented_control(
            "Dark on light ground?", list(INVERT), default="auto", required=True, key=f"{key}-invert", format_func=str.capitalize
        )
        st.toggle(f"Crop to the {noun}", value=True, key=f"{key}-crop")
        if st.toggle(f"Say where the {noun} is", key=f"{key}-where"):
            part = region.drag(_to_drag_on(picture.content), f"{key}-drag")
            if part != st.session_state.get(f"{key}-part"):
                st.session_state[f"{key}-part"] = part
                st.rerun()


def _overrides(key: str) -> tuple[bool | None, bool, region.Region | None]:
    state = st.session_state
    part = state.get(f"{key}-part") if state.get(f"{key}-where") else None
    return INVERT[state.get(f"{key}-invert") or "auto"], state.get(f"{key}-crop", True), part


@st.cache_data(max_entries=200, ttl="15m", show_spinner=False)
def _answer(
    dataset: str,
    name: str,
    sha256: str,
    photo_sha256: str,
    gate: int,
    content: bytes,
    invert: bool | None,
    crop: bool,
    part: region.Region | None,
) -> tuple[str, Answer, Answer | None] | str:
    """The picture or the part of it that was marked, small, with its ground faded, as a data URL, the answer to it, and the photo network's.

    That is None for a finished picture, and where its graph is damaged, which the Models page says. sha256, photo_sha256 and gate: which
    graphs answer, so that no other ones' answer is found. Where the file cannot be read it is the sentence that says why: what is raised is
    not kept, and each rerun of the page would decode it again. Raises ShelfError and NotAllowed.
    """
    # Here, so that what is kept is free, whoever looked at it first, and all that is answered anew counts: inverted, or by another network.
    visitor.count("pictures", "uploads_per_minute")
    try:
        image = region.cut(decode(content), part)
    except UnreadableImage as error:
        return str(error)
    answer = answer_image(sessions.classifier(shelf.load_card(dataset, name)), image, invert, crop)
    small = image.copy()
    small.thumbnail((380, 380))
    if answer.prepared.inside is not None:
        small = figures.faded(small, answer.prepared.inside)
    elif "A" in small.mode:  # a white digit on nothing would be gone on the light page, a black one on the dark
        small = over_contrasting_ground(small, "RGB")
    in_colour = None
    if photo_sha256 and not is_finished(image):
        with contextlib.suppress(shelf.ShelfError):
            in_colour = answer_image(sessions.classifier(shelf.load_card(dataset, shelf.PHOTO)), image, crop=crop)
    return figures.data_url(small), answer, in_colour


@st.cache_data(max_entries=4 * MOST_FILES, ttl="15m", show_spinner=False)  # 0.3 MB each
def _to_drag_on(content: bytes) -> Image.Image:
    """Made once: a rectangle that is dragged runs the page again with every move, and so does each other click."""
    return region.small(decode(content))


def _original(name: str, url: str, answer: Answer) -> str:
    frame = ""
    if answer.prepared.box is not None:
        left, top, right, bottom = (round(side * 100, 2) for side in answer.prepared.box)
        frame = f'<i style="left:{left}%;top:{top}%;width:{right - left}%;height:{bottom - top}%"></i>'
    title = html.escape(name)
    return f'<div class="ink"><span class="ink-original"><img src="{url}" alt="{title}">{frame}</span><p class="ink-lead" style="overflow-wrap:anywhere">{title}</p></div>'


def _show_table(rows: list[dict[str, str]]) -> None:
    st.subheader("Results", anchor=False)
    widths = {"file": "medium", "answer": 150, "probability": 110, "note": "large"}
    columns = {name: st.column_config.TextColumn(width=width) for name, width in widths.items()}
    rounded = [row | {"probability": figures.confidence(float(row["probability"])) if row["probability"] else ""} for row in rows]
    st.dataframe(rounded, hide_index=True, width="stretch", column_order=tuple(widths), column_config=columns)
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=["file", "answer", "probability", "note", "data set", "network"])
    writer.writeheader()
    writer.writerows({name: _harmless(value) for name, value in row.items()} for row in rows)
    st.download_button(
        "Download as CSV",
        text.getvalue(),  # not made on the click: such a file is nobody's, and the next refreshes of other visitors clear it away
        "inkling-results.csv",
        "text/csv",
        icon=":material/download:",
        key="upload-csv",
        on_click="ignore",
    )


def _harmless(value: str) -> str:
    """A file name may start like a formula, which a spreadsheet would run."""
    return "'" + value if value[:1] in "=+-@\t\r" and value else value
