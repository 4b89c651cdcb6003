"""Searches: trials that count once, end early, survive a kill, and never look at the test images."""

import contextlib
import dataclasses
import json
import os
import signal
import sqlite3
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from jobs import events, searches, sweeps
from jobs.runs import Cancelled
from jobs.searches import Choice, Range, Search, SearchError
from jobs.sweeps import SweepError
from training import executors, search
from training.__main__ import main
from training.data import Dataset

optuna = pytest.importorskip("optuna", reason="requirements-cluster.txt is not installed")

FIXED = {"network": "fc", "hidden": (8,), "epochs": 4, "init": "default"}
TINY = Search(
    name="tiny", title="Tiny", about="for the tests", recipe="r7-lenet5", fixed=FIXED, tables="r7-",
    space={"lr": Range(low=1e-6, high=0.02, log=True), "batch_size": Choice(values=(50, 100)), "batch_norm": Choice(values=(False, True))},
    starts=tuple({"lr": lr, "batch_size": 50, "batch_norm": False} for lr in (0.01, 0.009, 0.008, 0.007, 0.006, 1e-6)),
)  # fmt: skip


@pytest.fixture(autouse=True)
def own_places(places, monkeypatch):
    monkeypatch.setitem(searches.SEARCHES, "tiny", TINY)


@pytest.fixture
def in_this_process(monkeypatch):
    monkeypatch.setattr(executors, "in_processes", lambda task, items, workers: map(task, items))


@pytest.fixture
def without_test_images(monkeypatch):
    monkeypatch.setattr(Dataset, "test", property(lambda self: pytest.fail("a search read the test images")))


def storage_of(kind: str, folder) -> str:
    return f"sqlite:///{folder / 'trials.db'}" if kind == "sqlite" else ""


def states(study) -> list[str]:
    return [trial.state.name for trial in search.open_study(study).get_trials()]


@pytest.mark.parametrize("name", searches.SEARCHES)
def test_every_start_of_a_search_lies_in_its_space_and_is_a_configuration(name):
    chosen = searches.find(name)
    assert chosen.config({}).epochs == 20
    assert chosen.config({}).members == 1
    for start in chosen.starts:
        assert chosen.config(start)
        assert start.keys() == chosen.space.keys()
        for setting, space in chosen.space.items():
            assert start[setting] in space.values if isinstance(space, Choice) else space.low <= start[setting] <= space.high


def test_a_search_that_does_not_exist_is_named_with_those_that_do():
    with pytest.raises(SearchError, match="there is no search 'r9'; there are r7, r7-wide"):
        searches.find("r9")


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_trials_are_counted_over_several_calls_and_a_hopeless_one_ends_early(places, in_this_process, without_test_images, kind):
    storage = storage_of(kind, places)
    few = search.describe(TINY, 3, storage)
    assert search.run(few, workers=1) == 3
    assert search.run(few, workers=1) == 0
    study = dataclasses.replace(few, trials=7)
    assert search.run(study, workers=1) == 4
    assert states(study).count("PRUNED") >= 1
    assert len(states(study)) == 7
    results = {result["trial"]: result for result in sweeps.read_results("search-tiny-sample").values()}
    assert sorted(results) == list(range(7))
    hopeless = results[5]  # lr 1e-6
    assert hopeless["pruned"]
    assert hopeless["settings"]["lr"] == 1e-6
    assert len(hopeless["epochs"]) == 2, "half of the epochs"
    assert all(result["test_accuracy"] is None for result in results.values())
    assert all("test_accuracy" not in epoch for result in results.values() for epoch in result["epochs"])
    finished = [result for result in results.values() if not result["pruned"]]
    best = max(finished, key=lambda result: result["val_accuracy"])
    assert f"best, trial {best['trial']}: validation {best['val_accuracy']:.2%}" in search.summary(study)


