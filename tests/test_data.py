"""Finding, checking and splitting the data sets."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from tests import tiny
from training import data
from training.data import DataError, Dataset

IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.write_folder(tmp_path / "MNIST" / "raw")


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No data folder, no Debian package, no network; the cache is empty."""
    monkeypatch.delenv("INKLING_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(data, "DEBIAN", {})

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    return tmp_path


def sample_at(folder: Path) -> Dataset:
    return Dataset(name="mnist", folder=folder, origin="tests", is_sample=True)


def test_the_split_is_nine_to_one_disjoint_and_the_same_every_time(folder):
    first, second = sample_at(folder), sample_at(folder)
    assert (len(first.train), len(first.validation), len(first.test)) == (270, 30, 60)
    assert np.array_equal(first.validation.pixels, second.validation.pixels)
    together = {picture.tobytes() for picture in np.concatenate([first.train.pixels, first.validation.pixels])}
    assert len(together) == 300


def test_the_bundled_sample_is_whole_and_under_six_megabytes():
    for name, total in (("mnist", 5000), ("fashion-mnist", 8000)):
        found = data.sample(name)
        assert len(found.train) + len(found.validation) + len(found.test) == total
        assert found.train.pixels.dtype == np.uint8
        assert set(found.test.labels) == set(range(10))
    assert sum(path.stat().st_size for path in data.SAMPLE.rglob("*.gz")) < 6_000_000


def test_a_full_set_must_have_its_full_size(folder):
    found = data.find("mnist", folder.parents[1])
    with pytest.raises(DataError, match="holds 300 images, not 60000"):
        _ = found.train


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def flip_bytes(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    content[len(content) // 2 + 1] ^= 0xFF
    path.write_bytes(bytes(content))


def promise_more(path: Path) -> None:
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-784]))


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (cut_short, "cannot be unpacked"),
        (flip_bytes, "cannot be unpacked"),
        (promise_more, "where its header promises"),
        (lambda path: path.write_bytes(gzip.compress(b"hello")), "header of an IDX file"),
        (lambda path: path.write_text("<html>not found</html>"), "cannot be unpacked"),
        (lambda path: tiny.write_idx(path, np.zeros((300, 32, 32), np.uint8)), "32x32 pixels, not 28x28"),
        (lambda path: path.unlink(), "is missing"),
    ],
)
def test_a_bad_file_is_named_with_its_fault_and_the_fix(folder, damage, fault):
    damage(folder / IMAGES)
    with pytest.raises(DataError) as caught:
        _ = sample_at(folder).train
    message = str(caught.value)
    assert str(folder / IMAGES) in message
    assert fault in message
    assert "--data" in message
    assert "\n" not in message


def test_labels_must_match_the_images_and_lie_in_range(folder):
    tiny.write_idx(folder / LABELS, np.zeros(299, np.uint8))
    with pytest.raises(DataError, match="299 labels for 300 images"):
        _ = sample_at(folder).train
    tiny.write_idx(folder / LABELS, np.full(300, 11, np.uint8))
    with pytest.raises(DataError, match="label 11"):
        _ = sample_at(folder).train


def test_a_given_folder_without_the_data_is_an_error_not_a_download(tmp_path):
    with pytest.raises(DataError, match="does not hold MNIST"):
        data.find("mnist", tmp_path)


def test_the_folder_of_the_other_data_set_is_not_taken_for_this_one(tmp_path):
    raw = tiny.write_folder(tmp_path / "MNIST" / "raw")
    assert data.find("mnist", raw).folder == raw
    for folder in (raw, raw.parent):
        with pytest.raises(DataError, match="does not hold FashionMNIST"):
            data.find("fashion-mnist", folder)


def test_the_environment_names_the_folder(folder, monkeypatch):
    monkeypatch.setenv("INKLING_DATA", str(folder.parents[1]))
    assert data.find("mnist").folder == folder


def test_without_a_network_the_sample_is_used_and_said_to_be(nowhere, capsys):
    found = data.find("mnist")
    assert found.is_sample
    assert "bundled sample" in capsys.readouterr().err
    assert list(data.cache_folder().iterdir()) == [], "a failed download leaves nothing behind"


def test_a_damaged_download_never_reaches_the_cache(nowhere, monkeypatch):
    class Response:
        length = 5

        def __init__(self, request, **_: object) -> None:
            self.url = getattr(request, "full_url", request)
            self.parts = [b"hello", b""]

        def __enter__(self) -> "Response":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def read(self, _: int = -1) -> bytes:
            return self.parts.pop(0) if self.parts else b""

    monkeypatch.setattr("urllib.request.urlopen", Response)
    with pytest.raises(DataError, match="could not be downloaded"):
        data.download("mnist")
    assert list(data.cache_folder().iterdir()) == []


def test_a_cached_copy_is_used_before_a_download(nowhere):
    tiny.write_folder(data.cache_folder() / "MNIST")
    found = data.find("mnist")
    assert (found.origin, found.is_sample) == ("download cache", False)
    with pytest.raises(DataError, match="delete the folder"):
        _ = found.train  # 300 images are not the full set: the fix for a bad cache is to delete it
