"""jobs/runs.py: a run's status follows from its events and from a real lock, held by real processes."""

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jobs import events, locks, runs
from jobs.config import ConfigError, RunConfig

WAIT = "import sys; sys.stdin.read()"  # until its standard input is closed


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """An empty runs folder."""
    monkeypatch.setenv("INKLING_RUNS", str(tmp_path / "runs"))
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


@pytest.fixture
def run(root):
    """A run whose lock nobody holds."""
    folder, lock = runs.create(RunConfig(), root / "20260101-000000-mnist-lenet5")
    os.close(lock)
    return folder


@pytest.fixture
def holder(run):
    """A child process that holds the lock of `run`, as a training does."""
    lock = locks.acquire(run)
    with subprocess.Popen([sys.executable, "-ISc", WAIT], stdin=subprocess.PIPE, pass_fds=(lock,)) as child:
        os.close(lock)
        yield child
        child.kill()


def kill(child: subprocess.Popen) -> None:
    os.kill(child.pid, signal.SIGKILL)
    child.wait()


def test_a_new_run_is_locked_and_has_its_configuration(root):
    config = RunConfig(dataset="fashion-mnist", network="fc", hidden=())
    folder, lock = runs.create(config)
    assert folder.parent == root
    assert folder.name.endswith("-fashion-mnist-fc")
    assert runs.list_runs() == [folder]
    assert runs.read_config(folder) == config
    assert runs.is_alive(folder)
    os.close(lock)
    assert not runs.is_alive(folder)


def test_a_new_run_appears_whole_and_already_locked(root, monkeypatch):
    acquire, seen = locks.acquire, []

    def watched(folder):
        seen.append((runs.list_runs(), runs.read_config(folder)))
        return acquire(folder)

    monkeypatch.setattr(locks, "acquire", watched)
    folder, lock = runs.create(RunConfig())
    os.close(lock)
    assert seen == [([], RunConfig())]
    assert [path.name for path in root.iterdir()] == [folder.name]


def test_a_run_is_never_made_over_another(run):
    with pytest.raises(FileExistsError, match="exists; give another one, or continue it with --resume"):
        runs.create(RunConfig(epochs=2), run)
    assert runs.read_config(run) == RunConfig()


def test_two_runs_in_one_second_get_two_folders(root, monkeypatch):
    monkeypatch.setattr(runs.time, "time", lambda: 1_700_000_000.0)
    for _ in range(2):
        os.close(runs.create(RunConfig())[1])
    assert len(runs.list_runs()) == 2


def test_folders_above_a_run_are_made(tmp_path):
    folder, lock = runs.create(RunConfig(), tmp_path / "a" / "b")
    os.close(lock)
    assert (folder / "config.json").is_file()


def test_a_run_at_work_cannot_be_taken_over(run, holder):
    with pytest.raises(locks.Busy, match="20260101-000000-mnist-lenet5 is at work in another process; wait for it or cancel it"):
        locks.acquire(run)


def test_a_run_that_told_its_ending_is_waited_for_until_its_process_is_gone(run, monkeypatch):
    events.append(run, "cancelled")
    code = f"import fcntl, time; file = open({str(run / 'lock')!r}); fcntl.flock(file, fcntl.LOCK_EX); print(flush=True); time.sleep(1.5)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as leaving:
        leaving.stdout.readline()
        runs.remove(run)
    assert not run.exists()


def test_a_lock_is_held_for_the_time_of_a_block(run):
    with locks.held(run):
        assert runs.is_alive(run)
    assert not runs.is_alive(run)


def test_a_folder_without_a_lock_is_not_alive(tmp_path):
    assert not runs.is_alive(tmp_path)


def test_a_configuration_that_is_gone_is_told_in_one_sentence(run):
    (run / "config.json").unlink()
    with pytest.raises(ConfigError, match=r"config\.json cannot be read \(No such file or directory\); start the run again"):
        runs.read_config(run)


def test_a_locked_run_that_said_nothing_is_starting(run, holder):
    status = runs.status(run)
    assert (status.state, status.is_active, status.progress, status.ended_at) == ("starting", True, 0.0, None)


def test_a_locked_run_that_has_started_is_running(run, holder):
    events.append(run, "started", time=100.0, pid=holder.pid)
    events.append(run, "step", time=107.0, progress=0.25)
    status = runs.status(run)
    assert (status.state, status.is_active, status.progress, status.seconds) == ("running", True, 0.25, 7.0)
    assert status.started["pid"] == holder.pid


def test_a_running_run_names_its_stage(run, holder):
    stages = []
    for kind, facts in [("started", {}), ("step", {"progress": 0.5}), ("step", {"progress": 1.0}), ("exported", {"name": "fc"})]:
        events.append(run, kind, **facts)
        stages.append(runs.status(run).stage)
    assert stages == ["reading the data", "training", "measuring and publishing", "measuring and publishing"]
    assert runs.status(run).exported["name"] == "fc"


