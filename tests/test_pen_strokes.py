"""Strokes as pictures, and with finer pens."""

import numpy as np
import pytest
from PIL import Image

from inference.prepare import prepare
from inference.strokes import WIDEST, Stroke, drawn, with_finer_pens

SIZE = (320, 320)
RING = np.stack([160 + 20 * np.cos(np.linspace(0, 2 * np.pi, 40)), 160 + 30 * np.sin(np.linspace(0, 2 * np.pi, 40))], axis=1)
BAR = np.array([(100.0, 40.0), (100.0, 240.0)])
DOT = np.array([(50.0, 50.0)])


def widths(picture: Image.Image) -> np.ndarray:
    """How much ink each row has, in pixels."""
    return np.asarray(picture).sum(1) / 255


@pytest.mark.parametrize("pen", [2.0, 3.3, 6.0, 12.0, 20.0, 30.0])
@pytest.mark.parametrize("end", [(100.0, 240.0), (280.0, 40.0), (240.0, 180.0)])
def test_a_stroke_has_round_ends_and_the_width_of_its_pen(pen: float, end: tuple[float, float]):
    way = np.array([(100.0, 40.0), end])
    area = np.asarray(drawn([(way, pen)], SIZE)).sum() / 255
    assert (area - np.pi * pen**2 / 4) / np.hypot(*(way[1] - way[0])) == pytest.approx(pen, abs=0.75)  # slanted thin ones come out widest


def test_a_point_is_a_dot_and_what_leaves_the_picture_is_cut_off():
    assert 2 * np.sqrt(np.asarray(drawn([(DOT, 30.0)], SIZE)).sum() / 255 / np.pi) == pytest.approx(30, abs=1)
    assert widths(drawn([(BAR - (100, 0), 30.0)], SIZE))[100] == pytest.approx(15, abs=0.5)
    assert not np.asarray(drawn([(BAR - (400, 0), 30.0)], SIZE)).any()


def test_where_strokes_lie_changes_nothing_but_their_place():
    at_once = np.asarray(drawn([(RING, 9.0), (BAR, 12.0)], SIZE))
    apart = [np.asarray(drawn([stroke], SIZE)) for stroke in ((RING, 9.0), (BAR, 12.0))]
    assert (at_once == np.maximum(*apart)).all()
    assert (np.roll(apart[0], 31, axis=1) == np.asarray(drawn([(np.add(RING, (31, 0)), 9.0)], SIZE))).all()


def test_the_loop_that_a_thick_pen_closed_is_open_again():
    finer = drawn(with_finer_pens([(RING, 44.0)]), SIZE)
    pixels = np.asarray(finer)
    assert (finer.size, finer.mode) == (SIZE, "L")
    assert [pixels[at] for at in ((160, 160), (160, 140), (130, 160))] == [0, 255, 255]
    seen = prepare(finer, "mnist", invert=False).pixels
    assert seen[14, 14] < 40 < seen.max()


def test_each_stroke_keeps_a_pen_that_is_fine_enough():
    (_, bar), (_, dot) = with_finer_pens([(BAR, 60.0), (DOT, 6.0)])
    assert (bar, dot) == (WIDEST * 200, 6.0)


@pytest.mark.parametrize("strokes", [[(BAR, 12.0)], [(DOT, 30.0)], [(np.array([(50.0, 50.0), (60.0, 62.0)]), 30.0)]])
def test_fine_pens_and_blots_stay_as_they_are(strokes: list[Stroke]):
    assert with_finer_pens(strokes) == strokes


def test_a_number_is_measured_by_its_height_not_its_width():
    digits = [(BAR * (1, 0.25) + (40 * at, 0), 20.0) for at in range(6)]
    assert [pen for _, pen in with_finer_pens(digits)] == [WIDEST * 50] * 6
