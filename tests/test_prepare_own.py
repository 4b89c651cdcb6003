"""prepare_own of inference/prepare.py: any picture to an own data set's pixels, the same for import and prediction."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inference.prepare import prepare_own

SIDES = st.integers(1, 90)


@settings(max_examples=60, deadline=None)
@given(width=SIDES, height=SIDES, mode=st.sampled_from(["L", "RGB", "RGBA"]), channels=st.sampled_from([1, 3]), side=st.integers(8, 40))
def test_any_picture_becomes_pixels_of_the_shape(width, height, mode, channels, side):
    image = Image.fromarray(np.random.default_rng(width * height).integers(0, 256, (height, width, 4), dtype=np.uint8)).convert(mode)
    prepared = prepare_own(image, (channels, side, side))
    assert (prepared.batch.shape, prepared.batch.dtype) == ((1, channels, side, side), np.uint8)
    assert prepared.pixels.shape == ((side, side) if channels == 1 else (side, side, 3))
    assert not prepared.is_blank


def test_a_picture_of_the_right_size_is_passed_on_as_it_is():
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    assert np.array_equal(prepare_own(Image.fromarray(pixels), (3, 12, 12)).batch[0], pixels.transpose(2, 0, 1))


def test_nothing_is_cut_off_and_nothing_stretched():
    image = Image.new("RGB", (80, 40), "white")
    image.paste("red", (0, 0, 8, 8))  # in the very corner
    image.paste("blue", (72, 32, 80, 40))
    pixels = prepare_own(image, (3, 20, 20)).pixels
    assert pixels[5, 0].tolist() == [255, 0, 0]
    assert pixels[14, 19].tolist() == [0, 0, 255]
    assert int((pixels[..., 1] == 0).sum()) == 2 * 2 * 2  # each square still one


@pytest.mark.parametrize("colour", [(250, 240, 200), (20, 60, 90)])
def test_the_rest_is_filled_with_the_pictures_own_ground(colour):
    image = Image.new("RGB", (30, 90), colour)
    image.paste("green", (10, 40, 20, 50))
    assert prepare_own(image, (3, 30, 30)).pixels[:, 0].tolist() == [list(colour)] * 30


def test_what_is_transparent_is_white_whatever_its_hidden_colour():
    image = Image.new("RGBA", (40, 20), (255, 0, 0, 0))
    assert prepare_own(image, (3, 16, 16)).pixels.min() == 255
