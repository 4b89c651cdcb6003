"""The Models page, and the pickers of networks and data sets, through Streamlit's AppTest."""

import functools
import json
import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from jobs.runs import ROOT
from tests.test_app import html_of, run_page
from ui import sidebar


@pytest.fixture(autouse=True)
def no_runs(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("INKLING_RUNS", str(tmp_path / "runs"))


@pytest.fixture
def mnist(tmp_path, monkeypatch) -> Path:
    """A shelf to change; its MNIST folder."""
    shutil.copytree(ROOT / "models", tmp_path / "models", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    monkeypatch.setenv("INKLING_MODELS", str(tmp_path / "models"))
    return tmp_path / "models" / "mnist"


def models_page() -> None:
    from ui import models

    models.page()


def test_the_models_page_tells_what_the_photo_network_is():
    app = AppTest.from_string("from ui import models; models.page()", default_timeout=60)
    app.session_state["sidebar-dataset"] = "fashion-mnist"
    page = html_of(app.run())
    assert 'data-testid="photo-network"' in page
    assert "phone photos held out" in page


@pytest.mark.parametrize("dataset", ["mnist", "fashion-mnist"])
def test_the_models_page_tells_what_the_gate_declines_and_how_honest_the_networks_are(dataset):
    app = AppTest.from_string("from ui import models; models.page()", default_timeout=60)
    app.session_state["sidebar-dataset"] = dataset
    page = html_of(app.run())
    assert 'data-testid="gate"' in page
    for kind in ("letter", "scribble", "noise"):
        assert f"AUROC, {kind}" in page
    assert "How honest they are" in [title.value for title in app.subheader]


def test_the_models_page_shows_every_card_of_the_shelf():
    page = html_of(run_page(models_page))
    for title in ("Fully connected", "LeNet-5", "Small CNN", "Ensemble"):
        assert title in page


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("config.optimizer", "lion"),
        ("config.augmentation", "cutout"),
        ("config.teacher", 5),
        ("run.corrections", "7"),
        ("architecture", "vit"),
    ],
)
def test_a_card_with_a_setting_that_is_not_known_here_is_shown_as_it_stands(mnist, place, value):
    facts = json.loads((mnist / "lenet5.json").read_text())
    *inside, last = place.split(".")
    functools.reduce(dict.__getitem__, inside, facts)[last] = value
    facts["run"]["device"] = "<u>a device</u>"
    (mnist / "lenet5.json").write_text(json.dumps(facts))
    app = AppTest.from_string("from ui import models, sidebar; sidebar.show(); models.page()", default_timeout=60)
    app.session_state["sidebar-chosen"], app.session_state["retrain-start"] = {"mnist": "lenet5"}, "chosen"
    page = html_of(app.run())
    assert "&lt;u&gt;a device" in page
    assert "<u>" not in page
    assert "Trains LeNet-5 further" in "".join(each.value for each in app.caption)


@pytest.fixture
def twins(mnist) -> list[str]:
    """The names of two retrained networks of one minute that are equally good."""
    names = ["lenet5-260101-120001-a1b2c3", "lenet5-260101-120059-d4e5f6"]
    facts = json.loads((mnist / "lenet5.json").read_text()) | {"title": "LeNet-5 · 01 Jan 12:00"}
    for name in names:
        shutil.copy(mnist / "lenet5.onnx", mnist / f"{name}.onnx")
        (mnist / f"{name}.json").write_text(json.dumps(facts))
    return names


def test_of_two_networks_that_are_called_alike_the_chosen_one_stays_chosen(twins):
    app = AppTest.from_string("from ui import models, sidebar; sidebar.show(); models.page()", default_timeout=60).run()
    for key in ("sidebar-network-mnist", "models-mistakes-mnist"):
        assert [option[-9:] for option in app.selectbox(key=key).options if "01 Jan" in option] == [" · a1b2c3", " · d4e5f6"]
        for name in twins:
            app.selectbox(key=key).set_value(name).run()
            app.number_input(key="retrain-epochs").set_value(2).run()
            assert app.selectbox(key=key).value == name
            app.number_input(key="retrain-epochs").set_value(1).run()
    assert not app.exception


def test_options_that_look_alike_are_told_apart_by_the_ends_of_their_names():
    assert sidebar.told_apart({"a": "A", "b": "B"}) == {"a": "A", "b": "B"}
    assert sidebar.told_apart({"x-lenet5": "L", "y-lenet5": "L", "fc": "F"}) == {
        "x-lenet5": "L · x-lenet5",
        "y-lenet5": "L · y-lenet5",
        "fc": "F",
    }
