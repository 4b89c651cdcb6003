"""A mixture: two published networks and a router in one graph, what it answers, and what it cannot be used for."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from inference.classify import Classifier
from jobs import runs
from jobs.config import ConfigError
from jobs.runs import ROOT
from models import shelf
from tests import tiny
from tests.test_prepare import sample_pictures
from training import export, fit, mixture, pictures, published, redrawn
from training.__main__ import main as train
from training.data import Dataset
from training.networks import Mixture, Served
from training.onnx_files import ExportError

DIGITS = sample_pictures("MNIST")[:40]
ROUTES = torch.tensor([[9.0, -9.0], [-9.0, 9.0], [0.0, 0.0]])  # to the first expert, to the second, to both


class Says(torch.nn.Module):
    """An expert that gives every picture the same logits, or a router that gives each its own."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(images), -1)


def test_a_picture_goes_to_the_expert_that_the_router_names():
    first, second, third = (Served([Says(torch.tensor([[20.0 * (number == at) for number in range(10)]]))]) for at in (0, 1, 2))
    pixels = torch.zeros(3, 1, 28, 28, dtype=torch.uint8)
    told = Mixture(first, [second], Says(ROUTES))(pixels)[0]
    assert told[:, :2].numpy() == pytest.approx(np.array([[1, 0], [0, 1], [0.5, 0.5]]), abs=1e-4)
    told = Mixture(first, [second, third], Says(ROUTES))(pixels)[0]  # two for other hands are averaged
    assert told[:, :3].numpy() == pytest.approx(np.array([[1, 0, 0], [0, 0.5, 0.5], [0.5, 0.25, 0.25]]), abs=1e-4)


