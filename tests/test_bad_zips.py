"""Two hundred zips that mean harm: each is one sentence or a data set of the good pictures in it, and nothing lands elsewhere."""

import collections
import time
from pathlib import Path

import pytest

from models import datasets
from models.errors import InklingError
from tests.bad_zips import KINDS, corpus
from training.own_images import import_images

COUNT = 200
LONGEST = 2.0  # seconds of processor time


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("INKLING_DATASETS", str(tmp_path / "home" / "datasets"))
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path


def test_every_kind_is_among_them_and_the_same_ones_come_again():
    counts = collections.Counter(kind for kind, _ in corpus(COUNT))
    assert set(counts) == set(KINDS)
    assert [content for _, content in corpus(30)] == [content for _, content in corpus(30)]


def test_each_is_one_sentence_or_a_data_set_and_nothing_lands_elsewhere(home):
    file, outcomes = home / "bad.zip", collections.Counter()
    for number, (kind, content) in enumerate(corpus(COUNT)):
        file.write_bytes(content)
        began = time.process_time()
        try:
            about = import_images(file, "bad", side=16, grey=True)
        except InklingError as error:
            message = str(error)
            assert message.isprintable(), (number, kind, message)
            assert len(message) < 500, (number, kind, message)
            assert "Traceback" not in message
            outcomes["refused"] += 1
        else:
            assert all(label.isprintable() and label.strip() == label for label in about.labels), (number, kind)
            assert kind not in ("path_trick", "link", "bomb", "overlapping", "other_packing", "no_zip"), (number, kind)
            outcomes["taken"] += 1
            datasets.remove("bad")
        assert time.process_time() - began < LONGEST, (number, kind)
        assert [path.name for path in home.rglob("*") if path.is_file()] == ["bad.zip"], (number, kind)
        assert not Path("/etc/cron.d/evil").exists()
    assert outcomes["refused"] > COUNT / 2
    assert outcomes["taken"] > COUNT / 10
