"""Why a network says what it says: what speaks for the answer, what it takes the picture for alike, and what each layer makes of it."""

import html
import math

import numpy as np
import streamlit as st
from PIL import Image

from inference import sessions
from inference.classify import Answer
from inference.features import Features, Known
from inference.occlusion import occlusion
from models.datasets import DATASETS
from models.errors import InklingError
from models.shelf import Card, load_card
from ui import figures, visitor

LEAST_SIDE = 220  # pixels of the picture of what speaks for an answer, which is shown at 168
MOST_LAYERS, MOST_MAPS = 7, 32  # shown: of a network, of a layer
MOST_NETWORKS = 32  # whose inside is kept ready, 1 to 5 MB each: making it anew takes up to seconds, and a class has a network each
CELL = 30  # pixels a map is shown at
FOR, AGAINST = np.array([79, 110, 230]), np.array([210, 135, 60])  # as in style.css


def is_asked(key: str) -> bool:
    """Shows the switch: whether it is on."""
    return st.toggle("Show why", key=f"{key}-why")


def is_shown(key: str) -> bool:
    """Whether a switch of the page is on."""
    return bool(st.session_state.get(f"{key}-why"))


def show(card: Card, answer: Answer) -> None:
    """All three. Not for numbers of several digits, which are several pictures."""
    prepared = answer.prepared
    try:
        with st.spinner("Covering parts of it…"):
            guess = card.labels[int(answer.probabilities.argmax())]
            st.html(_speaking(card.dataset, card.name, card.sha256, prepared.pixels, f"{guess}, by {card.title}"))
        if card.dataset not in DATASETS or card.takes_photos:
            return
        inside = _features(card.dataset, card.name, card.sha256)
        with st.spinner("Looking at what it learned from…"):
            known = _known(card.dataset, card.name, card.sha256)
        found, maps = known.nearest(prepared.batch), inside.maps(prepared.batch)
    except InklingError as error:
        st.html(figures.note(str(error)))
        return
    st.html(alike(card, found))
    if maps:
        st.html(layers(maps, card.facts["members"] > 1))


@st.cache_resource(max_entries=MOST_NETWORKS, show_spinner=False)
def _features(dataset: str, name: str, sha256: str) -> Features:
    return Features(load_card(dataset, name))


@st.cache_resource(max_entries=MOST_NETWORKS, show_spinner=False)
def _known(dataset: str, name: str, sha256: str) -> Known:
    return Known(_features(dataset, name, sha256), dataset)


@st.cache_data(max_entries=64, ttl="15m", show_spinner=False)
def _speaking(dataset: str, name: str, sha256: str, pixels: np.ndarray, what: str) -> str:
    visitor.count("explanations", "uploads_per_minute")  # what is kept is free
    return speaking(pixels, occlusion(sessions.classifier(load_card(dataset, name)), pixels), what)


def speaking(pixels: np.ndarray, told: np.ndarray, what: str) -> str:
    """What speaks for an answer, as colour over what the network sees. told: float32 [H, W], of inference.occlusion. what: the answer,
    and whose it is."""
    height, width = pixels.shape[:2]
    times = max(1, math.ceil(LEAST_SIDE / max(height, width)))
    grey = Image.fromarray(pixels).convert("L").resize((width * times, height * times), Image.Resampling.NEAREST)
    strength = Image.fromarray(told / max(float(np.abs(told).max()), 1e-6)).resize(grey.size, Image.Resampling.BICUBIC)
    share = np.clip(np.asarray(strength), -1, 1)[..., None]
    mixed = np.asarray(grey)[..., None] * (1 - 0.75 * np.abs(share)) + np.where(share > 0, FOR, AGAINST) * 0.75 * np.abs(share)
    return (
        f'<div class="ink ink-why" data-testid="why"><img src="{figures.data_url(mixed.round().astype(np.uint8))}" alt="what speaks for and against the answer">'
        f'<p class="ink-note"><b class="for">Blue</b> speaks for {html.escape(what)}: covered, it would be less sure. <b class="against">Orange</b> speaks against it.</p></div>'
    )


def alike(card: Card, found: list[tuple[np.ndarray, int, float]]) -> str:
    """The training images that the last layer tells from this one least."""
    cells = [
        f'<div><img class="ink-thumb" src="{figures.data_url(pixels)}" alt="training image"><span>{html.escape(card.labels[label])}</span></div>'
        for pixels, label, _ in found
    ]
    return (
        '<div class="ink" data-testid="alike"><p class="ink-note">The bundled training images that look most like it to the network’s last layer:</p>'
        f'<div class="ink-digits">{"".join(cells)}</div></div>'
    )


def layers(maps: list[np.ndarray], is_ensemble: bool) -> str:
    """Each convolution's maps, bright where they are high; of a deep network those of some, the first and the last among them."""
    rows = []
    for place in np.linspace(0, len(maps) - 1, min(len(maps), MOST_LAYERS)).round().astype(int):
        number, layer = place + 1, maps[place]
        count, height, width = layer.shape
        shown = f"{count} maps" if count <= MOST_MAPS else f"{MOST_MAPS} of {count} maps"
        rows.append(
            f'<figure class="ink-maps"><img src="{figures.data_url(_grid(layer[:MOST_MAPS]))}" alt="maps of convolution {number}">'
            f"<figcaption>Convolution {number}: {shown} of {height}x{width}</figcaption></figure>"
        )
    told = [
        *(["Of its first member:"] if is_ensemble else []),
        *([f"{MOST_LAYERS} of its {len(maps)} convolutions:"] if len(maps) > MOST_LAYERS else []),
    ]
    note = f'<p class="ink-note">{" ".join(told)}</p>' if told else ""
    return f'<div class="ink" data-testid="layers">{note}{"".join(rows)}</div>'


def _grid(maps: np.ndarray, across: int = 16) -> np.ndarray:
    """Maps [N, H, W] side by side, each from its lowest value to its highest, single values from the lowest of all: uint8."""
    axes = (1, 2) if maps.shape[1] > 1 else (0, 1, 2)
    low, high = maps.min(axes, keepdims=True), maps.max(axes, keepdims=True)
    levels = ((maps - low) / np.maximum(high - low, 1e-9) * 255).astype(np.uint8)
    cells = [np.asarray(Image.fromarray(each).resize((CELL, CELL), Image.Resampling.NEAREST)) for each in levels]
    cells += [np.zeros_like(cells[0])] * (-len(cells) % min(across, len(cells)))
    framed = np.pad(np.stack(cells), ((0, 0), (1, 1), (1, 1)))
    side, columns = CELL + 2, min(across, len(framed))
    return framed.reshape(-1, columns, side, side).transpose(0, 2, 1, 3).reshape(-1, columns * side)
