"""Publishing: parity, self-containedness, cards, and starting again from what was published."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from inference import graph
from inference.classify import Classifier
from jobs import runs
from jobs.config import ConfigError
from jobs.runs import ROOT
from models import shelf
from tests import tiny
from training import export, fit
from training.networks import NETWORKS, Served, build
from training.onnx_files import OPSET, ExportError
from training.published import network, start_weights

KINDS = {
    "fc": {"network": "fc", "hidden": (16, 8), "batch_norm": True, "dropout": 0.1},
    "lenet5": {"network": "lenet5", "channels": (4, 6, 12), "batch_norm": True, "pooling": "avg", "activation": "tanh"},
    "cnn": {"network": "cnn", "channels": (4, 6, 8, 10), "activation": "silu"},
    "lenet5-1998": {"network": "lenet5-1998", "pooling": "avg", "activation": "tanh"},
    "mixpool": {"network": "mixpool", "channels": (4, 6, 8), "hidden": (16,), "schedule": "two_stage"},
    "lenet": {"network": "lenet", "channels": (3, 4), "hidden": (12, 8)},
    "resnet": {"network": "resnet", "channels": (4, 6), "blocks": 2},
    "unpadded": {"network": "unpadded", "channels": (4, 6), "kernel": 5},
    "softmax": {"network": "softmax", "optimizer": "sgd", "momentum": 0.0},
}


def test_a_card_names_onnxruntime_by_whichever_name_it_is_installed(monkeypatch):
    def version(name: str) -> str:
        assert not name.startswith("onnxruntime"), "one of the two names is not there"
        return "1"

    monkeypatch.setattr(export, "version", version)
    told = export.versions("torch", "onnx")
    assert (told["torch"], told["onnxruntime"]) == ("1", onnxruntime.__version__)
    assert list(told) == ["torch", "onnx", "onnxruntime", "python"]


def test_every_network_is_exported_here():
    assert set(KINDS) == set(NETWORKS)


@pytest.fixture(autouse=True)
def own_shelf(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("INKLING_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def trained(folder: Path, data, **settings) -> Path:
    config = tiny.config(**{"epochs": 1, **settings})
    folder, lock = runs.create(config, folder)
    os.close(lock)
    fit.fit(config, folder, data)
    return folder


def unsettled(config) -> torch.nn.Module:
    """A network whose batch statistics are not those it was born with, as after training."""
    network = build(config)
    network.train()
    network(torch.rand(8, 1, 28, 28))
    return network.eval()


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_computes_what_torch_computes(tmp_path, kind, members, mirrored):
    torch.manual_seed(1)
    config = tiny.config(**KINDS[kind])
    served = Served([unsettled(config) for _ in range(members)], temperature=1.7, mirrored=mirrored).eval()
    path = tmp_path / "graph.onnx"
    export.write_graph(served, "mnist", path)
    assert export.check_parity(served, path, tiny.pictures(20, 0)[0][:, None]) < 1e-5
    graph.check(path.read_bytes(), (1, 28, 28), 10)
    session = onnxruntime.InferenceSession(path.read_bytes())
    pixels = tiny.pictures(7, 3)[0][:, None]
    probabilities, logits = session.run(["probabilities", "logits"], {"pixels": pixels})
    with torch.inference_mode():
        expected = served(torch.from_numpy(pixels))
    assert np.abs(probabilities - expected[0].numpy()).max() < 1e-4
    assert np.abs(logits - expected[1].numpy()).max() < 1e-3
    assert [(each.name, each.type) for each in session.get_inputs()] == [("pixels", "tensor(uint8)")]
    model = onnx.load(path)
    assert [each.name for each in tmp_path.iterdir()] == ["graph.onnx"], "one self-contained file"
    assert model.opset_import[0].version == OPSET
    facts = {each.key: each.value for each in model.metadata_props}
    assert facts["dataset"] == "mnist"
    assert json.loads(facts["labels"]) == list("0123456789")
    assert b"/training/" not in path.read_bytes(), "no source paths of the machine that exported it"


def test_a_published_card_tells_what_was_measured_on_the_graph(tmp_path, own_shelf):
    data = tiny.dataset(tmp_path / "data")
    card = export.publish([trained(tmp_path / "run", data, epochs=4)], "small", data)
    session = onnxruntime.InferenceSession(card.read_graph())
    told = session.run(["probabilities"], {"pixels": data.test.pixels})[0]
    assert card.test_accuracy == pytest.approx((told.argmax(1) == data.test.labels).mean(), abs=1e-5)
    assert np.array(card.facts["test"]["confusion"]).sum() == len(data.test)
    assert np.trace(card.facts["test"]["confusion"]) == round(card.test_accuracy * len(data.test))
    assert card.facts["config"]["hidden"] == [16]
    assert card.facts["data"]["origin"] == "bundled sample"
    assert sorted(each.name for each in (own_shelf / "mnist").iterdir()) == ["small.json", "small.onnx"]


def test_of_several_seeds_the_best_on_validation_is_published_with_mean_and_std(tmp_path):
    data = tiny.dataset(tmp_path / "data")
    folders = [trained(tmp_path / f"run{seed}", data, seed=seed, threads=threads) for seed, threads in enumerate((1, 2, 1))]
    card = export.publish(folders, "best", data)
    spread = card.facts["n_seeds"]
    assert spread["n"] == 3
    assert card.facts["config"]["seed"] == int(np.argmax(spread["validation"]["each"]))
    assert spread["test"]["mean"] == pytest.approx(np.mean(spread["test"]["each"]), abs=1e-4)
    assert card.facts["members"] == 1


def test_averaging_makes_one_ensemble_of_all_members(tmp_path):
    data = tiny.dataset(tmp_path / "data")
    folders = [trained(tmp_path / "a", data, members=2), trained(tmp_path / "b", data, seed=9)]
    card = export.publish(folders, "ensemble", data, average=True)
    assert card.facts["members"] == 3
    assert card.facts["n_seeds"]["n"] == 3


def test_the_title_follows_from_the_networks_inside(tmp_path):
    data = tiny.dataset(tmp_path / "data")
    folders = [trained(tmp_path / name, data, seed=seed) for seed, name in enumerate("ab")]
    assert export.publish(folders, "mine", data, average=True).facts["title"].startswith("Ensemble · ")
    assert export.publish(folders, "mine", data).facts["title"].startswith("Fully connected · ")


def test_a_graph_that_would_not_be_served_is_refused_with_its_name_and_the_fix(tmp_path, own_shelf, monkeypatch):
    data = tiny.dataset(tmp_path / "data")
    run = trained(tmp_path / "run", data, hidden=(400,))
    for name, value, fault in (
        ("LARGEST_GRAPH", 2**20, r"it has 1 MB, more than the 1 allowed"),
        ("OPERATORS", frozenset({"Gemm"}), r"it has the operator .*"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(graph, name, value)
            with pytest.raises(
                ExportError, match=f"^the graph of big cannot be published: {fault}; take fewer networks or narrower ones, or export with"
            ):
                export.publish([run], "big", data)
    assert list((own_shelf / "mnist").iterdir()) == []


@pytest.mark.parametrize(
    ("average", "first", "second", "message"),
    [
        (True, {}, {"hidden": (32,)}, r"hidden is \[16\] in .*0 but \[32\] in .*1; average networks that share it"),
        (True, {}, {"standardise": False}, "standardise is True in .* but False in "),
        (True, {}, {"mirrored": True}, "mirrored is False in .* but True in "),
        (True, {}, {"mirrored": True, "network": "lenet5"}, "mirrored is False in .* but True in "),
        (False, {}, {"hidden": (32,)}, "hidden is .*; give seeds of one configuration, or export the runs one by one"),
        (False, {"epochs": 2}, {}, "epochs is 2 in .* but 1 in "),
        (False, {}, {"mirrored": True}, "mirrored is False in .* but True in "),
        (False, {}, {"members": 2}, "members is 1 in .* but 2 in "),
        (False, {"weight_decay": 0.1}, {}, "weight_decay is 0.1 in .* but 0.0 in "),
    ],
)
def test_runs_that_do_not_belong_together_are_not_published(tmp_path, own_shelf, average, first, second, message):
    data, folders = tiny.dataset(tmp_path / "data"), []
    for number, settings in enumerate((first, second)):
        folder, lock = runs.create(tiny.config(**{"epochs": 1, **settings}), tmp_path / str(number))
        os.close(lock)
        folders.append(folder)
    with pytest.raises(ExportError, match=message):
        export.publish(folders, "both", data, average=average)
    assert not own_shelf.exists()


def test_networks_of_several_kinds_are_averaged_and_nothing_goes_on_from_them(tmp_path):
    data = tiny.dataset(tmp_path / "data")
    folders = [trained(tmp_path / "fc", data), trained(tmp_path / "lenet", data, **KINDS["lenet"])]
    card = export.publish(folders, "both", data, average=True)
    assert card.is_mixed
    with pytest.raises(ConfigError, match="of several kinds"):
        start_weights(tiny.config(start_from="both"), 0)
    taught = network(card)  # but they can teach
    pixels = torch.from_numpy(np.array(data.validation.pixels[:5]))
    with torch.inference_mode():
        assert np.abs(taught(pixels)[0].numpy() - Classifier(card).probabilities(pixels.numpy())).max() < 1e-4


def test_a_graph_that_differs_from_torch_is_not_published(tmp_path, own_shelf, monkeypatch):
    data = tiny.dataset(tmp_path / "data")
    run = trained(tmp_path / "run", data)
    monkeypatch.setattr(export, "write_graph", _with_other_weights(export.write_graph))
    with pytest.raises(ExportError, match="nothing was published"):
        export.publish([run], "bad", data)
    assert list((own_shelf / "mnist").iterdir()) == []


def _with_other_weights(write):
    def changed(served, dataset, path):
        copy = Served(list(served.members), temperature=float(served.temperature) * 1.5).eval()
        write(copy, dataset, path)

    return changed


def test_a_failed_export_leaves_the_published_network_as_it_was(tmp_path, own_shelf, monkeypatch):
    data = tiny.dataset(tmp_path / "data")
    run = trained(tmp_path / "run", data)
    before = export.publish([run], "kept", data).sha256
    monkeypatch.setattr(export, "check_parity", lambda *_: (_ for _ in ()).throw(ExportError("they differ")))
    with pytest.raises(ExportError):
        export.publish([run], "kept", data)
    assert shelf.load_card("mnist", "kept").sha256 == before
    assert len(list((own_shelf / "mnist").iterdir())) == 2


def test_a_run_is_not_measured_on_data_that_it_may_have_learned_from(tmp_path, own_shelf):
    data = tiny.dataset(tmp_path / "data")
    run = trained(tmp_path / "run", data)
    others = tiny.dataset(tmp_path / "others")
    others.train.pixels[0] ^= 1
    with pytest.raises(export.ExportError, match=r"run learned from other images than those of tests; give it its own, by --data"):
        export.publish([run], "flattered", others)
    assert not list(own_shelf.rglob("*.json"))


def test_an_unfinished_run_is_not_published(tmp_path):
    data = tiny.dataset(tmp_path / "data")
    run = trained(tmp_path / "run", data)
    settings = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(settings | {"epochs": 5}))
    with pytest.raises(ExportError, match=r"1 of 5 epochs.*--resume"):
        export.publish([run], "early", data)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_can_start_from_a_published_network(tmp_path, kind):
    data = tiny.dataset(tmp_path / "data")
    card = export.publish([trained(tmp_path / "run", data, **KINDS[kind], members=2)], "start", data, average=True)
    config = tiny.config(**KINDS[kind], members=2, start_from="start")
    members = []
    for number in range(2):
        network = build(config)
        network.load_state_dict(start_weights(config, number))
        members.append(network.eval())
    with torch.inference_mode():
        again = Served(members, temperature=card.facts["temperature"]).eval()(torch.tensor(data.test.pixels))[0]
    served = onnxruntime.InferenceSession(card.read_graph()).run(["probabilities"], {"pixels": data.test.pixels})[0]
    assert np.abs(again.numpy() - served).max() < 1e-3  # the card rounds the temperature to four digits
    trained(tmp_path / "more", data, **KINDS[kind], members=2, start_from="start")


def test_starting_from_another_architecture_is_refused(tmp_path):
    data = tiny.dataset(tmp_path / "data")
    export.publish([trained(tmp_path / "run", data)], "start", data)
    with pytest.raises(ConfigError, match=r"hidden is \[32\] but start was trained with \[16\]"):
        start_weights(tiny.config(hidden=(32,), start_from="start"), 0)


def test_the_temperature_that_spoiled_the_logits_is_found_again():
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(4000, 10, generator=random) * 2
    labels = torch.multinomial(torch.softmax(logits, 1), 1, generator=random)[:, 0]
    assert export.fit_temperature(logits * 2.5, labels) == pytest.approx(2.5, rel=0.06)


def test_calibration_error_of_known_cases():
    sure = np.tile([0.8, 0.2], (100, 1)).astype(np.float32)
    assert export.calibration_error(sure, np.array([0] * 80 + [1] * 20)) == pytest.approx(0, abs=1e-6)
    assert export.calibration_error(sure, np.zeros(100, int)) == pytest.approx(0.2, abs=1e-6)
    certain = np.tile([1.0, 0.0], (10, 1))
    assert export.calibration_error(certain, np.ones(10, int)) == pytest.approx(1.0)


def test_the_reliability_of_known_cases():
    probabilities = np.array([[0.8, 0.2]] * 10 + [[0.55, 0.45]] * 4)
    bins = export.reliability(probabilities, np.array([0] * 8 + [1] * 2 + [0, 0, 0, 1]))
    assert bins == [[0.55, 0.75, 4], [0.8, 0.8, 10]]
    mean_distance = sum(abs(sure - right) * images for sure, right, images in bins) / 14
    assert mean_distance == pytest.approx(export.calibration_error(probabilities, np.array([0] * 8 + [1] * 2 + [0, 0, 0, 1])))


def test_figures_measured_anew_change_nothing_else_on_a_card(tmp_path, monkeypatch):
    (tmp_path / "mnist").mkdir()
    for ending in ("onnx", "json"):
        shutil.copy(ROOT / "models" / "mnist" / f"fc.{ending}", tmp_path / "mnist")
    monkeypatch.setenv("INKLING_MODELS", str(tmp_path))
    before = shelf.load_card("mnist", "fc")
    probabilities = np.eye(10, dtype=np.float32)[np.arange(20) % 10]
    export.write_test_figures(before, probabilities, np.arange(20) % 10)
    after = shelf.load_card("mnist", "fc")
    assert after.test_accuracy == 1
    assert after.facts["test"]["reliability"] == [[1.0, 1.0, 20]]
    assert after.facts | {"test": None} == before.facts | {"test": None}
    assert sorted(path.name for path in (tmp_path / "mnist").iterdir()) == ["fc.json", "fc.onnx"]
