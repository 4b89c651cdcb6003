"""Strokes: what is traced and drawn again is what was there."""

import sys
from functools import partial

import numpy as np
import pytest
from PIL import Image

from inference.components import labelled
from tests.test_prepare import DIGITS, distance, inked, seen
from training import hands, pictures
from training.strokes import LOOSE, NEVER_LIFTED, PIECES, StrokesError, bend, draw, fitted, in_pieces, loosened, trace

SEEN = partial(pictures.seen, dataset="mnist")


@pytest.mark.parametrize("digit", range(10))
def test_a_digit_traced_and_drawn_again_is_the_same_digit(digit: int):
    for pixels in DIGITS[3 * digit : 3 * digit + 3]:
        again = draw(pictures.traced(pixels), 150, 17)
        assert distance(seen(again), seen(inked(pixels))) < 25  # two different digits lie near 45


def test_one_stroke_for_each_piece_and_no_gap_in_any():
    ink = np.zeros((120, 120), bool)
    ink[10:110, 20:28] = ink[10:18, 20:100] = ink[60:68, 20:80] = True  # an F
    ink[90:100, 90:100] = True  # and a dot
    strokes = trace(ink)
    assert len(strokes) == 2
    drawn = np.asarray(draw(strokes[:1], 100, 8)) > 127
    assert labelled(drawn)[0].max() == 1


def test_a_glyph_begins_at_zero_and_its_longest_side_is_one():
    glyph = [np.array([[3.0, 4.0], [13.0, 4.0]]), np.array([[5.0, 9.0]])]
    points = np.concatenate(fitted(glyph))
    assert points.min(0).tolist() == [0, 0]
    assert points.max(0).tolist() == [1, 0.5]


def test_bending_changes_a_hand_and_keeps_what_is_written():
    random = np.random.default_rng(0)
    known = [glyph for character, glyph in hands.glyphs("validation", "8")][:5]
    for glyph in known:
        bent = bend(glyph, random)
        points = np.concatenate(bent)
        assert (points.min(), points.max()) == (0, 1)
        assert len(bent) == len(glyph)
        assert distance(seen(draw(bent, 150, 12)), seen(draw(glyph, 150, 12))) < 45
        assert np.array_equal(np.concatenate(bend(glyph, np.random.default_rng(1))), np.concatenate(bend(glyph, np.random.default_rng(1))))


@pytest.mark.parametrize("pen", [1.5, 4, 20])
def test_a_pen_is_as_wide_as_asked_and_its_ends_are_round(pen: float):
    line = [np.array([[0.0, 0.0], [1.0, 0.0]])]
    ink = np.asarray(draw(line, 100, pen, (160, 80), at=(30, 40))).astype(float) / 255
    assert ink[:, 80].sum() == pytest.approx(pen, abs=0.6)
    assert ink[40, 15:145].sum() == pytest.approx(100 + pen, abs=1.5)


def test_hands_of_one_part_and_their_siblings_are_not_in_the_other():
    whose = {id(strokes): hand for (hand, _), strokes in hands._all().items()}
    learned_from, measured = (
        {whose[id(strokes)].split("-")[0] for _, strokes in hands.glyphs(part, "0123456789")} for part in ("train", "validation")
    )
    assert "playwrite" in learned_from  # a family of eighteen
    assert not learned_from & measured
    train, validation = (hands.glyphs(part, "5") for part in ("train", "validation"))
    assert len(train) > 150
    assert len(validation) > 60
    drawn = {np.concatenate(glyph).tobytes() for _, glyph in train}
    assert not any(np.concatenate(glyph).tobytes() in drawn for _, glyph in validation)


def test_without_scikit_image_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.morphology", None)
    with pytest.raises(StrokesError, match=r"requirements-shelf\.txt"):
        trace(np.ones((9, 9), bool))


@pytest.mark.parametrize("ruling", ["plain", "ruled", "grid"])
def test_paper_is_a_photo_in_grey_with_the_digit_darker_than_the_paper(ruling: str):
    random = np.random.default_rng(2)
    image = pictures.on_paper(hands.glyphs("validation", "3")[0][1], random, ruling)
    assert isinstance(image, Image.Image)
    assert image.mode == "L"
    values = np.asarray(image)
    assert np.percentile(values, 1) < 0.6 * np.median(values)


def test_pictures_made_in_parts_are_the_same_on_any_number_of_cores(monkeypatch):
    monkeypatch.setattr(pictures, "CHUNK", 2)
    glyphs = [glyph for _, glyph in hands.glyphs("validation", "4")[:5]]
    first, second = (pictures.in_parts(SEEN, glyphs, seed) for seed in (7, 7))
    assert first.shape == (5, 28, 28)
    assert np.array_equal(first, second)
    assert not np.array_equal(first, pictures.in_parts(SEEN, glyphs, 8))


def test_a_ring_written_in_a_hurry_is_left_open_or_goes_over_its_beginning():
    turn, random = np.linspace(0, 2 * np.pi, 60), np.random.default_rng(0)
    ring = fitted([np.stack([np.cos(turn), np.sin(turn)], axis=1)])
    around = np.pi  # of a ring of side 1
    lengths = [np.hypot(*np.diff(loosened(ring, random)[0], axis=0).T).sum() for _ in range(200)]
    assert min(lengths) < around * (1 - LOOSE / 2)
    assert max(lengths) > around * 1.1
    starts = np.array([loosened(ring, random)[0][0] for _ in range(200)])
    assert (starts.std(0) > 0.2).all()


def test_an_open_stroke_written_in_a_hurry_only_ends_early_and_a_dot_stays():
    random = np.random.default_rng(0)
    line, dot = np.array([(0.0, 0.0), (0.0, 1.0)]), np.array([(0.5, 0.5)])
    for _ in range(50):
        long, point = loosened([line, dot], random)
        assert np.ptp(long[:, 0]) == 0  # the glyph is fitted anew, so that only its proportions can change
        assert len(point) == 1


def test_a_glyph_in_pieces_keeps_its_ends_and_loses_its_curves():
    turn, random = np.linspace(0, 2 * np.pi, 60), np.random.default_rng(0)
    ring = fitted([np.stack([np.cos(turn), np.sin(turn)], axis=1)])
    for _ in range(50):
        (cut,) = in_pieces(ring, random)
        lengths = np.hypot(*np.diff(cut, axis=0).T)
        assert np.allclose(cut[0], cut[-1], atol=1e-6)
        assert len(cut) < 25
        assert PIECES[0] * 0.8 < lengths.min() < lengths.max() < PIECES[1] * 1.3  # the ring is fitted anew


def test_a_pen_that_is_not_lifted_joins_the_strokes_of_a_glyph_in_pieces_and_a_dot_stays():
    random = np.random.default_rng(0)
    line, dot = np.array([(0.0, 0.0), (0.0, 1.0)]), np.array([(0.5, 0.5)])
    made = [in_pieces([line, dot], random) for _ in range(200)]
    assert np.mean([len(strokes) == 1 for strokes in made]) == pytest.approx(NEVER_LIFTED, abs=0.1)
    assert all(np.ptp(strokes[1], axis=0).max() == 0 for strokes in made if len(strokes) == 2)
