"""inference/surroundings.py: what lies around handwriting in photos, scans and screenshots is no part of it."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from inference.ink import find_ink
from inference.surroundings import without_surroundings
from tests.test_prepare import DIGITS, NEAR, chalk, distance, inked, seen

SIZE = 400


def sheet(digit: np.ndarray, paper: int = 235, pen: int = 50, size: int = SIZE) -> Image.Image:
    """A digit in the middle of a sheet of paper, grey."""
    found = Image.new("L", (size, size), paper)
    height = size * 2 // 5
    found.paste(pen, ((size - height) // 2,) * 2, Image.fromarray(chalk(digit, height)))
    return found


def grained(image: Image.Image) -> Image.Image:
    """With a camera's noise."""
    noise = np.random.default_rng(0).normal(0, 3, image.size[::-1])
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


def on_table(digit: np.ndarray, sides: str, table: int, turned: float = 0.0, paper: int = 235) -> Image.Image:
    """A sheet that ends within the picture at some of its sides: l, t, r, b."""
    found, shape = sheet(digit, paper), Image.new("L", (SIZE, SIZE), 255)
    strips = {"l": (0, 0, 50, SIZE), "t": (0, 0, SIZE, 50), "r": (SIZE - 50, 0, SIZE, SIZE), "b": (0, SIZE - 50, SIZE, SIZE)}
    for side in sides:
        shape.paste(0, strips[side])
    shape = shape.rotate(turned, Image.Resampling.BILINEAR, fillcolor=0 if len(sides) == 4 else 255)
    found = found.rotate(turned, Image.Resampling.BILINEAR, fillcolor=paper)
    return grained(Image.composite(found, Image.new("L", (SIZE, SIZE), table), shape))


def in_falling_light(digit: np.ndarray, lines: bool = False) -> Image.Image:
    """A sheet on a table that is brighter than the sheet's dark side."""
    paper = sheet(digit, pen=40)
    for row in range(20, SIZE, 24) if lines else ():
        ImageDraw.Draw(paper).line((0, row, SIZE, row), fill=190)
    paper = paper.rotate(2, Image.Resampling.BILINEAR, fillcolor=235)
    both = Image.composite(paper, Image.new("L", (SIZE, SIZE), 140), margin(0, 50, 350, 350))
    return grained(Image.fromarray((np.asarray(both) * np.linspace(0.45, 1, SIZE)).astype(np.uint8)))


def margin(left: int, top: int, right: int, bottom: int) -> Image.Image:
    """White where a sheet is, turned by two degrees."""
    shape = Image.new("L", (SIZE, SIZE))
    ImageDraw.Draw(shape).rectangle((left - 50 * (not left), top, right, bottom), fill=255)
    return shape.rotate(2, Image.Resampling.BILINEAR)


