"""Any picture to what a network sees. Digits are real ones of the bundled sample, enlarged and put in every way on paper."""

import gzip

import numpy as np
import pytest
from PIL import Image, ImageDraw

from inference.decode import decode
from inference.prepare import DIGIT_BOX, SIDE, prepare
from jobs.runs import ROOT
from tests.test_decode import encoded

NEAR = 12.0  # of 255, mean over all pixels, up to a shift of one: what rounding to whole pixels costs; two different digits lie near 45


def sample_pictures(folder: str) -> np.ndarray:
    packed = (ROOT / "training" / "sample" / folder / "t10k-images-idx3-ubyte.gz").read_bytes()
    return np.frombuffer(gzip.decompress(packed), np.uint8, offset=16).reshape(-1, SIDE, SIDE)


DIGITS = sample_pictures("MNIST")[::17]  # 30, of every class
GARMENTS = sample_pictures("FashionMNIST")[::20]


def chalk(digit: np.ndarray, side: int = 140) -> np.ndarray:
    """Bright on black, uint8 [side, side]."""
    return np.asarray(Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC))


def inked(digit: np.ndarray, side: int = 140) -> Image.Image:
    """Black on white."""
    return Image.fromarray(255 - chalk(digit, side))


def cut_out(digit: np.ndarray, shade: int) -> Image.Image:
    """The digit in one shade on nothing, mode LA."""
    alpha = Image.fromarray(chalk(digit))
    return Image.merge("LA", (Image.new("L", alpha.size, shade), alpha))


