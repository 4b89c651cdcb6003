"""What is taken for ink: thin strokes whole, whatever the light, and nothing that only lies beside them."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from inference import ink
from inference.components import labelled
from inference.prepare import prepare_ink
from tests.test_prepare import DIGITS, NEAR, distance, inked, seen


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("angle", range(0, 180, 20))
def test_a_thin_slanted_stroke_stays_in_one_piece(width: int, angle: int):
    paper = Image.new("L", (500, 400), 255)
    across, down = 150 * np.cos(np.radians(angle)), 150 * np.sin(np.radians(angle))
    corner = (250 + across / 4, 200 + 60)
    ImageDraw.Draw(paper).line([(250 - across, 200 - down), corner, (250 + across, 200 + down)], fill=0, width=width)
    assert labelled(seen(paper) > 60)[0].max() == 1


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("place", [(10, 10), (190, 200), (20, 190)])
def test_a_small_digit_in_light_from_one_side_is_found(turns: int, place: tuple[int, int]):
    light = np.rot90(np.tile(np.linspace(0.45, 1, 300), (300, 1)), turns)
    for digit in DIGITS[::5]:
        paper = Image.new("L", (300, 300), 235)
        paper.paste(inked(digit, 90).point(lambda value: 60 + value * 175 // 255), place)
        assert distance(seen(Image.fromarray((np.asarray(paper) * light).astype(np.uint8))), seen(inked(digit))) < NEAR


def test_what_is_cut_off_at_the_edge_is_no_part_of_a_digit():
    for digit in DIGITS[::5]:
        paper = Image.new("L", (300, 300), 255)
        paper.paste(inked(digit, 120), (90, 90))
        ImageDraw.Draw(paper).rectangle((0, 250, 14, 270), fill=0)
        assert distance(seen(paper), seen(inked(digit))) < NEAR


@pytest.mark.parametrize("crop", [True, False])
@pytest.mark.parametrize("place", [(0, 0), (100, 90), (229, 229), (0, 110), (110, 229)])
def test_a_canvas_is_read_the_same_by_the_part_that_has_ink_and_whole(monkeypatch: pytest.MonkeyPatch, place: tuple[int, int], crop: bool):
    for digit in DIGITS[::3]:
        canvas = Image.new("L", (320, 320))
        canvas.paste(inked(digit, 90), place)
        canvas.putpixel((315, 5), 255)  # dust
        part = prepare_ink(*ink.find_ink(canvas, invert=False), crop)
        with monkeypatch.context() as patch:
            patch.setattr(ink, "_free_window", lambda values: None)
            whole = prepare_ink(*ink.find_ink(canvas, invert=False), crop)
        assert (part.pixels == whole.pixels).all()
        assert part.box == whole.box
        assert part.is_blank is whole.is_blank is False
