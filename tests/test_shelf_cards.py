"""Every network that ships is whole, honours the contract, and is as accurate as its card says."""

import json

import numpy as np
import onnxruntime
import pytest

from inference.classify import Classifier
from models import shelf
from models.datasets import DATASETS
from training.data import sample
from training.export import measure

# What each network is to reach.
BARS = {
    ("mnist", "fc"): 0.985,
    ("mnist", "lenet5"): 0.992,
    ("mnist", "small"): 0.9953,
    ("mnist", "ensemble"): 0.9968,
    ("fashion-mnist", "fc"): 0.91,
    ("fashion-mnist", "lenet5"): 0.922,
    ("fashion-mnist", "small"): 0.945,
    ("fashion-mnist", "ensemble"): 0.952,
}

RIGHT = {
    ("mnist", "ensemble"): 950,
    ("fashion-mnist", "ensemble"): 1476,
}  # of 950 and 1,520 images of the bundled sample: all of it takes a minute


@pytest.fixture(params=list(BARS), ids="/".join)
def card(request) -> shelf.Card:
    return shelf.load_card(*request.param)


def test_it_was_trained_and_measured_on_the_full_data(card):
    assert card.facts["test"]["n"] == 10_000
    assert (card.facts["data"]["origin"], card.facts["data"]["train"]) == ("full data set", 54_000)


def test_it_reaches_its_bar(card):
    assert card.test_accuracy >= BARS[card.dataset, card.name]


def test_it_answers_what_is_more_likely_right_than_wrong(card):
    assert 0.3 < card.decline_below <= 0.5
    assert card.facts["test"]["declined"] <= 0.01


@pytest.mark.parametrize("dataset", list(DATASETS))
def test_an_ensemble_is_better_than_any_single_network(dataset):
    ensemble, alone = shelf.load_card(dataset, "ensemble"), [shelf.load_card(dataset, name) for name in ("fc", "lenet5")]
    assert ensemble.val_accuracy > max(card.val_accuracy for card in alone)


@pytest.mark.parametrize(("dataset", "most"), [("mnist", 0.0015), ("fashion-mnist", 0.01)])
def test_a_student_is_small_and_nearly_as_good_as_its_ensemble(dataset, most):
    student, ensemble = (shelf.load_card(dataset, name) for name in ("small", "ensemble"))
    assert student.parameters < 100_000
    assert ensemble.test_accuracy - student.test_accuracy <= most
    assert student.facts["latency_ms"] < 1


def test_its_graph_honours_the_contract(card):
    session = onnxruntime.InferenceSession(card.read_graph(), providers=["CPUExecutionProvider"])
    (pixels,) = session.get_inputs()
    assert (pixels.name, pixels.type, pixels.shape[1:]) == ("pixels", "tensor(uint8)", [1, 28, 28])
    assert [each.name for each in session.get_outputs()] == ["probabilities", "logits"]
    facts = session.get_modelmeta().custom_metadata_map
    assert facts["dataset"] == card.dataset
    assert tuple(json.loads(facts["labels"])) == card.labels == DATASETS[card.dataset].labels


def right_on(card: shelf.Card, parts: list) -> np.ndarray:
    classifier = Classifier(card, threads=0)
    return np.concatenate([measure(classifier, part).argmax(1) == part.labels for part in parts])


@pytest.mark.parametrize(("dataset", "name"), [each for each in BARS if each not in RIGHT])
def test_its_accuracy_on_the_bundled_sample_is_what_the_card_says(dataset, name):
    card = shelf.load_card(dataset, name)
    bundled = sample(card.dataset)
    right = right_on(card, [bundled.train, bundled.validation, bundled.test])
    assert len(right) == card.facts["sample"]["n"]
    assert right.mean() == pytest.approx(card.facts["sample"]["accuracy"], abs=2 / len(right))  # two pictures: other CPUs round otherwise


@pytest.mark.parametrize(("dataset", "name"), list(RIGHT))
def test_an_ensemble_reads_of_the_samples_validation_and_test_images_what_it_read_when_it_was_published(dataset, name):
    bundled = sample(dataset)
    right = right_on(shelf.load_card(dataset, name), [bundled.validation, bundled.test])
    assert right.sum() == pytest.approx(RIGHT[dataset, name], abs=2)


def test_an_lenet5_is_one():
    for dataset in DATASETS:
        card = shelf.load_card(dataset, "lenet5")
        assert card.facts["architecture"] == "lenet5"
        assert card.facts["members"] == 1
        assert card.parameters < 500_000
        assert shelf.load_card(dataset, "fc").facts["architecture"] == "fc"
