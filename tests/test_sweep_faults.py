"""What a sweep keeps when something goes wrong: checkpoints of other cells and other data, results beside a cell that fails."""

import contextlib
import dataclasses
import functools
import io
import operator
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from jobs import locks, runs, sweeps, tables
from jobs.sweeps import Column, Row, Sweep, SweepError
from tests import tiny
from training import cell, data, executors, replay, sweep
from training.__main__ import main
from training.sweep_commands import _executor

SHARED = {"network": "fc", "hidden": (8,), "epochs": 2}
TABLE = Sweep(
    name="tiny", title="Tiny", about="two small networks", recipe="quick", seeds=1, columns=(Column(title="", settings={}),),
    rows=tuple(Row(title=f"{width} wide", settings=SHARED | {"hidden": (width,)}) for width in (8, 16)),
)  # fmt: skip
WILD = {"network": "fc", "hidden": (8,) * 4, "optimizer": "sgd", "lr": 10.0, "weight_decay": 1.0, "epochs": 3}

pytestmark = pytest.mark.usefixtures("places")


def here(jobs):
    """An executor without processes."""
    return map(executors.work, jobs)


def stops_each_after_an_epoch(jobs):
    """An executor that leaves a checkpoint of every cell, as ^C does."""

    def stop(facts):
        raise runs.Cancelled(runs.CANCELLED)

    for job in jobs:
        with pytest.raises(runs.Cancelled):
            cell.measure(job.cell, job.folder, data.find("mnist", job.data), after_epoch=stop)
    raise runs.Cancelled(runs.CANCELLED)
    yield


def checkpoints(folder: Path) -> set[str]:
    return {path.parent.name for path in folder.glob("*/*/member-0.safetensors")}


def test_a_cell_never_goes_on_from_a_checkpoint_of_other_data(places, monkeypatch):
    find, full = data.find, places / "full"
    small = tiny.dataset(full)
    whole = SimpleNamespace(train=small.train, validation=small.validation, test=small.test, origin="tests", is_sample=False)
    monkeypatch.setattr(data, "find", lambda name, folder=None: whole if folder == full else find(name, folder))
    with pytest.raises(runs.Cancelled):
        sweep.run(TABLE, stops_each_after_an_epoch, data=full)
    keys = {each.key for each in TABLE.cells()}
    assert checkpoints(places / "runs") == keys
    assert sweep.run(TABLE, here, data=Path("sample")) == 2
    assert checkpoints(places / "runs") == keys, "those of the other data are still there"
    on_sample = sweeps.read_results("tiny-sample")
    monkeypatch.setenv("INKLING_EXPERIMENTS", str(places / "again"))
    assert sweep.run(TABLE, here, data=Path("sample")) == 2
    for key, result in sweeps.read_results("tiny-sample").items():
        assert [each["train_loss"] for each in result["epochs"]] == [each["train_loss"] for each in on_sample[key]["epochs"]]


def test_filling_some_rows_leaves_the_checkpoints_of_the_others(places):
    with pytest.raises(runs.Cancelled):
        sweep.run(TABLE, stops_each_after_an_epoch)
    first, second = (each.key for each in TABLE.cells())
    root = places / "runs" / "sweep-tiny-sample"
    (root / f"{first}.gate").mkdir()  # as a cluster leaves
    assert sweep.run(TABLE, here, rows=[0]) == 1
    assert {each.name for each in root.iterdir() if each.is_dir()} == {second}
    assert sweep.run(TABLE, here) == 1
    assert not root.exists()


def test_who_waited_for_the_lock_of_a_folder_that_was_removed_makes_it_anew(places, monkeypatch):
    held, removed = locks.held, []

    @contextlib.contextmanager
    def late(folder):
        with held(folder):
            if not removed:
                removed.append(folder)
                shutil.rmtree(folder)
            yield

    monkeypatch.setattr(locks, "held", late)
    with sweep._held(places / "root"):
        assert removed == [places / "root"]
        assert runs.is_alive(places / "root")


def outcomes(task, items, workers: int) -> Iterator:
    """What executors.in_processes yields of a task that needs no torch, and last the error that it raises."""
    try:
        yield from executors.in_processes(task, items, workers)
    except (SweepError, ValueError, KeyboardInterrupt) as error:
        yield type(error)


def test_an_item_that_fails_takes_nothing_from_those_at_work_and_no_other_is_begun():
    assert list(outcomes(time.sleep, [-1, 2.0, 0.1, 0.1], 2)) == [None, ValueError]


def test_what_was_at_work_at_an_interrupt_and_came_to_its_end_counts():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    pressed = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))  # the command alone, not its processes
    pressed.start()
    try:
        assert list(outcomes(time.sleep, [1.0, 1.5, 0.1, 0.1], 2)) == [None, None, KeyboardInterrupt]
    finally:
        pressed.cancel()
        signal.signal(signal.SIGINT, before)


def test_a_process_that_dies_is_told_and_what_was_done_before_stands():
    assert list(outcomes(operator.call, [int, functools.partial(os._exit, 1), int], 1)) == [0, SweepError]


