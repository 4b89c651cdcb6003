"""models/shelf.py: what is listed, what is refused, and that one bad pair never hides the others."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from models import datasets, shelf
from models.datasets import DATASETS
from tests import shapes


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty shelf; its MNIST folder."""
    monkeypatch.setenv("INKLING_MODELS", str(tmp_path))
    for dataset in DATASETS:
        (tmp_path / dataset).mkdir()
    return tmp_path / "mnist"


READ = {
    "bytes": 8, "latency_ms": 1, "architecture": "fc", "members": 1, "n_seeds": {"n": 1}, "data": {"train": 1, "origin": "full data set"},
    "run": {"seconds": 2.5, "device": "CPU, 1 thread"},
    "config": {
        "network": "fc", "optimizer": "adam", "lr": 0.001, "schedule": "constant", "batch_size": 1, "epochs": 1, "augmentation": "none", "start_from": "",
    },
}  # fmt: skip


def publish(folder, name: str, **facts: object) -> None:
    graph = f"graph of {name}".encode()
    classes = len(facts["labels"]) if isinstance(facts.get("labels"), list) else 10
    card = {
        "labels": list("0123456789"),
        "parameters": 10,
        "validation": {"accuracy": 0.9},
        "test": {"accuracy": 0.8, "n": 10, "calibration_error": 0.1, "confusion": [[1] * classes] * classes},
        "decline_below": 0.3,
        "sha256": hashlib.sha256(graph).hexdigest(),
        **READ,
    }
    (folder / f"{name}.onnx").write_bytes(graph)
    (folder / f"{name}.json").write_text(json.dumps(card | facts))


def listed(dataset: str = "mnist") -> list[str]:
    return [card.name for card in shelf.list_cards(dataset)]


def test_the_shipped_networks_come_first_and_then_the_newest(folder):
    for day, name in enumerate(["ensemble", "a", "fc", "b", "lenet5"], start=1):
        publish(folder, name, created=f"2026-01-0{day}")
    assert listed() == ["fc", "lenet5", "ensemble", "b", "a"]


def test_a_network_of_unknown_date_comes_last(folder):
    publish(folder, "a")
    publish(folder, "b", created="2026-01-01")
    assert listed() == ["b", "a"]


def test_each_data_set_has_its_own_shelf(folder):
    publish(folder, "fc")
    assert listed("fashion-mnist") == []


def test_a_shelf_without_a_folder_is_empty(folder):
    folder.rmdir()
    assert listed() == []
    assert shelf.list_problems("mnist") == []


def test_a_card_is_read_as_it_was_written(folder):
    publish(folder, "fc", temperature=1.5)
    card = shelf.load_card("mnist", "fc")
    assert (card.dataset, card.name, card.labels, card.parameters) == ("mnist", "fc", tuple("0123456789"), 10)
    assert (card.val_accuracy, card.test_accuracy, card.decline_below) == (0.9, 0.8, 0.3)
    assert card.facts["temperature"] == 1.5


def test_the_graph_is_the_one_that_its_card_describes(folder):
    publish(folder, "fc")
    assert shelf.load_card("mnist", "fc").read_graph() == b"graph of fc"


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "7", "{}", '{"labels": ["0"]}', '{"labels": 3}', "\x00"],
)
def test_a_damaged_card_is_told_in_one_sentence_and_the_rest_is_listed(folder, text):
    publish(folder, "fc")
    publish(folder, "bad")
    (folder / "bad.json").write_text(text)
    (problem,) = shelf.list_problems("mnist")
    assert problem.startswith("the card bad.json is damaged (")
    assert problem.endswith("publish bad again or delete it")
    assert listed() == ["fc"]


@pytest.mark.parametrize(
    ("fact", "value"),
    [("labels", None), ("parameters", "many"), ("validation", {}), ("test", 0.9), ("decline_below", None)],
)
def test_a_card_with_one_wrong_fact_is_damaged(folder, fact, value):
    publish(folder, "bad", **{fact: value})
    with pytest.raises(shelf.ShelfError, match=r"the card bad\.json is damaged"):
        shelf.load_card("mnist", "bad")


