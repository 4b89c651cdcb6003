"""inference/sheets.py and sheet_edges.py: where the sheet ends that is written on, and where there is none."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from inference.ink import find_ink
from inference.prepare import _whole, prepare_ink
from inference.sheet_edges import bounded_by_edges, paper_shade
from inference.sheets import find_sheet

SIZE = 400


def paper_on_table(paper: np.ndarray, table: np.ndarray | int, place: tuple[int, int, int, int]) -> np.ndarray:
    """Paper, uint8 [SIZE, SIZE], within left, top, right and bottom; the table around it."""
    found = np.broadcast_to(np.asarray(table), (SIZE, SIZE)).astype(np.uint8)
    left, top, right, bottom = place
    found[top:bottom, left:right] = paper[top:bottom, left:right]
    return found


def grained(values: np.ndarray) -> np.ndarray:
    """With a camera's noise."""
    return np.clip(values + np.random.default_rng(0).normal(0, 2, values.shape), 0, 255).astype(np.uint8)


def written_on(shade: np.ndarray) -> np.ndarray:
    """Paper of a shade with an L on it."""
    found = np.broadcast_to(shade, (SIZE, SIZE)).astype(np.uint8)
    found[120:280, 180:196] = 25
    found[264:280, 180:260] = 25
    return found


def test_a_thick_zero_is_no_card():
    drawing = Image.new("L", (320, 320), 255)
    ImageDraw.Draw(drawing).rounded_rectangle((150, 20, 290, 300), radius=50, outline=0, width=34)
    assert find_sheet(np.asarray(drawing), 127.5) is None
    assert find_sheet(255 - np.asarray(drawing), 127.5) is None


def test_where_light_fades_there_is_no_sheet_and_on_blank_paper_neither():
    fading = np.tile(np.linspace(250, 90, SIZE), (SIZE, 1)).astype(np.uint8)
    fading[150:250, 60:80] = 30
    assert find_sheet(fading, 165.0) is None
    blank = np.full((SIZE, SIZE), 60, np.uint8)
    blank[50:350, 50:350] = 235
    assert find_sheet(blank, 150.0) is None
    blank[120:280, 180:220] = 60
    found = find_sheet(blank, 150.0)
    assert found is not None
    assert found.is_bright
    assert found.inside[100:300, 100:300].all()
    assert not found.inside[:45].any()


@pytest.mark.parametrize("table", [20, 90, 150])
@pytest.mark.parametrize("place", [(60, 40, 340, 350), (0, 40, 340, SIZE), (60, 0, SIZE, SIZE)])
def test_a_sheet_is_found_by_its_edges_although_a_part_of_it_is_as_dark_as_the_table(place, table):
    light = np.linspace(0.4, 1, SIZE)  # on both: on its bright side the table is brighter than the sheet on its dark one
    picture = grained(paper_on_table(written_on(np.full(SIZE, 240)), table, place) * light)
    found = find_sheet(picture, 127.5)
    assert found is not None
    assert found.is_bright
    shape = np.zeros((SIZE, SIZE), bool)
    left, top, right, bottom = place
    shape[top:bottom, left:right] = True
    assert (found.inside & ~shape).sum() < 0.002 * shape.sum()
    assert found.inside.sum() > 0.9 * shape.sum()  # its rim, three pixels in 256, is left out


@pytest.mark.parametrize("width", [16, 40, 60])
def test_a_thick_stroke_has_no_edge_of_a_sheet(width):
    for left in (4, 60, 200, SIZE - width - 4):
        picture = np.broadcast_to(np.linspace(150, 240, SIZE), (SIZE, SIZE)).astype(np.uint8)
        picture[40:360, left : left + width] = 40
        assert bounded_by_edges(picture[::2, ::2].copy()) is None
        assert bounded_by_edges(picture.T[::2, ::2].copy()) is None


def test_light_that_falls_off_has_no_edge_and_paper_without_writing_is_no_sheet():
    far = np.hypot(*np.meshgrid(*(np.linspace(-1, 1, 200),) * 2))
    lit = (written_on(np.full(SIZE, 240))[::2, ::2] * np.clip(1.1 - 0.7 * far**2, 0.1, 1)).astype(np.uint8)
    assert bounded_by_edges(lit) is None
    blank = paper_on_table(np.full((SIZE, SIZE), 230, np.uint8), 90, (60, 40, 340, 350))
    assert bounded_by_edges(blank[::2, ::2].copy()) is None


def test_rules_end_where_the_sheet_does_and_go_all_the_same():
    paper = np.full((SIZE, SIZE), 235, np.uint8)
    paper[20::24] = paper[21::24] = 170
    paper[120:280, 190:206] = 30  # a 1
    ink, inverted = find_ink(Image.fromarray(grained(paper_on_table(paper, 110, (60, 40, 340, 350)))))
    assert inverted
    assert np.array(prepare_ink(ink, inverted).box) * SIZE == pytest.approx((190, 120, 206, 280), abs=3)


