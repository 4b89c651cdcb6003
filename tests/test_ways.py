"""Digits by rule: strokes of one size, each a little different, and what they are."""

import numpy as np
import pytest

from training import ways
from training.redrawn import by_rule

EACH = 200


@pytest.mark.parametrize("number", range(10))
def test_a_digit_is_strokes_of_one_size_and_never_twice_the_same(number: int):
    random = np.random.default_rng(number)
    made = [ways.digit(number, random) for _ in range(EACH)]
    for strokes in made:
        points = np.concatenate(strokes)
        assert all(stroke.ndim == 2 and len(stroke) >= 2 for stroke in strokes)
        assert np.isfinite(points).all()
        assert points.min() == pytest.approx(0, abs=1e-6)
        assert np.ptp(points, axis=0).max() == pytest.approx(1, abs=1e-6)
    assert len({np.concatenate(strokes).tobytes() for strokes in made}) == EACH


def test_the_same_random_numbers_write_the_same_digit():
    first, second = (ways.digit(4, np.random.default_rng(7)) for _ in range(2))
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


def test_a_corner_that_is_named_twice_stays_a_corner():
    random = np.random.default_rng(0)
    line = ways._astray(np.array([(0, 0), (1, 0), (1, 0), (1, 1)], float), random)
    assert np.array_equal(line[1], line[2])
    assert (ways._smooth(line) == line[1]).all(1).any()


def test_some_zeros_are_struck_through_and_some_sevens_crossed():
    random = np.random.default_rng(0)
    counts = {number: np.mean([len(ways.digit(number, random)) == 2 for _ in range(EACH)]) for number in (0, 7)}
    assert 0.02 < counts[0] < 0.2
    assert 0.3 < counts[7] < 0.7


def test_as_many_of_each_digit_are_shown():
    pixels, numbers = by_rule(30, np.random.default_rng(0), 0.5, 0.4)
    assert pixels.shape == (30, 28, 28)
    assert (pixels.dtype, numbers.dtype) == (np.uint8, np.int64)
    assert np.bincount(numbers).tolist() == [3] * 10
