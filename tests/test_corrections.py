"""Corrections in a database: SQLite, and a real PostgreSQL where one is installed (make test installs it)."""

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy

from corrections import store
from models import datasets
from models.datasets import DATASETS
from tests import shapes

MNIST = DATASETS["mnist"]


def correction(seed: int = 0, **facts) -> store.Correction:
    pixels = np.random.default_rng(seed).integers(0, 256, (1, 28, 28), dtype=np.uint8)
    return store.Correction(
        **{"dataset": "mnist", "label": "7", "said": "1", "network": "lenet5", "pixels": pixels, "picture": b"png"} | facts
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sqlalchemy.Engine]:
    """An empty store in either database."""
    url = f"sqlite:///{tmp_path / 'corrections.sqlite3'}" if request.param == "sqlite" else request.getfixturevalue("postgresql")
    monkeypatch.setenv(store.VARIABLE, url)
    engine = store.open_store()
    yield engine
    store.TABLE.drop(engine)
    engine.dispose()


def test_what_is_kept_is_found_newest_first_and_deleted(engine):
    for seed, label in enumerate("374"):
        store.keep(engine, correction(seed, label=label, said="" if label == "4" else "1"), MNIST)
    found = store.find(engine, MNIST)
    assert [each.label for each in found] == ["4", "7", "3"]
    assert [each.said for each in found] == ["", "1", "1"]
    assert np.array_equal(found[0].pixels, correction(2).pixels)
    assert found[0].network == "lenet5"
    without = store.find(engine, MNIST, with_pixels=False)
    assert [each.pixels for each in without] == [None] * 3
    assert [(each.id, each.created, each.label) for each in without] == [(each.id, each.created, each.label) for each in found]
    assert store.pictures(engine, [found[0].id, found[2].id, 999]) == {found[0].id: b"png", found[2].id: b"png"}
    assert store.count(engine, MNIST) == 3
    assert store.find(engine, DATASETS["fashion-mnist"]) == []
    store.remove(engine, [found[0], found[2]])
    store.remove(engine, [found[0]])  # gone already
    assert [each.label for each in store.find(engine, MNIST)] == ["7"]
    store.remove_all(engine, "mnist")
    assert store.count(engine, MNIST) == 0


def test_what_no_data_set_shows_any_more_is_counted_and_can_be_deleted(engine):
    store.keep(engine, correction(0), MNIST)
    gone = dataclasses.replace(MNIST, name="gone")
    store.keep(engine, correction(1, dataset="gone"), gone)
    smaller = dataclasses.replace(gone, name="smaller", height=14, width=14)
    known = [*DATASETS.values(), dataclasses.replace(smaller, height=28, width=28, labels=("a", "b"))]
    store.keep(engine, correction(2, dataset="smaller", pixels=np.zeros((1, 14, 14), np.uint8)), smaller)
    assert store.count_left_over(engine, known) == 2
    store.remove_left_over(engine, known)
    assert store.count_left_over(engine, known) == store.count(engine, gone) == store.count(engine, smaller) == 0
    assert store.count(engine, MNIST) == 1


def test_the_same_picture_again_replaces_its_label(engine):
    store.keep(engine, correction(label="7"), MNIST)
    store.keep(engine, correction(label="1", said="7"), MNIST)
    (found,) = store.find(engine, MNIST)
    assert (found.label, found.said) == ("1", "7")


