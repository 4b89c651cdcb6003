"""Photos as phones save them."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from inference.decode import decode
from tests.test_decode import complaint, corner_picture


def heic(image: Image.Image, **options) -> bytes:
    """A photo as phones save them."""
    import pillow_heif

    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, format="HEIF", quality=90, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_a_heic_photo_shows_the_same_picture(mode: str):
    shown = decode(heic(corner_picture(mode)))
    assert shown.size == (60, 40)
    assert np.abs(np.asarray(shown.convert("L"), int) - np.asarray(corner_picture("L"), int)).mean() < 8


def test_a_heic_photo_is_turned_by_its_own_box_alone():
    """As the format has it; the tag that phones write beside it does not turn the picture once more."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    corner_picture().save(buffer, format="HEIF", quality=90, exif=exif)  # writes the tag, and no box
    assert b"irot" not in buffer.getvalue()
    assert np.abs(np.asarray(decode(buffer.getvalue()).convert("L"), int) - np.asarray(corner_picture("L"), int)).mean() < 8


def test_a_large_heic_photo_is_shrunk_and_one_of_too_many_pixels_refused():
    assert decode(heic(Image.new("RGB", (1200, 900), "red"))).size == (512, 384)
    content = heic(Image.new("RGB", (64, 64), "red"))
    size = struct.pack(">II", 64, 64)  # of the box ispe
    assert content.count(size) >= 1
    assert "megapixels" in complaint(content.replace(size, struct.pack(">II", 16_000, 16_000)))


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9])
def test_a_heic_photo_cut_off_is_called_damaged(kept: float):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8))
    content = heic(noise)
    assert "damaged or cut off" in complaint(content[: int(len(content) * kept)])
