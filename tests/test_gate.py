"""The gate: what it learns from, how it is published, and what it keeps from the networks behind it."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from inference import classify, sessions
from inference.__main__ import main as infer
from inference.classify import Classifier, Gate, _turned, answer_image, load_classifier
from inference.ink import find_ink
from inference.prepare import prepare
from inference.segment import divide
from jobs.config import ConfigError
from jobs.runs import ROOT
from models import shelf
from models.datasets import DATASETS, GATE_LABELS
from tests import tiny
from tests.test_prepare import DIGITS, sample_pictures
from training import gate, outliers, published, redrawn, signs, touching
from training.__main__ import main as train
from training.export import publish
from training.onnx_files import ExportError

SHIPPED = ROOT / "models"
IMAGES = {"mnist": sample_pictures("MNIST"), "fashion-mnist": sample_pictures("FashionMNIST")}


def other(dataset: str) -> str:
    return next(name for name in DATASETS if name != dataset)


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("kind", ["letter", "scribble", "noise", "digit", "garment"])
def test_outliers_come_as_the_networks_see_them(tmp_path: Path, dataset: str, kind: str):
    made, each = outliers.make(kind, "validation", dataset, 12, tiny.dataset(tmp_path, other(dataset)))
    assert each.shape == (len(made),)
    assert each.dtype == np.int64
    assert made.dtype == np.uint8
    assert made.shape[1:] == (28, 28)
    assert 6 <= len(made) <= 12
    assert made.any((1, 2)).all()
    assert len(np.unique(made.reshape(len(made), -1), axis=0)) > 1


@pytest.mark.parametrize("make", outliers.SCRIBBLES)
def test_every_scribble_fits_the_unit_square(make):
    for seed in range(20):
        random = np.random.default_rng(seed)
        points = np.concatenate(outliers.fitted(make(random)))
        assert np.isfinite(points).all()
        assert points.min() == 0
        assert points.max() == pytest.approx(1)


@pytest.mark.parametrize("name", signs.SIGNS | signs.HELD_OUT)
def test_every_sign_is_drawn_with_all_its_strokes_and_anew_each_time(name: str):
    strokes = (signs.SIGNS | signs.HELD_OUT)[name]
    first, second = (signs.sign(strokes, np.random.default_rng(seed)) for seed in range(2))
    assert [len(stroke) for stroke in first] == [len(stroke) for stroke in strokes]
    points = np.concatenate(first)
    assert np.ptp(points, axis=0).max() == pytest.approx(1, abs=0.4)
    assert not np.allclose(points, np.concatenate(second))


@pytest.mark.parametrize(
    ("dataset", "part", "share"), [("mnist", "train", 0.5), ("mnist", "validation", 1 / 7), ("fashion-mnist", "train", 1 / 7)]
)
def test_some_of_the_scribbles_are_signs_each_told_by_its_number(monkeypatch, tmp_path: Path, dataset: str, part: str, share: float):
    drawn, scribble = [], outliers._scribble
    monkeypatch.setattr(outliers, "_scribble", lambda number, random: drawn.append(number) or scribble(number, random))
    made, each = outliers.make("scribble", part, dataset, 249, tiny.dataset(tmp_path, other(dataset)))
    assert (np.array(drawn) > 0).mean() == pytest.approx(share, abs=0.08)
    assert len(made) == len(each) == 249  # none came out blank
    assert drawn == each.tolist()


def test_the_signs_held_out_are_others_than_those_that_are_learned():
    assert not set(signs.HELD_OUT) & set(signs.SIGNS)
    assert not {str(strokes) for strokes in signs.HELD_OUT.values()} & {str(strokes) for strokes in signs.SIGNS.values()}


def test_no_letter_is_taught_that_is_written_like_a_digit():
    assert not set("OoIl0123456789") & set(outliers.LETTERS)
    assert len(outliers.LETTERS) == 48


@given(st.lists(st.integers(0, 6), min_size=1, max_size=12), st.lists(st.integers(0, 6), min_size=1, max_size=12))
def test_the_area_under_the_curve_is_how_often_the_own_kind_scores_higher(inside: list[int], outside: list[int]):
    wins = [(one > two) + 0.5 * (one == two) for one in inside for two in outside]
    assert gate.area_under_curve(np.array(inside, float), np.array(outside, float)) == pytest.approx(np.mean(wins))


@pytest.mark.parametrize("dataset", DATASETS)
def test_it_is_trained_published_and_stands_before_the_networks(tmp_path: Path, monkeypatch, capsys, dataset: str):
    monkeypatch.setattr(gate, "COUNTS", {name: dict.fromkeys(counts, 40) for name, counts in gate.COUNTS.items()})
    monkeypatch.setattr(gate, "OF_ITS_OWN", 40)
    monkeypatch.setattr(touching, "COUNTS", {"train": 40, "validation": 20})
    monkeypatch.setattr(gate, "EPOCHS", 1)
    monkeypatch.setattr(redrawn, "COUNTS", {"train": (20, 20, 0), "validation": (10, 10, 0)})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("INKLING_MODELS", str(tmp_path / "models"))
    assert train(["gate", dataset, "--data", "sample"]) == 0
    assert f"published {dataset}/gate" in capsys.readouterr().out
    card = shelf.gate_card(dataset)
    assert card.labels == GATE_LABELS[dataset]
    assert set(card.facts["validation"]["by_kind"]) == set(GATE_LABELS[dataset][1:])
    assert shelf.list_cards(dataset) == []
    assert shelf.list_problems(dataset) == []
    assert Classifier(card).probabilities(IMAGES[dataset][:3, None]).shape == (3, 5)
    assert ("number_from" in card.facts) == (dataset == "mnist")


def test_numbers_whose_digits_touch_are_of_two_to_four_and_fit_the_unit_square():
    known, lengths = [(digit, [np.array([[0.0, 0.0], [0.4, 1.0]])]) for digit in "0123456789"], set()
    for seed in range(40):
        written, strokes = touching.number(known, np.random.default_rng(seed))
        points = np.concatenate(strokes)
        assert len(strokes) == len(written)
        assert (points.min(), points.max()) == pytest.approx((0.0, 1.0))
        lengths.add(len(written))
    assert lengths == {2, 3, 4}


def test_the_head_tells_features_of_numbers_from_others_as_they_are():
    torch.manual_seed(0)
    numbers, others = torch.randn(400, 6) * 3 + 20, torch.randn(400, 6) * 3 + 14
    head = touching.train(numbers, others)
    with torch.no_grad():
        told = head(numbers), head(others)
    assert told[0].shape == (400,)
    assert float((told[0] > 0.5).float().mean()) > 0.95
    assert float((told[1] < 0.5).float().mean()) > 0.95


def face(side: int = 130) -> Image.Image:
    image = Image.new("L", (320, 320))
    pen = ImageDraw.Draw(image)
    pen.ellipse((80, 80, 80 + side, 80 + side), outline=255, width=9)
    for left in (120, 170):
        pen.ellipse((left, 120, left + 18, 138), outline=255, width=8)
    pen.line([(120, 185), (190, 185)], fill=255, width=9)
    return image


@pytest.mark.parametrize("name", ["lenet5", "small", "ensemble"])
def test_a_face_whose_ring_could_be_cut_into_digits_is_none(name):
    classifier = load_classifier(shelf.load_card("mnist", name))
    assert divide(*find_ink(face(), None), classifier.divider.probabilities_of_digits).cut
    answer = answer_image(classifier, face())
    assert (answer.label, answer.digits) == (None, ())


def test_a_gate_that_was_never_taught_numbers_lets_them_be(monkeypatch):
    gate_of_digits = Gate(shelf.gate_card("mnist"))
    cut = [prepare(face(), "mnist")]
    assert not gate_of_digits.are_numbers(cut)
    assert gate_of_digits.are_numbers([])
    monkeypatch.delitem(gate_of_digits.card.facts, "number_from")
    assert gate_of_digits.are_numbers(cut)


def test_its_name_is_kept_and_it_is_neither_a_start_nor_a_teacher(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("training.export.runs.read_config", lambda folder: tiny.config())
    with pytest.raises(ExportError, match="the name gate is kept"):
        publish([tmp_path], shelf.GATE, None)
    with pytest.raises(ConfigError, match="gate has other classes than mnist"):
        published.start_weights(tiny.config(start_from="gate"), 0)


def test_a_shelf_without_a_gate_declines_nothing_for_it(tmp_path: Path, monkeypatch):
    (tmp_path / "mnist").mkdir()
    for ending in ("onnx", "json"):
        shutil.copy(SHIPPED / "mnist" / f"lenet5.{ending}", tmp_path / "mnist")
    monkeypatch.setenv("INKLING_MODELS", str(tmp_path))
    classifier = load_classifier(shelf.load_card("mnist", "lenet5"))
    assert classifier.gate is None
    assert answer_image(classifier, Image.fromarray(DIGITS[3])).label == "1"


def test_a_damaged_gate_is_left_out_and_the_networks_behind_it_still_answer(tmp_path: Path, monkeypatch):
    shutil.copytree(SHIPPED / "mnist", tmp_path / "mnist")
    graph = tmp_path / "mnist" / "gate.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])
    monkeypatch.setenv("INKLING_MODELS", str(tmp_path))
    classifier = load_classifier(shelf.load_card("mnist", "lenet5"))
    assert classifier.gate is None
    assert answer_image(classifier, Image.fromarray(DIGITS[3])).label == "1"


def test_a_gate_that_could_not_be_read_for_a_moment_stands_before_its_networks_again(tmp_path: Path, monkeypatch):
    shutil.copytree(SHIPPED / "mnist", tmp_path / "mnist")
    monkeypatch.setenv("INKLING_MODELS", str(tmp_path))
    card = shelf.load_card("mnist", "ensemble")
    with monkeypatch.context() as patch:  # as where too many files are open
        patch.setattr(classify, "Gate", lambda card: (_ for _ in ()).throw(shelf.ShelfError("too many open files")))
        found = sessions.classifier(card)
        assert found.gate is None
    assert sessions.classifier(card) is found
    assert found.gate is None  # it is not looked for at every stroke
    monkeypatch.setattr(sessions, "AGAIN", 0.0)
    assert sessions.classifier(card) is found
    assert found.gate is not None
    assert (found.divider.card.name, found.divider.gate) == ("small", found.gate)


def test_a_card_that_was_mended_is_served_as_it_is_now(tmp_path: Path, monkeypatch):
    shutil.copytree(SHIPPED / "mnist", tmp_path / "mnist")
    monkeypatch.setenv("INKLING_MODELS", str(tmp_path))
    assert sessions.classifier(shelf.load_card("mnist", "fc")).card.decline_below == 0.5
    path = tmp_path / "mnist" / "fc.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"decline_below": 0.9}))
    assert sessions.classifier(shelf.load_card("mnist", "fc")).card.decline_below == 0.9


def test_what_it_said_of_a_picture_is_taken_over_without_asking_again(monkeypatch):
    monkeypatch.setenv("INKLING_MODELS", str(SHIPPED))
    classifier = load_classifier(shelf.load_card("mnist", "lenet5"))
    first = classifier.answer(prepare(Image.fromarray(DIGITS[3]), "mnist"))
    monkeypatch.setattr(classifier.gate, "probabilities", None)  # asking it would raise
    assert first.label == "1"
    assert first.stranger == ""
    assert classifier.answer(first.prepared, first.stranger).label == "1"
    taken_over = classifier.answer(first.prepared, "letter")
    assert taken_over.label is None
    assert taken_over.reason == "This looks like a letter, not a digit."


class InTwoMinds(Gate):
    """A gate whose answers are given, and which notes what it is asked."""

    def __init__(self, answers: list[list[float]], turned: float | None) -> None:
        facts = {} if turned is None else {"turned": turned}
        self.card = SimpleNamespace(facts=facts, decline_below=0.5, labels=("digit", "letter", "noise"))
        self.answers, self.asked = list(answers), []

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        self.asked.append(pixels)
        return np.array([[own, (1 - own) * 0.9, (1 - own) * 0.1] for own in self.answers.pop(0)], np.float32)


def test_where_it_is_in_two_minds_it_looks_again_at_the_picture_turned_both_ways():
    pixels = np.stack(DIGITS[:4])[:, None]
    stands = InTwoMinds([[0.99, 0.01, 0.4, 0.6], [0.8, 0.3], [0.7, 0.2]], turned=6.0)
    odds = (0.4 / 0.6 * 0.8 / 0.2 * 0.7 / 0.3) ** (1 / 3), (0.6 / 0.4 * 0.3 / 0.7 * 0.2 / 0.8) ** (1 / 3)
    assert stands.likelihoods(pixels) == pytest.approx([0.99, 0.01, *(each / (1 + each) for each in odds)], abs=1e-6)
    first, left, right = stands.asked
    assert np.array_equal(first, pixels)
    assert np.array_equal(left, _turned(pixels[2:], -6.0))
    assert np.array_equal(right, _turned(pixels[2:], 6.0))
    assert not np.array_equal(left, right)
    assert InTwoMinds([[0.99, 0.01, 0.4, 0.6], [0.8, 0.3], [0.7, 0.2]], turned=6.0).strangers(pixels) == ["", "letter", "", "letter"]


@pytest.mark.parametrize("turned", [None, 0, 0.0])
def test_a_gate_whose_card_says_nothing_of_it_looks_once(turned):
    stands = InTwoMinds([[0.4, 0.6]], turned)
    assert stands.strangers(np.stack(DIGITS[:2])[:, None]) == ["letter", ""]
    assert len(stands.asked) == 1


def test_pictures_are_turned_about_their_middles():
    pixels = np.stack(DIGITS[:4])[:, None]
    assert np.array_equal(_turned(pixels, 0.0), pixels)
    mirrored = _turned(pixels[..., ::-1].copy(), -6.0)[..., ::-1]
    assert np.abs(_turned(pixels, 6.0).astype(int) - mirrored).max() <= 8  # OpenCV rounds places to a 32nd of a pixel


@pytest.mark.parametrize(("inside", "redrawn", "other", "expected"), [
    (0.7, 0.6, 0.1, 0.5),  # what is likelier of the own kind is let in,
    (0.7, 0.6, 0.55, 0.55),  # unless too much of another kind were too,
    (0.7, 0.6, 0.9, 0.6),  # but never at the price of more of the own kind than may be declined
    (0.3, 0.6, 0.1, 0.3),
])  # fmt: skip
def test_a_gates_threshold_declines_enough_of_each_kind_as_far_as_its_own_kind_allows(inside, redrawn, other, expected):
    at = [np.full(1000, score) for score in (inside, redrawn, other)]
    assert gate.threshold_between(at[0], at[1], [np.zeros(1000), at[2]]) == pytest.approx(expected)


@pytest.mark.parametrize(("other", "declined"), [(0.1, 15), (0.317, 17), (0.9, 20)])
def test_more_of_other_hands_is_declined_only_where_another_kind_asks_for_it(other, declined):
    redrawn = np.linspace(0.3, 1.3, 1001)
    threshold = gate.threshold_between(np.ones(1000), redrawn, [np.full(1000, other)])
    assert (redrawn < threshold - 1e-9).sum() == declined


# The gates that are shipped


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_shipped_gate_lets_its_own_images_in_and_keeps_the_others_out(monkeypatch, dataset: str):
    monkeypatch.setenv("INKLING_MODELS", str(SHIPPED))
    card = shelf.gate_card(dataset)
    stands = Gate(card)
    own = stands.likelihoods(np.stack([gate.prepare_image(each, dataset) for each in IMAGES[dataset]])[:, None])
    strange = outliers.sent(IMAGES[other(dataset)], dataset, np.random.default_rng(0))
    kept_out = stands.likelihoods(strange[:, None]) < card.decline_below
    assert (own < card.decline_below).mean() <= 0.02
    assert kept_out.mean() >= 0.95
    facts = card.facts
    assert facts["test"]["declined"] <= 0.01
    assert facts["data"]["origin"] == "full data set"
    assert facts.get("turned", 0.0) == gate.TURNED[dataset]
    for kind, told in facts["validation"]["by_kind"].items():
        assert told["declined"] >= 0.95, kind


@pytest.mark.parametrize(("dataset", "kind", "reason"), [
    ("mnist", "letter", "This looks like a letter, not a digit."),
    ("mnist", "scribble", "This looks like a scribble, not a digit."),
    ("mnist", "garment", "This looks like a garment, not a digit."),
    ("fashion-mnist", "digit", "This looks like a digit, not a garment."),
])  # fmt: skip
def test_what_is_declined_is_told_with_what_it_looks_like(tmp_path: Path, monkeypatch, capsys, dataset: str, kind: str, reason: str):
    monkeypatch.setenv("INKLING_MODELS", str(SHIPPED))
    source = tiny.dataset(tmp_path / "data", other(dataset))
    made = IMAGES[other(dataset)][:20] if kind in ("digit", "garment") else outliers.make(kind, "validation", dataset, 20, source)[0]
    files = [str(tmp_path / f"{number}.png") for number in range(len(made))]
    for path, pixels in zip(files, made, strict=True):
        Image.fromarray(pixels).save(path)
    assert infer([*files, "--dataset", dataset, "--model", "lenet5", "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    declined = [answer for answer in answers if answer["label"] is None]
    assert len(declined) >= 0.8 * len(answers)
    assert sum(answer["reason"] == reason for answer in declined) >= 0.6 * len(declined)
    assert all(len(answer["probabilities"]) == 10 for answer in declined if not answer.get("digits"))


GARMENTS = {  # corners, as people draw them: shares of a side
    "T-shirt/top": [
        (0.3, 0.15),
        (0.42, 0.2),
        (0.58, 0.2),
        (0.7, 0.15),
        (0.95, 0.35),
        (0.83, 0.48),
        (0.72, 0.4),
        (0.72, 0.9),
        (0.28, 0.9),
        (0.28, 0.4),
        (0.17, 0.48),
        (0.05, 0.35),
    ],
    "Trouser": [(0.3, 0.08), (0.7, 0.08), (0.76, 0.95), (0.58, 0.95), (0.5, 0.4), (0.42, 0.95), (0.24, 0.95)],
    "Dress": [(0.38, 0.05), (0.45, 0.12), (0.55, 0.12), (0.62, 0.05), (0.66, 0.35), (0.82, 0.95), (0.18, 0.95), (0.34, 0.35)],
    "Bag": [(0.1, 0.4), (0.3, 0.4), (0.32, 0.15), (0.68, 0.15), (0.7, 0.4), (0.9, 0.4), (0.9, 0.92), (0.1, 0.92)],
    "Ankle boot": [(0.3, 0.08), (0.62, 0.08), (0.62, 0.55), (0.95, 0.7), (0.97, 0.9), (0.28, 0.9)],
}


def coloured(corners: list[tuple[float, float]], random: np.random.Generator) -> Image.Image:
    """A garment on the canvas, outlined with a round pen and filled."""
    side, pen = random.uniform(150, 280), int(random.choice([8, 14, 24]))
    points = [tuple(each) for each in (np.array(corners) + random.normal(0, 0.015, (len(corners), 2))) * side + 20]
    canvas = Image.new("L", (320, 320))
    drawing = ImageDraw.Draw(canvas)
    drawing.polygon(points, fill=255)
    drawing.line([*points, points[0]], fill=255, width=pen, joint="curve")
    for x, y in points:
        drawing.ellipse((x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2), fill=255)
    return canvas


@pytest.mark.parametrize("garment", list(GARMENTS))
def test_garments_that_are_drawn_and_coloured_in_are_let_in(garment: str, monkeypatch):
    """As the Draw page asks for; before they were learned, most shirts and all bags were scribbles."""
    monkeypatch.setenv("INKLING_MODELS", str(SHIPPED))
    network, random = load_classifier(shelf.load_card("fashion-mnist", "ensemble")), np.random.default_rng(1)
    answers = [answer_image(network, coloured(GARMENTS[garment], random), invert=False) for _ in range(20)]
    assert sum(not answer.stranger for answer in answers) >= 18


def test_garments_are_drawn_by_a_few_corners_and_differently_each_time():
    garments = IMAGES["fashion-mnist"][:12]
    one, other = (gate.coloured_in(garments, np.random.default_rng(seed)) for seed in (0, 1))
    assert one.shape == garments.shape
    assert one.dtype == np.uint8
    assert np.array_equal(one, gate.coloured_in(garments, np.random.default_rng(0)))
    assert (one != other).any((1, 2)).all()
    assert not gate.coloured_in(np.zeros((1, 28, 28), np.uint8), np.random.default_rng(0)).any()
