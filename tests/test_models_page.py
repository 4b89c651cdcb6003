"""The Models page, and the pickers of networks and data sets, through Streamlit's AppTest."""

import functools
import hashlib
import json
import shutil
from pathlib import Path

import onnx
import pytest
from streamlit.testing.v1 import AppTest

from inference import sessions
from jobs.runs import ROOT
from tests.test_app import html_of, run_page
from ui import sidebar


@pytest.fixture(autouse=True)
def no_runs(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("INKLING_RUNS", str(tmp_path / "runs"))


@pytest.fixture
def mnist(tmp_path, monkeypatch) -> Path:
    """A shelf to change; its MNIST folder."""
    shutil.copytree(ROOT / "models", tmp_path / "models", ignore=shutil.ignore_patterns("*.py", "__pycache__", "*-[0-9]*-[0-9]*.*"))
    monkeypatch.setenv("INKLING_MODELS", str(tmp_path / "models"))
    return tmp_path / "models" / "mnist"


def models_page() -> None:
    from ui import models

    models.page()


def test_the_models_page_tells_what_the_photo_network_is():
    app = AppTest.from_string("from ui import models; models.page()", default_timeout=60)
    app.session_state["data"] = "fashion-mnist"
    page = html_of(app.run())
    assert 'data-testid="photo-network"' in page
    assert "phone photos held out" in page


@pytest.mark.parametrize("dataset", ["mnist", "fashion-mnist"])
def test_the_models_page_tells_what_the_gate_declines_and_how_honest_the_networks_are(dataset):
    app = AppTest.from_string("from ui import models; models.page()", default_timeout=60)
    app.session_state["data"] = dataset
    page = html_of(app.run())
    assert 'data-testid="gate"' in page
    for kind in ("letter", "scribble", "noise"):
        assert f"AUROC, {kind}" in page
    assert "How honest they are" in [title.value for title in app.subheader]


def test_the_models_page_shows_every_card_of_the_shelf():
    page = html_of(run_page(models_page))
    for title in ("Fully connected", "LeNet-5", "Small CNN", "Ensemble"):
        assert title in page
    assert "First 4 alone" in page  # of the mixture: its card has the mean of its first networks only


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
    assert "Trains LeNet-5 further" in "".join(each.value for each in app.caption).replace("\\", "")  # it is Markdown


def refuse(folder: Path, name: str) -> None:
    """Puts a graph on a shelf that has its card's sha256, and an operator that none of Inkling's has."""
    model = onnx.load(folder / f"{name}.onnx")
    model.graph.node.append(onnx.helper.make_node("Tile", ["pixels"], ["x"]))
    content = model.SerializeToString()
    (folder / f"{name}.onnx").write_bytes(content)
    facts = json.loads((folder / f"{name}.json").read_text()) | {"sha256": hashlib.sha256(content).hexdigest()}
    (folder / f"{name}.json").write_text(json.dumps(facts))


@pytest.mark.parametrize(("dataset", "name"), [("mnist", "lenet5"), ("mnist", "gate"), ("fashion-mnist", "photo")])
def test_a_graph_that_is_not_served_is_named_and_not_offered(mnist, dataset, name):
    refuse(mnist.parent / dataset, name)
    app = AppTest.from_string("from ui import models; models.page()", default_timeout=60)
    app.session_state["data"] = dataset
    told = f"{name}.onnx is not served: it has the operator Tile, which no network of Inkling needs; publish {name} again"
    for _ in range(2):
        assert html_of(app.run()).count(told) == 1
        offered = [each.proto.label for each in app.get("download_button")]
        assert len(offered) == (3 if name == "lenet5" else 4)
    assert not app.exception


def test_the_models_page_loads_each_graph_once(mnist, monkeypatch):
    asked, classifier = [], sessions.classifier
    monkeypatch.setattr(sessions, "classifier", lambda card: asked.append(card.name) or classifier(card))
    for _ in range(3):
        run_page(models_page)
    assert sorted(asked) == ["ensemble", "fc", "gate", "lenet5", "small"]


def test_a_network_whose_graph_is_not_served_can_still_be_deleted(twins, mnist):
    refuse(mnist, twins[0])
    app = run_page(models_page)
    app.button(key=f"models-delete-sure-{twins[0]}").click().run()
    assert not (mnist / f"{twins[0]}.json").exists()


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