def test_a_card_that_is_no_text_is_damaged(folder):
    publish(folder, "bad")
    (folder / "bad.json").write_bytes(b"\xff\xfe\x00")
    assert len(shelf.list_problems("mnist")) == 1


def test_a_card_without_its_graph_is_told_in_one_sentence_and_the_rest_is_listed(folder):
    publish(folder, "fc")
    publish(folder, "bare")
    (folder / "bare.onnx").unlink()
    assert shelf.list_problems("mnist") == [
        "the card bare.json has no bare.onnx beside it; publish bare again or delete the card",
    ]
    assert listed() == ["fc"]


def test_a_graph_without_its_card_is_not_published_yet(folder):
    publish(folder, "fc")
    (folder / "half.onnx").write_bytes(b"graph")
    assert listed() == ["fc"]
    assert shelf.list_problems("mnist") == []


@pytest.mark.parametrize("stray", ["Upper.json", ".fc.json", "a b.json", "notes.txt"])
def test_a_file_that_cannot_be_a_card_is_passed_over(folder, stray):
    publish(folder, "fc")
    (folder / stray).write_text("{")
    assert listed() == ["fc"]
    assert shelf.list_problems("mnist") == []


def test_a_graph_that_its_card_does_not_describe_is_refused(folder):
    publish(folder, "fc")
    (folder / "fc.onnx").write_bytes(b"another graph")
    with pytest.raises(shelf.ShelfError, match=r"^fc\.onnx is not the file its card describes \(sha256 differs\); publish fc again$"):
        shelf.load_card("mnist", "fc").read_graph()


def test_a_graph_that_vanished_is_told_in_one_sentence(folder):
    publish(folder, "fc")
    card = shelf.load_card("mnist", "fc")
    card.graph_path.unlink()
    with pytest.raises(shelf.ShelfError, match=r"^fc\.onnx cannot be read \(No such file.*\); publish fc again or delete its card$"):
        card.read_graph()


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "", "FC", "a" * 100, "a" * 65, "..", "a/b", "a\\b", "a\n", "a\x00", "-a", "é"])
def test_a_name_that_cannot_be_part_of_a_path_is_refused(name):
    with pytest.raises(shelf.ShelfError, match="is not a network's name: 1 to 64 of a-z"):
        shelf.check_name("mnist", name)


@pytest.mark.parametrize("dataset", ["../x", "/etc", "", "MNIST", "cifar10"])
def test_a_data_set_that_does_not_exist_is_refused_with_those_that_do(dataset):
    with pytest.raises(shelf.ShelfError, match=r"there is no data set .*; there are mnist, fashion-mnist"):
        shelf.check_name(dataset, "fc")


@pytest.mark.parametrize("name", ["a", "7", "a" * 64, "lenet5-20260101-120000", "a.b_c-d"])
def test_a_plain_name_is_accepted(name):
    shelf.check_name("mnist", name)


def test_a_path_is_refused_before_any_file_is_read(folder):
    publish(folder.parent, "outside")
    with pytest.raises(shelf.ShelfError, match=r"'\.\./outside' is not a network's name"):
        shelf.load_card("mnist", "../outside")


def test_an_unknown_name_is_answered_with_those_that_are_there(folder):
    publish(folder, "fc")
    publish(folder, "mine")
    with pytest.raises(shelf.ShelfError, match=r"^there is no network 'yours' for mnist; there are: fc, mine$"):
        shelf.load_card("mnist", "yours")


def test_an_unknown_name_on_an_empty_shelf_is_answered_with_none():
    with pytest.raises(shelf.ShelfError, match=r"there are: none$"):
        shelf.load_card("mnist", "fc")


def test_a_removed_network_is_gone_and_the_others_stay(folder):
    publish(folder, "fc")
    publish(folder, "mine")
    shelf.remove(shelf.load_card("mnist", "mine"))
    assert sorted(path.name for path in folder.iterdir()) == ["fc.json", "fc.onnx"]