def seen(image: Image.Image, dataset: str = "mnist", **options) -> np.ndarray:
    prepared = prepare(image, dataset, **options)
    assert not prepared.is_blank
    assert (prepared.pixels.shape, prepared.pixels.dtype) == ((SIDE, SIDE), np.uint8)
    return prepared.pixels


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference of the pixels at the best shift by at most one pixel."""
    shifts = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    return min(float(np.abs(np.roll(one, shift, (0, 1)).astype(int) - other).mean()) for shift in shifts)


def centre_of_mass(pixels: np.ndarray) -> np.ndarray:
    return (np.indices(pixels.shape) * pixels).sum((1, 2)) / pixels.sum()


def extent(pixels: np.ndarray) -> tuple[int, int]:
    """Height and width of what is not black."""
    rows, columns = np.nonzero(pixels)
    return int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


def check_box(box: tuple[float, float, float, float] | None) -> None:
    left, top, right, bottom = box
    assert 0 <= left < right <= 1
    assert 0 <= top < bottom <= 1


# Digits


def test_the_yardstick_tells_different_digits_apart():
    prepared = [seen(inked(digit)) for digit in DIGITS[::5]]
    apart = [distance(one, other) for one in prepared for other in prepared if one is not other]
    assert min(apart) > NEAR


def test_an_enlarged_digit_comes_back_as_it_was_in_the_data_set():
    apart = [distance(seen(inked(digit)), digit) for digit in DIGITS]
    assert np.median(apart) < 7
    assert np.mean(np.array(apart) < NEAR) > 0.9


def test_white_on_black_is_seen_as_black_on_white_is():
    for digit in DIGITS[::2]:
        assert np.array_equal(seen(Image.fromarray(chalk(digit))), seen(inked(digit)))


@pytest.mark.parametrize("shade", [0, 90, 165, 255])
def test_a_digit_on_transparent_ground_is_seen_whatever_its_shade(shade: int):
    for digit in DIGITS[::2]:
        image = decode(encoded(cut_out(digit, shade)))
        assert image.mode == "RGBA"
        assert distance(seen(image), seen(inked(digit))) < NEAR


def test_the_colour_of_invisible_pixels_does_not_matter():
    alpha = Image.fromarray(chalk(DIGITS[7]))
    plain = Image.merge("RGBA", (*Image.new("RGB", alpha.size, "black").split(), alpha))
    loud = plain.copy()
    loud.paste((255, 255, 255, 0), (0, 0, 140, 15))
    assert np.array_equal(seen(plain), seen(loud))


def test_a_screenshot_with_round_transparent_corners_is_seen_as_one_without():
    for ink, paper in (("black", "white"), ("white", "black")):
        image = Image.new("RGBA", (200, 200), (0, 0, 0, 0))
        ImageDraw.Draw(image).rounded_rectangle((0, 0, 199, 199), 30, fill=paper)
        square = Image.new("RGBA", (200, 200), paper)
        for each in (image, square):
            ImageDraw.Draw(each).line([(80, 40), (120, 160)], fill=ink, width=14)
        assert distance(seen(image), seen(square)) < 3


@pytest.mark.parametrize("ink", [(20, 40, 160), (200, 30, 30), (90, 90, 90)])
def test_coloured_ink_on_coloured_paper_is_seen_as_black_on_white_is(ink: tuple[int, int, int]):
    for digit in DIGITS[::5]:
        picture = Image.composite(
            Image.new("RGB", (140, 140), ink), Image.new("RGB", (140, 140), (244, 238, 220)), Image.fromarray(chalk(digit))
        )
        assert distance(seen(picture), seen(inked(digit))) < NEAR


@pytest.mark.parametrize("place", [(0, 0), (160, 0), (0, 120), (160, 120), (37, 81)])
def test_the_place_on_the_paper_does_not_matter(place: tuple[int, int]):
    for digit in DIGITS[::3]:
        paper = Image.new("L", (300, 260), 255)
        paper.paste(inked(digit), place)
        assert distance(seen(paper), seen(inked(digit))) < 6


@pytest.mark.parametrize("side", [70, 100, 196, 280])
def test_the_size_of_the_picture_does_not_matter(side: int):
    for digit in DIGITS[::2]:
        assert distance(seen(inked(digit, side)), seen(inked(digit))) < NEAR


@pytest.mark.parametrize("darkest", [0.5, 0.75])
@pytest.mark.parametrize("turns", range(4))
def test_uneven_light_does_not_matter(darkest: float, turns: int):
    light = np.rot90(np.tile(np.linspace(darkest, 1, 140), (140, 1)), turns)
    for digit in DIGITS[::5]:
        shaded = Image.fromarray((np.asarray(inked(digit)) * light).astype(np.uint8))
        assert distance(seen(shaded), seen(inked(digit))) < NEAR


def test_grain_and_specks_of_dirt_do_not_matter():
    random = np.random.default_rng(0)
    for digit in DIGITS[::5]:
        dirty = np.asarray(inked(digit)) + random.normal(0, 4, (140, 140))
        dirty[2:4, 2:3] = dirty[130:131, 120:123] = 0
        assert distance(seen(Image.fromarray(dirty.clip(0, 255).astype(np.uint8))), seen(inked(digit))) < NEAR


def test_ink_fits_the_box_and_fills_its_longer_side():
    for digit in DIGITS:
        height, width = extent(seen(inked(digit)))
        assert max(height, width) <= DIGIT_BOX
        assert max(height, width) >= DIGIT_BOX - 2


def test_the_centre_of_mass_is_the_centre():
    for digit in DIGITS:
        assert np.abs(centre_of_mass(seen(inked(digit))) - (SIDE - 1) / 2).max() < 1


def test_hair_thin_strokes_are_thickened():
    paper = Image.new("L", (400, 400), 255)
    ImageDraw.Draw(paper).line([(120, 60), (280, 120), (120, 340)], fill=0, width=2)
    pixels = seen(paper)
    assert pixels.max() > 200
    assert 0.9 < (pixels[14] / 255).sum() < 4  # MNIST's strokes are two to three pixels wide


def test_very_thick_strokes_are_thinned():
    paper = Image.new("L", (400, 400), 255)
    ImageDraw.Draw(paper).ellipse((60, 20, 340, 380), outline=0, width=90)
    ring = seen(paper)
    assert (ring[14] / 255).sum() < 9  # drawn as it stands, the middle row crosses ten pixels of ink
    assert ring[13:15, 13:15].max() < 64


@pytest.mark.parametrize("dataset", ["mnist", "fashion-mnist"])
@pytest.mark.parametrize("size", [(1, 1), (28, 28), (2, 300), (200, 150)])
@pytest.mark.parametrize("shade", [0, 127, 255])
def test_a_plain_picture_is_blank(dataset: str, size: tuple[int, int], shade: int):
    for image in (Image.new("L", size, shade), Image.new("RGB", size, (shade, 40, 90)), Image.new("RGBA", size, (shade, 40, 90, 255))):
        prepared = prepare(image, dataset)
        assert prepared.is_blank
        assert prepared.pixels.shape == (SIDE, SIDE)


@pytest.mark.parametrize("dataset", ["mnist", "fashion-mnist"])
def test_a_wholly_transparent_picture_is_blank(dataset: str):
    assert prepare(Image.new("RGBA", (100, 80), (250, 10, 10, 0)), dataset).is_blank


@pytest.mark.parametrize("dataset", ["mnist", "fashion-mnist"])
def test_paper_with_a_little_grain_is_blank(dataset: str):
    grain = np.random.default_rng(0).normal(235, 3, (200, 300)).clip(0, 255).astype(np.uint8)
    assert prepare(Image.fromarray(grain), dataset).is_blank


def test_an_empty_sheet_in_uneven_light_is_blank():
    sheet = np.tile(np.linspace(140, 250, 200), (150, 1)).astype(np.uint8)
    assert prepare(Image.fromarray(sheet), "mnist").is_blank


@pytest.mark.parametrize(("dataset", "pictures"), [("mnist", DIGITS), ("fashion-mnist", GARMENTS)])
def test_a_picture_of_the_data_set_passes_unchanged(dataset: str, pictures: np.ndarray):
    for pixels in pictures:
        prepared = prepare(decode(encoded(Image.fromarray(pixels))), dataset)
        assert np.array_equal(prepared.pixels, pixels)
        assert (prepared.inverted, prepared.box, prepared.is_blank) == (False, None, False)


def test_a_negated_picture_of_the_data_set_is_turned_back():
    for digit in DIGITS[::5]:
        assert distance(seen(Image.fromarray(255 - digit)), digit) < 20


def test_inversion_is_decided_from_the_picture_and_told():
    assert prepare(inked(DIGITS[0]), "mnist").inverted
    assert not prepare(Image.fromarray(chalk(DIGITS[0])), "mnist").inverted


@pytest.mark.parametrize("invert", [True, False])
def test_inversion_can_be_overridden(invert: bool):
    image = inked(DIGITS[0])
    prepared = prepare(image, "mnist", invert=invert)
    assert prepared.inverted is invert
    assert (distance(prepared.pixels, seen(image)) < NEAR) is invert
    assert bool(prepared.pixels[5, 5] < 30) is invert  # taken as bright ink, the paper is what is seen


def test_a_finished_picture_can_be_inverted_too():
    prepared = prepare(Image.fromarray(DIGITS[0]), "mnist", invert=True)
    assert prepared.inverted
    assert prepared.pixels[5, 5] > 200  # its black ground


def test_without_cropping_a_digit_keeps_its_place_and_size():
    paper = Image.new("L", (280, 280), 255)
    paper.paste(inked(DIGITS[3], 112), (14, 14))
    prepared = prepare(paper, "mnist", crop=False)
    assert prepared.box is None
    assert max(extent(prepared.pixels)) < 11
    assert (centre_of_mass(prepared.pixels) < 13).all()
    cropped = prepare(paper, "mnist")
    assert (np.array(cropped.box) < 0.5).all()
    assert max(extent(cropped.pixels)) > 17


def test_the_box_surrounds_the_ink():
    paper = Image.new("L", (400, 200), 255)
    ImageDraw.Draw(paper).rectangle((100, 50, 139, 149), fill=0)
    assert prepare(paper, "mnist").box == pytest.approx((0.25, 0.25, 0.35, 0.75), abs=0.02)


# Garments

GROUNDS = {"white": (252, 252, 252), "grey": (128, 128, 128), "black": (8, 8, 8), "blue": (96, 132, 176), "beige": (226, 214, 196)}


def shirt(cloth: tuple[int, int, int], ground: tuple[int, int, int], size: tuple[int, int] = (300, 360)) -> Image.Image:
    """A body with two sleeves, in the middle of a plain ground."""
    image = Image.new("RGB", size, ground)
    drawing = ImageDraw.Draw(image)
    drawing.rectangle((90, 60, 209, 319), fill=cloth)
    drawing.polygon([(90, 60), (30, 180), (60, 200), (90, 140)], fill=cloth)
    drawing.polygon([(209, 60), (270, 180), (240, 200), (209, 140)], fill=cloth)
    return image


@pytest.mark.parametrize("ground", GROUNDS)
def test_a_garment_is_cut_from_any_plain_ground(ground: str):
    prepared = prepare(shirt((170, 30, 40), GROUNDS[ground]), "fashion-mnist")
    assert not prepared.is_blank
    assert prepared.box == pytest.approx((30 / 300, 60 / 360, 270 / 300, 320 / 360), abs=0.02)
    assert max(extent(prepared.pixels)) == SIDE
    assert prepared.pixels[:, :1].max() < 60  # the ground is black again
    assert prepared.pixels[10:20, 10:18].min() > 60  # and the cloth is not


def test_the_ground_leaves_no_trace_in_what_is_seen():
    whites = [seen(shirt((170, 30, 40), GROUNDS[ground]), "fashion-mnist") for ground in ("white", "beige", "blue")]
    assert distance(whites[0], whites[1]) < 3
    assert distance(whites[0], whites[2]) < 3


@pytest.mark.parametrize(("ground", "inverted"), [("white", True), ("beige", True), ("black", False)])
def test_brightness_is_negated_on_light_grounds_only(ground: str, inverted: bool):
    assert prepare(shirt((170, 30, 40), GROUNDS[ground]), "fashion-mnist").inverted is inverted


def test_a_transparent_cut_out_is_cut_along_its_alpha():
    cloth = (170, 30, 40)
    mask = shirt((255, 255, 255), (0, 0, 0)).convert("L")
    cut = Image.merge("RGBA", (*Image.new("RGB", mask.size, cloth).split(), mask))  # its colours alone are plain
    prepared = prepare(decode(encoded(cut)), "fashion-mnist")
    assert not prepared.is_blank
    assert distance(prepared.pixels, seen(shirt(cloth, GROUNDS["white"]), "fashion-mnist")) < 3


@pytest.mark.parametrize(
    ("cloth", "ground"), [((250, 250, 250), (216, 218, 220)), ((222, 222, 224), (252, 252, 252)), ((255, 255, 255), (225, 215, 200))]
)
def test_a_white_shirt_on_whitish_ground_is_not_a_hole(cloth: tuple, ground: tuple):
    pixels = seen(shirt(cloth, ground), "fashion-mnist")
    assert extent(pixels)[0] == SIDE
    assert pixels[10:20, 10:18].min() > 90
    assert pixels[:, 0].max() < 60


def test_a_black_shirt_on_black_ground_is_not_a_hole():
    assert seen(shirt((45, 45, 48), (4, 4, 4)), "fashion-mnist")[10:20, 10:18].min() > 90


@pytest.mark.parametrize(("size", "wanted"), [((400, 100), (7, 28)), ((100, 400), (28, 7))])
def test_long_garments_keep_their_shape(size: tuple[int, int], wanted: tuple[int, int]):
    image = Image.new("RGB", (size[0] + 80, size[1] + 80), "white")
    image.paste((40, 60, 90), (40, 40, 40 + size[0], 40 + size[1]))
    pixels = seen(image, "fashion-mnist")
    assert extent(pixels) == wanted
    assert np.abs(centre_of_mass(pixels) - (SIDE - 1) / 2).max() <= 1


def test_folds_and_prints_stay_visible():
    image = shirt((60, 60, 60), GROUNDS["white"])
    image.paste((170, 170, 170), (120, 120, 180, 200))
    pixels = seen(image, "fashion-mnist")
    assert int(pixels[22, 14]) - int(pixels[10, 14]) > 60


def test_shadows_on_the_ground_are_not_cloth():
    light = np.linspace(0.97, 1.03, 300)[None, :, None]
    shaded = np.clip(np.asarray(shirt((60, 30, 90), (236, 236, 236))) * light, 0, 255).astype(np.uint8)
    assert prepare(Image.fromarray(shaded), "fashion-mnist").box == pytest.approx((0.1, 60 / 360, 0.9, 320 / 360), abs=0.02)


def test_specks_of_dirt_are_no_part_of_a_garment():
    dirty = shirt((60, 30, 90), GROUNDS["white"])
    for at in ((3, 3), (295, 7), (8, 350)):
        dirty.paste("black", (*at, at[0] + 1, at[1] + 4))
    assert prepare(dirty, "fashion-mnist").box == pytest.approx((0.1, 60 / 360, 0.9, 320 / 360), abs=0.02)


def test_a_garment_can_be_kept_in_its_place_and_its_brightness_overridden():
    image = shirt((60, 30, 90), GROUNDS["white"])
    kept = prepare(image, "fashion-mnist", crop=False)
    assert kept.box is None
    assert max(extent(kept.pixels)) < 24
    negated, plain = (prepare(image, "fashion-mnist", invert=invert) for invert in (True, False))
    assert (negated.inverted, plain.inverted) == (True, False)
    assert negated.pixels[15, 14] > plain.pixels[15, 14]


@pytest.mark.parametrize("dataset", ["mnist", "fashion-mnist"])
@pytest.mark.parametrize("size", [(1, 60), (60, 1), (2, 2), (3, 200), (300, 3), (150, 170)])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_noise_of_any_shape_gives_pixels_and_a_box_within_the_picture(dataset: str, size: tuple[int, int], mode: str):
    random = np.random.default_rng(sum(size))
    image = Image.fromarray(random.integers(0, 256, (size[1], size[0], 4), np.uint8)).convert(mode)
    for invert in (None, True, False):
        for crop in (True, False):
            prepared = prepare(image, dataset, invert, crop)
            assert (prepared.pixels.shape, prepared.pixels.dtype) == ((SIDE, SIDE), np.uint8)
            assert (prepared.box is None) is (prepared.is_blank or not crop)
            if prepared.box:
                check_box(prepared.box)
