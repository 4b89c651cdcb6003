"""Several digits in one picture. Digits are real ones of the bundled sample, enlarged and set beside each other."""

import dataclasses
import json
from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageDraw, ImageFilter

from inference.__main__ import main
from inference.classify import SLOW, Answer, Classifier, answer_image, load_classifier
from inference.components import labelled
from inference.ink import find_ink
from inference.segment import MOST_DIGITS, Division, divide
from models import shelf
from tests.test_prepare import chalk, sample_pictures

ONES = sample_pictures("MNIST")
CLASSIFIER = Classifier(shelf.load_card("mnist", "lenet5"))
# Ten digits of the sample that the network is sure of, one of each class, so that these tests are about where digits end.
SURE = [
    max(range(len(ONES)), key=lambda at, wanted=wanted: CLASSIFIER.probabilities(ONES[at][None, None])[0][wanted]) for wanted in range(10)
]


def written(number: str, gap: int = 14, side: int = 90, rise: int = 0) -> Image.Image:
    """A number on a black ground, its digits `gap` pixels apart, each `rise` higher than the one before."""
    digits = [chalk(ONES[SURE[int(digit)]], side) for digit in number]
    digits = [digit[:, (columns := np.flatnonzero((digit > 60).any(0)))[0] : columns[-1] + 1] for digit in digits]
    width = sum(digit.shape[1] + gap for digit in digits)
    pixels = np.zeros((side + 60 + rise * len(digits), width + 60), np.uint8)
    left = 30
    for at, digit in enumerate(digits):
        top = 30 + rise * (len(digits) - 1 - at)
        place = pixels[top : top + side, left : left + digit.shape[1]]
        np.maximum(place, digit, out=place)
        left += digit.shape[1] + gap
    return Image.fromarray(pixels)


def read(image: Image.Image, **options) -> Answer:
    return answer_image(CLASSIFIER, image, **options)


@pytest.mark.parametrize("number", ["20", "2026", "314159", "11", "77", "906", "123456789012"])
def test_a_number_is_read_digit_by_digit(number):
    answer = read(written(number))
    assert answer.label == number
    assert [digit.label for digit in answer.digits] == list(number)
    assert answer.probability == pytest.approx(np.prod([digit.probability for digit in answer.digits]))
    lefts = [digit.prepared.box[0] for digit in answer.digits]
    assert lefts == sorted(lefts)


@pytest.mark.parametrize("options", [{"gap": 3}, {"gap": 40}, {"rise": 12}, {"side": 60}, {"side": 260}])
def test_size_distance_and_slope_do_not_matter(options):
    assert read(written("2026", **options)).label == "2026"


def test_ink_on_paper_is_read_like_chalk_on_a_board():
    paper = Image.fromarray(255 - np.asarray(written("4207")))
    assert read(paper).label == "4207"


def divided(image: Image.Image) -> Division:
    return divide(*find_ink(image, None), CLASSIFIER.probabilities)


def test_what_is_connected_and_was_cut_is_shown_as_a_whole():
    apart = divided(written("58"))
    assert (apart.count, apart.cut) == (2, ())
    image = written("58", gap=-5)
    assert labelled(np.asarray(image) > 60)[0].max() == 1
    together = divided(image)
    assert together.count == 2
    (whole,) = together.cut
    assert whole.box[0] == min(digit.box[0] for digit in together.digits)
    assert whole.box[2] == max(digit.box[2] for digit in together.digits)


def test_most_pairs_of_digits_that_touch_are_two():
    pairs = [f"{one}{other}" for one in range(10) for other in range(10)]
    right = [pair for pair in pairs if read(written(pair, gap=-3)).label == pair]
    assert len(right) >= 70, sorted(set(pairs) - set(right))


def test_one_digit_stays_one():
    several = [at for at in range(0, len(ONES), 2) if read(Image.fromarray(chalk(ONES[at], 200))).digits]
    assert len(several) <= 0.01 * len(ONES) / 2, several


def test_a_stroke_that_stands_apart_is_part_of_its_digit():
    image = Image.new("L", (320, 320))
    pen = ImageDraw.Draw(image)
    pen.line([(150, 110), (120, 110), (115, 165), (160, 160), (180, 195), (155, 235), (110, 230)], fill=255, width=18, joint="curve")
    pen.line([(172, 106), (205, 102)], fill=255, width=18)  # the five's upper stroke, drawn last
    answer = read(image)
    assert answer.digits == ()
    assert CLASSIFIER.card.labels[int(answer.probabilities.argmax())] == "5"


def test_a_dot_beside_a_number_is_left_out():
    image = written("26")
    ImageDraw.Draw(image).ellipse([2, 80, 14, 92], fill=255)
    assert read(image).label == "26"


def test_of_more_than_twelve_digits_the_count_is_told():
    answer = read(written("1234567890123"))
    assert answer.label is None
    assert answer.reason == f"There seem to be 13 digits; up to {MOST_DIGITS} are read."


def test_a_picture_taken_as_a_whole_is_one_digit():
    assert read(written("2026"), crop=False).digits == ()
    assert read(Image.fromarray(ONES[0])).digits == ()  # as MNIST has it