def test_the_card_is_removed_before_its_graph(folder):
    publish(folder, "mine")
    card = shelf.load_card("mnist", "mine")
    card.graph_path.unlink()
    card.graph_path.mkdir()  # a folder cannot be unlinked: the removal stops at the graph
    with pytest.raises(OSError, match=r"mine\.onnx"):
        shelf.remove(card)
    assert not (folder / "mine.json").exists()


def test_a_network_can_be_removed_twice(folder):
    publish(folder, "mine")
    card = shelf.load_card("mnist", "mine")
    shelf.remove(card)
    shelf.remove(card)
    assert listed() == []


@pytest.mark.parametrize(
    ("name", "facts", "title"),
    [
        ("fc", {"title": "Something else"}, "Fully connected"),
        ("lenet5", {}, "LeNet-5"),
        ("cnn", {}, "CNN"),
        ("ensemble", {}, "Ensemble"),
        ("mine", {"title": "LeNet-5, 3 May"}, "LeNet-5, 3 May"),
        ("mine", {"title": ""}, "mine"),
        ("mine", {}, "mine"),
    ],
)
def test_a_shipped_network_is_titled_by_architecture_and_another_by_its_card(folder, name, facts, title):
    publish(folder, name, **facts)
    assert shelf.load_card("mnist", name).title == title


def test_only_the_networks_that_came_with_inkling_are_shipped(folder):
    for name in ("fc", "lenet5", "ensemble", "cnn", "mine"):
        publish(folder, name)
    assert [card.name for card in shelf.list_cards("mnist") if card.is_shipped] == ["fc", "lenet5", "ensemble"]


def test_the_shelf_is_beside_its_code_unless_the_environment_says_otherwise(monkeypatch, tmp_path):
    assert shelf.shelf_folder() == tmp_path
    monkeypatch.setenv("INKLING_MODELS", "")
    assert (shelf.shelf_folder() / "shelf.py").is_file()