def test_experts_are_mixed_at_their_own_temperatures():
    sure, cool = (Served([Says(torch.tensor([[4.0] + [0.0] * 9]))], temperature=temperature) for temperature in (1.0, 4.0))
    told = Mixture(sure, [cool], Says(ROUTES))(torch.zeros(3, 1, 28, 28, dtype=torch.uint8))[0][:, 0]
    alone = [float(np.exp(4 / temperature) / (np.exp(4 / temperature) + 9)) for temperature in (1, 4)]
    assert told.numpy() == pytest.approx(np.array([*alone, sum(alone) / 2]), abs=1e-4)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """What two small networks on the shelf have learned; few digits of other hands, and one epoch for the router."""
    monkeypatch.setattr(redrawn, "COUNTS", {"train": (60, 60, 0), "validation": (10, 10, 0)})
    monkeypatch.setattr(mixture, "EPOCHS", 1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("INKLING_MODELS", str(tmp_path / "models"))
    source = tiny.dataset(tmp_path / "data")
    for name, hidden in (("one", 32), ("two", 48), ("three", 24)):
        folder, lock = runs.create(tiny.config(hidden=(hidden,), epochs=1), tmp_path / name)
        os.close(lock)
        fit.fit(runs.read_config(folder), folder, source)
        export.publish([folder], name, source)
    return source


def test_it_is_published_and_answers_but_no_run_goes_on_from_it(data: Dataset):
    card = mixture.publish("one", ["two", "three"], "all", data)
    assert card.is_mixed
    assert card.title.startswith("Mixture · ")
    assert card.facts["members"] == 3
    apart = [shelf.load_card("mnist", name) for name in ("one", "two", "three")]
    assert [each["sha256"] for each in card.facts["mixture"]["of"]] == [each.sha256 for each in apart]
    assert card.parameters == sum(each.parameters for each in apart) + card.facts["mixture"]["router"]
    said, *each = (Classifier(each).probabilities(DIGITS[:, None]).argmax(1) for each in (card, *apart))
    assert (said == each[0])[(each[0] == each[1]) & (each[1] == each[2])].all()  # where all agree, so does it
    with pytest.raises(ConfigError, match="all is of networks of several kinds"):
        published.start_weights(tiny.config(start_from="all"), 0)


def test_it_can_teach_since_its_card_says_what_it_is_made_of(data: Dataset):
    card = mixture.publish("one", ["two", "three"], "all", data)
    with torch.inference_mode():
        built = published.network(card)(torch.from_numpy(DIGITS[:, None].copy()))[0].numpy()
    assert np.abs(built - Classifier(card).probabilities(DIGITS[:, None])).max() < 1e-4
    older = [{key: value for key, value in each.items() if key != "layers"} for each in card.facts["mixture"]["of"]]
    card.facts["mixture"]["of"] = older  # of before cards said so
    with pytest.raises(ConfigError, match="all is of networks of several kinds"):
        published.network(card)


def test_networks_are_averaged_with_those_that_a_mixture_has_for_own_images(data: Dataset, monkeypatch):
    before = mixture.publish("one", ["two"], "both", data)
    router = published.network(before).router
    monkeypatch.setattr(mixture, "train_router", None)  # the mixture's own stays
    card = mixture.widen("both", ["three"], "both", data)
    first, other = card.facts["mixture"]["of"]
    assert (card.facts["members"], first["members"], other) == (3, 2, before.facts["mixture"]["of"][1])
    assert card.facts["n_seeds"]["n"] == 2
    one, two, three = (published.network(shelf.load_card("mnist", name)) for name in ("one", "two", "three"))
    with torch.inference_mode():
        images = torch.from_numpy(DIGITS[:, None].copy()) / 255
        own = torch.stack([torch.softmax(each.members[0](images), dim=1) for each in (one, three)]).mean(0)
        own = torch.softmax(torch.log(own) / first["temperature"], dim=1)
        others = torch.softmax(two.members[0](images) / two.temperature, dim=1)
        share = torch.softmax(router(images), dim=1)[:, :1]
        expected = torch.softmax(torch.log(share * own + (1 - share) * others) / card.facts["temperature"], dim=1).numpy()
    assert np.abs(Classifier(card).probabilities(DIGITS[:, None]) - expected).max() < 1e-3
    with torch.inference_mode():
        again = published.network(card)(torch.from_numpy(DIGITS[:, None].copy()))[0].numpy()
    assert np.abs(again - expected).max() < 1e-3


def test_a_network_that_is_in_a_mixture_is_not_averaged_with_itself(data: Dataset):
    mixture.publish("one", ["two"], "both", data)
    for added in (["one"], ["three", "three"]):
        with pytest.raises(ConfigError, match=f"{added[0]} would be in both twice"):
            mixture.widen("both", added, "both", data)


def test_what_is_no_mixture_is_not_widened_and_one_network_is_none(data: Dataset, capsys):
    with pytest.raises(ConfigError, match="one is no mixture"):
        mixture.widen("one", ["two"], "both", data)
    assert train(["mix", "one", "--name", "both", "--data", str(data.folder)]) == 1
    assert "one alone is no mixture" in capsys.readouterr().err


def test_a_mixture_is_no_expert_which_is_said_before_anything_is_trained(data: Dataset, monkeypatch):
    mixture.publish("one", ["two"], "both", data)
    monkeypatch.setattr(mixture, "train_router", None)
    with pytest.raises(ConfigError, match="both is of networks of several kinds"):
        mixture.publish("both", ["three"], "all", data)


def test_a_name_that_is_taken_or_kept_is_refused_before_anything_is_trained(data: Dataset, monkeypatch, capsys):
    monkeypatch.setattr(mixture, "train_router", None)
    for name in ("one", "gate"):
        with pytest.raises(ExportError, match=f"cannot be called {name}"):
            mixture.publish("one", ["two"], name, data)
    with pytest.raises(shelf.ShelfError, match="nobody"):
        mixture.publish("one", ["nobody"], "both", data)
    assert train(["mix", "one", "two", "--name", "two", "--data", str(data.folder)]) == 1
    assert "cannot be called two" in capsys.readouterr().err


def test_what_has_other_classes_or_learned_from_what_would_measure_it_is_not_mixed(data: Dataset, monkeypatch):
    monkeypatch.setattr(mixture, "train_router", None)
    whole, cards = shelf.load_card("mnist", "one"), {}
    cards["gate"] = dataclasses.replace(whole, name="gate")
    cards["one"] = dataclasses.replace(whole, facts=whole.facts | {"data": {"origin": "full data set", "train": 54_000}})
    monkeypatch.setattr(shelf, "load_card", lambda dataset, name: cards.get(name, whole))
    with pytest.raises(ConfigError, match="gate has other classes than mnist"):
        mixture.publish("two", ["gate"], "all", data)
    with pytest.raises(ExportError, match="learned from what the bundled sample would measure"):
        mixture.publish("one", ["two"], "all", data)


def test_the_shipped_ensemble_reads_other_hands_nearly_as_well_as_the_network_for_them(monkeypatch):
    monkeypatch.setenv("INKLING_MODELS", str(ROOT / "models"))
    ensemble, small = (shelf.load_card("mnist", name) for name in ("ensemble", "small"))
    pixels, labels = pictures.written("validation", "0123456789", 400, "mnist", 0.5)
    right = [(Classifier(card).probabilities(pixels[:, None]).argmax(1) == labels).mean() for card in (ensemble, small)]
    assert right[1] >= 0.97
    assert right[0] >= right[1] - 0.01
