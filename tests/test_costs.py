"""jobs/costs.py: what a training is expected to take."""

import dataclasses
import json

import pytest
import torch

from jobs import costs, events, runs
from jobs.config import RunConfig
from jobs.recipes import RECIPES
from jobs.runs import ROOT
from models import datasets
from training.networks import build


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("INKLING_RUNS", str(tmp_path))
    return tmp_path


def done(config: RunConfig, seconds: float, images: int = 54_000, device: str = "CPU, 1 thread") -> None:
    """A run that spent so many seconds in its epochs and was published; before the last epoch it was away for a day."""
    folder, _ = runs.create(dataclasses.replace(config, publish="some"))
    events.append(folder, "started", time=1000.0, train_images=images, device=device)
    for epoch in range(1, config.epochs + 1):
        if epoch == config.epochs:
            events.append(folder, "started", time=90_000.0, train_images=images, device=device)
        events.append(folder, "epoch", member=0, epoch=epoch, seconds=seconds / config.epochs)
    events.append(folder, "done", time=90_000.0 + seconds / config.epochs + costs.FIXED)


def test_the_multiplications_of_known_networks_are_counted():
    assert costs.multiplications(RunConfig(network="fc", hidden=(300, 100))) == 784 * 300 + 300 * 100 + 100 * 10
    assert costs.multiplications(RunConfig(network="softmax", optimizer="sgd", momentum=0.0)) == 7840
    assert costs.multiplications(RunConfig(network="lenet5", channels=(6, 16, 120))) == 25 * (784 * 6 + 196 * 6 * 16 + 49 * 16 * 120)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_has_a_cost(name):
    assert costs.work(RECIPES[name].config) > 0


