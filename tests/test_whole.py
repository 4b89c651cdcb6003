"""What is written is there whole or not at all, whenever it is broken off."""

import os
from pathlib import Path

import pytest

from jobs import events, queue, runs
from jobs.config import RunConfig
from models import shelf
from tests import tiny
from training import checkpoint
from training.networks import build
from training.optimization import build_optimizer


def test_between_two_graphs_there_is_no_card(tmp_path, monkeypatch):
    graph = tmp_path / ".new.onnx"
    graph.write_bytes(b"new")
    (tmp_path / "mine.json").write_text("of the old one")
    seen, replace = [], Path.replace
    monkeypatch.setattr(Path, "replace", lambda path, to: seen.append((to.name, (tmp_path / "mine.json").exists())) or replace(path, to))
    shelf.put("of the new one", "mine", graph, tmp_path)
    assert seen == [("mine.onnx", False), ("mine.json", False)]


def test_a_checkpoint_that_is_broken_off_leaves_the_one_before(tmp_path, monkeypatch):
    network, path = build(tiny.config()), tmp_path / "member-0.safetensors"
    optimizer = build_optimizer(tiny.config(), network.parameters())
    checkpoint.save(path, network, optimizer, 1)

    def half(tensors, target, facts):
        Path(target).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save_file", half)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(path, network, optimizer, 2)
    assert checkpoint.load(path, network) == 1


def test_an_event_that_a_full_disk_cuts_off_is_told(tmp_path, monkeypatch):
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, line: write(descriptor, line[:9]))
        with pytest.raises(OSError, match="No space left on device"):
            events.append(tmp_path, "done")
    events.append(tmp_path, "done")
    assert len(events.read(tmp_path)) == 1


def test_only_run_folders_are_deleted(tmp_path):
    (tmp_path / "notes").mkdir()
    with pytest.raises(FileNotFoundError):
        runs.remove(tmp_path / "notes")
    assert (tmp_path / "notes").exists()


def test_a_run_takes_no_place_in_a_full_queue_again(tmp_path, monkeypatch):
    monkeypatch.setenv("INKLING_RUNS", str(tmp_path / "runs"))
    run, lock = runs.create(RunConfig())
    os.close(lock)
    events.append(run, "cancelled")
    other, lock = runs.create(RunConfig())
    monkeypatch.setattr(queue, "active_runs", lambda: [other])
    monkeypatch.setattr(queue, "_begin", lambda *facts: pytest.fail("it was queued"))
    with pytest.raises(queue.Full):
        queue.resume(run, most=1)
