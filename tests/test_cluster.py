"""Retrains as jobs of a Ray cluster: against a head that is made up, and on a real cluster that loses a node and its head."""

import dataclasses
import json
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs import cluster, events, giving_way, locks, queue, runs, site
from jobs.config import RunConfig
from models import shelf
from tests.browser import free_port
from tests.ray_head import Head, point_at, queued, until
from training.__main__ import main
from ui import panel

LONG = RunConfig(network="fc", hidden=(256,), epochs=80, threads=1, publish="long")
SHORT = RunConfig(network="fc", hidden=(8,), threads=1, publish="short")


@pytest.fixture(autouse=True)
def folders(workshop, monkeypatch):
    monkeypatch.setattr(queue, "_children", [])
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    yield workshop
    for child in queue._children:
        child.kill()
        child.wait()


def state(run: Path) -> str:
    return runs.status(run).state


@pytest.mark.parametrize("learns_from_corrections", [False, True])
def test_a_job_is_told_what_to_train_and_with_what(monkeypatch, folders, learns_from_corrections: bool):
    monkeypatch.setenv("INKLING_CORRECTIONS", "sqlite://")
    monkeypatch.setenv("HOME_SECRET", "hunter2")
    with Head("PENDING", "RUNNING", "SUCCEEDED") as head:
        run = queued(monkeypatch, folders, head, dataclasses.replace(SHORT, corrections=learns_from_corrections))
        assert [place.devices for place in queue.waiting()] == [(queue.RAY,)]
        assert {panel.when(each) for each in queue.forecast(queue.waiting())} == {"when the cluster has room"}
        with pytest.raises(
            queue.Full, match=r"^1 retrain is at work or waiting already, no more than 1 may be; try again when one has ended$"
        ):
            queue.start(SHORT, most=1)
        monkeypatch.setattr(cluster, "TRIES", 1)
        assert cluster.follow(run) == 1  # nobody trained it
    (asked,) = head.submitted
    assert f"-m training fit --job {run}" in asked["entrypoint"]
    assert asked["submission_id"].startswith(f"inkling-{run.name}-")
    assert (asked["entrypoint_num_cpus"], asked["entrypoint_num_gpus"]) == (1.0, 0.0)
    variables = asked["runtime_env"]["env_vars"]
    assert variables["INKLING_RUNS"] == os.environ["INKLING_RUNS"]
    assert variables.get("INKLING_CORRECTIONS") == ("sqlite://" if learns_from_corrections else None)  # it has a password in it
    assert "hunter2" not in json.dumps(asked)
    assert queue.waiting() == []
    assert [event["kind"] for event in events.read(run)] == ["queued", "turn"]


def test_a_job_that_ends_without_a_word_or_is_forgotten_is_submitted_again(monkeypatch, folders):
    with Head("RUNNING", "FAILED", None) as head:
        run = queued(monkeypatch, folders, head, SHORT)
        assert cluster.follow(run) == 1
    assert len(head.submitted) == cluster.TRIES
    assert len({each["submission_id"] for each in head.submitted}) == cluster.TRIES


@pytest.mark.parametrize(("says", "ending", "code"), [("SUCCEEDED", "done", 0), ("FAILED", "failed", 1)])
def test_a_job_that_ends_before_it_was_seen_at_work_is_not_submitted_again(monkeypatch, folders, says, ending, code):
    with Head("PENDING", says) as head:
        run, say = queued(monkeypatch, folders, head, SHORT), head.say

        def end(path: str) -> tuple[int, object]:
            said = say(path)
            if said[1] == {"status": says} and events.read(run)[-1]["kind"] != ending:
                events.append(run, ending)
            return said

        head.say = end
        assert cluster.follow(run) == code
    assert len(head.submitted) == 1
    assert [event["kind"] for event in events.read(run)] == ["queued", ending]


def test_a_job_that_said_how_it_ended_is_not_submitted_again(monkeypatch, folders):
    with Head("RUNNING", "FAILED") as head:
        run = queued(monkeypatch, folders, head, SHORT)
        monkeypatch.setattr(cluster, "_wait_until_over", lambda folder, job, box: events.append(folder, "failed", message="lower lr"))
        assert cluster.follow(run) == 1
    assert len(head.submitted) == 1


def test_a_run_that_is_cancelled_while_its_job_waits_is_taken_back(monkeypatch, folders):
    with Head("PENDING") as head:
        run = queued(monkeypatch, folders, head, SHORT)
        threading.Timer(1.0, runs.cancel, [run]).start()
        assert cluster.follow(run) == 1
    assert head.asked[-1][0].endswith("/stop")
    assert state(run) == "cancelled"
    assert queue.waiting() == []


def test_a_head_that_refuses_is_told_in_one_sentence(monkeypatch, folders, capsys):
    with Head("PENDING") as head:
        head.refusal = 400, "no such resource"
        run = queued(monkeypatch, folders, head, SHORT)
        monkeypatch.setattr(giving_way, "begin", lambda: None)
        assert main(["fit", "--run", str(run)]) == 1
    status = runs.status(run)
    assert status.state == "failed"
    assert status.message.startswith(f'Ray at {head.address} refused the job (HTTP 400: "no such resource"); mend [ray] in inkling.toml')
    assert status.message in capsys.readouterr().err


