"""Ways to write a digit that differ between schools and countries, as strokes on the canvas: all of them are read."""

import math

import numpy as np
import pytest

from inference.classify import load_classifier
from inference.prepare import prepare
from inference.strokes import drawn, with_finer_pens
from models import shelf
from training.strokes import bend, fitted
from ui.pens import PENS, SIDE

EACH = 24  # drawn so many times, bent, in any size and with any pen


def arc(x: float, y: float, across: float, down: float, start: float, end: float) -> list[tuple[float, float]]:
    """Part of an ellipse around x, y; angles in degrees, 0 to the right and 90 below."""
    return [(x + across * math.cos(turn), y + down * math.sin(turn)) for turn in np.radians(np.linspace(start, end, 24))]


BELLY = arc(0.28, 0.7, 0.3, 0.3, -90, 150)
STYLES = {
    "0 narrow": [arc(0.2, 0.5, 0.18, 0.5, -90, 275)],
    "0 not quite closed": [arc(0.35, 0.5, 0.33, 0.5, -80, 260)],
    "0 with its end over its start": [[*arc(0.35, 0.5, 0.33, 0.5, -90, 290), (0.6, 0.0)]],
    "0 struck through": [arc(0.35, 0.5, 0.33, 0.5, -90, 270), [(0.72, -0.02), (-0.02, 1.02)]],
    "1 as a bar": [[(0.3, 0), (0.3, 1)]],
    "1 with a flag": [[(0, 0.25), (0.3, 0), (0.3, 1)]],
    "1 with flag and foot": [[(0, 0.25), (0.3, 0), (0.3, 1)], [(0, 1), (0.6, 1)]],
    "1 with a long flag": [[(-0.1, 0.42), (0.3, 0), (0.3, 1)]],
    "2 with a corner": [[*arc(0.3, 0.25, 0.28, 0.25, 200, 380), (0, 1), (0.65, 1)]],
    "2 with a loop": [[*arc(0.3, 0.25, 0.28, 0.25, 200, 390), (0.15, 0.9), *arc(0.1, 0.9, 0.08, 0.08, 0, -330), (0.65, 1)]],
    "3 round": [[*arc(0.3, 0.25, 0.28, 0.25, 200, 450), *arc(0.3, 0.75, 0.3, 0.25, -90, 150)]],
    "3 with a flat top": [[(0, 0), (0.6, 0), (0.25, 0.4), *BELLY]],
    "4 open": [[(0.15, 0), (0, 0.55), (0.65, 0.55)], [(0.5, 0.2), (0.5, 1)]],
    "4 closed": [[(0.5, 1), (0.5, 0), (0, 0.65), (0.7, 0.65)]],
    "4 with a short stem": [[(0.3, 0), (0.02, 0.6), (0.7, 0.56)], [(0.5, 0.3), (0.44, 0.95)]],
    "5 in one stroke": [[(0.6, 0), (0.1, 0), (0.05, 0.45), *arc(0.25, 0.68, 0.3, 0.3, -120, 140)]],
    "5 in two strokes": [[(0.1, 0), (0.05, 0.45), *arc(0.25, 0.68, 0.3, 0.3, -120, 140)], [(0.1, 0), (0.6, 0)]],
    "6 straight": [[(0.5, 0), (0.15, 0.4), *arc(0.3, 0.72, 0.27, 0.27, 200, 560)]],
    "6 curled": [[*arc(0.55, 0.5, 0.5, 0.5, 270, 180), *arc(0.3, 0.72, 0.26, 0.27, 180, 530)]],
    "7 plain": [[(0, 0), (0.6, 0), (0.25, 1)]],
    "7 crossed": [[(0, 0), (0.6, 0), (0.25, 1)], [(0.15, 0.5), (0.6, 0.48)]],
    "7 crossed, with a serif": [[(0, 0.15), (0, 0), (0.6, 0), (0.3, 0.5), (0.25, 1)], [(0.1, 0.5), (0.55, 0.48)]],
    "8 in two rings": [arc(0.3, 0.24, 0.24, 0.24, 90, 450), arc(0.3, 0.74, 0.3, 0.26, -90, 270)],
    "9 straight": [[*arc(0.3, 0.27, 0.27, 0.27, -20, 340), (0.55, 0.15), (0.5, 1)]],
    "9 curved": [[*arc(0.3, 0.27, 0.27, 0.27, -20, 340), (0.57, 0.2), *arc(0.2, 0.6, 0.37, 0.4, -20, 110)]],
    "9 with a foot": [[*arc(0.3, 0.26, 0.27, 0.26, -20, 340), (0.57, 0.5), (0.55, 1), (0.02, 1)]],
}


@pytest.mark.parametrize("style", STYLES)
def test_a_way_to_write_is_read_and_not_taken_for_a_letter(style: str):
    classifier, random = load_classifier(shelf.load_card("mnist", shelf.USUAL["mnist"])), np.random.default_rng(3)
    glyph = fitted([np.array(stroke, float) for stroke in STYLES[style]])
    seen = []
    for _ in range(EACH):
        side, pen = random.uniform(60, 250), random.choice(list(PENS.values()))
        strokes = with_finer_pens([(stroke * side + 30, pen) for stroke in bend(glyph, random, 0.7)])
        seen.append(prepare(drawn(strokes, (SIDE, SIDE)), "mnist", invert=False).pixels[None])
    pixels = np.stack(seen)
    is_right = classifier.probabilities(pixels).argmax(1) == int(style[0])
    is_let_in = classifier.gate.likelihoods(pixels) >= classifier.gate.card.decline_below
    assert (is_right & is_let_in).mean() >= 0.95
