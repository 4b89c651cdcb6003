"""models/card_checks.py: a card that lacks what the pages show is left out with one sentence, and everything else stays."""

import functools
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from jobs.runs import ROOT
from models import shelf
from models.datasets import DATASETS
from tests.test_app import html_of

DIGITS = list("0123456789")
EXPERT = {"title": "One", "members": 4}
LAYERS = {"title": "Two", "members": 2, "layers": [{}, {}], "temperature": 1.0, "mirrored": False}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The shipped shelf, to be changed."""
    shutil.copytree(ROOT / "models", tmp_path / "models", ignore=shutil.ignore_patterns("*.py", "__pycache__", "*-[0-9]*-[0-9]*.*"))
    monkeypatch.setenv("INKLING_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def change(path: Path, place: str, value: Any) -> None:
    """Puts something else into one place of a card; takes it out where the value is Ellipsis."""
    facts = json.loads(path.read_text())
    *inside, last = place.split(".")
    holder = functools.reduce(dict.__getitem__, inside, facts)
    holder.pop(last, None) if value is ... else holder.update({last: value})
    path.write_text(json.dumps(facts))


NETWORKS = [
    ("mixture", {}, "mixture.of is missing"),
    ("mixture", None, "mixture.of is missing"),
    ("mixture", {"of": [EXPERT]}, "mixture.of has 1 networks, a mixture at least 2"),
    ("mixture", {"of": [EXPERT, {"title": "Two"}]}, "mixture.of: members is missing"),
    ("mixture", {"of": [EXPERT, {"title": "Two", "members": "<b>4"}]}, "mixture.of: members is '<b>4', not a whole number"),
    ("mixture", {"of": [EXPERT, {"members": 4}]}, "mixture.of: title is missing"),
    ("mixture", {"of": [EXPERT, LAYERS | {"layers": [{}]}]}, "mixture.of: layers is [{}], not a list of 2 configurations"),
    ("mixture", {"of": [EXPERT, LAYERS | {"layers": [{}, 7]}]}, "mixture.of: layers: one is 7, not an object"),
    ("mixture", {"of": [EXPERT, LAYERS | {"temperature": True}]}, "mixture.of: temperature is True, not a number"),
    ("mixture", {"of": [EXPERT, LAYERS | {"mirrored": 1}]}, "mixture.of: mirrored is 1, not true or false"),
    ("mixture", {"of": [EXPERT, 7]}, "mixture.of: title is missing"),
    ("architectures", None, "architectures is None, not a list"),
    ("n_seeds", {"n": 2}, "n_seeds.test.mean is missing"),
    ("n_seeds", {"n": 2, "test": {"mean": 0.9, "std": "0.1"}}, "n_seeds.test.std is '0.1', not a number"),
    ("test.confusion", [], "test.confusion has 0 rows for 10 labels"),
    ("test.confusion", [[1] * 10] * 11, "test.confusion has 11 rows for 10 labels"),
    ("test.confusion", [[1] * 9] * 10, "test.confusion has the row [1, 1, 1, 1, 1, 1, 1, 1, 1], not 10 numbers of images"),
    ("test.confusion", [[1.5] * 10] * 10, "not 10 numbers of images"),
    ("test.confusion", [[10**400] * 10] * 10, "not 10 numbers of images"),
    ("test.confusion", ["1234567890"] * 10, "not 10 numbers of images"),
    ("test.reliability", None, "test.reliability is None, not a list of bins"),
    ("test.reliability", [], "test.reliability is [], not a list of bins"),
    ("test.reliability", [[0.5, 0.5]], "test.reliability has the bin [0.5, 0.5], not two shares"),
    ("test.reliability", [[0.5, "0.5", 3]], "not two shares"),
    ("test.reliability", [[0.5, math.nan, 3]], "not two shares"),
    ("test.reliability", [[0.5, 0.5, 0]], "not two shares"),
    ("test.calibration_error", math.nan, "test.calibration_error is nan, not a number"),
    ("run.seconds", math.nan, "run.seconds is nan, not a number"),
    ("run.seconds", math.inf, "run.seconds is inf, not a number"),
    ("run.seconds", 10**400, "damaged"),
    ("config.network", ..., "config.network is missing"),
    ("members", True, "members is True, not a whole number"),
    ("validation.accuracy", math.nan, "its threshold or an accuracy is not from 0 to 1"),
]
GATES = [
    ("validation.by_kind", ..., "validation.by_kind is missing"),
    ("validation.by_kind", [], "validation.by_kind is [], not an object"),
    ("turned", "6", "turned is '6', not a number"),
    ("turned", 90, "turned is 90, not degrees from 0 to 45"),
    ("turned", float("nan"), "turned is nan, not a number"),
    ("validation.by_kind", {"letter": {"declined": 1.0}}, "validation.by_kind.letter.auroc is missing"),
    ("validation.by_kind", {"letter": {"declined": "1", "auroc": 1.0}}, "validation.by_kind.letter.declined is '1', not a number"),
    ("test.declined", ..., "test.declined is missing"),
    ("number_from", 2, "number_from is 2, not from 0 to 1"),
    ("number_from", "0.5", "number_from is '0.5', not a number"),
]
PHOTOS = [
    ("test.by_group", ..., "test.by_group is missing"),
    ("test.by_group", {"": 0.5}, "test.by_group has a name that is empty"),
    ("test.by_group", {"shoes": None}, "test.by_group.shoes is None, not a number"),
    ("declined", ..., "declined.by_kind is missing"),
    ("declined.by_kind", {"letter": "all"}, "declined.by_kind.letter is 'all', not a number"),
    ("test.calibration_error", ..., "test.calibration_error is missing"),
    ("test.which_shoe", {"n": 3}, "test.which_shoe.right is missing"),
    ("test.which_shoe", {"n": 3, "right": "<b>2"}, "test.which_shoe.right is '<b>2', not a whole number"),
    ("test.which_shoe", None, "test.which_shoe.right is missing"),
    ("shape", [3, None, 224], "its shape is [3, None, 224]"),
]
CASES = [
    *(("mnist", "lenet5", *each) for each in NETWORKS),
    *(("mnist", shelf.GATE, *each) for each in GATES),
    *(("fashion-mnist", shelf.PHOTO, *each) for each in PHOTOS),
    ("mnist", "lenet5", "labels", DIGITS[::-1], "its labels are ['9', '8'"),
    ("mnist", "lenet5", "labels", list(range(10)), "its labels are [0, 1"),
    ("mnist", "lenet5", "labels", [["0"]] * 10, "its labels are [['0']"),
    ("mnist", "lenet5", "member_configs", [], "member_configs is [], not a list of 1 configurations"),
    ("mnist", "lenet5", "member_configs", ["cnn"], "member_configs: one is 'cnn', not an object"),
    ("mnist", shelf.GATE, "labels", ["letter", "digit", "scribble", "garment", "noise"], "not digit, letter, scribble, garment, noise in this"),
    ("fashion-mnist", shelf.PHOTO, "labels", [*DATASETS["fashion-mnist"].labels, "None"], "Ankle boot, None of the ten in this order"),
]  # fmt: skip


@pytest.mark.parametrize(("dataset", "name", "place", "value", "told"), CASES)
def test_a_card_that_lacks_what_the_pages_show_is_one_sentence(folder, dataset, name, place, value, told):
    listed = [card.name for card in shelf.list_cards(dataset)]
    change(folder / dataset / f"{name}.json", place, value)
    (problem,) = shelf.list_problems(dataset)
    assert problem.startswith(f"the card {name}.json is damaged (")
    assert problem.endswith(f"); publish {name} again or delete it")
    assert told in problem
    assert [card.name for card in shelf.list_cards(dataset)] == [each for each in listed if each != name]


@pytest.mark.parametrize(
    ("place", "value"), [("mixture", ...), ("architectures", ...), ("test.reliability", ...), ("n_seeds", {"n": 1}), ("run.seconds", 7)]
)
def test_a_card_without_what_older_ones_lack_stays(folder, place, value):
    change(folder / "mnist" / "ensemble.json", place, value)
    assert shelf.list_problems("mnist") == []


def test_every_card_that_ships_passes():
    for dataset in DATASETS:
        assert shelf.list_problems(dataset) == []
        assert shelf.gate_card(dataset)
    assert shelf.photo_card()


@pytest.mark.parametrize(
    ("dataset", "name", "place", "value"),
    [
        ("mnist", "ensemble", "mixture", {}),
        ("mnist", "small", "architectures", None),
        ("mnist", "fc", "run.seconds", math.nan),
        ("mnist", "small", "test.confusion", []),
        ("mnist", shelf.GATE, "validation.by_kind", ...),
        ("fashion-mnist", shelf.PHOTO, "test.by_group", ...),
    ],
)
def test_the_models_page_leaves_an_odd_card_out_and_shows_the_others(folder, dataset, name, place, value):
    change(folder / dataset / f"{name}.json", place, value)
    app = AppTest.from_string("from ui import models, sidebar; sidebar.show(); models.page()", default_timeout=60)
    app.session_state["data"] = dataset
    page = html_of(app.run())
    assert not app.exception
    assert "Left out" in page
    assert f"the card {name}.json is damaged" in page
    assert "LeNet-5" in page