def test_a_turned_sheet_is_set_upright_and_its_box_is_told_of_the_picture():
    paper = np.full((SIZE, SIZE), 235, np.uint8)
    paper[60::24] = paper[61::24] = 170
    paper[100:300, 220:236] = 30  # a 1
    upright = Image.fromarray(paper_on_table(paper, 90, (70, 60, 350, 340)))
    for degrees in (-8, 8):
        turned = upright.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=90)
        picture = Image.fromarray(grained(np.asarray(turned)))
        ink, inverted = find_ink(picture)
        rows, columns = np.flatnonzero(ink.solid.any(1)), np.flatnonzero(ink.solid.any(0))
        assert (np.ptp(rows), np.ptp(columns)) == pytest.approx((200, 16), abs=5)  # upright, and without the rules
        dark = np.asarray(turned) < 60
        expected = [np.flatnonzero(dark.any(0))[[0, -1]], np.flatnonzero(dark.any(1))[[0, -1]]]
        assert np.array(prepare_ink(ink, inverted).box) * SIZE == pytest.approx(np.array(expected).T.ravel(), abs=8)
        assert np.corrcoef(_whole(ink).ravel(), dark.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("share", [0.08, 0.2])
def test_a_fold_or_a_shadow_through_a_digit_or_left_of_it_bounds_no_sheet(share):
    for at in (100, 190, 210, 240):
        page = written_on(np.full(SIZE, 225)).astype(float)
        page[:, at:] *= 1 - share
        assert bounded_by_edges(grained(page)[::2, ::2].copy()) is None


def test_a_bright_wall_beside_a_board_is_no_sheet():
    scene = np.full((SIZE, SIZE), 45)
    scene[100:300, 120:136] = scene[100:116, 80:136] = 220  # chalk
    scene[:, 280:] = 200
    scene[150:190, 320:350] = 90  # something on the wall
    assert bounded_by_edges(grained(scene)[::2, ::2].copy()) is None
    assert not find_ink(Image.fromarray(grained(scene)))[1]


def test_joints_of_bricks_at_the_edge_bound_no_sheet_and_a_scans_black_strip_does():
    for strip, is_bounded in ((150, False), (10, True)):
        page = written_on(np.full(SIZE, 210))
        page[:, :4] = strip
        found = bounded_by_edges(grained(page)[::2, ::2].copy())
        assert (found is not None) == is_bounded


def test_a_narrow_sheet_has_its_ends():
    scene = paper_on_table(written_on(np.full(SIZE, 235)), 80, (150, 30, 290, 370))
    for picture, place in ((scene, (150, 30, 290, 370)), (scene.T, (30, 150, 370, 290))):
        inside = find_sheet(grained(picture), 127.5).inside
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        assert (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) == pytest.approx(place, abs=10)


def test_a_screenshot_with_round_corners_is_no_card_but_may_show_a_sheet():
    scene = Image.fromarray(grained(paper_on_table(written_on(np.full(SIZE, 235)), 80, (70, 60, 350, 340))))
    shape = Image.new("L", scene.size)
    ImageDraw.Draw(shape).rounded_rectangle((0, 0, SIZE - 1, SIZE - 1), radius=30, fill=255)
    ink, inverted = find_ink(Image.merge("RGBA", (scene, scene, scene, shape)))
    assert inverted
    assert np.array(prepare_ink(ink, inverted).box) * SIZE == pytest.approx((180, 120, 260, 280), abs=4)


def test_paper_has_its_own_shade_under_ink_and_beyond_the_sheet():
    inside = np.zeros((200, 200), bool)
    inside[20:180, 30:170] = True
    paper = paper_on_table(written_on(np.full(SIZE, 220)), 60, (60, 40, 340, 360))[::2, ::2].copy()
    assert np.abs(paper_shade(paper, inside) - 220).max() < 3


def test_ink_of_several_shades_on_nothing_is_no_card():
    drawing = Image.new("RGBA", (SIZE, SIZE))
    pen = ImageDraw.Draw(drawing)
    pen.ellipse((120, 60, 280, 340), outline=(200, 30, 30, 255), width=24)
    pen.line((150, 320, 250, 80), fill=(20, 20, 120, 255), width=24)
    ink, _ = find_ink(drawing)
    assert ink.solid[:, : ink.solid.shape[1] // 2].any()
    seen = np.asarray(drawing.getchannel("A")) > 127
    assert ink.solid.sum() == pytest.approx(seen.sum(), rel=0.1)


@pytest.mark.parametrize("degrees", [-16, -12, -5, 4, 8, 15])
@pytest.mark.parametrize("table", [25, 150])
def test_wedges_of_the_table_beside_a_turned_sheet_that_fills_its_photo_are_no_digits(degrees, table):
    """They reach the corners of the picture, and stand to the left and right of what is written, as high as it."""
    paper = Image.fromarray(written_on(np.array(235, np.uint8))).resize((480, 360))
    there = Image.new("L", paper.size, 255).rotate(degrees, Image.Resampling.BICUBIC, fillcolor=0)
    photo = Image.new("L", paper.size, table)
    photo.paste(paper.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=235), mask=there)
    ink, inverted = find_ink(Image.fromarray(grained(np.asarray(photo, float))))
    assert inverted
    rows, columns = np.nonzero(ink.solid)
    assert np.ptp(columns) < 130  # the L alone
    assert np.ptp(rows) < 180
