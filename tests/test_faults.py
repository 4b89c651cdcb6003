"""Disks that are full or read-only, folders that go, clocks that are set back: one sentence each, and the rest goes on."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from corrections import store
from jobs import events, queue, runs
from jobs.config import RunConfig
from jobs.runs import ROOT
from models import datasets, shelf
from tests import shapes
from training.__main__ import main
from training.own_images import import_images

CONFIG = RunConfig(network="fc", hidden=(256,), epochs=3, threads=1, publish="fault")
PATIENCE = 90.0  # seconds


@pytest.fixture(autouse=True)
def folders(workshop, monkeypatch):
    monkeypatch.setattr(queue, "_children", [])
    yield workshop
    for child in queue._children:
        child.kill()
        child.wait()


@pytest.fixture
def mounted(tmp_path):
    """Mounts a small disk of its own at a folder; only root may."""
    places = []

    def mount(place: Path, options: str) -> None:
        place.mkdir(parents=True, exist_ok=True)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True).returncode:
            pytest.skip("mounting a small disk needs root")
        places.append(place)

    yield mount
    for place in places:
        subprocess.run(["umount", "-l", str(place)], check=True)


def ended(run: Path) -> runs.Status:
    give_up = time.monotonic() + PATIENCE
    while runs.status(run).is_active:
        assert time.monotonic() < give_up, runs.status(run)
        time.sleep(0.05)
    return runs.status(run)


def is_sentence(text: str) -> bool:
    return len(text) < 300 and "\n" not in text and "Traceback" not in text and "; " in text


def test_a_disk_that_fills_up_during_a_run_is_told_in_the_run_and_its_log(folders, mounted):
    mounted(folders / "runs", "size=1m")  # a checkpoint of 200,000 weights with Adam's state has 2.4 MB
    run = queue.start(CONFIG)
    status = ended(run)
    assert status.state == "failed"
    assert "No space left on device" in status.message
    assert is_sentence(status.message)
    assert "Traceback" not in (run / "log.txt").read_text()
    assert "No space left on device" in (run / "log.txt").read_text()
    assert not list(run.glob("*.partial"))
    assert shelf.list_cards("mnist") == []


def test_a_shelf_that_is_full_keeps_what_it_has(folders, mounted, monkeypatch):
    assert _train(CONFIG) == 0
    before = (folders / "models" / "mnist" / "fault.json").read_bytes()
    mounted(folders / "full", "size=1m")
    shutil.copytree(folders / "models", folders / "full", dirs_exist_ok=True)
    (folders / "full" / "rest").write_bytes(bytes(2**20 - sum(path.stat().st_size for path in (folders / "full").rglob("*.*")) - 40_000))
    monkeypatch.setenv("INKLING_MODELS", str(folders / "full"))
    run, lock = runs.create(CONFIG)
    os.close(lock)
    assert main(["fit", "--resume", str(run)]) == 1
    assert is_sentence(runs.status(run).message)
    assert "cannot be written (No space left on device); free some space and try again" in runs.status(run).message
    assert (folders / "full" / "mnist" / "fault.json").read_bytes() == before
    assert shelf.load_card("mnist", "fault").read_graph()
    assert sorted(path.name for path in (folders / "full" / "mnist").iterdir()) == ["fault.json", "fault.onnx"]


@pytest.mark.parametrize("options", ["size=1m,ro", "size=4k,nr_inodes=2"])
def test_a_runs_folder_that_cannot_be_written_refuses_a_start_in_one_sentence(folders, mounted, options):
    mounted(folders / "runs", options)
    with pytest.raises(runs.NotWritten) as caught:
        queue.start(CONFIG)
    assert "cannot be written (" in str(caught.value)
    assert is_sentence(str(caught.value))
    assert runs.list_runs() == []
    assert queue.waiting() == []


def test_a_full_disk_keeps_the_corrections_it_has_and_says_why_it_takes_no_more(folders, mounted, monkeypatch):
    mounted(folders / "database", "size=512k")
    monkeypatch.setenv(store.VARIABLE, f"sqlite:///{folders / 'database' / 'corrections.sqlite3'}")
    engine, about = store.open_store(), datasets.info("mnist")
    other = folders / "database" / "other"
    other.write_bytes(bytes(200_000))

    def fill() -> None:
        for number in range(100):
            pixels = np.full((1, 28, 28), number, np.uint8)
            store.keep(engine, store.Correction(dataset="mnist", label="7", said="1", network="lenet5", pixels=pixels, picture=bytes(20_000)), about)  # fmt: skip

    with pytest.raises(store.StoreError) as caught:
        fill()
    assert str(caught.value).startswith("corrections cannot be kept (database or disk is full); free some space there")
    assert is_sentence(str(caught.value))
    kept = store.count(engine, about)
    assert 0 < kept < 100
    assert [int(each.pixels.max()) for each in store.find(engine, about)] == list(range(kept))[::-1]
    other.unlink()
    store.remove(engine, store.find(engine, about)[:3])
    assert store.count(engine, about) == kept - 3
    engine.dispose()


def test_an_import_onto_a_full_disk_leaves_nothing_and_the_others_as_they_were(folders, mounted, monkeypatch):
    monkeypatch.setenv("INKLING_DATASETS", str(folders / "datasets"))
    mounted(folders / "datasets", "size=128k")
    source = shapes.write_folder(folders / "pictures", 12)
    import_images(source, "small", side=16, grey=True)
    with pytest.raises(datasets.DatasetError) as caught:
        import_images(source, "large", side=64)
    assert "cannot be written to" in str(caught.value)
    assert "; make room there" in str(caught.value)
    assert "None" not in str(caught.value)
    assert is_sentence(str(caught.value))
    assert [path.name for path in (folders / "datasets").iterdir()] == ["small"]
    assert datasets.info("small").height == 16


def test_a_run_whose_folder_is_deleted_ends_and_the_next_has_its_turn(folders):
    first = queue.start(RunConfig(network="fc", epochs=400, threads=1, publish="first"))
    second = queue.start(CONFIG)
    until(lambda: runs.status(first).state == "running")
    shutil.rmtree(first)
    assert ended(second).state == "done"
    assert runs.list_runs() == [second]
    assert [card.name for card in shelf.list_cards("mnist")] == ["fault"]


def test_a_clock_that_is_set_back_gives_no_negative_times(monkeypatch, folders):
    run, _ = runs.create(CONFIG)
    events.append(run, "started", time=5000.0)
    for moment, progress in [(5001.0, 0.1), (1000.0, 0.2), (1001.0, 0.3)]:
        events.append(run, "step", time=moment, progress=progress)
    monkeypatch.setattr(runs.time, "time", lambda: 1001.5)
    status = runs.status(run)
    assert status.seconds >= 0
    assert status.seconds_left is None or status.seconds_left >= 0


def test_a_checkpoint_that_is_cut_off_is_named_with_what_to_do(folders, capsys):
    assert _train(CONFIG) == 0
    run, lock = runs.create(CONFIG)
    os.close(lock)
    path = run / "member-0.safetensors"
    path.write_bytes((runs.list_runs()[1] / "member-0.safetensors").read_bytes()[:1000])
    assert main(["fit", "--resume", str(run)]) == 1
    message = runs.status(run).message
    assert message.startswith(f"{path} is damaged (")
    assert message.endswith("delete it to train this network again")
    assert message in capsys.readouterr().err


def until(is_true: Callable[[], bool]) -> None:
    """Returns once it is true."""
    give_up = time.monotonic() + PATIENCE
    while not is_true():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def _train(config: RunConfig) -> int:
    """In a process of its own, as a server would."""
    run, lock = runs.create(config)
    os.close(lock)
    return subprocess.run([sys.executable, "-m", "training", "fit", "--resume", str(run)], cwd=ROOT, stdout=subprocess.DEVNULL).returncode