def test_what_falls_into_hundreds_of_pieces_is_no_number():
    dots = np.zeros((600, 600), np.uint8)
    dots[::24, ::24] = 255
    dots = Image.fromarray(dots).resize((600, 600), Image.Resampling.BOX).filter(ImageFilter.MaxFilter(9))
    assert labelled(np.asarray(dots) > 0)[0].max() > 500
    assert read(dots).digits == ()
    assert labelled(np.random.default_rng(0).integers(0, 2, (400, 400)).astype(bool)) is None  # noise: not looked at any further


def test_the_command_tells_the_digits(tmp_path, capsys):
    written("907").save(tmp_path / "number.png")
    assert main([str(tmp_path / "number.png"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["label"] == "907"
    assert [digit["label"] for digit in facts["digits"]] == ["9", "0", "7"]
    assert all(len(digit["probabilities"]) == 10 and len(digit["box"]) == 4 for digit in facts["digits"])


def flooded(solid: np.ndarray) -> int:
    """How many connected components a mask has, by flooding."""
    left, count = {tuple(place) for place in np.argwhere(solid)}, 0
    while left:
        count += 1
        queue = deque([left.pop()])
        while queue:
            row, column = queue.popleft()
            near = {(row + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1)} & left
            left -= near
            queue.extend(near)
    return count


@settings(max_examples=200, deadline=None)
@given(arrays.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_components_are_those_of_flooding(solid):
    labels, _ = labelled(solid)
    assert np.array_equal(labels > 0, solid)
    assert set(np.unique(labels[solid])) == set(range(1, flooded(solid) + 1))
    for number in np.unique(labels[solid]):
        assert flooded(labels == number) == 1


def strokes(*drawn: tuple, size: tuple[int, int] = (600, 460)) -> Image.Image:
    """Digits pasted at their places, (digit, height, left, top), and dark lines, (left, top, right, bottom, width), on white paper."""
    paper = Image.new("L", size, 255)
    for each in drawn:
        if isinstance(each[0], str):
            digit, height, left, top = each
            ink = chalk(ONES[SURE[int(digit)]], height)
            columns, rows = np.flatnonzero((ink > 60).any(0)), np.flatnonzero((ink > 60).any(1))
            ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            paper.paste(0, (left, top), Image.fromarray(ink))
        else:
            ImageDraw.Draw(paper).line(each[:4], 0, each[4])
    return paper


def row(number: str, top: int = 100, height: int = 130, left: int = 60, step: int = 120) -> list[tuple]:
    return [(digit, height, left + step * at, top) for at, digit in enumerate(number)]


def test_digits_in_two_rows_or_a_column_are_no_number():
    for pictured in (row("12") + row("34", 280), [("1", 100, 200, 30), ("2", 100, 200, 160), ("3", 100, 200, 290)]):
        answer = read(strokes(*pictured))
        assert answer.label is None
        assert answer.reason.startswith("The digits stand in more than one row")


@pytest.mark.parametrize("mark", [(166, 196, 172, 202, 12), (160, 150, 176, 150, 8)], ids=["a decimal point", "a dash"])
def test_what_is_a_point_or_a_dash_between_digits_is_said(mark):
    answer = read(strokes(*row("37", step=130), mark))
    assert answer.label is None
    assert answer.reason.startswith("Beside the digits stands something that is none")
    assert [each.label for each in answer.digits] == ["3", "7"]


def test_a_line_under_or_over_a_number_is_none_of_its_digits():
    for line in ((50, 256, 540, 250, 7), (50, 80, 540, 84, 7)):
        assert read(strokes(*row("2704"), line)).label == "2704"


def test_a_digit_half_as_high_as_its_neighbours_is_read():
    assert read(strokes(("3", 140, 60, 100), ("7", 66, 180, 174), ("0", 140, 270, 100))).label == "370"


def test_a_zero_gone_round_twice_is_one_zero():
    paper = Image.new("L", (300, 300), 255)
    for box in ((90, 60, 210, 240), (106, 80, 194, 220)):
        ImageDraw.Draw(paper).ellipse(box, outline=0, width=8)
    assert read(paper).label == "0"


def test_a_minus_before_one_digit_is_said():
    for digit in "0123456789":
        number = written(digit)
        wide = Image.new("L", (number.width + 60, number.height))
        wide.paste(number, (60, 0))
        ImageDraw.Draw(wide).line((20, 75, 62, 77), fill=255, width=8)
        answer = answer_image(CLASSIFIER, wide)
        assert answer.label is None
        assert "such as a point or a dash" in answer.reason


def test_a_slow_network_leaves_it_to_the_usual_one_where_the_digits_are(monkeypatch):
    card = shelf.load_card("mnist", "lenet5")
    slow = load_classifier(dataclasses.replace(card, facts=card.facts | {"latency_ms": SLOW + 1}))
    usual = load_classifier(shelf.load_card("mnist", shelf.USUAL["mnist"]))
    assert slow.divider.card.name == usual.card.name
    assert load_classifier(card).divider.card.name == card.name
    assert usual.divider is usual
    shown = []
    monkeypatch.setattr(slow, "probabilities", lambda pixels: shown.append(len(pixels)) or usual.probabilities(pixels))
    assert answer_image(slow, written("2026")).label == "2026"
    assert shown == [4]  # the digits that were found, and none of the other parts
    monkeypatch.setattr(shelf, "find_card", lambda dataset, name: None)  # an own shelf may not have it
    alone = load_classifier(slow.card)
    assert alone.divider is alone
