"""Ruled and grid paper: its lines go, what is written on them stays whole."""

import numpy as np
import pytest
from PIL import Image

from inference.rules import without_rules
from tests.test_prepare import DIGITS, NEAR, chalk, distance, inked, seen

SIDE = 300


def sheet(shade: int, step: int, thick: int, tilt: float, upright: bool) -> np.ndarray:
    """A sheet with lines `step` pixels apart, float32 [300, 300]."""
    paper = np.full((SIDE, SIDE), 235, np.float32)
    columns = np.arange(SIDE)
    for first in range(-SIDE, 2 * SIDE, step):
        for deep in range(thick):
            rows = first + deep + np.rint(columns * tilt).astype(int)
            inside = (rows >= 0) & (rows < SIDE)
            paper[rows[inside], columns[inside]] = shade
            if upright:
                paper[columns[inside], SIDE - 1 - rows[inside]] = shade
    return paper


def written(digit: np.ndarray, paper: np.ndarray) -> Image.Image:
    """The digit, 170 pixels large, in dark ink on the paper."""
    ink = np.zeros((SIDE, SIDE), np.float32)
    ink[70:240, 60:230] = chalk(digit, 170) / 255
    return Image.fromarray((paper * (1 - ink) + 40 * ink).astype(np.uint8))


@pytest.mark.parametrize(("tilt", "thick"), [(0, 1), (0, 3), (0.03, 2), (-0.05, 1)])
@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize("shade", [185, 120])
def test_a_digit_on_ruled_or_grid_paper_is_seen_as_on_plain_paper(tilt: float, thick: int, upright: bool, shade: int):
    paper = sheet(shade, 30, thick, tilt, upright)
    for digit in DIGITS[::3]:
        assert distance(seen(written(digit, paper)), seen(inked(digit))) < NEAR


def test_lines_are_gone_and_strokes_across_them_stay():
    ink = 235 - sheet(120, 30, 2, 0.02, upright=True)
    stroke = np.zeros((SIDE, SIDE), bool)
    for row in range(100, 200):
        stroke[row, row : row + 9] = True
    ink[stroke] = 200
    plain = without_rules(ink)
    assert (plain[~stroke] > 30).mean() < 0.01
    assert (plain[stroke] > 30).mean() > 0.9


@pytest.mark.parametrize("turned", [False, True])
def test_a_one_from_edge_to_edge_is_no_line(turned: bool):
    ink = np.zeros((SIDE, SIDE), np.float32)
    ink[:, 140:146] = 255
    ink = ink.T if turned else ink
    assert np.array_equal(without_rules(ink), ink)


def test_what_is_drawn_on_a_canvas_stays_as_it_is():
    for digit in DIGITS:
        ink = np.zeros((320, 320), np.float32)
        ink[10:310, 10:310] = chalk(digit, 300)
        assert np.array_equal(without_rules(ink), ink)