def test_many_at_once_lose_none_and_double_none(engine):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.keep(engine, correction(number % 10, label=str(number // 10)), MNIST), range(40)))
        assert store.count(engine, MNIST) == 10
        list(pool.map(lambda _: store.make_table(engine), range(8)))
    assert store.count(engine, MNIST) == 10


@pytest.mark.parametrize(("facts", "message"), [
    ({"label": "11"}, "'11' is no class of MNIST digits; the classes are 0, 1"),
    ({"pixels": np.zeros((28, 28), np.uint8)}, r"uint8 \(28, 28\); MNIST digits has uint8 \(1, 28, 28\)"),
    ({"pixels": np.zeros((1, 28, 28))}, "float64"),
    ({"picture": bytes(400_001)}, "400,001 bytes; at most 400,000"),
])  # fmt: skip
def test_what_cannot_be_learned_from_is_refused(engine, facts, message):
    with pytest.raises(store.StoreError, match=message):
        store.keep(engine, correction(**facts), MNIST)
    assert store.count(engine, MNIST) == 0


def test_a_full_store_says_so_and_still_takes_another_label_for_what_it_has(engine, monkeypatch):
    monkeypatch.setattr(store, "MOST", 2)
    for seed in range(2):
        store.keep(engine, correction(seed), MNIST)
    with pytest.raises(store.StoreError, match="2 corrections of MNIST digits are kept, the most there can be; delete some"):
        store.keep(engine, correction(2), MNIST)
    store.keep(engine, correction(1, label="9"), MNIST)
    assert [each.label for each in store.find(engine, MNIST)] == ["9", "7"]


def test_several_are_kept_together_or_none_of_them(engine, monkeypatch):
    monkeypatch.setattr(store, "MOST", 2)
    store.keep(engine, correction(0), MNIST)
    with pytest.raises(store.StoreError, match="the most there can be"):
        store.keep_all(engine, [correction(0, label="9"), correction(1), correction(2)], MNIST)
    assert [each.label for each in store.find(engine, MNIST)] == ["7"]
    store.keep_all(engine, [correction(0, label="9"), correction(1)], MNIST)
    assert sorted(each.label for each in store.find(engine, MNIST)) == ["7", "9"]


def test_corrections_of_an_earlier_data_set_of_that_name_are_passed_over(engine, tmp_path, monkeypatch):
    monkeypatch.setenv("INKLING_DATASETS", str(tmp_path / "datasets"))
    shapes.own_dataset(tmp_path / "datasets", "mine", side=16, channels=3)
    about = datasets.info("mine")
    store.keep(engine, correction(dataset="mine", label="class 2", pixels=np.zeros(about.shape, np.uint8)), about)
    assert len(store.find(engine, about)) == 1
    for name, facts in (("two classes", {"classes": 2, "side": 16}), ("another size", {"classes": 3, "side": 20})):
        shapes.own_dataset(tmp_path / name, "mine", channels=3, **facts)
        monkeypatch.setenv("INKLING_DATASETS", str(tmp_path / name))
        assert store.find(engine, datasets.info("mine")) == []


@pytest.mark.parametrize(("url", "cause"), [
    ("sqlite:////nowhere/at/all.sqlite3", "unable to open database file"),
    ("nonsense", "Could not parse"),
    ("nosuch://host/database", "nosuch"),
    ("postgresql+psycopg://inkling:secret-word@localhost:9/none", "(OperationalError)"),
    ("postgresql+psycopg://inkling:secret-word@secret-word.invalid/none", "(OperationalError)"),
    ("postgresql+psycopg://inkling@localhost:secret-word/none", "(its address cannot be read)"),
    ("sqlite:///corrections.sqlite3?timeout=secret-word", "(its address cannot be read)"),
])  # fmt: skip
def test_a_database_that_cannot_be_reached_is_told_in_one_line_without_its_address(monkeypatch, url, cause):
    monkeypatch.setenv(store.VARIABLE, url)
    with pytest.raises(store.StoreError) as caught:
        store.open_store()
    message = str(caught.value)
    assert message.startswith("corrections cannot be opened (")
    assert cause in message
    assert "\n" not in message
    assert not any(word in message for word in ("secret-word", "127.0.0.1", "localhost", "port 9"))
    assert "INKLING_CORRECTIONS" in message


def test_without_a_url_it_is_a_file_beside_the_app(monkeypatch):
    monkeypatch.delenv(store.VARIABLE, raising=False)
    assert store.url() == f"sqlite:///{store.FILE}"
    assert store.FILE.parent.joinpath("app.py").exists()


def test_a_picture_that_has_the_id_of_one_that_is_gone_is_not_deleted_for_it(engine):
    """SQLite gives the id of the last row again; somebody else's page still shows the one before."""
    store.keep(engine, correction(1, label="7"), MNIST)
    (gone,) = store.find(engine, MNIST)
    store.remove(engine, [gone])
    store.keep(engine, correction(2, label="3"), MNIST)
    (new,) = store.find(engine, MNIST)
    store.remove(engine, [dataclasses.replace(gone, id=new.id)])
    assert [each.label for each in store.find(engine, MNIST)] == ["3"]
    store.keep(engine, correction(2, label="5"), MNIST)  # the same picture told anew
    store.remove(engine, [new])
    assert [each.label for each in store.find(engine, MNIST)] == ["5"]