def test_what_was_measured_took_what_is_expected_within_a_factor_of_three():
    """The cells measured so far, on one core; the median of each network's ratios."""
    ratios: dict[str, list[float]] = {}
    for path in (ROOT / "experiments").glob("*.jsonl"):
        for line in path.read_text().splitlines():
            result = json.loads(line)
            if result.get("config") and not result["error"] and result["device"] == "CPU, 1 thread":
                config = RunConfig(**result["config"])
                if config.schedule != "two_stage":
                    ratios.setdefault(config.network, []).append(costs.work(config) / result["seconds"])
    assert {"fc", "lenet5", "lenet5-1998", "softmax"} <= set(ratios)
    for network, found in ratios.items():
        middle = sorted(found)[len(found) // 2]
        assert 1 / 3 < middle < 3, (network, middle)


def test_a_schedule_with_sizes_of_its_own_costs_the_same_whatever_batch_size_stands_beside_it():
    costly = [costs.work(dataclasses.replace(RECIPES["r4-mixpool"].config, batch_size=size)) for size in (1, 128, 10_000)]
    assert costly[0] == costly[1] == costly[2]


def test_what_a_teacher_takes_counts(monkeypatch):
    plain = RunConfig(network="fc", augmentation="elastic")
    one = costs.asking(dataclasses.replace(plain, teacher="ensemble"))
    assert costs.asking(plain) == costs.asking(dataclasses.replace(plain, teacher="nobody")) == 0
    assert costs.asking(dataclasses.replace(plain, teacher="ensemble", teacher_views=32)) == pytest.approx(32 * one)
    assert costs.seconds(dataclasses.replace(plain, teacher="ensemble"), 2.0) == pytest.approx(costs.seconds(plain, 2.0) + 2 * one)
    assert 30 < one < 300


def test_twice_the_epochs_members_or_images_are_twice_the_work():
    base = costs.work(RunConfig())
    assert costs.work(RunConfig(epochs=2)) == costs.work(RunConfig(members=2)) == costs.work(RunConfig(), images=108_000) == 2 * base


def test_the_machines_own_runs_say_how_quick_it_is():
    config = RunConfig(epochs=10)
    assert costs.speed() == 1.0
    for factor in (0.5, 0.5, 5.0):
        done(config, factor * costs.work(config))
    assert costs.speed() == pytest.approx(0.5)
    assert costs.seconds(config, costs.speed()) == pytest.approx(costs.FIXED + 0.5 * costs.work(config))


def test_runs_on_a_gpu_say_how_quick_that_is_and_nothing_of_the_processor():
    config = RunConfig(epochs=10)
    assert costs.speed(on_gpu=True) == costs.ON_GPU
    done(config, 2 * costs.work(config))
    assert (costs.speed(), costs.speed(on_gpu=True)) == (pytest.approx(2.0), pytest.approx(2.0))  # torch passes that GPU over
    done(config, 0.02 * costs.work(config), device="NVIDIA H200")
    assert (costs.speed(), costs.speed(on_gpu=True)) == (pytest.approx(2.0), pytest.approx(0.02, rel=0.2))


@pytest.mark.parametrize("side", [28, 63, 64, 128])
@pytest.mark.parametrize("settings", [{"channels": (32, 64, 128)}, {"channels": (16, 32, 64), "blocks": 3}])
def test_the_multiplications_of_a_resnet_are_those_of_its_layers(monkeypatch, side, settings):
    about = dataclasses.replace(datasets.DATASETS["mnist"], channels=3, height=side, width=side)
    monkeypatch.setattr(datasets, "info", lambda name: about)
    config = RunConfig(network="resnet", **settings)
    total = []

    def count(layer, inputs, output) -> None:
        total.append(output[0].numel() * layer.weight[0].numel() if isinstance(layer, torch.nn.Conv2d) else layer.weight.numel())

    network = build(config).eval()
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            layer.register_forward_hook(count)
    network(torch.zeros(1, 3, side, side))
    assert costs.multiplications(config) == pytest.approx(sum(total), rel=0.12)


def test_an_epoch_that_is_told_again_after_a_kill_counts_once():
    config = RunConfig(epochs=1)
    folder, _ = runs.create(dataclasses.replace(config, publish="some"))
    for _ in range(2):
        events.append(folder, "started", time=1000.0, train_images=54_000)
        events.append(folder, "epoch", member=0, epoch=1, seconds=2 * costs.work(config))
    events.append(folder, "done", time=2000.0)
    assert costs.speed() == pytest.approx(2.0)


def test_runs_of_commands_and_broken_ones_say_nothing_of_speed(root):
    folder, _ = runs.create(RunConfig())
    events.append(folder, "done")
    folder, _ = runs.create(RunConfig(publish="some", network="fc"))
    events.append(folder, "done")  # without a start
    assert costs.speed() == 1.0


@pytest.mark.parametrize(("seconds", "words"), [(0, "10 seconds"), (41, "50 seconds"), (100, "2 minutes"), (7200, "2 hours")])
def test_durations_are_told_roundly(seconds, words):
    assert costs.in_words(seconds) == words


def test_wider_layers_cost_more_in_every_network_that_has_them():
    for network, settings in {
        "mixpool": {"channels": (64, 128, 256)},
        "cnn": {"channels": (64, 128, 256)},
        "fc": {"hidden": (4096, 4096)},
    }.items():
        plain = RunConfig(network=network, channels=(32, 64, 128), hidden=(64,))
        assert costs.work(dataclasses.replace(plain, **settings)) > 1.9 * costs.work(plain)
    shallow = RunConfig(network="resnet", channels=(32, 64, 128), batch_size=1024)
    assert costs.work(dataclasses.replace(shallow, blocks=3)) > 2.5 * costs.work(shallow)
    narrow = RunConfig(network="mixpool", channels=(32, 64, 128), hidden=(64,))
    assert costs.work(dataclasses.replace(narrow, hidden=(4096, 4096))) > 2 * costs.work(narrow)


def test_each_step_of_a_network_of_many_weights_takes_longer_and_changing_pictures_takes_time():
    """36.8 million weights, a picture at a time: 100 ms a step were measured on one core, 22 hours in all."""
    huge = RunConfig(network="fc", hidden=(4096, 4096, 4096), batch_size=1, epochs=15)
    assert 15 * 3600 < costs.work(huge) < 45 * 3600
    plain = RunConfig(network="softmax", optimizer="sgd", momentum=0.0, batch_size=10_000, epochs=1000)
    assert costs.work(dataclasses.replace(plain, augmentation="elastic")) > 600 + costs.work(plain)  # measured: 1,700