def card(digit: np.ndarray, paper: int, pen: int, size: int = 300) -> Image.Image:
    """A card with nothing around it."""
    found = Image.new("RGBA", (SIZE, SIZE))
    found.paste(Image.merge("RGB", [sheet(digit, paper, pen, size)] * 3), ((SIZE - size) // 2,) * 2)
    return found


def marked(digit: np.ndarray, draw: Callable[[ImageDraw.ImageDraw], None]) -> Image.Image:
    """A screenshot or scan with something else drawn in it."""
    found = sheet(digit, 255, 0)
    draw(ImageDraw.Draw(found))
    return found


def toolbar(pen: ImageDraw.ImageDraw) -> None:
    pen.rectangle((0, 0, SIZE, 60), fill=225)
    for left in range(10, SIZE, 34):
        pen.rectangle((left, 30, left + 22, 52), fill=40 + left // 4)


def holes(pen: ImageDraw.ImageDraw) -> None:
    for top in (110, 280):
        pen.ellipse((14, top, 34, top + 20), fill=0)


def in_a_flash(digit: np.ndarray) -> Image.Image:
    """Light that falls off to all sides, so that the rim is darker than the ink in the middle."""
    far = np.hypot(*np.meshgrid(*(np.linspace(-1, 1, SIZE),) * 2))
    return grained(Image.fromarray((np.asarray(sheet(digit, pen=90)) * np.clip(1.1 - 0.75 * far**2, 0.1, 1)).astype(np.uint8)))


def in_a_shadow(digit: np.ndarray) -> Image.Image:
    """The shadow of a hand, with an edge."""
    shadow = Image.new("L", (SIZE, SIZE), 255)
    ImageDraw.Draw(shadow).ellipse((40, 230, 480, 620), fill=125)
    shadow = np.asarray(shadow.filter(ImageFilter.GaussianBlur(8))) / 255
    return grained(Image.fromarray((np.asarray(sheet(digit)) * shadow).astype(np.uint8)))


SCENES: dict[str, Callable[[np.ndarray], Image.Image]] = {
    "a dark table on one side": lambda digit: on_table(digit, "l", 70),
    "a dark table on two sides, turned": lambda digit: on_table(digit, "tr", 60, turned=5),
    "a dark table all around": lambda digit: on_table(digit, "ltrb", 60, turned=-6),
    "a bright table below": lambda digit: on_table(digit, "b", 180),
    "a note on a table": lambda digit: on_table(digit, "ltrb", 120, turned=8),
    "a scan's black border": lambda digit: on_table(digit, "ltrb", 5),
    "a black border on one side": lambda digit: on_table(digit, "r", 5),
    "a table that is brighter than the sheet's dark side": in_falling_light,
    "a ruled sheet on such a table": lambda digit: in_falling_light(digit, lines=True),
    "a white card with nothing around it": lambda digit: card(digit, 255, 0),
    "a small card with nothing around it": lambda digit: card(digit, 255, 0, 220),
    "a dark card with nothing around it": lambda digit: card(digit, 35, 250),
    "a line around the picture": lambda digit: marked(digit, lambda pen: pen.rectangle((1, 1, SIZE - 2, SIZE - 2), outline=60, width=2)),
    "a line further in": lambda digit: marked(digit, lambda pen: pen.rectangle((18, 18, SIZE - 19, SIZE - 19), outline=0, width=3)),
    "a box": lambda digit: marked(digit, lambda pen: pen.polygon([(60, 52), (345, 60), (340, 348), (50, 338)], outline=0, width=6)),
    "a small box": lambda digit: marked(digit, lambda pen: pen.rectangle((110, 105, 292, 300), outline=90, width=3)),
    "a box that the picture's edge cuts off": lambda digit: marked(
        digit, lambda pen: pen.rectangle((-9, 105, 292, 300), outline=90, width=3)
    ),
    "a row of boxes": lambda digit: marked(
        digit, lambda pen: [pen.rectangle((*ends, 300), outline=90, width=3) for ends in ((8, 105, 100), (100, 105, 300), (300, 105, 392))]
    ),
    "a ring": lambda digit: marked(digit, lambda pen: pen.ellipse((80, 80, 320, 325), outline=90, width=4)),
    "a toolbar": lambda digit: marked(digit, toolbar),
    "a scan's punch holes": lambda digit: marked(digit, holes),
    "a cursor": lambda digit: marked(digit, lambda pen: pen.polygon([(340, 60), (340, 77), (344, 73), (352, 72)], fill=0)),
    "a finger": lambda digit: marked(digit, lambda pen: pen.ellipse((300, 320, 430, 520), fill=130)),
    "a flash": in_a_flash,
    "a hand's shadow": in_a_shadow,
    "ink as bright as its ground": lambda digit: Image.composite(
        Image.new("RGB", (SIZE, SIZE), (220, 60, 60)), Image.new("RGB", (SIZE, SIZE), (90, 128, 80)), sheet(digit, 0, 255)
    ),
}


@pytest.mark.parametrize("scene", SCENES)
def test_a_digit_looks_as_if_it_were_alone(scene: str):
    for digit in DIGITS[::4]:
        assert distance(seen(SCENES[scene](digit)), seen(inked(digit))) < NEAR


def test_a_pencil_in_a_printed_box_is_seen_although_the_box_is_much_darker():
    for digit in DIGITS[::4]:
        drawing = sheet(digit, 235, 175)
        alone = seen(drawing)
        ImageDraw.Draw(drawing).rectangle((100, 95, 302, 310), outline=10, width=6)
        assert distance(seen(drawing), alone) < NEAR


def test_a_pencil_in_a_ring_whose_ends_stop_short_of_the_pictures_edge_is_seen():
    for digit in DIGITS[::4]:
        drawing = sheet(digit, 235, 140)
        alone = seen(drawing)
        pen = ImageDraw.Draw(drawing)
        pen.ellipse((80, 80, 320, 325), outline=10, width=6)
        pen.polygon([(0, 0), (SIZE, 0), (SIZE, 104), (0, 100)], fill=235)
        assert distance(seen(drawing.crop((0, 100, SIZE, SIZE))), alone) < NEAR


def test_a_digit_that_touches_its_box_stays_beside_one_that_does_not():
    for touching, free in ((2, 0), (5, 3), (8, 1)):
        drawing = Image.new("L", (SIZE, SIZE), 255)
        drawing.paste(0, (60, 170), Image.fromarray(chalk(DIGITS[touching], 140)))
        drawing.paste(0, (230, 140), Image.fromarray(chalk(DIGITS[free], 120)))
        foot = 170 + np.flatnonzero((chalk(DIGITS[touching], 140) > 127).any(1))[-1]
        pen = ImageDraw.Draw(drawing)
        for left in (40, 210):
            pen.rectangle((left, 110, left + 170, foot), outline=0, width=4)
        solid = find_ink(drawing)[0].solid
        rows, columns = np.flatnonzero(solid[:, :205].any(1)), np.flatnonzero(solid[:, :205].any(0))
        assert rows[-1] - rows[0] > 60
        assert columns[0] > 46
        assert solid[:, 216:].any()


def test_a_zero_struck_through_or_gone_round_twice_and_a_boxy_one_with_a_speck_keep_their_rings():
    def ring(*inner: tuple, boxy: bool = False) -> np.ndarray:
        drawing = Image.new("L", (SIZE, SIZE), 255)
        pen = ImageDraw.Draw(drawing)
        (pen.rectangle if boxy else pen.ellipse)((130, 100, 270, 300), outline=0, width=12)
        for kind, where in inner:
            getattr(pen, kind)(where, **({"fill": 0, "width": 10} if kind == "line" else {"outline": 0, "width": 10}))
        return find_ink(drawing)[0].solid

    for shown in (
        ring(("line", (160, 270, 240, 130))),
        ring(("line", (180, 230, 220, 170))),
        ring(("line", (200, 240, 200, 160))),
        ring(("ellipse", (152, 122, 248, 278))),
        ring(("ellipse", (197, 197, 204, 204)), boxy=True),
    ):
        rows = np.flatnonzero(shown.any(1))
        assert rows[-1] - rows[0] > 190


@pytest.mark.parametrize("at", [(0, 0), (0, 150), (150, 260), (260, 260)])
def test_a_drawing_that_reaches_the_edge_stays_whole(at: tuple[int, int]):
    for digit in DIGITS[::4]:
        drawing = Image.new("L", (SIZE, SIZE), 255)
        ink = Image.fromarray(chalk(digit, 140))
        drawing.paste(0, at, ink.crop(ink.getbbox()))
        assert distance(seen(drawing), seen(inked(digit))) < NEAR


def test_digits_of_a_number_that_touch_the_edge_stay_beside_the_one_that_does_not():
    solid = np.zeros((200, 400), bool)
    for left in (0, 160, 350):
        solid[40:160, left : left + 50] = True
    assert (without_surroundings(solid) == solid).all()
    solid[:12] = True  # and what is nothing like them goes
    assert (without_surroundings(solid)[:12] == 0).all()
    assert without_surroundings(solid)[40:160, 350:].all()


def test_the_bar_of_a_five_that_touches_the_edge_stays():
    solid = np.zeros((200, 200), bool)
    solid[60:160, 60:120] = True
    solid[40:52, 125:200] = True
    assert (without_surroundings(solid) == solid).all()


def test_small_things_near_stay_and_those_far_away_go():
    solid = np.zeros((200, 200), bool)
    solid[60:160, 60:120] = True
    solid[60:70, 130:140] = True
    assert without_surroundings(solid).sum() == solid.sum()
    solid[10:18, 180:188] = True
    assert without_surroundings(solid).sum() == solid.sum() - 64


def test_a_row_of_icons_goes_however_near_and_two_dots_stay():
    solid = np.zeros((200, 300), bool)
    solid[60:180, 100:140] = True
    for left in (90, 130, 170):
        solid[20:40, left : left + 20] = True
    assert without_surroundings(solid).sum() == solid.sum() - 3 * 400
    solid[20:40, 90:110] = False
    assert without_surroundings(solid).sum() == solid.sum()


def test_a_large_stroke_that_reaches_the_edge_stays_with_the_small_one_beside_it():
    solid = np.zeros((200, 200), bool)
    solid[20:, 90:120] = True
    solid[30:85, 40:60] = True
    assert (without_surroundings(solid) == solid).all()


def test_a_thick_drawing_that_touches_every_side_is_no_dark_writing_on_a_light_sheet():
    drawing = Image.new("L", (320, 320))
    pen = ImageDraw.Draw(drawing)
    for box in ((30, 1, 235, 170), (20, 130, 262, 318)):  # an 8
        pen.ellipse(box, fill=255)
    for box in ((110, 70, 150, 110), (100, 200, 180, 240)):
        pen.ellipse(box, fill=0)
    found, inverted = find_ink(drawing)
    assert not inverted
    assert found.solid.sum() == pytest.approx((np.asarray(drawing) > 127).sum(), rel=0.02)


def test_a_serif_stays_with_its_stroke_that_reaches_the_edge():
    drawing = Image.new("L", (320, 320))
    pen = ImageDraw.Draw(drawing)
    pen.line([(106, 0), (146, 14), (128, 143)], fill=255, width=10)  # a 7 with its head in two pieces
    pen.line([(88, 18), (78, 30), (77, 50)], fill=255, width=10)
    found, _ = find_ink(drawing)
    assert found.solid.sum() == pytest.approx((np.asarray(drawing) > 127).sum(), rel=0.02)
