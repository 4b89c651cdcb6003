"""A run that goes on learns from what it began with: its data, the network that it started from, and its teacher."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from jobs import events, runs
from jobs.config import ConfigError, RunConfig
from models import shelf
from models.shelf import ShelfError
from tests import tiny
from training import checkpoint, export, fit
from training.data import Dataset, Split
from training.fit import Pruned


@pytest.fixture(autouse=True)
def pictures(tmp_path, monkeypatch) -> Dataset:
    """Data, and a network `one` that learned from them on a shelf of its own."""
    monkeypatch.setenv("INKLING_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # where a teacher's answers are kept
    data = tiny.dataset(tmp_path / "data")
    publish(tmp_path / "one", data)
    return data


def publish(folder: Path, data: Dataset, **settings) -> shelf.Card:
    run(folder, tiny.config(epochs=1, **settings), data)
    return export.publish([folder], "one", data)


def run(folder: Path, config: RunConfig, data: Dataset, epochs: int | None = None) -> list[torch.nn.Module]:
    """Trains, or goes on; epochs: of all members together after which it stops, as if it had been killed."""
    if not folder.exists():
        os.close(runs.create(config, folder)[1])
    left = [] if epochs is None else [None] * epochs

    def stop(facts) -> None:
        left.pop()
        if not left:
            raise Pruned

    return fit.fit(config, folder, data, after_epoch=None if epochs is None else stop)


def stopped(folder: Path, config: RunConfig, data: Dataset, epochs: int = 1) -> None:
    with pytest.raises(Pruned):
        run(folder, config, data, epochs)


def same(first: list[torch.nn.Module], second: list[torch.nn.Module]) -> bool:
    pairs = zip(first, second, strict=True)
    return all(torch.equal(each, two.state_dict()[name]) for one, two in pairs for name, each in one.state_dict().items())


def started(folder: Path) -> list[events.Event]:
    return [event for event in events.read(folder) if event["kind"] == "started"]


@pytest.mark.parametrize("settings", [{"batch_norm": True, "dropout": 0.2}, {"network": "softmax", "optimizer": "sgd", "momentum": 0.0}])
def test_a_run_goes_on_without_the_network_that_it_started_from(tmp_path, pictures, settings):
    settings |= {"members": 2}
    publish(tmp_path / "two", pictures, **settings)
    config = tiny.config(**settings, epochs=2, start_from="one", augmentation="shift")
    unbroken = run(tmp_path / "unbroken", config, pictures)
    stopped(tmp_path / "broken", config, pictures, 3)
    card = shelf.load_card("mnist", "one")
    shelf.remove(card)
    assert same(run(tmp_path / "broken", config, pictures), unbroken)
    assert [event["start_sha256"] for event in started(tmp_path / "broken")] == [card.sha256] * 2


def test_a_member_that_has_yet_to_start_needs_the_network_that_it_starts_from(tmp_path, pictures):
    config = tiny.config(epochs=1, members=2, start_from="one")
    stopped(tmp_path / "run", config, pictures)
    shelf.remove(shelf.load_card("mnist", "one"))
    with pytest.raises(ShelfError, match="there is no network 'one' for mnist"):
        run(tmp_path / "run", config, pictures)


@pytest.mark.parametrize(("setting", "settings"), [("start_from", {"members": 2}), ("teacher", {})])
def test_a_run_does_not_go_on_towards_another_network(tmp_path, pictures, setting, settings):
    config = tiny.config(**settings, **{setting: "one"}, epochs=2)
    before = shelf.load_card("mnist", "one").sha256
    unbroken = run(tmp_path / "unbroken", config, pictures)
    stopped(tmp_path / "run", config, pictures, 2 if setting == "start_from" else 1)
    now = publish(tmp_path / "other", pictures, seed=7).sha256
    for _ in range(2):  # a refusal is no new beginning
        with pytest.raises(ConfigError) as caught:
            run(tmp_path / "run", config, pictures)
        assert str(caught.value) == (
            f"{setting} is one, which was published anew since the run began with it (sha256 {before[:8]} then, {now[:8]} now); "
            "put the earlier one back on the shelf, or start a new run"
        )
    export.publish([tmp_path / "one"], "one", pictures)
    assert shelf.load_card("mnist", "one").sha256 == before
    assert same(run(tmp_path / "run", config, pictures), unbroken)


@pytest.mark.parametrize("setting", ["start_from", "teacher"])
def test_a_run_that_took_the_place_of_the_network_it_learned_from_is_published_again(tmp_path, pictures, setting):
    config = tiny.config(members=2, epochs=1, **{setting: "one"})
    first = run(tmp_path / "run", config, pictures)
    export.publish([tmp_path / "run"], "one", pictures)  # and here it was killed
    assert same(run(tmp_path / "run", config, pictures), first)
    shelf.remove(shelf.load_card("mnist", "one"))
    assert same(run(tmp_path / "run", config, pictures), first)


def test_a_run_without_an_epoch_begins_with_the_networks_and_data_of_now(tmp_path, pictures):
    config = tiny.config(epochs=1, start_from="one", teacher="one")
    folder, lock = runs.create(config, tmp_path / "run")
    os.close(lock)
    events.append(folder, "started", data="x", is_sample=False, train_images=1, start_sha256="0" * 64, teacher_sha256="0" * 64)
    run(folder, config, pictures)
    assert started(folder)[-1]["start_sha256"] == shelf.load_card("mnist", "one").sha256


@pytest.mark.parametrize("other", [{"is_sample": False}, {"name": "fewer"}, {"name": "others"}])
def test_a_run_does_not_go_on_with_other_data(tmp_path, pictures, other):
    config, folder = tiny.config(epochs=2), tmp_path / "run"
    unbroken = run(tmp_path / "unbroken", config, pictures)
    stopped(folder, config, pictures)
    found = dataclasses.replace(pictures, origin="elsewhere", **other)
    train, validation = pictures._training_part
    if other.get("name") == "fewer":
        train = Split(pixels=train.pixels[:200], labels=train.labels[:200])
    if other.get("name") == "others":
        train = Split(pixels=train.pixels, labels=np.roll(train.labels, 1))
    now = "200" if other.get("name") == "fewer" else "others, as many"
    found.__dict__["_training_part"] = train, validation
    for _ in range(2):
        with pytest.raises(ConfigError) as caught:
            run(folder, config, found)
        assert str(caught.value) == (
            f"{folder} began with the 270 training images of tests, and elsewhere has {now}; "
            "give it the data that it began with, by --data, or start a new run"
        )
    assert same(run(folder, config, dataclasses.replace(pictures, origin="moved")), unbroken)


def test_what_was_held_back_is_told_before_the_checkpoint_says_so(tmp_path, pictures, monkeypatch):
    few = Split(pixels=pictures.test.pixels[:5], labels=pictures.test.labels[:5])
    monkeypatch.setattr(fit, "corrected", lambda *_: few)
    monkeypatch.setattr(fit, "reminders", lambda *_: None)
    config, real = tiny.config(epochs=1, start_from="one", corrections=True), checkpoint.save
    unbroken = run(tmp_path / "unbroken", config, pictures)

    def killed(path, network, optimizer, epochs_done) -> None:
        if epochs_done > config.epochs:
            raise Pruned
        real(path, network, optimizer, epochs_done)

    folder = tmp_path / "run"
    monkeypatch.setattr(checkpoint, "save", killed)
    with pytest.raises(Pruned):
        run(folder, config, pictures)
    monkeypatch.setattr(checkpoint, "save", real)
    told = [event["share"] for event in events.read(folder) if event["kind"] == "held_back"]
    assert len(told) == 1
    assert same(run(folder, config, pictures), unbroken)
    assert {event["share"] for event in events.read(folder) if event["kind"] == "held_back"} == set(told)
