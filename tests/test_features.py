"""The inside of networks: their layers' maps, and the training images most alike."""

import shutil

import numpy as np
import onnx
import pytest
import torch

from inference.classify import Classifier
from inference.features import Features, Known
from jobs.runs import ROOT
from models import shelf
from models.datasets import DATASETS
from models.shelf import ShelfError
from tests.test_prepare import DIGITS, GARMENTS
from training import published

PICTURES = {"mnist": DIGITS, "fashion-mnist": GARMENTS}


def test_lenet5_has_the_maps_of_its_three_convolutions_as_torch_computes_them():
    card = shelf.load_card("mnist", "lenet5")
    maps = Features(card).maps(DIGITS[4][None, None])
    first, second, third = card.facts["config"]["channels"]
    assert [each.shape for each in maps] == [(first, 14, 14), (second, 5, 5), (third, 1, 1)]
    network = published.network(card)
    layers = list(network.members[0][1])
    images = network.members[0][0](torch.from_numpy(DIGITS[4][None, None].astype(np.float32)) / 255)
    with torch.no_grad():
        for layer in layers[:4]:  # convolution, normalisation, activation, pooling
            images = layer(images)
    assert np.abs(images[0].numpy() - maps[0]).max() < 1e-4


@pytest.mark.parametrize(
    ("dataset", "name"), [(card.dataset, card.name) for dataset in DATASETS for card in shelf.list_cards(dataset) if card.is_shipped]
)
def test_the_inside_of_every_network_of_the_shelf_is_found(dataset: str, name: str):
    card = shelf.load_card(dataset, name)
    inside, pixels = Features(card), PICTURES[dataset][:3, None]
    embedded = inside.embed(pixels)
    assert embedded.shape[0] == 3
    assert np.allclose(np.linalg.norm(embedded, axis=1), 1, atol=1e-4)
    resnets = {("fashion-mnist", "small"): 13, ("mnist", "ensemble"): 19}
    assert len(inside.maps(pixels[:1])) == resnets.get((dataset, name), {"fc": 0, "lenet5": 3}.get(name, 6))


def test_an_image_that_was_learned_from_is_the_nearest_to_itself():
    known = Known(Features(shelf.load_card("mnist", "lenet5")), "mnist")
    for at in (0, 77, len(known.labels) - 1):
        found = known.nearest(known.pixels[at][None, None], count=4)
        assert np.array_equal(found[0][0], known.pixels[at])
        assert found[0][2] == pytest.approx(1, abs=1e-3)
        assert [cosine for *_, cosine in found] == sorted((cosine for *_, cosine in found), reverse=True)


def test_what_is_alike_mostly_has_the_label_that_the_network_says():
    card = shelf.load_card("mnist", "lenet5")
    known, classifier = Known(Features(card), "mnist"), Classifier(card)
    said = classifier.probabilities(DIGITS[:, None]).argmax(1)
    same = [label == said[at] for at in range(len(DIGITS)) for _, label, _ in known.nearest(DIGITS[at][None, None])]
    assert np.mean(same) > 0.9


def test_a_damaged_graph_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "mnist").mkdir()
    monkeypatch.setenv("INKLING_MODELS", str(tmp_path))
    for ending in ("onnx", "json"):
        shutil.copy(ROOT / "models" / "mnist" / f"fc.{ending}", tmp_path / "mnist")
    damaged = shelf.load_card("mnist", "fc")
    damaged.graph_path.write_bytes(b"no graph")
    with pytest.raises(ShelfError, match="sha256 differs"):
        Features(damaged)


def test_a_graph_that_would_be_refused_an_answer_is_not_looked_into_either(monkeypatch):
    card = shelf.load_card("mnist", "fc")
    model = onnx.ModelProto.FromString(card.read_graph())
    model.graph.node.append(onnx.helper.make_node("Tile", ["pixels"], ["x"]))
    monkeypatch.setattr(shelf.Card, "read_graph", lambda self: model.SerializeToString())
    monkeypatch.setattr("onnxruntime.InferenceSession", lambda *facts, **more: pytest.fail("a session was made"))
    with pytest.raises(ShelfError, match=r"^fc\.onnx is not served: it has the operator Tile, .*; publish fc again$"):
        Features(card)


def test_a_graph_that_fails_while_it_is_looked_into_is_one_sentence():
    inside = Features(shelf.load_card("mnist", "lenet5"))
    for ask in (inside.maps, inside.embed):
        with pytest.raises(ShelfError, match=r"^lenet5\.onnx failed at its work \(.*\); publish lenet5 again$"):
            ask(np.zeros((1, 1, 9, 9), np.uint8))