def test_a_killed_run_has_crashed_and_says_where_its_last_words_are(run, holder):
    events.append(run, "started", time=100.0, pid=holder.pid)
    events.append(run, "step", time=101.0, progress=0.5)
    assert runs.status(run).state == "running"
    kill(holder)
    status = runs.status(run)
    assert (status.state, status.is_active, status.ended_at) == ("crashed", False, 101.0)
    assert f"{run.name}/log.txt" in status.message


def test_a_run_killed_before_it_said_anything_has_crashed_too(run, holder):
    kill(holder)
    status = runs.status(run)
    assert (status.state, status.ended_at) == ("crashed", (run / "config.json").stat().st_mtime)


@pytest.mark.parametrize(("state", "progress"), [("done", 1.0), ("failed", 0.0), ("cancelled", 0.0)])
@pytest.mark.parametrize("alive", [True, False])
def test_the_last_event_decides_how_a_run_ended(run, holder, state, progress, alive):
    events.append(run, "started", time=100.0)
    events.append(run, state, time=105.0, message="so it went")
    if not alive:
        kill(holder)
    status = runs.status(run)
    assert (status.state, status.progress, status.seconds, status.ended_at) == (state, progress, 5.0, 105.0)
    assert status.message == "so it went"
    assert not status.is_active


def test_a_run_that_ended_and_was_resumed_is_running(run, holder):
    for kind, moment in [("started", 100.0), ("cancelled", 105.0), ("started", 200.0)]:
        events.append(run, kind, time=moment)
    assert runs.status(run).state == "running"
    assert runs.status(run).started["time"] == 200.0


def test_a_run_cancelled_before_it_had_a_handler_counts_as_cancelled(run, holder):
    runs.cancel(run)
    assert runs.status(run).state == "starting"
    kill(holder)
    status = runs.status(run)
    assert (status.state, status.message) == ("cancelled", "")


def test_cancelling_ends_the_process_of_a_run_at_work(run, holder):
    events.append(run, "started", pid=holder.pid, began=runs.began(holder.pid))
    runs.cancel(run)
    assert holder.wait(10) == -signal.SIGTERM
    assert runs.status(run).state == "cancelled"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody can tell when a process began")
def test_cancelling_hits_no_process_that_was_given_the_number_of_the_one_before(run, holder):
    events.append(run, "started", pid=holder.pid, began=runs.began(holder.pid) - 1)
    runs.cancel(run)
    assert holder.poll() is None
    assert (run / runs.CANCEL).exists()


@pytest.mark.parametrize("kind", ["queued", "turn"])
def test_cancelling_a_resumed_run_that_waits_or_begins_hits_no_process_of_before(run, holder, monkeypatch, kind):
    events.append(run, "started", pid=os.getpid())
    events.append(run, kind)
    hit = []
    monkeypatch.setattr(runs.os, "kill", lambda *facts: hit.append(facts))
    runs.cancel(run)
    assert hit == []
    assert (run / runs.CANCEL).exists()


