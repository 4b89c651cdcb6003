"""Sweeps are filled once, in parallel, and go on where they were after a kill -9."""

import contextlib
import dataclasses
import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobs import locks, runs, sweeps, tables
from jobs.sweeps import Column, Row, Sweep, SweepError
from training import data, executors, sweep
from training.__main__ import main

TINY = Sweep(
    name="tiny", title="Tiny", about="four small networks", recipe="quick", seeds=1,
    columns=(Column(title="lr 0.01", settings={"lr": 0.01}), Column(title="lr 0.001", settings={"lr": 0.001})),
    rows=tuple(
        Row(title=f"{width} wide", settings={"network": "fc", "hidden": (width,), "epochs": 2}, references=(0.9, None)) for width in (8, 16)
    ),
)  # fmt: skip
FILE = "tiny-sample"


pytestmark = pytest.mark.usefixtures("places")


def here(jobs):
    """An executor without processes."""
    for job in jobs:
        yield executors.work(job)


def accuracies(file: str = FILE) -> dict[str, float]:
    return {key: result["test_accuracy"] for key, result in sweeps.read_results(file).items()}


def test_two_processes_measure_what_one_measures(places, monkeypatch):
    assert sweep.run(TINY, functools.partial(executors.local, workers=2)) == 4
    in_parallel = accuracies()
    monkeypatch.setenv("INKLING_EXPERIMENTS", str(places / "again"))
    assert sweep.run(TINY, here) == 4
    assert accuracies() == in_parallel
    assert len(in_parallel) == 4
    assert not (places / "runs" / f"sweep-{FILE}").exists()


def test_cells_trained_together_agree_with_cells_trained_alone(places, monkeypatch):
    shared = {"network": "fc", "hidden": (16,), "optimizer": "sgd", "schedule": "constant", "epochs": 2, "batch_size": 40}
    table = dataclasses.replace(TINY, rows=(Row(title="", settings=shared), Row(title="", settings=shared | {"batch_norm": True})))
    sweep.run(table, here)
    alone = sweeps.read_results(FILE)
    monkeypatch.setenv("INKLING_EXPERIMENTS", str(places / "together"))
    assert sweep.run(table, executors.grouped) == 4
    together = sweeps.read_results(FILE)
    assert together.keys() == alone.keys()
    for key, result in together.items():
        assert result.keys() == alone[key].keys()
        assert result["config"] == alone[key]["config"]
        assert result["test_accuracy"] == pytest.approx(alone[key]["test_accuracy"], abs=0.01)
    assert sum("2 networks together" in result["device"] for result in together.values()) == 2


def test_a_result_tells_settings_curve_and_cost():
    sweep.run(TINY, here)
    first = next(TINY.cells())
    result = sweeps.read_results(FILE)[first.key]
    assert result["config"] == first.config.to_dict()
    assert [epoch["epoch"] for epoch in result["epochs"]] == [1, 2]
    assert result["val_accuracy"] == result["epochs"][-1]["val_accuracy"]
    assert result["parameters"] == 784 * 8 + 8 + 8 * 10 + 10
    assert (result["row"], result["column"], result["seed"], result["error"]) == (0, 0, 0, "")


def test_a_sweep_that_stopped_goes_on_with_what_is_missing(capsys):
    def stops_after_one(jobs):
        yield executors.work(jobs[0])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep.run(TINY, stops_after_one)
    assert len(accuracies()) == 1
    assert sweep.run(TINY, here) == 3
    assert sweep.run(TINY, here) == 0
    assert "1/3 cells: row 1, column 2, seed 0: test" in capsys.readouterr().out


def test_more_seeds_are_added_to_those_that_are_there():
    sweep.run(TINY, here)
    assert sweep.run(TINY, here, seeds=2) == 4
    assert {result["seed"] for result in sweeps.read_results(FILE).values()} == {0, 1}


def test_the_networks_of_an_ensemble_are_not_trained_again_as_cells_of_their_own(places, monkeypatch):
    shared = {"network": "fc", "hidden": (8,), "epochs": 2}
    rows = tuple(Row(title=f"{members}", settings=shared | {"members": members}) for members in (1, 2))
    table = dataclasses.replace(TINY, columns=(Column(title="", settings={}),), rows=rows, seeds=2)
    trained = []

    def counting(jobs):
        trained.extend(job.cell.config.members for job in jobs)
        return here(jobs)

    assert sweep.run(table, counting, seeds=1) == 3
    assert trained == [2]  # networks 0 and 1, which are both seeds of the first row
    by_the_way = {key: result for key, result in sweeps.read_results(FILE).items() if result["row"] == 0}
    assert {result["config"]["seed"] for result in by_the_way.values()} == {0, 1}

    monkeypatch.setenv("INKLING_EXPERIMENTS", str(places / "again"))
    assert sweep.run(table, counting, rows=[0]) == 2
    assert trained == [2, 1, 1]
    assert {key: _but_for_time(result) for key, result in sweeps.read_results(FILE).items()} == {
        key: _but_for_time(result) for key, result in by_the_way.items()
    }


def _but_for_time(result):
    epochs = [{name: value for name, value in epoch.items() if name != "seconds"} for epoch in result["epochs"]]
    return result | {"epochs": epochs, "seconds": None}


