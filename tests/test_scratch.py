"""models/scratch.py: files and folders appear whole and go at once; what killed processes left is cleared away, what is being made is not."""

import os
import time

import pytest

from models import scratch


def aged(folder):
    old = time.time() - scratch.OLD - 1
    os.utime(folder, (old, old))
    return folder


def test_what_is_left_of_long_ago_goes_and_what_is_being_made_stays(tmp_path):
    stale, fresh, other = scratch.new(tmp_path), scratch.new(tmp_path), tmp_path / "kept"
    other.mkdir()
    aged(other), aged(stale)
    made = scratch.new(tmp_path)
    assert not stale.exists()
    assert fresh.is_dir()
    assert made.is_dir()
    assert other.is_dir()


def test_a_folder_is_gone_at_once_and_twice_is_no_error(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "file").write_bytes(b"x")
    aged(folder)
    scratch.remove(folder)
    scratch.remove(folder)
    assert list(tmp_path.iterdir()) == []


def test_a_half_deleted_folder_of_long_ago_is_deleted_with_the_next(tmp_path):
    half = aged_with_file(tmp_path / ".inkling-gone-run-1")
    scratch.remove(tmp_path / "other")
    assert not half.exists()


def aged_with_file(folder):
    folder.mkdir()
    (folder / "file").write_bytes(b"x")
    return aged(folder)


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "file"
    with scratch.whole(path) as file:
        file.write(b"first")
        assert not path.exists()
    assert path.read_bytes() == b"first"


def test_nothing_is_left_of_a_file_whose_writing_failed(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"first")

    def write() -> None:
        with scratch.whole(path) as file:
            file.write(b"sec")
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        write()
    assert path.read_bytes() == b"first"
    assert [*tmp_path.iterdir()] == [path]


def test_what_may_not_be_deleted_whole_is_told(tmp_path, monkeypatch):
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "picture.npy").write_bytes(b"x")
    monkeypatch.setattr(scratch.shutil, "rmtree", lambda path, ignore_errors: None)  # as in a folder of somebody else's
    with pytest.raises(OSError, match="not all of it may be deleted"):
        scratch.remove(folder)