def test_a_head_that_is_just_starting_is_asked_again(monkeypatch, folders):
    monkeypatch.setattr(cluster, "TRIES", 1)
    with Head("RUNNING", "SUCCEEDED") as head:
        head.refusal = 500, "no agent yet"
        run = queued(monkeypatch, folders, head, SHORT)
        threading.Timer(1.2, setattr, [head, "refusal", None]).start()
        assert cluster.follow(run) == 1
    assert len(head.submitted) >= 3
    assert len({each["submission_id"] for each in head.submitted}) == 1


def test_a_job_is_not_given_up_over_an_inkling_toml_that_is_being_edited_or_a_head_that_says_nothing(monkeypatch, folders):
    monkeypatch.setattr(cluster, "TRIES", 1)
    monkeypatch.setattr(cluster, "LOOKS", 0.05)
    with Head("RUNNING") as head:
        run = queued(monkeypatch, folders, head, SHORT)
        path, say = site.path(), head.say
        whole = path.read_text()
        meanwhile = [
            lambda: None,
            lambda: path.write_text("mode = "),
            lambda: path.write_text(whole),
            lambda: head.states.__setitem__(0, "SUCCEEDED"),
        ]

        def act() -> None:
            meanwhile.pop(0)()
            head.say = say if not meanwhile else lambda path: (200, None)
            if meanwhile:
                threading.Timer(0.4, act).start()

        threading.Timer(0.4, act).start()
        assert cluster.follow(run) == 1
    assert not meanwhile
    assert len(head.submitted) == 1
    assert [event["kind"] for event in events.read(run)] == ["queued", "turn"]  # and not that it failed


def test_a_run_that_is_deleted_while_its_job_trains_ends_its_follower(monkeypatch, folders):
    monkeypatch.setattr(cluster, "TRIES", 1)
    with Head("RUNNING", "SUCCEEDED") as head:
        run = queued(monkeypatch, folders, head, SHORT)
        monkeypatch.setattr(cluster, "_wait_until_over", lambda folder, job, box: shutil.rmtree(folder))
        assert cluster.follow(run) == 1


def test_a_job_of_a_run_that_another_job_trains_waits_for_it(monkeypatch, folders):
    run, lock = runs.create(SHORT)
    os.close(lock)
    monkeypatch.setattr(locks, "ORPHAN", 0.1)
    orphan = locks.acquire_for_job(run)
    assert runs.is_alive(run)
    for take in (locks.acquire, locks.acquire_for_job):
        with pytest.raises(locks.Busy):
            take(run)
    os.close(orphan)
    os.close(locks.acquire_for_job(run))
    assert not runs.is_alive(run)


QUICK = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 2}


@pytest.fixture
def start_cluster(monkeypatch) -> Iterator[Callable]:
    """Starts a head that trains nothing itself, with its dashboard at a port."""
    utilities = pytest.importorskip("ray.cluster_utils", reason="requirements-cluster.txt is not installed")
    pytest.importorskip("aiohttp", reason="ray was installed without its dashboard")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    logging.getLogger("ray").setLevel(logging.ERROR)
    started = []

    def start(port: int):
        settings = {"num_cpus": 0, "include_dashboard": True, "dashboard_port": port, "_system_config": QUICK}
        made = utilities.Cluster(initialize_head=True, head_node_args=settings)
        started.append(made)
        return made

    yield start
    for made in started:
        made.shutdown()


def test_on_a_real_cluster_a_run_outlives_its_node_and_the_head_and_is_cancelled_and_one_shares_no_folder(
    folders, monkeypatch, start_cluster
):
    port = free_port()
    point_at(monkeypatch, folders, f"http://localhost:{port}")
    made = start_cluster(port)
    node = made.add_node(num_cpus=1)
    run, cancelled = queue.start(LONG), queue.start(SHORT)
    until(lambda: len(runs.status(run).epochs) > 2, run)
    assert queue.active_runs() == [run]
    assert [place.run for place in queue.waiting()] == [cancelled]
    runs.cancel(cancelled)
    until(lambda: state(cancelled) == "cancelled")

    made.remove_node(node, allow_graceful=False)
    until(lambda: not locks.is_held(run / locks.JOB_LOCK))
    before = len(runs.status(run).epochs)
    assert state(run) == "running"
    made.add_node(num_cpus=1)
    until(lambda: len(runs.status(run).epochs) > before + 2, run)

    made.shutdown()
    until(lambda: not locks.is_held(run / locks.JOB_LOCK))
    assert state(run) == "running"
    made = start_cluster(port)
    made.add_node(num_cpus=1)
    until(lambda: state(run) == "done", (run / "log.txt").read_text)
    told = [event["kind"] for event in events.read(run)]
    assert told.count("started") == 3
    assert told.count("done") == 1
    assert len(runs.status(run).epochs) == LONG.epochs

    last = queue.start(LONG)
    until(lambda: runs.status(last).steps)
    runs.cancel(last)
    until(lambda: state(last) == "cancelled")
    until(lambda: queue.active_runs() == [])

    point_at(monkeypatch, folders, f"http://localhost:{port}", f"file://{folders}/boxes")
    far = queue.start(SHORT)
    until(lambda: state(far) == "done", (far / "log.txt").read_text)
    assert shelf.load_card("mnist", "short").read_graph()
    until(lambda: "published mnist/short" in (far / "log.txt").read_text())
    until(lambda: list((folders / "boxes").iterdir()) == [])