@pytest.mark.parametrize("dataset", list(DATASETS))
def test_what_inkling_ships_is_whole(dataset, monkeypatch):
    monkeypatch.delenv("INKLING_MODELS")
    shipped = [card for card in shelf.list_cards(dataset) if card.is_shipped]
    assert [card.name for card in shipped] == list(shelf.SHIPPED)
    for card in shipped:
        assert card.labels == DATASETS[dataset].labels
        assert card.read_graph()


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A shelf with a network of an own data set; the folder of data sets."""
    monkeypatch.setenv("INKLING_DATASETS", str(tmp_path / "datasets"))
    shapes.own_dataset(tmp_path / "datasets", "ants", side=32, channels=3)
    (tmp_path / "ants").mkdir()
    publish(tmp_path / "ants", "mine", labels=["class 0", "class 1", "class 2"], shape=[3, 32, 32])
    return tmp_path / "datasets"


def test_a_network_of_an_own_data_set_is_listed_with_its_labels_and_shape(own):
    (card,) = shelf.list_cards("ants")
    assert (card.labels, card.shape) == (("class 0", "class 1", "class 2"), (3, 32, 32))


def test_a_network_of_an_own_data_set_never_counts_as_shipped(own, tmp_path):
    publish(tmp_path / "ants", "ensemble", labels=["class 0", "class 1", "class 2"], shape=[3, 32, 32])
    assert not any(card.is_shipped for card in shelf.list_cards("ants"))


@pytest.mark.parametrize("change", [{"labels": ["class 1", "class 0", "class 2"]}, {"shape": [1, 32, 32]}, {"shape": [3, 64, 64]}])
def test_a_network_of_other_classes_or_another_size_is_told_in_one_sentence(own, tmp_path, change):
    facts = {"labels": ["class 0", "class 1", "class 2"], "shape": [3, 32, 32]} | change
    publish(tmp_path / "ants", "old", **facts)
    assert [card.name for card in shelf.list_cards("ants")] == ["mine"]
    (problem,) = shelf.list_problems("ants")
    assert problem.startswith("old was trained on pictures of ants with other classes or another size")


@pytest.mark.parametrize("shape", [7, [1, 28], [3, 28, 28], "x", None])
def test_a_card_with_a_wrong_shape_is_damaged(folder, shape):
    publish(folder, "fc", shape=shape)
    with pytest.raises(shelf.ShelfError, match=r"fc\.json is damaged"):
        shelf.load_card("mnist", "fc")


def test_the_networks_of_a_deleted_data_set_are_told_in_one_sentence_and_the_rest_is_listed(own, folder):
    publish(folder, "fc")
    assert shelf.list_orphans() == []
    datasets.remove("ants")
    (sentence,) = shelf.list_orphans()
    assert sentence.startswith("The data set ants is not there any more")
    assert listed() == ["fc"]
    (problem,) = shelf.list_problems("ants")
    assert "there is no data set 'ants'" in problem


def test_the_networks_of_a_damaged_data_set_are_not_said_to_be_of_a_missing_one(own):
    (own / "ants" / datasets.FACTS).write_text("{")
    (told,) = datasets.list_own()[1]
    assert "delete the folder and import it again" in told
    assert shelf.list_orphans() == []


def test_all_networks_of_an_own_data_set_can_be_taken_off_at_once(own, tmp_path):
    shelf.remove_all("ants")
    assert not (tmp_path / "ants").exists()
    with pytest.raises(datasets.DatasetError, match="came with Inkling"):
        shelf.remove_all("mnist")


@pytest.mark.parametrize(
    "change", [{"latency_ms": "1"}, {"bytes": None}, {"config": {}}, {"n_seeds": 3}, {"run": {"seconds": True}}, {"test": {}}, {"title": 5}]
)
def test_a_card_without_what_the_pages_read_is_left_out_and_named(folder, change):
    publish(folder, "whole")
    publish(folder, "bad", **change)
    assert listed() == ["whole"]
    (problem,) = shelf.list_problems("mnist")
    assert problem.startswith("the card bad.json is damaged (")


def test_a_file_larger_than_any_network_is_refused_before_it_is_read(folder):
    publish(folder, "fc")
    card = shelf.load_card("mnist", "fc")
    with card.graph_path.open("r+b") as file:
        file.truncate(3 * 2**30)  # of which the disk holds next to nothing
    with pytest.raises(shelf.ShelfError, match=r"^fc.onnx has 3,072 MB, more than the 200 allowed; publish fc again$"):
        card.read_graph()
    (card.folder / "fc.json").write_text("[" + " " * 2**21)
    with pytest.raises(shelf.ShelfError, match=r"^the card fc.json is damaged \(it has over 1 MB\)"):
        shelf.load_card("mnist", "fc")


def test_a_network_is_not_removed_in_the_midst_of_its_being_published_anew(folder):
    publish(folder, "mine")
    card = shelf.load_card("mnist", "mine")
    with ThreadPoolExecutor(1) as pool:
        with shelf._alone(folder):
            removal = pool.submit(shelf.remove, card)
            with pytest.raises(TimeoutError):
                removal.result(timeout=0.2)
            assert card.graph_path.exists()
        removal.result()
    assert listed() == []


def test_two_who_publish_one_name_at_once_each_put_a_whole_pair_there(folder):
    def publish(who: int) -> None:
        for number in range(40):
            graph = folder / f".{who}.onnx"
            graph.write_text(f"{who} {number}")
            shelf.put(f"{who} {number}", "mine", graph, folder)

    with ThreadPoolExecutor(2) as pool:
        for each in [pool.submit(publish, who) for who in range(2)]:
            each.result()
    assert (folder / "mine.json").read_text() == (folder / "mine.onnx").read_text()
    assert sorted(path.name for path in folder.iterdir()) == ["mine.json", "mine.onnx"]
