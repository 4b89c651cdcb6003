"""Figures are of what they claim: images held out stay so, and the test images are read when all is chosen."""

import dataclasses
import json
import os

import numpy as np
import pytest

from jobs import runs, sweeps, tables
from jobs.config import ConfigError, RunConfig
from models import datasets
from tests import shapes, test_resumed, tiny
from tests.test_export import trained
from tests.test_own_images import parted_anew
from training import data, export, fit, own_images
from training.__main__ import main
from training.data import Split


@pytest.mark.parametrize(("name", "digest"), [("mnist", "4e54aadd"), ("fashion-mnist", "d75883e2")])
def test_the_same_images_are_held_out_for_ever(name, digest):
    assert data.digest(data.sample(name).validation).startswith(digest)


def test_own_pictures_are_parted_the_same_way_for_ever():
    parts = own_images._split(np.repeat([0, 1], 20), 2)
    assert (parts["validation"].tolist(), parts["test"].tolist()) == ([10, 5, 23, 29], [15, 2, 35, 31])


def test_what_is_committed_is_found_by_its_cells(monkeypatch):
    monkeypatch.delenv("INKLING_EXPERIMENTS", raising=False)
    for name in tables.SWEEPS:
        for key, result in sweeps.read_results(name).items():
            assert sweeps.key_of(RunConfig.from_dict(result["config"])) == key


def test_the_test_images_are_read_when_all_is_chosen(tmp_path, monkeypatch):
    monkeypatch.setenv("INKLING_MODELS", str(tmp_path / "models"))
    data = tiny.dataset(tmp_path / "data")
    folders = [trained(tmp_path / f"run{seed}", data, seed=seed) for seed in range(2)]
    test, order, write = data.test, [], export.write_graph
    monkeypatch.setattr(type(data), "test", property(lambda self: order.append("test") or test))
    monkeypatch.setattr(export, "write_graph", lambda *facts: order.append("graph") or write(*facts))
    card = export.publish(folders, "best", data)
    assert order[0] == "graph"
    told = export.measure(export.Classifier(card), data.validation)
    assert card.val_accuracy == pytest.approx((told.argmax(1) == data.validation.labels).mean(), abs=1e-5)
    assert card.facts["validation"]["n"] == len(data.validation)


def test_a_run_that_was_not_yet_held_back_is_not_published(tmp_path, monkeypatch):
    monkeypatch.setenv("INKLING_MODELS", str(tmp_path / "models"))
    data = tiny.dataset(tmp_path / "data")
    test_resumed.publish(tmp_path / "one", data)
    few = Split(pixels=data.test.pixels[:5], labels=data.test.labels[:5])
    monkeypatch.setattr(fit, "corrected", lambda *_: few)
    monkeypatch.setattr(fit, "reminders", lambda *_: None)
    config = tiny.config(epochs=1, start_from="one", corrections=True)
    test_resumed.stopped(tmp_path / "run", config, data)
    with pytest.raises(export.ExportError, match="finish it first"):
        export.publish([tmp_path / "run"], "early", data)


def test_what_was_learned_is_held_back_by_validation_images(tmp_path, monkeypatch):
    monkeypatch.setenv("INKLING_MODELS", str(tmp_path / "models"))
    data, seen = tiny.dataset(tmp_path / "data"), []
    test_resumed.publish(tmp_path / "one", data)
    few = Split(pixels=data.test.pixels[:5], labels=data.test.labels[:5])
    monkeypatch.setattr(fit, "corrected", lambda *_: few)
    monkeypatch.setattr(fit, "reminders", lambda *_: None)
    hold = fit.Member._hold_back
    monkeypatch.setattr(fit.Member, "_hold_back", lambda self, pixels, labels: seen.append(len(labels)) or hold(self, pixels, labels))
    test_resumed.run(tmp_path / "run", tiny.config(epochs=1, start_from="one", corrections=True), data)
    assert seen == [len(data.validation)]


def test_evaluate_measures_the_part_that_is_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("INKLING_DATA", "sample")
    assert main(["evaluate", "mnist/fc", "--part", "validation", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 450
    monkeypatch.setattr(data, "find", lambda *_: dataclasses.replace(data.sample("mnist"), is_sample=False))
    assert main(["evaluate", "mnist/fc", "--part", "validation", "--write"]) == 1
    assert "--write is for all test images, not for the validation images" in capsys.readouterr().err


def test_a_teacher_that_learned_from_another_import_is_refused(tmp_path, monkeypatch):
    for name in ("datasets", "models", "runs"):
        monkeypatch.setenv(f"INKLING_{name.upper()}", str(tmp_path / name))
    own_images.import_images(shapes.write_folder(tmp_path / "p"), "shapes", side=16)
    config = RunConfig(dataset="shapes", network="fc", hidden=(8,), threads=1)
    folder, lock = runs.create(config, tmp_path / "run")
    os.close(lock)
    fit.fit(config, folder, data.find("shapes"))
    export.publish([folder], "old", data.find("shapes"))
    parted_anew(datasets.own_folder("shapes"))
    for setting in ("start_from", "teacher"):
        folder, lock = runs.create(dataclasses.replace(config, **{setting: "old"}), tmp_path / setting)
        os.close(lock)
        with pytest.raises(ConfigError, match="learned from an earlier import of these pictures"):
            fit.fit(runs.read_config(folder), folder, data.find("shapes"))


@pytest.mark.parametrize(("epochs", "lr"), [(1, 0.001), (12, 0.01)])
def test_it_declines_a_few_of_the_validation_images_and_nothing_likelier_right_than_wrong(tmp_path, monkeypatch, epochs, lr):
    monkeypatch.setenv("INKLING_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(export, "FEWEST_TO_CALIBRATE", 30)
    monkeypatch.setattr(export, "fit_temperature", lambda *_: 1.0)
    data = tiny.dataset(tmp_path / "data")
    card = export.publish([trained(tmp_path / "run", data, epochs=epochs, lr=lr, batch_size=150 if epochs == 1 else 10)], "mine", data)
    told = float(np.quantile(export.measure(export.Classifier(card), data.validation).max(1), 0.004))
    assert card.decline_below == pytest.approx(min(told, 0.5), abs=1e-4)
    assert (told > 0.5) is (epochs > 1)
