"""The garment of a photo on uneven ground, and the part of a picture that a visitor marks."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageDraw

from inference import foreground
from inference.decode import decode
from inference.foreground import between_bands, cut_out, is_plain
from inference.prepare import prepare, prepare_photo
from tests.test_decode import encoded
from tests.test_prepare import GARMENTS, shirt
from ui import region


def on_tiles(seed: int = 0, size: tuple[int, int] = (400, 300)) -> tuple[Image.Image, np.ndarray]:
    """A blue T over tiles of many warm colours, and where it is."""
    random = np.random.default_rng(seed)
    tiles = np.stack([random.integers(120, 255, (20, 15)), random.integers(60, 200, (20, 15)), random.integers(0, 60, (20, 15))], axis=2)
    image = Image.fromarray(tiles.astype(np.uint8)).resize(size, Image.Resampling.NEAREST)
    mask = Image.new("L", size)
    for drawn, ink in ((image, (30, 60, 190)), (mask, 255)):
        pen = ImageDraw.Draw(drawn)
        pen.rectangle((100, 60, 300, 120), fill=ink)
        pen.rectangle((150, 60, 250, 250), fill=ink)
    return image, np.asarray(mask) > 127


def as_array(image: Image.Image) -> np.ndarray:
    return np.asarray(image, np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_a_garment_on_tiles_is_found_and_shown(seed: int):
    image, where = on_tiles(seed)
    assert not is_plain(as_array(image))
    small, inside = cut_out(as_array(image))
    assert small.shape[:2] == inside.shape == (144, 192)
    wanted = np.asarray(Image.fromarray(where).resize((192, 144)))
    assert (inside & wanted).sum() / (inside | wanted).sum() > 0.9
    prepared = prepare(image, "fashion-mnist")
    assert np.array_equal(prepared.inside, inside)
    assert prepared.box == pytest.approx((0.25, 0.2, 0.75, 0.84), abs=0.03)
    columns = prepared.pixels.max(axis=0) > 40
    assert prepared.pixels.max() > 100
    assert columns.sum() >= 20


def test_the_same_photo_gets_the_same_answer():
    image, _ = on_tiles()
    assert np.array_equal(prepare(image, "fashion-mnist").pixels, prepare(image, "fashion-mnist").pixels)


def test_plain_ground_needs_no_opencv():
    picture = shirt((60, 30, 90), (250, 250, 250))
    assert is_plain(as_array(picture))
    assert prepare(picture, "fashion-mnist").inside is None
    command = "import sys, numpy; from PIL import Image; from inference.prepare import prepare; prepare(Image.new('RGB', (90, 90), 'red'), 'fashion-mnist'); sys.exit('cv2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0


@pytest.mark.parametrize("size", [(2, 2), (3, 200), (5, 5), (2000, 7)])
def test_tiny_and_narrow_noise_is_answered_somehow(size: tuple[int, int]):
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    assert prepare(Image.fromarray(noise), "fashion-mnist").pixels.shape == (28, 28)


@pytest.mark.parametrize("height", [12, 15, 20])
def test_a_strip_whose_bands_meet_is_answered_somehow(height: int):
    strip = Image.new("RGB", (512, height), "white")
    strip.paste("black", (0, height // 2 - 1, 512, height // 2 + 2))
    for way in (strip, strip.rotate(90, expand=True)):
        assert prepare(way, "fashion-mnist").pixels.shape == (28, 28)
        assert without_bands(way).size == way.size


def test_a_dragged_rectangle_is_a_part_of_the_picture():
    image = Image.new("RGB", (400, 200))
    image.paste("red", (100, 50, 200, 150))
    rectangle = {"type": "Rect", "left": 75, "top": 37.5, "width": 75, "height": 75, "scaleX": 1, "scaleY": 1}
    found = region._fractions(rectangle, (300, 150))
    assert found == (0.25, 0.25, 0.5, 0.75)
    assert region.cut(image, found).getcolors() == [(100 * 100, (255, 0, 0))]
    assert region.cut(image, None) is image
    centred = rectangle | {"left": 112.5, "top": 75, "originX": "center", "originY": "center"}
    assert region._fractions(centred, (300, 150)) == found


@pytest.mark.parametrize(("rectangle", "wanted"), [
    ({"left": -50, "top": -50, "width": 900, "height": 900}, (0.0, 0.0, 1.0, 1.0)),
    ({"left": 10, "top": 10, "width": 2, "height": 90}, None),
    ({"left": 500, "top": 10, "width": 90, "height": 90}, None),
])  # fmt: skip
def test_what_is_outside_or_a_mere_click_is_no_part(rectangle: dict, wanted: tuple | None):
    assert region._fractions(rectangle, (300, 300)) == wanted


def without_bands(image: Image.Image) -> Image.Image:
    return image.crop(between_bands(np.asarray(image).astype(np.float32)))


def photo(size: tuple[int, int]) -> Image.Image:
    """A picture without any plain part."""
    noise = np.random.default_rng(0).integers(60, 200, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


@pytest.mark.parametrize("shade", [(0, 0, 0), (255, 255, 255), (230, 220, 200)])
@pytest.mark.parametrize("bands", [(0, 60, 0, 60), (40, 0, 40, 0), (30, 30, 30, 30), (20, 20, 20, 80)])
def test_bands_of_a_film_or_a_print_are_taken_off(shade: tuple[int, int, int], bands: tuple[int, int, int, int]):
    left, top, right, bottom = bands
    framed = Image.new("RGB", (320 + left + right, 240 + top + bottom), shade)
    framed.paste(photo((320, 240)), (left, top))
    shown = without_bands(decode(encoded(framed, "JPEG", quality=85)))
    assert (0 <= 320 - shown.width <= 8, 0 <= 240 - shown.height <= 8) == (True, True)
    assert np.abs(np.asarray(shown).astype(int) - shade).max(axis=2).min() > 5


def test_a_garment_in_bands_is_cut_out_as_without_them_and_told_in_the_whole_picture():
    alone = photo((320, 240))
    alone.paste((30, 30, 160), (110, 60, 210, 200))
    framed = Image.new("RGB", (320, 400))
    framed.paste(alone, (0, 80))
    wanted, found = prepare(alone, "fashion-mnist"), prepare(framed, "fashion-mnist")
    assert np.abs(found.pixels.astype(int) - wanted.pixels).mean() < 12
    (left, top, right, bottom), (_, high, _, low) = wanted.box, found.box
    assert found.box[::2] == pytest.approx((left, right), abs=0.02)
    assert (high, low) == pytest.approx(((top * 240 + 80) / 400, (bottom * 240 + 80) / 400), abs=0.02)
    height, width = found.inside.shape
    assert height / width == pytest.approx(400 / 320, abs=0.02)
    rows = np.flatnonzero(found.inside.any(1))
    assert (rows[0] / height, (rows[-1] + 1) / height) == pytest.approx((high, low), abs=0.02)


SHAPE = (3, 224, 224)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("at", [(0, 0), (40, 300), (460, 570)])
def test_a_small_garment_on_plain_ground_is_seen_from_near(mode: str, at: tuple[int, int]):
    shown = Image.new(mode, (600, 700), (240, 240, 235, 0)[: len(mode)])
    shown.paste((30, 60, 190, 255)[: len(mode)], (*at, at[0] + 100, at[1] + 60))
    found = prepare_photo(shown, SHAPE)
    around = 3  # pixels, of the picture
    left, top, right, bottom = max(0, at[0] - around), max(0, at[1] - around), at[0] + 100 + around, at[1] + 60 + around
    assert found.box == pytest.approx((left / 600, top / 700, right / 600, bottom / 700))
    assert (found.pixels == (30, 60, 190)).all(2).mean() > 0.45  # of 0.53; its edges are mixed
    whole = prepare_photo(shown, SHAPE, crop=False)
    assert whole.box is None
    assert (whole.pixels == (30, 60, 190)).all(2).mean() < 0.02


def test_a_small_garment_on_uneven_ground_is_seen_from_near_and_a_large_one_with_its_ground():
    tiles, inside = on_tiles()
    far = Image.fromarray(np.pad(np.asarray(tiles), ((200, 200), (300, 300), (0, 0)), mode="reflect"))
    blue = np.asarray(far)[..., 2] > 150
    far = Image.fromarray(
        np.where(blue[..., None] & ~np.pad(inside, ((200, 200), (300, 300)))[..., None], (200, 130, 40), np.asarray(far)).astype(np.uint8)
    )
    left, top, right, bottom = prepare_photo(far, SHAPE).box
    assert (left, top, right, bottom) == pytest.approx((350 / 1000, 210 / 700, 650 / 1000, 500 / 700), abs=0.02)
    near = tiles.crop((80, 40, 320, 270))
    assert prepare_photo(near, SHAPE).box is None


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 300), (3, 200), (512, 2)])
def test_where_there_is_nothing_to_be_near_to_the_whole_picture_is_seen(size: tuple[int, int]):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    assert prepare_photo(noise, SHAPE).pixels.shape == (224, 224, 3)
    for plain in (Image.new("RGB", size, "white"), Image.new("L", size, 90), Image.new("RGBA", size)):
        found = prepare_photo(plain, SHAPE)
        assert (found.box, np.ptp(found.pixels)) == (None, 0)


def test_a_garment_between_bands_is_seen_from_near_and_told_in_the_whole_picture():
    alone = photo((320, 240))
    alone.paste((30, 30, 160), (110, 60, 210, 200))
    framed = Image.new("RGB", (320, 400))
    framed.paste(alone, (0, 80))
    left, top, right, bottom = prepare_photo(framed, SHAPE).box
    assert (left, right) == pytest.approx((75 / 320, 245 / 320), abs=0.05)
    assert (top, bottom) == pytest.approx((105 / 400, 315 / 400), abs=0.05)


def test_a_pale_garment_with_a_dark_print_on_white_is_seen_whole():
    shown = Image.new("RGB", (500, 500), "white")
    shown.paste((236, 236, 238), (150, 120, 350, 380))
    shown.paste("black", (230, 200, 270, 240))
    assert prepare_photo(shown, SHAPE).box == pytest.approx((142 / 500, 112 / 500, 358 / 500, 388 / 500), abs=0.003)


def test_both_shoes_of_a_pair_are_the_garment_when_all_of_it_is_asked_for_and_crumbs_are_not():
    tiles, _ = on_tiles()
    tiles.paste((30, 60, 190), (330, 160, 385, 280))
    tiles.paste((30, 60, 190), (20, 260, 32, 272))
    colours = np.asarray(tiles).astype(np.float32)
    (_, one), (_, both) = cut_out(colours), cut_out(colours, whole=True)
    shape = one.shape
    second, crumb = (
        (slice(shape[0] * 170 // 300, shape[0] * 270 // 300), slice(shape[1] * 335 // 400, shape[1] * 380 // 400)),
        (slice(shape[0] * 250 // 300, shape[0] * 280 // 300), slice(0, shape[1] * 40 // 400)),
    )
    assert (one[second].mean(), one[crumb].any()) == (0, False)
    assert both[second].mean() > 0.95
    assert not both[crumb].any()
    assert (both & ~one).sum() < 1.6 * both[second].size


def test_two_networks_that_see_one_photo_have_it_cut_out_once():
    tiles, _ = on_tiles(7)
    foreground._pieces.cache_clear()
    prepare(tiles, "fashion-mnist")
    prepare_photo(tiles, SHAPE)
    assert foreground._pieces.cache_info()[:2] == (1, 1)


def test_a_plain_bag_on_plain_ground_is_no_picture_between_bands():
    shown = Image.new("RGB", (300, 300), "white")
    shown.paste((160, 60, 30), (60, 80, 240, 220))
    found = prepare(shown, "fashion-mnist")
    assert not found.is_blank
    assert found.box == pytest.approx((0.2, 80 / 300, 0.8, 220 / 300))


def test_a_photo_a_garment_on_plain_ground_and_a_plain_picture_stay_whole():
    assert without_bands(photo((320, 240))).size == (320, 240)
    assert without_bands(Image.new("RGB", (90, 70), "white")).size == (90, 70)
    assert without_bands(Image.new("RGB", (1, 1))).size == (1, 1)
    for garment in GARMENTS[::3]:
        shown = Image.fromarray(255 - garment).convert("RGB").resize((300, 300), Image.Resampling.BICUBIC)
        assert without_bands(shown).size == (300, 300)
