"""jobs/queue.py: retrains wait their turn in processes of their own, whoever dies."""

import errno
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jobs import costs, events, locks, queue, runs, site
from jobs.config import RunConfig
from models import datasets
from tests import shapes

ROOT = Path(__file__).parent.parent
PATIENCE = 30.0  # seconds
# In place of `python -m training`: takes its turn, works until it is told to go, and says what it saw.
TRAINING = f"""
import os, sys, time
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from jobs import events, queue
folder = Path(sys.argv[3])
print(sys.argv[1:], flush=True)
if queue.wait_for_turn(folder) is None:
    events.append(folder, "cancelled")
    sys.exit(1)
events.append(folder, "started", pid=os.getpid(), gpu=os.environ.get("CUDA_VISIBLE_DEVICES"))
while not (folder / "go").exists() and not Path("go").exists():
    time.sleep(0.01)
events.append(folder, "done")
"""


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """An empty runs folder, and a training that can be told when to end; what was started is killed in the end."""
    monkeypatch.setenv("INKLING_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (tmp_path / "training.py").write_text(TRAINING)
    monkeypatch.setattr(runs, "ROOT", tmp_path)
    monkeypatch.setattr(queue, "_children", [])
    yield tmp_path / "runs"
    for child in queue._children:
        child.kill()
        child.wait()


def until(what, state="") -> None:
    """Waits until `what()` is true, or the state of the run `what` is `state`."""
    is_true = what if callable(what) else lambda: runs.status(what).state == state
    give_up = time.monotonic() + PATIENCE
    while not is_true():
        assert time.monotonic() < give_up, f"not {state or what} after {PATIENCE} s"
        time.sleep(0.02)


def go(run: Path) -> None:
    """Lets a run come to its end."""
    (run / "go").touch()
    until(run, "done")


def process_of(run: Path) -> int:
    return next(child.pid for child in queue._children if str(run) in child.args)


def names(places) -> list[str]:
    return [place.run.name for place in places]


def test_one_run_is_at_work_and_the_others_wait_in_the_order_they_came():
    runs_made = [queue.start(RunConfig(epochs=number)) for number in (1, 2, 3)]
    first, second, third = runs_made
    until(first, "running")
    assert queue.active_runs() == [first]
    assert names(queue.waiting()) == [second.name, third.name]
    assert [runs.status(run).state for run in runs_made] == ["running", "queued", "queued"]
    go(first)
    until(second, "running")
    assert queue.active_runs() == [second]
    assert names(queue.waiting()) == [third.name]
    go(second)
    go(third)
    until(lambda: queue.active_runs() == [])
    assert queue.waiting() == []


def test_a_fault_that_passes_takes_no_run_its_place(monkeypatch):
    first, second, third = (queue.start(RunConfig()) for _ in range(3))
    until(first, "running")
    until(lambda: len(queue.waiting()) == 2)
    before = queue._entries()

    def open_no_more(run: Path) -> bool:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as fault:
        fault.setattr(runs, "is_alive", open_no_more)
        assert queue.waiting() == []
        assert queue.own_place_if_first(second) is None
    assert queue._entries() == before
    assert names(queue.waiting()) == [second.name, third.name]
    queue._path(before[0][0], second.name).write_bytes(b"\xff")  # and one that is damaged is cleared away
    assert second.name not in names(queue.waiting())


def test_a_run_that_cannot_be_queued_leaves_no_folder(monkeypatch):
    def edited() -> None:
        raise site.SiteError("inkling.toml is no TOML")

    monkeypatch.setattr(site, "read", edited)
    with pytest.raises(site.SiteError):
        queue.start(RunConfig())
    assert runs.list_runs() == []
    assert queue.waiting() == []


def test_no_retrain_begins_while_a_data_set_is_deleted_nor_on_what_is_gone(monkeypatch, tmp_path):
    monkeypatch.setenv("INKLING_DATASETS", str(tmp_path / "datasets"))
    shapes.own_dataset(tmp_path / "datasets", "ants", side=8, channels=1)
    config = RunConfig(dataset="ants", network="fc")
    before = queue.start(config)
    until(before, "running")
    with ThreadPoolExecutor() as people:
        with queue.held_still() as active:
            assert active == [before]
            later = [people.submit(queue.start, config), people.submit(queue.resume, stopped(config))]
            time.sleep(0.2)
            assert not any(each.done() for each in later)
            datasets.remove("ants")
        for each in later:
            with pytest.raises(datasets.DatasetError, match=r"^there is no data set 'ants'"):
                each.result(PATIENCE)
    assert names(queue.waiting()) == []


def stopped(config: RunConfig) -> Path:
    """A run that was cancelled."""
    folder, lock = runs.create(config)
    events.append(folder, "queued", owner="ada")
    events.append(folder, "cancelled")
    os.close(lock)
    return folder


def test_a_run_that_waits_and_is_killed_leaves_the_queue():
    first, second, third = (queue.start(RunConfig()) for _ in range(3))
    until(first, "running")
    until(lambda: len(queue.waiting()) == 2)
    os.kill(process_of(second), signal.SIGKILL)
    until(lambda: names(queue.waiting()) == [third.name])
    assert runs.status(second).state == "crashed"
    assert [path.name.partition(".")[2] for path in (runs.runs_folder() / queue.FOLDER).glob("0*")] == [third.name]
    os.kill(process_of(first), signal.SIGKILL)
    until(third, "running")
    assert runs.status(first).state == "crashed"


def test_a_run_that_waits_and_is_cancelled_never_has_its_turn():
    first, second = queue.start(RunConfig()), queue.start(RunConfig())
    until(first, "running")
    runs.cancel(second)
    until(second, "cancelled")
    assert names(queue.waiting()) == []
    assert "turn" not in [event["kind"] for event in events.read(second)]
    assert runs.status(first).state == "running"


def test_a_full_queue_takes_no_more_and_says_when_to_try_again():
    for _ in range(3):
        queue.start(RunConfig(), most=3)
    with pytest.raises(
        queue.Full, match=r"^3 retrains are at work or waiting already, no more than 3 may be; try again in \d+ (seconds|minutes)$"
    ):
        queue.start(RunConfig(), most=3)
    assert len(runs.list_runs()) == 3


def test_those_who_ask_at_one_moment_are_counted_one_after_the_other():
    stopped = [queue.start(RunConfig()) for _ in range(4)]
    for run in stopped:
        until(lambda run=run: run in queue.active_runs() or run.name in names(queue.waiting()))
        os.kill(process_of(run), signal.SIGKILL)
        until(lambda run=run: not runs.is_alive(run))
    at_once = threading.Barrier(len(stopped) * 3)

    def demand() -> None:
        if len({*names(queue.waiting()), *(run.name for run in queue.active_runs())}) >= 2:
            raise queue.Full("a visitor may have 2")
        time.sleep(0.05)

    def ask(run: Path | None) -> str:
        at_once.wait()
        try:
            queue.resume(run, None, 3, demand) if run else queue.start(RunConfig(), None, "ada", 3, demand)
        except queue.Full as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(at_once.parties) as people:
        said = list(people.map(ask, [*stopped, *[None] * (at_once.parties - len(stopped))]))
    assert sorted(said) == ["", "", *["a visitor may have 2"] * (at_once.parties - 2)]
    assert len({*names(queue.waiting()), *(run.name for run in queue.active_runs())}) == 2


def test_a_run_that_was_killed_is_resumed_in_its_folder_for_its_owner():
    run = queue.start(RunConfig(), owner="ada")
    until(run, "running")
    with pytest.raises(locks.Busy):
        queue.resume(run)
    os.kill(process_of(run), signal.SIGKILL)
    until(run, "crashed")
    queue.resume(run)
    until(run, "running")
    assert runs.owner(run) == "ada"
    by_command, _ = runs.create(RunConfig())
    assert runs.owner(by_command) is None
    go(run)
    until(lambda: not runs.is_alive(run))
    with pytest.raises(locks.Busy, match="is done already; there is nothing to resume"):
        queue.resume(run)
    assert [event["kind"] for event in events.read(run)] == ["queued", "turn", "started", "queued", "turn", "started", "done"]


def test_a_cancelled_run_can_be_resumed():
    first, second = queue.start(RunConfig()), queue.start(RunConfig())
    runs.cancel(second)
    until(second, "cancelled")
    until(lambda: not runs.is_alive(second))
    queue.resume(second)
    assert runs.status(second).state == "queued"
    go(first)
    go(second)


@pytest.mark.parametrize("said_so", [True, False])  # killed by SIGTERM while it published, it has only the mark of it
def test_a_resume_that_fails_leaves_the_run_what_it_was(monkeypatch, said_so):
    first, second = queue.start(RunConfig()), queue.start(RunConfig())
    until(first, "running")
    runs.cancel(second)
    until(second, "cancelled")
    until(lambda: not runs.is_alive(second))
    if not said_so:
        lines = events.content(second).splitlines(keepends=True)
        (second / events.FILE).write_bytes(b"".join(line for line in lines if b'"cancelled"' not in line))
    assert runs.status(second).state == "cancelled"

    def no_memory(*_: object, **__: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    with monkeypatch.context() as patch:
        patch.setattr(queue.subprocess, "Popen", no_memory)
        with pytest.raises(runs.NotWritten, match="Cannot allocate memory"):
            queue.resume(second)
    assert runs.status(second).state == "cancelled"
    assert names(queue.waiting()) == []
    go(first)


def test_two_servers_on_one_folder_run_every_job_once_and_one_at_a_time(root, tmp_path):
    """Two processes start five runs each at the same time; every run works for a moment."""
    (tmp_path / "go").touch()
    server = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom pathlib import Path\nfrom jobs import queue, runs\nfrom jobs.config import RunConfig\n"
    server += f"runs.ROOT = Path({str(tmp_path)!r})\nfor number in range(5): queue.start(RunConfig(network=sys.argv[1]))\n"
    server += "[child.wait() for child in queue._children]"
    servers = [subprocess.Popen([sys.executable, "-c", server, network]) for network in ("fc", "lenet5")]
    assert [each.wait(120) for each in servers] == [0, 0]
    made = runs.list_runs()
    assert len(made) == 10
    spans = []
    for run in made:
        told = events.read(run)
        assert [event["kind"] for event in told] == ["queued", "turn", "started", "done"]
        spans.append((told[1]["time"], told[3]["time"]))
    spans.sort()
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(spans))


def test_each_gpu_has_one_run_which_sees_no_other(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,GPU-8d5f")
    first, second, third = (queue.start(RunConfig()) for _ in range(3))
    until(first, "running")
    until(second, "running")
    assert {runs.status(run).started["gpu"] for run in (first, second)} == {"0", "GPU-8d5f"}
    assert sorted(queue.active_runs()) == sorted([first, second])
    assert runs.status(third).state == "queued"
    on_processor = queue.start(RunConfig(device="cpu"))
    until(on_processor, "running")  # past the one that waits for a GPU
    go(second)
    until(third, "running")
    assert runs.status(third).started["gpu"] == runs.status(second).started["gpu"]


def test_the_queue_outlives_a_file_that_is_no_place_and_an_emptied_folder(root):
    first, second = queue.start(RunConfig()), queue.start(RunConfig())
    until(first, "running")
    (root / queue.FOLDER / "00000000.20260101-000000-mnist-fc").write_text("no JSON")
    assert names(queue.waiting()) == [second.name]
    for path in (root / queue.FOLDER).glob("0*"):
        path.unlink()
    until(lambda: names(queue.waiting()) == [second.name])  # it has taken a place again
    go(first)
    until(second, "running")


def test_the_forecast_adds_up_what_comes_before(monkeypatch):
    monkeypatch.setattr(costs, "seconds", lambda config, pace=None, left=1.0: 100.0 * config.epochs * left)
    first = queue.start(RunConfig(epochs=1))
    until(first, "running")
    for epochs in (2, 3):
        queue.start(RunConfig(epochs=epochs))
    until(lambda: len(queue.waiting()) == 2)
    second, third, one_more = queue.forecast(queue.waiting())
    assert 50 < second <= 100  # what is left of the first
    assert (third - second, one_more - third) == pytest.approx((200, 300))


def test_a_resumed_run_is_expected_to_take_what_is_left_of_it(monkeypatch):
    monkeypatch.setattr(costs, "seconds", lambda config, pace=None, left=1.0: 100.0 * config.epochs * left)
    run = queue.start(RunConfig(epochs=4))
    until(run, "running")
    for epoch in (1, 2, 3):
        events.append(run, "epoch", member=0, epoch=epoch, val_accuracy=0.9)
    os.kill(process_of(run), signal.SIGKILL)
    until(run, "crashed")
    queue.resume(run)
    until(run, "running")
    assert 50 < queue.forecast([])[0] <= 100


def test_without_a_runs_folder_nothing_waits_and_nothing_is_at_work():
    assert (queue.waiting(), queue.active_runs()) == ([], [])


def test_a_started_run_is_the_leader_of_a_session_of_its_own_and_its_log_has_what_it_prints():
    run = queue.start(RunConfig())
    until(run, "running")
    pid = process_of(run)
    assert os.getsid(pid) == pid
    assert str(["fit", "--run", str(run)]) in (run / "log.txt").read_text()


def test_a_secret_for_the_process_is_in_no_file(root):
    run = queue.start(RunConfig(), environment={"INKLING_CORRECTIONS": "postgresql://ada:hunter2@db/x"})
    until(run, "running")
    assert "hunter2" in Path(f"/proc/{process_of(run)}/environ").read_text()
    assert not any(b"hunter2" in path.read_bytes() for path in root.rglob("*") if path.is_file())