def test_a_line_lost_by_a_kill_is_written_from_the_storage(in_this_process):
    study = search.describe(TINY, 1)
    search.run(study, workers=1)
    path = sweeps.results_path(study.name)
    line = path.read_text()
    path.unlink()
    with (study.root / "journal.jsonl").open("a") as journal:
        journal.write('{"half a line')
    search.run(study, workers=1)
    assert path.read_text() == line


def test_the_command_prints_the_best_cell_of_the_tables_beside_the_best_trial_and_tests_it(in_this_process, monkeypatch, capsys):
    cell = next(sweeps_cell for sweeps_cell in searches.SWEEPS["r7-lr"].cells(1))
    sweeps.append_result("r7-lr-sample", {"cell": cell.key, "val_accuracy": 0.5, "test_accuracy": 0.4})
    monkeypatch.setattr(executors, "local", lambda jobs, workers: map(executors.work, jobs))
    assert main(["search", "tiny", "--trials", "1", "--workers", "1", "--test", "2"]) == 0
    said = capsys.readouterr().out
    assert "best, trial 0: validation" in said
    assert "best cell of the tables: validation 50.00%, test 40.00% (n=1; r7-lr: Adam, 0.0001)" in said
    assert "(n=2)" in said.splitlines()[-1]
    assert len(sweeps.read_results("search-tiny-sample-best")) == 2
    assert main(["search"]) == 0
    assert "r7-wide" in capsys.readouterr().out


def test_what_was_found_is_shown_without_a_data_set(in_this_process, monkeypatch, capsys):
    search.run(search.describe(TINY, 1), workers=1)
    monkeypatch.setenv("INKLING_DATA", "/nowhere")
    assert main(["search", "tiny", "--show"]) == 0
    assert "0 trials finished" in capsys.readouterr().out
    assert main(["search", "tiny", "--show", "--data", "sample"]) == 0
    assert "1 trials finished" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["search", "tiny", "--show", "--test", "2"], "--test is for training, and --show trains nothing; leave one of the two out"),
        (["search", "--trials", "3"], "--trials is for one NAME, and none is given; give it, or leave --trials out"),
        (["sweep", "r1a", "--show", "--workers", "2"], "--workers is for training, and --show trains nothing; leave one of the two out"),
        (["sweep", "r1a", "--show", "--rows", "1"], "--rows is for training"),
        (["search", "tiny", "--show", "--trials", "3"], "--trials is for training"),
        (["sweep", "--show"], "--show is for one NAME, and none is given; give it, or leave --show out"),
        (["sweep", "--gpus-per-cell", "0.5"], "--gpus-per-cell is for one NAME"),
        (["data", "--images", "x", "--name", "y", "--data", "sample"], "data is sample but --images brings the pictures"),
    ],
)
def test_an_option_that_would_change_nothing_is_refused(command, sentence, capsys):
    assert main(command) == 1
    assert sentence in capsys.readouterr().err


def test_a_storage_that_holds_another_search_is_refused(in_this_process):
    search.run(search.describe(TINY, 1), workers=1)
    changed = dataclasses.replace(TINY, fixed={**FIXED, "epochs": 5})
    with pytest.raises(SearchError, match="its recipe or space has changed since"):
        search.run(search.describe(changed, 1), workers=1)


@pytest.mark.parametrize(
    ("storage", "sentence"),
    [
        ("nonsense", "the storage nonsense cannot be used"),
        ("sqlite:////nowhere/trials.db", "unable to open database file"),
        ("unknown://me:secret@host/trials", "the storage unknown://me@host/trials cannot be used"),
    ],
)
def test_a_storage_that_cannot_be_used_gets_one_sentence_without_its_password(storage, sentence, capsys):
    assert main(["search", "tiny", "--trials", "1", "--storage", storage]) == 1
    said = capsys.readouterr().err
    assert sentence in said
    assert "secret" not in said


