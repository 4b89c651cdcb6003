"""Learning from the answers of a published network in place of the labels."""

import dataclasses
import os

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from jobs import events, runs
from jobs.config import ConfigError, RunConfig, unused
from models.shelf import ShelfError
from tests import tiny
from training import export, fit, published, teaching
from training.optimization import loss_function


def trained(folder, data, config) -> list[torch.nn.Module]:
    folder, lock = runs.create(config, folder)
    os.close(lock)
    return fit.fit(config, folder, data)


@pytest.fixture
def teacher(tmp_path, monkeypatch):
    """A published pair of networks, shown both mirror images, and the data that it has learned."""
    monkeypatch.setenv("INKLING_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data = tiny.dataset(tmp_path / "data")
    trained(tmp_path / "teacher", data, tiny.config(members=2, mirrored=True, hidden=(32,)))
    return export.publish([tmp_path / "teacher"], "teacher", data, average=True), data


def test_the_labels_are_what_the_published_network_answers(teacher):
    card, data = teacher
    config = tiny.config(teacher="teacher", teacher_temperature=card.facts["temperature"])
    labels = teaching.soft_labels(config, torch.tensor(data.train.pixels), lambda: False)
    served = onnxruntime.InferenceSession(card.read_graph()).run(["probabilities"], {"pixels": data.train.pixels})[0]
    assert np.abs(labels.numpy() - served).max() < 1e-3
    softer = teaching.soft_labels(tiny.config(teacher="teacher", teacher_temperature=20.0), torch.tensor(data.train.pixels), lambda: False)
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
    assert teaching.soft_labels(tiny.config(teacher="teacher"), torch.tensor(data.train.pixels), lambda: True) is None


def test_the_first_view_is_the_image_and_the_others_are_changed_alike_every_time():
    pixels = torch.randint(0, 256, (300, 1, 28, 28), dtype=torch.uint8)
    config = tiny.config(teacher="teacher", teacher_views=3, augmentation="shift", seed=5)
    before = torch.get_rng_state()
    drawn = teaching.views(config, pixels).view(3, *pixels.shape)
    assert torch.equal(before, torch.get_rng_state())  # a member's own randomness does not depend on it
    assert torch.equal(drawn[0], pixels)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (drawn[one] != drawn[other]).flatten(1).any(1).float().mean() > 0.9
    assert torch.equal(teaching.views(config, pixels), drawn.flatten(0, 1))
    assert teaching.views(tiny.config(teacher="teacher", augmentation="shift"), pixels) is pixels


def test_answers_are_asked_for_once(tmp_path, teacher, monkeypatch):
    _, data = teacher
    pixels = torch.tensor(data.train.pixels)
    config = tiny.config(teacher="teacher", teacher_views=2, augmentation="shift", teacher_temperature=3.0)
    asked = teaching.soft_labels(config, pixels, lambda: False)
    (kept,) = (tmp_path / "cache").rglob("answers-*")
    monkeypatch.setattr(teaching, "network", None)
    assert torch.equal(teaching.soft_labels(config, pixels, lambda: False), asked)
    assert teaching.soft_labels(dataclasses.replace(config, teacher_temperature=1.0), pixels, lambda: False).max() > asked.max()
    assert torch.equal(teaching.soft_labels(dataclasses.replace(config, teacher_views=1), pixels, lambda: False), asked)
    with pytest.raises(TypeError):  # of other images
        teaching.soft_labels(config, 255 - pixels, lambda: False)
    assert [*(tmp_path / "cache").rglob("*.npz")] == [kept]


def test_views_that_would_fill_the_memory_are_refused(monkeypatch):
    monkeypatch.setattr(teaching, "MOST_BYTES", 10 * 784)
    message = r"teacher_views is 8, which makes .* GB of pictures; .* give 3 or fewer"
    with pytest.raises(ConfigError, match=message):
        teaching.views(tiny.config(teacher="teacher", teacher_views=8, augmentation="shift"), torch.zeros(3, 1, 28, 28, dtype=torch.uint8))


def test_an_epoch_sees_one_view_of_every_image_and_its_own_answer(tmp_path, teacher, monkeypatch):
    _, data = teacher
    seen, on = [], fit.Member._on
    monkeypatch.setattr(fit, "views", lambda config, pixels: torch.cat([pixels] * config.teacher_views))
    monkeypatch.setattr(fit, "soft_labels", lambda config, pixels, _: torch.full((len(pixels), 10), 0.1))
    monkeypatch.setattr(fit.Member, "_on", lambda self, batch, *rest: seen.append(batch) or on(self, batch, *rest))
    trained(tmp_path / "student", data, tiny.config(teacher="teacher", teacher_views=3, augmentation="shift", epochs=2))
    count = len(data.train)
    epochs = torch.cat(seen).view(2, count)
    assert all(torch.equal((epoch % count).sort().values, torch.arange(count)) for epoch in epochs)
    assert set((epochs // count).flatten().tolist()) == {0, 1, 2}


def test_a_run_on_views_that_is_resumed_ends_as_the_unbroken_one(tmp_path, teacher):
    _, data = teacher
    config = tiny.config(teacher="teacher", teacher_views=2, augmentation="elastic", epochs=2)
    whole = trained(tmp_path / "whole", data, config)[0].state_dict()

    def stop(facts):
        raise fit.Pruned("enough")

    folder, lock = runs.create(config, tmp_path / "broken")
    os.close(lock)
    with pytest.raises(fit.Pruned):
        fit.fit(config, folder, data, after_epoch=stop)
    resumed = fit.fit(config, folder, data)[0].state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_views_without_a_teacher_or_changes_are_told_to_do_nothing():
    assert "teacher_views is not used by a run without a teacher" in unused(tiny.config(teacher_views=4, augmentation="shift"))
    assert "teacher_views is not used by the augmentation none" in unused(tiny.config(teacher_views=4, teacher="ensemble"))
    assert not unused(tiny.config(teacher_views=4, teacher="ensemble", augmentation="shift"))
    pixels = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
    assert teaching.views(tiny.config(teacher_views=4, teacher="ensemble"), pixels) is pixels
    assert teaching.views(tiny.config(teacher_views=4, augmentation="shift"), pixels) is pixels


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
    message = r"the graph has no weights members.1.*bias, so no run can go on or learn from it; publish it anew"
    with pytest.raises(ConfigError, match=message):
        published._weights(model.graph, "members.1.", fit.build(tiny.config(hidden=(32,))))