def test_a_process_without_standard_input_makes_one_run(tmp_path):
    code = "from jobs import runs, config; folder, lock = runs.create(config.RunConfig()); print(lock, runs.is_alive(folder))"
    told = subprocess.run(
        ["/bin/sh", "-c", 'exec "$0" -c "$1" <&-', sys.executable, code],
        cwd=runs.ROOT, env={**os.environ, "INKLING_RUNS": str(tmp_path)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout == "0 True\n"
    assert len([each for each in tmp_path.iterdir() if runs.RUN_ID.fullmatch(each.name)]) == 1


@pytest.mark.parametrize("away", ["queued", "started"])
def test_cancelling_a_run_of_another_machine_leaves_the_mark_only(run, holder, monkeypatch, away):
    hosts = {"queued": socket.gethostname(), "started": socket.gethostname(), away: "elsewhere"}
    events.append(run, "queued", host=hosts["queued"])
    events.append(run, "started", pid=os.getpid(), host=hosts["started"])
    hit = []
    monkeypatch.setattr(runs.os, "kill", lambda *facts: hit.append(facts))
    runs.cancel(run)
    assert hit == []
    assert (run / runs.CANCEL).exists()


def test_cancelling_a_run_that_is_over_hits_no_process(run, monkeypatch):
    events.append(run, "started", pid=os.getpid())
    hit = []
    monkeypatch.setattr(runs.os, "kill", lambda *facts: hit.append(facts))
    runs.cancel(run)
    assert hit == []


def test_a_run_that_was_done_stays_done_when_cancelled(run):
    events.append(run, "started")
    events.append(run, "done")
    runs.cancel(run)
    assert runs.status(run).state == "done"


def test_of_an_epoch_told_twice_the_last_telling_counts(run):
    for member, epoch, accuracy in [(0, 1, 0.5), (0, 2, 0.6), (1, 1, 0.7), (0, 2, 0.8)]:
        events.append(run, "epoch", member=member, epoch=epoch, val_accuracy=accuracy)
    told = [(event["member"], event["epoch"], event["val_accuracy"]) for event in runs.status(run).epochs]
    assert told == [(0, 1, 0.5), (0, 2, 0.8), (1, 1, 0.7)]
    assert runs.status(run).val_accuracy == pytest.approx(0.75)  # of both networks, not of the last one


def test_a_run_without_an_epoch_has_no_accuracy(run):
    assert runs.status(run).val_accuracy is None


def test_the_seconds_left_follow_from_the_pace(run, holder, monkeypatch):
    monkeypatch.setattr(runs.time, "time", lambda: 1012.0)
    events.append(run, "started", time=990.0)
    events.append(run, "step", time=1000.0, progress=0.0)
    assert runs.status(run).seconds_left is None
    events.append(run, "step", time=1010.0, progress=0.25)
    assert runs.status(run).seconds_left == pytest.approx(28.0)  # 30 from the last step on, 2 of them gone


def test_the_seconds_left_are_never_negative(run, holder, monkeypatch):
    monkeypatch.setattr(runs.time, "time", lambda: 9999.0)
    events.append(run, "started", time=990.0)
    events.append(run, "step", time=1000.0, progress=0.5)
    events.append(run, "step", time=1010.0, progress=0.75)
    assert runs.status(run).seconds_left == 0.0


def test_a_resumed_run_is_timed_from_its_resumption(run, holder, monkeypatch):
    monkeypatch.setattr(runs.time, "time", lambda: 2010.0)
    for kind, moment, facts in [
        ("started", 1000.0, {}),
        ("step", 1001.0, {"progress": 0.1}),
        ("started", 1990.0, {}),
        ("step", 2000.0, {"progress": 0.2}),
        ("step", 2010.0, {"progress": 0.3}),
    ]:
        events.append(run, kind, time=moment, **facts)
    assert runs.status(run).seconds_left == pytest.approx(70.0)


def test_runs_are_listed_newest_first_and_foreign_folders_are_ignored(root):
    names = ["20260101-000000-mnist-fc", "20260102-000000-mnist-cnn", "20251231-235959-fashion-mnist-lenet5"]
    for name in [
        *names,
        ".inkling-new-1-2",
        "notes",
        "20260103-mnist-fc",
        "20260103-000000-",
        "20260103-000000-MNIST",
        "20260103-000000-fc~",
    ]:
        (root / name).mkdir()
        (root / name / "config.json").touch()
    assert [folder.name for folder in runs.list_runs()] == [names[1], names[0], names[2]]


def test_there_are_no_runs_before_the_first(root):
    root.rmdir()
    assert runs.list_runs() == []


def test_a_run_leaves_one_core_to_the_page(monkeypatch):
    for cores, threads in [(8, 7), (2, 1), (1, 1), (1000, 256)]:
        monkeypatch.setattr(runs.os, "sched_getaffinity", lambda pid, cores=cores: range(cores))
        assert runs.page_friendly_threads() == threads
    monkeypatch.delattr(runs.os, "sched_getaffinity")  # not Linux
    monkeypatch.setattr(runs.os, "cpu_count", lambda: 4)
    assert runs.page_friendly_threads() == 3


def test_runs_that_begin_at_one_moment_get_a_folder_each():
    count = 12
    at_once = threading.Barrier(count)

    def begin(number: int) -> tuple:
        at_once.wait()
        return runs.create(RunConfig(seed=number))

    with ThreadPoolExecutor(count) as pool:
        made = list(pool.map(begin, range(count)))
    for number, (folder, lock) in enumerate(made):
        assert runs.RUN_ID.fullmatch(folder.name)
        assert runs.read_config(folder).seed == number
        assert runs.is_alive(folder)
        os.close(lock)
    assert len({folder for folder, _ in made}) == count == len(runs.list_runs())


def test_a_run_folder_that_may_not_be_looked_into_is_passed_over(places, monkeypatch):
    folder, lock = runs.create(RunConfig())
    os.close(lock)
    (runs.runs_folder() / "20260101-000000-theirs").mkdir()
    is_file = Path.is_file

    def asked(path: Path) -> bool:
        if "theirs" in str(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", asked)
    assert runs.list_runs() == [folder]


def test_a_run_that_is_given_the_name_of_a_deleted_one_is_its_own_owners(places):
    folder, lock = runs.create(RunConfig())
    events.append(folder, "queued", owner="eve")
    os.close(lock)
    assert runs.owner(folder) == "eve"
    runs.remove(folder)
    assert runs.owner(folder) is None
    again, lock = runs.create(RunConfig(), folder)
    events.append(again, "queued", owner="bob")
    os.close(lock)
    assert (again, runs.owner(again)) == (folder, "bob")


def test_a_folder_of_runs_that_cannot_be_read_has_none_and_says_why(places, monkeypatch):
    assert runs.unreadable() == ""
    (places / "file").write_text("no folder")
    monkeypatch.setenv("INKLING_RUNS", str(places / "file"))
    assert runs.list_runs() == []
    assert runs.unreadable() == "The folder of retrains cannot be read (Not a directory); check INKLING_RUNS and the rights to it"
