"""Learning from the answers of a published network in place of the labels."""

import os

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from jobs import events, runs
from jobs.config import ConfigError, RunConfig
from models.shelf import ShelfError
from tests import tiny
from training import export, fit, published
from training.optimization import loss_function


def trained(folder, data, config) -> list[torch.nn.Module]:
    folder, lock = runs.create(config, folder)
    os.close(lock)
    return fit.fit(config, folder, data)


@pytest.fixture
def teacher(tmp_path, monkeypatch):
    """A published pair of networks, shown both mirror images, and the data that it has learned."""
    monkeypatch.setenv("INKLING_MODELS", str(tmp_path / "models"))
    data = tiny.dataset(tmp_path / "data")
    trained(tmp_path / "teacher", data, tiny.config(members=2, mirrored=True, hidden=(32,)))
    return export.publish([tmp_path / "teacher"], "teacher", data, average=True), data


def test_the_labels_are_what_the_published_network_answers(teacher):
    card, data = teacher
    config = tiny.config(teacher="teacher", teacher_temperature=card.facts["temperature"])
    labels = published.soft_labels(config, torch.tensor(data.train.pixels), lambda: False)
    served = onnxruntime.InferenceSession(card.read_graph()).run(["probabilities"], {"pixels": data.train.pixels})[0]
    assert np.abs(labels.numpy() - served).max() < 1e-3
    softer = published.soft_labels(tiny.config(teacher="teacher", teacher_temperature=20.0), torch.tensor(data.train.pixels), lambda: False)
    assert softer.max() < labels.max()
    assert torch.equal(softer.argmax(1), labels.argmax(1))


def test_a_network_learns_from_answers_alone(tmp_path, teacher):
    _, data = teacher
    data.train.labels[:] = 0  # what no network could learn the pictures from
    networks = trained(tmp_path / "student", data, tiny.config(teacher="teacher", epochs=6))
    logits = fit.predict_logits(networks[0], torch.tensor(data.test.pixels))
    assert (logits.argmax(1).numpy() == data.test.labels).mean() > 0.9
    assert [event["kind"] for event in events.read(tmp_path / "student")][:2] == ["started", "teaching"]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_the_loss_is_the_divergence_at_the_temperature_and_its_gradient_the_difference(temperature):
    torch.manual_seed(0)
    logits, answers = torch.randn(5, 10, requires_grad=True), torch.softmax(torch.randn(5, 10), dim=1)
    config = RunConfig(teacher="ensemble", teacher_temperature=temperature)
    loss = loss_function(config, logits, answers)
    loss.backward()
    softened = torch.softmax(logits.detach() / temperature, dim=1)
    torch.testing.assert_close(loss.detach(), (answers * (answers / softened).log()).sum() / 5 * temperature**2)
    torch.testing.assert_close(logits.grad, (softened - answers) / 5 * temperature)


def test_a_run_that_is_stopped_while_the_teacher_answers_trains_nothing(tmp_path, teacher, monkeypatch):
    _, data = teacher
    monkeypatch.setattr(fit, "soft_labels", lambda *_: None)
    with pytest.raises(runs.Cancelled):
        trained(tmp_path / "student", data, tiny.config(teacher="teacher"))
    assert runs.status(tmp_path / "student").epochs == ()
    assert published.soft_labels(tiny.config(teacher="teacher"), torch.tensor(data.train.pixels), lambda: True) is None


def test_a_teacher_that_is_not_there_is_named(tmp_path, teacher):
    _, data = teacher
    with pytest.raises(ShelfError, match="nobody"):
        trained(tmp_path / "student", data, tiny.config(teacher="nobody"))


@pytest.mark.parametrize(
    "settings",
    [{"loss": "mse"}, {"label_smoothing": 0.1}, {"network": "softmax", "optimizer": "sgd", "momentum": 0.0}],
)
def test_what_cannot_learn_from_answers_is_refused(settings):
    with pytest.raises(ConfigError, match="teacher is ensemble"):
        RunConfig(teacher="ensemble", **settings)


def test_a_graph_without_some_of_the_weights_is_no_teacher_and_no_start(tmp_path, teacher):
    card, _ = teacher
    model = onnx.load_model_from_string(card.read_graph())
    (bias,) = [each for each in model.graph.initializer if each.name.startswith("members.1.") and each.name.endswith("1.bias")]
    bias.name = "shared"
    message = r"the graph has no weights .*bias of network 2, so no run can go on or learn from it; publish it anew"
    with pytest.raises(ConfigError, match=message):
        published._weights(model.graph, 1, fit.build(tiny.config(hidden=(32,))))
