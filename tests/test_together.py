"""Networks trained together end where each ends alone."""

import dataclasses
import json

import pytest
import torch

from jobs.config import ConfigError, RunConfig
from tests import tiny
from training import fit
from training.fit import to_device
from training.together import Together, group_of

CPU = torch.device("cpu")
OPTIMIZERS = [
    {"optimizer": "sgd", "schedule": "constant"},
    {"optimizer": "nag", "schedule": "one_cycle", "weight_decay": 0.01},
    {"optimizer": "adam", "schedule": "step", "step_every": 3},
    {"optimizer": "sgd", "schedule": "constant", "loss": "mse"},
    {"optimizer": "sgd", "schedule": "constant", "loss": "multi_margin"},
]


@pytest.mark.parametrize("settings", OPTIMIZERS)
@pytest.mark.parametrize(
    "network", [{"hidden": (16,)}, {"network": "lenet5-1998", "activation": "tanh", "pooling": "avg", "standardise": False}]
)
def test_each_network_ends_where_it_ends_alone(tmp_path, settings, network):
    data = tiny.dataset(tmp_path / "data")
    shared = tiny.config(**settings, **network, epochs=2)
    configs = [
        dataclasses.replace(shared, lr=lr, momentum=momentum, seed=seed)
        for lr, momentum, seed in ((0.01, 0.9, 0), (0.003, 0.0, 0), (0.01, 0.5, 3))
    ]
    train, validation = to_device(data.train, CPU), to_device(data.validation, CPU)
    group = Together(configs, CPU)
    for epoch in range(2):
        losses = group.epoch(epoch, train)
    val_losses, val_accuracies = group.measure(validation)
    for number, config in enumerate(configs):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config.to_dict()))
        (alone,) = fit.fit(config, folder, data)
        for name, weight in zip(group.names, group.weights, strict=True):
            torch.testing.assert_close(weight[number], alone.get_parameter(name).detach().contiguous(), atol=2e-4, rtol=2e-3)
        last = fit.runs.status(folder).epochs[-1]
        assert float(losses[number]) == pytest.approx(last["train_loss"], abs=2e-3)
        assert float(val_losses[number]) == pytest.approx(last["val_loss"], abs=2e-3)
        assert float(val_accuracies[number]) == pytest.approx(last["val_accuracy"], abs=0.04)  # 30 images


def test_only_lr_momentum_and_seed_may_differ():
    config = RunConfig(optimizer="sgd", network="fc")
    assert group_of(config) == group_of(dataclasses.replace(config, lr=0.5, momentum=0.1, seed=9, publish="x"))
    assert group_of(config) != group_of(dataclasses.replace(config, batch_size=64))
    with pytest.raises(ConfigError, match="differ in more than lr, momentum, seed"):
        Together([config, dataclasses.replace(config, batch_size=64)], CPU)


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "rmsprop"},
        {"batch_norm": True},
        {"schedule": "two_stage"},
        {"members": 2},
        {"network": "fc", "mirrored": True},
        {"network": "fc", "redrawn": True},
        {"network": "fc", "corrections": True},
    ],
)
def test_what_cannot_be_batched_is_trained_alone(settings):
    assert group_of(RunConfig(**settings)) is None