def test_the_networks_of_an_ensemble_that_diverged_are_trained_by_themselves():
    rows = (Row(title="one", settings=WILD), Row(title="two", settings=WILD | {"members": 2}))
    assert sweep.run(dataclasses.replace(TABLE, rows=rows), here) == 2
    assert {result["row"] for result in sweeps.read_results("tiny-sample").values()} == {0, 1}


def test_of_an_ensemble_that_starts_from_the_shelf_the_first_network_alone_is_a_lone_runs():
    cells = dataclasses.replace(TABLE, rows=(Row(title="", settings=SHARED | {"members": 3, "start_from": "fc"}),)).cells()
    config = next(cells).config
    assert sweeps.alone(config) == [dataclasses.replace(config, members=1)]
    assert len(sweeps.alone(dataclasses.replace(config, start_from=""))) == 3
    taught = dataclasses.replace(config, start_from="", teacher="fc", augmentation="shift")
    assert len(sweeps.alone(taught)) == 3
    assert len(sweeps.alone(dataclasses.replace(taught, teacher_views=2))) == 1  # all members learn from the views of the run's seed


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_device_is_set_up_alike_for_every_training(monkeypatch, device):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    with contextlib.suppress(KeyError), replay.arithmetic(torch.device(device)):
        assert torch.get_float32_matmul_precision() == {"cpu": "highest", "cuda": "high"}[device]
        assert torch.backends.cudnn.deterministic
        raise KeyError
    assert torch.get_float32_matmul_precision() == "highest"


def test_a_group_is_trained_with_the_device_set_up(places, monkeypatch):
    asked = []

    @contextlib.contextmanager
    def arithmetic(device):
        asked.append(device)
        yield
        asked.append("left")

    train = cell.Together.train
    monkeypatch.setattr(cell, "arithmetic", arithmetic)
    monkeypatch.setattr(cell.Together, "train", lambda *data: asked.append("trained") or train(*data))
    settings = SHARED | {"optimizer": "sgd", "schedule": "constant", "epochs": 1}
    table = dataclasses.replace(TABLE, rows=(Row(title="", settings=settings),))
    cells, device = list(table.cells(2)), torch.device("cpu")
    assert len(cell.measure_group(cells, tiny.dataset(places / "tiny"), device)) == 2
    assert asked == [device, "trained", "left"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--ray", "127.0.0.1:1", "--together"], "together is for this machine; leave it out, or --ray"),
        (["--ray", "127.0.0.1:1", "--no-together"], "no-together is for this machine"),
        (["--ray", "127.0.0.1:1", "--workers", "2"], "workers is 2 but with --ray the cluster's cores are the limit"),
        (["--together", "--workers", "2"], "workers is 2 but --together trains in one process"),
    ],
)
def test_options_that_would_do_nothing_are_refused(options, sentence, capsys):
    assert main(["sweep", "r1a", *options]) == 1
    assert sentence in capsys.readouterr().err


def test_without_a_number_there_are_as_many_workers_as_cores(monkeypatch):
    monkeypatch.setattr(runs, "cores", lambda: 7)
    chosen = _executor(SimpleNamespace(ray=None, together=None, workers=None))
    assert chosen.keywords == {"workers": 7}


@pytest.mark.parametrize(
    ("together", "workers", "grouped"), [(None, None, True), (None, 3, False), (False, None, False), (True, None, True)]
)
def test_on_a_gpu_cells_train_together_unless_told_how_many_at_once(monkeypatch, together, workers, grouped):
    monkeypatch.setattr("training.replay.fault", lambda: "")
    chosen = _executor(SimpleNamespace(ray=None, together=together, workers=workers))
    assert (chosen is executors.grouped) == grouped
    if workers:
        assert chosen.keywords == {"workers": workers}


def test_the_table_of_the_sample_is_shown_where_it_is_asked_for(capsys):
    key = next(tables.find("r1d").cells()).key
    sweeps.append_result("r1d", {"cell": key, "test_accuracy": 0.9855, "seed": 0})
    sweeps.append_result("r1d-sample", {"cell": key, "test_accuracy": 0.5, "seed": 0})
    assert main(["sweep", "r1d", "--show", "--data", "sample"]) == 0
    assert " 98.55 % /  50.00 % (n = 1)" in capsys.readouterr().out


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_ends_at_its_total(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sweep, "POLL", 60.0)
    assert sweep.run(TABLE, here) == 2
    assert "4.0/4 epochs" in terminal.getvalue().splitlines()[-1]
    assert "2 of 2 cells" in terminal.getvalue()


def test_the_bar_is_drawn_while_cells_are_done(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(sweep, "POLL", 0.0)
    config = SimpleNamespace(epochs=1, members=1)
    jobs = [SimpleNamespace(cell=SimpleNamespace(key=str(number), config=config), folder=Path("/nowhere")) for number in range(3000)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with sweep._bar(jobs) as finished:  # a fault of its thread is a warning, and so an error
            for job in jobs:
                finished({"cell": job.cell.key})
    finally:
        sys.setswitchinterval(before)