def test_a_trial_whose_machine_died_is_done_again_once_its_heartbeat_has_stopped(places, in_this_process):
    study = search.describe(dataclasses.replace(TINY, starts=TINY.starts[:2]), 2, storage_of("sqlite", places))
    study.root.mkdir(parents=True)
    opened = search.open_study(study)
    with pytest.warns(UserWarning, match="supposed to be used with Study.optimize"):
        trial = opened.ask()
    assert trial.suggest_float("lr", 1e-6, 0.02, log=True) == TINY.starts[0]["lr"]
    trial.set_user_attr("place", "elsewhere:/runs")
    opened._storage.record_heartbeat(trial._trial_id)
    assert search.run(study, workers=1) == 1, "of two that are wanted one is at work elsewhere"
    with contextlib.closing(sqlite3.connect(places / "trials.db")) as database, database:  # as if its last sign of life were an hour old
        database.execute("UPDATE trial_heartbeats SET heartbeat = datetime(heartbeat, '-1 hour')")
    assert search.run(study, workers=1) == 1
    again = search.open_study(study).get_trials()[-1]
    assert states(study).count("FAIL") == 1
    assert again.params["lr"] == trial.params["lr"]


def test_processes_on_one_sqlite_file_never_take_the_same_trial(places):
    starts = tuple({**TINY.starts[0], "lr": lr / 1000} for lr in range(1, 17))
    study = search.describe(dataclasses.replace(TINY, starts=starts), 16, storage_of("sqlite", places))
    opened = [search.open_study(study) for _ in range(4)]  # as four processes have them

    def take_four(each) -> list[int]:
        return [each.ask().number for _ in range(4)]

    with warnings.catch_warnings(), ThreadPoolExecutor(4) as pool:
        warnings.filterwarnings("ignore", "Heartbeat of storage is supposed to be used with Study.optimize")
        taken = [number for numbers in pool.map(take_four, opened) for number in numbers]
    assert sorted(taken) == list(range(16))


def test_a_search_whose_process_was_killed_goes_on_and_counts_no_trial_twice(monkeypatch):
    long = dataclasses.replace(TINY, fixed={**FIXED, "epochs": 12}, starts=TINY.starts[:2])
    study = search.describe(long, 4)

    def kill() -> None:
        give_up = time.monotonic() + 180
        while time.monotonic() < give_up:
            told = events.read(study.root / "1")
            if any(event["kind"] == "epoch" for event in told):
                os.kill(told[0]["pid"], signal.SIGKILL)
                return
            time.sleep(0.01)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(SweepError, match="start the same command again"):
        search.run(study, workers=2)
    killer.join()
    monkeypatch.setattr(executors, "in_processes", lambda task, items, workers: map(task, items))
    search.run(study, workers=1)
    trials = search.open_study(study).get_trials()
    counted = [trial for trial in trials if trial.state.name in ("COMPLETE", "PRUNED")]
    lines = [json.loads(line) for line in sweeps.results_path(study.name).read_text().splitlines()]
    assert sorted(line["trial"] for line in lines) == sorted(trial.number for trial in counted)
    assert len(counted) == len({line["cell"] for line in lines}) == 4
    (killed,) = [trial for trial in trials if trial.state.name == "FAIL" and trial.number == 1]
    (again,) = [trial for trial in trials if trial.user_attrs.get("folder") == "1"]
    assert again.params == killed.params
    assert [epoch["epoch"] for epoch in again.user_attrs["result"]["epochs"]] == list(range(1, 13)), "it goes on from its checkpoint"


def test_a_trial_that_is_stopped_again_and_again_is_not_given_up(places, in_this_process, monkeypatch):
    study = search.describe(dataclasses.replace(TINY, starts=TINY.starts[:1]), 1)
    monkeypatch.setattr(search, "_measure", lambda *facts: (_ for _ in ()).throw(Cancelled("told to")))
    for _ in range(search.RETRIES + 3):
        with pytest.raises(Cancelled):
            search.run(study, workers=1)
    monkeypatch.undo()
    waiting = [trial for trial in search.open_study(study).get_trials() if trial.state.name == "WAITING"]
    assert [trial.user_attrs["tries"] for trial in waiting] == [0]
