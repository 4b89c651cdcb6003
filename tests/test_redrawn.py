"""Digits drawn anew: made once, kept, and learned from beside the data set's own."""

import os
from pathlib import Path

import numpy as np
import pytest

from jobs import events
from jobs.config import ConfigError
from tests import tiny
from training import redrawn
from training.fit import fit
from training.kept import kept


@pytest.fixture
def few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Few digits, kept in a folder of their own."""
    monkeypatch.setattr(redrawn, "COUNTS", {"train": (20, 30, 10), "validation": (10, 10, 0)})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "inkling"


def test_digits_are_made_once_and_kept(few: Path, tmp_path: Path, monkeypatch):
    source = tiny.dataset(tmp_path / "data")
    made = redrawn.redrawn("train", source)
    assert made.pixels.shape[1:] == (1, 28, 28)
    assert 50 <= len(made) <= 60
    assert (made.pixels.dtype, made.labels.dtype) == (np.uint8, np.int64)
    assert set(made.labels.tolist()) <= set(range(10))
    monkeypatch.setattr(redrawn, "_make", lambda *_: pytest.fail("made again"))
    again = redrawn.redrawn("train", source)
    assert np.array_equal(again.pixels, made.pixels)
    assert [path.suffix for path in few.iterdir()] == [".npz"]


def test_what_the_disk_has_lost_a_part_of_is_made_anew(few: Path, tmp_path: Path):
    source = tiny.dataset(tmp_path / "data")
    made = redrawn.redrawn("train", source)
    (path,) = few.iterdir()
    for damaged in (path.read_bytes()[:-200], b"", path.read_bytes()[:300] + bytes(50) + path.read_bytes()[350:]):
        path.write_bytes(damaged)
        assert np.array_equal(redrawn.redrawn("train", source).pixels, made.pixels)


def test_other_code_or_other_digits_are_not_taken_for_these(few: Path, tmp_path: Path, monkeypatch):
    source = tiny.dataset(tmp_path / "data")
    before = {redrawn.fingerprint(part, source) for part in ("train", "validation")}
    assert len(before) == 2
    changed = tmp_path / "strokes.py"
    changed.write_text("# other code")
    monkeypatch.setattr(redrawn.strokes, "__file__", str(changed))
    assert redrawn.fingerprint("train", source) not in before


def test_pictures_with_the_same_labels_are_other_pictures(tmp_path: Path):
    source, inverted = tiny.dataset(tmp_path / "data"), tiny.dataset(tmp_path / "others")
    inverted.train.pixels[:] = 255 - inverted.train.pixels
    assert redrawn.fingerprint("train", inverted) != redrawn.fingerprint("train", source)


def test_a_run_goes_on_with_the_digits_that_it_began_with_or_not_at_all(few: Path, tmp_path: Path, monkeypatch):
    folder = tmp_path / "run"
    folder.mkdir()
    config, source = tiny.config(redrawn=True, epochs=1), tiny.dataset(tmp_path / "data")
    fit(config, folder, source)
    fit(config, folder, source)
    monkeypatch.setattr(redrawn, "PREPARED_BY", ())  # as if that code were another
    with pytest.raises(ConfigError, match="began with digits that were drawn anew by another version of Inkling"):
        fit(config, folder, source)


def test_what_nobody_asks_for_any_more_goes(tmp_path: Path):
    old, young, other, half = (tmp_path / name for name in ("made-of-1.npz", "made-of-2.npz", "made-for-1.npz", "made-of-1.npzx.partial"))
    for path in (old, young, other, half):
        path.touch()
    for path in (old, other, half):
        os.utime(path, (1e9, 1e9))
    kept(tmp_path / "made-of-3.npz", lambda: {"numbers": np.arange(3)})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made-for-1.npz", "made-of-2.npz", "made-of-3.npz"]


def test_a_run_learns_from_both(few: Path, tmp_path: Path):
    folder = tmp_path / "run"
    folder.mkdir()
    source = tiny.dataset(tmp_path / "data")
    fit(tiny.config(redrawn=True, epochs=1), folder, source)
    told = events.read(folder)
    assert [event["kind"] for event in told][:2] == ["started", "redrawing"]
    assert told[-1]["progress"] == 1


def test_only_digits_are_drawn_anew():
    with pytest.raises(ConfigError, match="redrawn is true for fashion-mnist; only digits are drawn anew"):
        tiny.config(dataset="fashion-mnist", redrawn=True)