def test_results_of_the_sample_never_come_into_the_table_of_another_data_set(places, monkeypatch, capsys):
    def fails(name):
        raise data.DataError(f"{name} could not be downloaded.")

    monkeypatch.delenv("INKLING_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(places))
    monkeypatch.setattr(data, "DEBIAN", {})
    monkeypatch.setattr(data, "download", fails)
    (data.cache_folder() / data.FOLDERS["mnist"]).mkdir(parents=True)
    table = tables.find("systems")
    fashion = {row for row, each in enumerate(table.rows) if each.recipe.startswith("r7")}
    with pytest.raises(SweepError, match=r"systems needs fashion-mnist and mnist, and of fashion-mnist there is only the bundled sample"):
        sweep.run(table, lambda jobs: pytest.fail("cells were trained"))
    assert sweep.file_of(table, rows=[0]) == "systems"
    assert sweep.file_of(table, rows=fashion) == "systems-sample"


def test_a_cell_that_diverges_is_a_result():
    settings = {"network": "fc", "hidden": (8,) * 4, "optimizer": "sgd", "lr": 10.0, "weight_decay": 1.0, "epochs": 3}
    wild = dataclasses.replace(TINY, columns=(Column(title="", settings={}),), rows=(Row(title="wild", settings=settings),))
    sweep.run(wild, here)
    (result,) = sweeps.read_results(FILE).values()
    assert result["test_accuracy"] is result["val_accuracy"] is None
    assert "the loss became" in result["error"]
    assert sweep.table(wild, FILE).splitlines()[-1] == " 1 wild         - / diverged (n = 1)"


def test_the_table_shows_source_and_own_figures(monkeypatch):
    sweep.run(TINY, here, seeds=2)
    lines = sweep.table(TINY, FILE).splitlines()
    assert lines[3].startswith(" 1 8 wide   lr 0.01")
    assert " 90.00 % / " in lines[3]
    assert "± " in lines[3]
    assert lines[3].endswith("n = 2)")
    assert "       - / " in lines[4]


def test_one_sweep_is_filled_by_one_process_at_a_time(places):
    root = places / "runs" / f"sweep-{FILE}"
    root.mkdir(parents=True)
    with locks.held(root), pytest.raises(locks.Busy):
        sweep.run(TINY, here)


def test_a_killed_sweep_leaves_no_process_and_doubles_no_cell(places):
    command = [sys.executable, "-m", "training", "sweep", "systems", "--rows", "1", "--seeds", "6", "--workers", "2"]
    path = places / "experiments" / "systems-sample.jsonl"
    process = subprocess.Popen(command, cwd=runs.ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
    while not path.exists() or not path.read_text():
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    _wait_until_gone(process.pid)
    before = path.read_text().splitlines()
    assert 1 <= len(before) < 6
    assert subprocess.run(command, cwd=runs.ROOT, stdout=subprocess.DEVNULL).returncode == 0
    lines = path.read_text().splitlines()
    assert lines[: len(before)] == before
    assert len(lines) == len({json.loads(line)["cell"] for line in lines}) == 6


def _wait_until_gone(group: int) -> None:
    deadline = time.monotonic() + 20
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(0.05)
        pytest.fail("the workers outlived the sweep")


def test_the_command_lists_sweeps_and_refuses_what_it_does_not_know(capsys):
    assert main(["sweep"]) == 0
    assert "r1a              0 of  72 cells" in capsys.readouterr().out
    assert main(["sweep", "r1z"]) == 1
    assert "there is no sweep 'r1z'" in capsys.readouterr().err
    assert main(["sweep", "r1a", "--workers", "0"]) == 1
    assert "workers is 0; give a whole number from 1 to 100" in capsys.readouterr().err


def test_an_interrupt_stops_the_workers_and_keeps_what_was_done(places):
    command = [sys.executable, "-m", "training", "sweep", "systems", "--rows", "1", "--seeds", "6", "--workers", "2"]
    path = places / "experiments" / "systems-sample.jsonl"
    process = subprocess.Popen(command, cwd=runs.ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not path.exists() or not path.read_text().endswith("\n"):
        assert process.poll() is None
        time.sleep(0.05)
    before = path.read_text().splitlines()
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode in (1, 130)
    assert "Traceback" not in errors
    _wait_until_gone(process.pid)
    lines = path.read_text().splitlines()
    assert lines[: len(before)] == before
    assert 1 <= len(before) <= len(lines) == len({json.loads(line)["cell"] for line in lines}) < 6


def test_an_interrupt_while_the_workers_start_leaves_no_traceback(places):
    command = [sys.executable, "-m", "training", "sweep", "systems", "--rows", "1", "--seeds", "6", "--workers", "2"]
    process = subprocess.Popen(command, cwd=runs.ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not _workers(process.pid):
        assert process.poll() is None
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode in (1, 130)
    assert "Traceback" not in errors
    _wait_until_gone(process.pid)


def _workers(pid: int) -> list[str]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [each for each in children if _is_worker(each)]


def _is_worker(pid: str) -> bool:
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):  # another child, gone since it was listed
        return False


def test_the_committed_table_is_shown_without_a_data_set(monkeypatch, capsys):
    monkeypatch.setenv("INKLING_DATA", "/nowhere")
    sweeps.append_result("r1d", {"cell": next(tables.find("r1d").cells()).key, "test_accuracy": 0.9855, "seed": 0})
    assert main(["sweep", "r1d", "--show"]) == 0
    assert " 98.55 % /  98.55 % (n = 1)" in capsys.readouterr().out
