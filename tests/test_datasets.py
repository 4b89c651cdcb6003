"""models/datasets.py: the built-in data sets, one's own, and what becomes of damaged ones."""

import errno
import json
from pathlib import Path

import pytest

from models import datasets, shelf
from models.datasets import DATASETS, DatasetError
from tests import shapes


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The folder of one's own data sets, which is not there yet."""
    monkeypatch.setenv("INKLING_DATASETS", str(tmp_path / "datasets"))
    return tmp_path / "datasets"


def facts_of(folder, name: str) -> dict:
    return json.loads((folder / name / datasets.FACTS).read_text())


def test_the_built_in_ones_are_28x28_grey_and_always_there():
    assert datasets.names() == ["mnist", "fashion-mnist"]
    assert all(datasets.info(name).shape == (1, 28, 28) and not datasets.info(name).is_own for name in DATASETS)


def test_a_folder_of_them_that_cannot_be_read_is_told(folder):
    folder.write_text("no folder")
    own, (told,) = datasets.list_own()
    assert own == []
    assert told.startswith("The folder of own data sets cannot be read (Not a directory)")


def test_one_that_may_not_be_looked_into_is_told_and_hides_no_other(folder, monkeypatch):
    """As another user's, made with the mode 0700."""
    for name in ("mine", "theirs"):
        shapes.own_dataset(folder, name, 8, 1)
    is_file = Path.is_file

    def asked(path: Path) -> bool:
        if "theirs" in path.parts:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", asked)
    own, problems = datasets.list_own()
    assert [each.name for each in own] == ["mine"]
    assert problems == ["dataset.json of the data set theirs cannot be read (Permission denied); check the rights to it"]
    monkeypatch.setenv("INKLING_MODELS", str(folder.parent / "models"))
    (folder.parent / "models" / "theirs").mkdir(parents=True)
    (folder.parent / "models" / "theirs" / "lenet.json").write_text("{}")
    assert shelf.list_orphans() == []
    with pytest.raises(shelf.ShelfError, match="Permission denied"):
        shelf.load_card("theirs", "lenet")


def test_own_ones_follow_by_title(folder):
    for name in ("zebras", "ants"):
        shapes.own_dataset(folder, name, side=32, channels=3)
    assert datasets.names() == ["mnist", "fashion-mnist", "ants", "zebras"]
    about = datasets.info("ants")
    assert (about.shape, about.labels, about.train_images, about.is_own) == ((3, 32, 32), ("class 0", "class 1", "class 2"), 12, True)


@pytest.mark.parametrize("name", ["ghost", "../x", "/etc", "", None, 7, True, ["mnist"], "a/b"])
def test_what_is_not_there_is_refused_with_what_is(name):
    with pytest.raises(DatasetError, match=r"there is no data set .*; there are mnist, fashion-mnist$"):
        datasets.info(name)


def test_a_half_written_or_foreign_folder_is_no_data_set(folder):
    for name in (".inkling-new-1-2", "no-facts", "UPPER"):
        (folder / name).mkdir(parents=True)
    (folder / ".inkling-new-1-2" / datasets.FACTS).write_text("{}")
    assert datasets.list_own() == ([], [])


@pytest.mark.parametrize(
    "change",
    [
        {"labels": ["a"]}, {"labels": ["a", "a", "b"]}, {"labels": ["a", "", "b"]}, {"labels": 3}, {"labels": [1, 2, 3]}, {"height": 7}, {"width": 129},
        {"height": "64"}, {"channels": 2}, {"mean": "x"}, {"std": 0}, {"std": float("nan")}, {"counts": {}}, {"counts": {"train": [1]}}, {"title": ""},
        {"title": None}, {"skipped": None}, {"skipped": "2"}, {"skipped": -1}, {"reasons": None}, {"created": 5},
        {"counts": {part: ["4", "4", "4"] for part in datasets.PARTS}}, {"counts": {part: [4, 4, 4] for part in (*datasets.PARTS, "more")}},
    ],
)  # fmt: skip
def test_damaged_facts_are_told_and_hide_nothing_else(folder, change):
    for name in ("good", "bad"):
        shapes.own_dataset(folder, name, side=16, channels=1)
    (folder / "bad" / datasets.FACTS).write_text(json.dumps(facts_of(folder, "bad") | change))
    own, problems = datasets.list_own()
    assert [each.name for each in own] == ["good"]
    assert len(problems) == 1
    assert problems[0].startswith("dataset.json of the data set bad is damaged (")
    assert problems[0].endswith("delete the folder and import it again")


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe", b"{", b"[" * 100_000, b"null"])
def test_facts_that_are_no_facts_are_told(folder, content):
    shapes.own_dataset(folder, "bad", side=16, channels=1)
    (folder / "bad" / datasets.FACTS).write_bytes(content)
    assert len(datasets.list_own()[1]) == 1


def test_an_own_folder_cannot_take_the_place_of_a_built_in_one(folder):
    shapes.own_dataset(folder, "mnist", side=16, channels=3)
    assert datasets.info("mnist") is DATASETS["mnist"]
    assert datasets.names() == ["mnist", "fashion-mnist"]


def test_a_removed_one_is_gone_and_a_built_in_one_cannot_be_removed(folder):
    shapes.own_dataset(folder, "ants", side=16, channels=1)
    datasets.remove("ants")
    datasets.remove("ants")
    assert list(folder.iterdir()) == []
    with pytest.raises(DatasetError, match="came with Inkling"):
        datasets.remove("mnist")
    with pytest.raises(DatasetError, match="is not a data set's name"):
        datasets.remove("..")
