"""Occlusion: what speaks for an answer is where it is."""

import numpy as np
import pytest
from PIL import Image

from inference.classify import Classifier
from inference.occlusion import occlusion
from inference.prepare import prepare
from models import shelf
from tests.test_prepare import DIGITS


class Sum:
    """Says the second class the more, the brighter the left half and the darker the right half is."""

    def __init__(self) -> None:
        self.batches = []

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        self.batches.append(pixels.shape)
        images = pixels.astype(float).mean(1)
        half = images.shape[2] // 2
        score = 1 / (1 + np.exp(-(images[:, :, :half].mean((1, 2)) - images[:, :, half:].mean((1, 2))) / 9))
        return np.stack([1 - score, score], axis=1)


@pytest.mark.parametrize("shape", [(28, 28), (64, 48, 3), (9, 8)])
def test_what_speaks_for_and_against_is_told_apart_in_one_batch(shape: tuple[int, ...]):
    pixels = np.zeros(shape, np.uint8)
    height, width = shape[:2]
    pixels[height // 3 : height // 2, width // 8 : width // 4] = 255
    pixels[height // 3 : height // 2, -width // 4 : -width // 8] = 120
    network = Sum()
    told = occlusion(network, pixels)
    assert told.shape == (height, width)
    assert len(network.batches) == 1
    assert told[height * 5 // 12, width * 3 // 16] > 0
    assert told[height * 5 // 12, -width * 3 // 16] < 0
    assert told[-1, 0] == pytest.approx(0, abs=1e-6)


def test_a_photo_is_covered_in_coarser_steps_and_in_batches_that_fit_into_memory():
    network = Sum()
    occlusion(network, np.zeros((224, 224, 3), np.uint8))
    assert max(count for count, *_ in network.batches) == 20
    assert 60 < sum(count for count, *_ in network.batches) < 120


def test_what_speaks_for_a_digit_is_its_ink():
    classifier = Classifier(shelf.load_card("mnist", "lenet5"))
    for digit in DIGITS[::5]:
        pixels = prepare(Image.fromarray(digit), "mnist").pixels
        told = occlusion(classifier, pixels)
        assert np.isfinite(told).all()
        assert told[pixels > 100].mean() > told[pixels == 0].mean()
