"""A run that learns from corrections: they are learned, nothing else is lost, and a resumed run sees the same ones."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from corrections import store
from jobs import events, recipes, runs
from jobs.config import ConfigError
from models import shelf
from models.datasets import DATASETS
from tests import tiny
from training import corrected, data, export
from training.__main__ import main
from training.data import Split
from training.fit import member_path
from training.published import network

MNIST = DATASETS["mnist"]


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in {"INKLING_MODELS": "models", "INKLING_RUNS": "runs"}.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    monkeypatch.setenv(store.VARIABLE, f"sqlite:///{tmp_path / 'corrections.sqlite3'}")
    monkeypatch.setenv("INKLING_DATA", "sample")
    return tmp_path


def keep(pixels: np.ndarray, label: str) -> None:
    correction = store.Correction(dataset="mnist", label=label, said="", network="start", pixels=pixels, picture=b"png")
    store.keep(store.open_store(), correction, MNIST)


def test_a_run_keeps_the_corrections_that_it_began_with(places):
    digits = data.sample("mnist").test.pixels
    with pytest.raises(ConfigError, match="there are no corrections of MNIST digits to learn from"):
        corrected.corrected(places, "mnist")
    keep(digits[0], "3")
    first = corrected.corrected(places, "mnist")
    assert first.labels.tolist() == [3]
    assert np.array_equal(first.pixels[0], digits[0])
    keep(digits[1], "4")
    store.remove(store.open_store(), store.find(store.open_store(), DATASETS["mnist"])[1:])
    assert corrected.corrected(places, "mnist").labels.tolist() == [3]
    assert sorted(path.name for path in places.glob("corrections*")) == ["corrections.npz", "corrections.sqlite3"]


@pytest.mark.parametrize(("count", "times"), [(1, 100), (20, 100), (54, 100), (540, 10), (5400, 1), (50_000, 1)])
def test_corrections_are_shown_up_to_a_hundred_times_and_as_a_tenth_of_an_epoch(count, times):
    few = Split(pixels=np.arange(count, dtype=np.uint8).reshape(-1, 1, 1, 1), labels=np.arange(count))
    shown = corrected.repeated(few, 54_000)
    assert np.bincount(shown.labels).tolist() == [times] * count
    assert np.array_equal(shown.pixels.ravel(), shown.labels.astype(np.uint8))


def test_digits_of_other_hands_come_along_for_mnist_alone():
    reminders = corrected.reminders("mnist")
    assert reminders.pixels.shape == (12_000, 1, 28, 28)
    assert np.bincount(reminders.labels).min() > 900
    assert corrected.reminders("fashion-mnist") is None


@pytest.mark.parametrize(("losses", "share"), [((0.0,), 0.7), ((-0.001,), 0.7), ((0.001, 0.0), 0.5), ((0.9, 0.5, 0.1, 0.0), 0.0)])
def test_what_costs_validation_accuracy_is_taken_back_step_by_step(losses, share):
    layer = torch.nn.BatchNorm1d(2)
    start = {name: torch.zeros_like(each) for name, each in layer.state_dict().items()}
    layer.load_state_dict({name: torch.full_like(each, 8) for name, each in layer.state_dict().items()})
    left = iter(losses)
    assert corrected.hold_back(layer, start, lambda: next(left)) == share
    assert layer.weight.tolist() == pytest.approx([8 * share] * 2)
    assert int(layer.num_batches_tracked) == 8  # no weight


def test_a_published_network_learns_corrections_without_losing_what_it_knew(places, capsys):
    start = ["fit", "--network", "lenet5", "--epochs", "2", "--lr", "0.004", "--threads", "1", "--publish", "start"]
    assert main(start) == 0
    card = shelf.load_card("mnist", "start")
    held_out = data.sample("mnist").test
    said = network(card)(torch.from_numpy(np.array(held_out.pixels)))[0].argmax(1).numpy()
    wrong = np.flatnonzero(said != held_out.labels)[:8]
    assert len(wrong) >= 4
    for number in wrong:
        keep(held_out.pixels[number], str(held_out.labels[number]))
    command = ["fit", "--fine-tune", "mnist/start", "--threads", "1", "--publish", "mine", "--out", str(places / "run")]
    assert main(command) == 0
    told = {event["kind"]: event for event in events.read(places / "run")}
    assert told["corrections"]["count"] == len(wrong)
    mine = shelf.load_card("mnist", "mine")
    assert mine.facts["config"]["corrections"] is True
    assert mine.facts["run"]["corrections"] == len(wrong)
    assert mine.val_accuracy >= card.val_accuracy
    now = network(mine)(torch.from_numpy(held_out.pixels[wrong]))[0].argmax(1).numpy()
    assert (now == held_out.labels[wrong]).mean() >= 0.5
    assert runs.read_config(places / "run").start_from == "start"
    assert not (places / "run" / corrected.FILE).exists()  # for who deletes a correction means all copies of it


def test_softmax_regression_learns_corrections_by_its_own_optimizer(places):
    softmax = ["--network", "softmax", "--optimizer", "sgd", "--momentum", "0", "--lr", "0.1", "--threads", "1", "--publish", "start"]
    assert main(["fit", *softmax]) == 0
    card, held_out = shelf.load_card("mnist", "start"), data.sample("mnist").test
    said = network(card)(torch.from_numpy(np.array(held_out.pixels)))[0].argmax(1).numpy()
    wrong = np.flatnonzero(said != held_out.labels)[:8]
    for number in wrong:
        keep(held_out.pixels[number], str(held_out.labels[number]))
    assert main(["fit", "--fine-tune", "mnist/start", "--threads", "1", "--publish", "mine", "--out", str(places / "run")]) == 0
    now = network(shelf.load_card("mnist", "mine"))(torch.from_numpy(held_out.pixels[wrong]))[0].argmax(1).numpy()
    assert (now == held_out.labels[wrong]).sum() >= 2


def test_a_run_that_validation_lets_nothing_stand_of_says_so_and_publishes_nothing(places, monkeypatch, capsys):
    assert main(["fit", "--network", "fc", "--epochs", "1", "--threads", "1", "--publish", "start"]) == 0
    keep(data.sample("mnist").test.pixels[0], "3")
    monkeypatch.setattr(corrected, "BACK", (0.0,))
    folder = places / "run"
    for command in (["--fine-tune", "mnist/start", "--threads", "1", "--publish", "mine", "--out", str(folder)], ["--resume", str(folder)]):
        assert main(["fit", *command]) == 1
        assert "the network is left as it was" in capsys.readouterr().err
        assert events.read(folder)[-1]["kind"] == "failed"
        assert (folder / corrected.FILE).exists()
    assert [card.name for card in shelf.list_cards("mnist")] == ["start"]


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_shipped_network_but_a_mixture_can_be_fine_tuned(monkeypatch, dataset):
    monkeypatch.setenv("INKLING_MODELS", str(runs.ROOT / "models"))
    cards = shelf.list_cards(dataset)
    assert [card.name for card in cards if card.is_mixed] == ["ensemble"]
    for card in cards:
        if card.is_mixed:
            with pytest.raises(ConfigError, match="ensemble is of networks of several kinds"):
                recipes.fine_tuned(card)
        else:
            config = recipes.fine_tuned(card)
            assert (config.start_from, config.members, config.corrections) == (card.name, card.facts["members"], True)
    for kept, name in shelf.KEPT:
        if kept == dataset:
            with pytest.raises(ConfigError, match=f"{name} has other classes than {dataset}"):
                recipes.fine_tuned(shelf.load_card(dataset, name))


def test_corrections_and_a_teacher_do_not_go_together():
    with pytest.raises(ConfigError, match="corrections are learned with teacher ensemble"):
        tiny.config(corrections=True, teacher="ensemble")


def test_a_recipe_and_a_network_to_fine_tune_are_one_too_many(capsys):
    assert main(["fit", "--recipe", "quick", "--fine-tune", "mnist/lenet5"]) == 1
    assert "give --recipe quick or --fine-tune mnist/lenet5" in capsys.readouterr().err


def test_a_run_that_is_resumed_is_not_held_back_twice(places, monkeypatch):
    assert main(["fit", "--network", "lenet5", "--epochs", "1", "--threads", "1", "--publish", "start"]) == 0
    for number in range(6):
        keep(data.sample("mnist").test.pixels[number], str(number))
    folder = places / "run"
    monkeypatch.setattr(export, "publish", lambda *facts, **options: pytest.fail("killed here"))
    command = ["fit", "--fine-tune", "mnist/start", "--threads", "1", "--publish", "mine", "--out", str(folder)]
    with pytest.raises(pytest.fail.Exception):
        main(command)
    before = load_file(member_path(folder, 0))
    with pytest.raises(pytest.fail.Exception):
        main(["fit", "--resume", str(folder)])
    after = load_file(member_path(folder, 0))
    assert all(torch.equal(each, after[name]) for name, each in before.items())
    assert [event["kind"] for event in events.read(folder)].count("held_back") == 1
