"""Sweeps on a real Ray cluster of two nodes on this machine, one of which is killed with a cell at work."""

import dataclasses
import logging
import os
import signal
import socket
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from jobs import events, runs, sweeps, tables
from jobs.config import ConfigError
from jobs.sweeps import Column, Row, Sweep, SweepError
from training import executors, on_ray, sweep
from training.__main__ import main

ray = pytest.importorskip("ray", reason="requirements-cluster.txt is not installed")

SMALL = {"network": "fc", "hidden": (16,), "channels": (6, 16, 120), "activation": "relu", "epochs": 12}
SWEEP = Sweep(
    name="tiny", title="Tiny", about="for the tests", recipe="r1-lenet5", seeds=1,
    columns=(Column(title="one", settings={"lr": 0.05}), Column(title="two", settings={"lr": 0.1})),
    rows=(Row(title="40", settings={**SMALL, "batch_size": 40}), Row(title="80", settings={**SMALL, "batch_size": 80})),
)  # fmt: skip


QUICK = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500}  # a dead node is found out in 3 s, not in 15


@pytest.fixture(autouse=True)
def own_places(places, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.fixture(scope="module")
def cluster():
    """A head and a second node, one core each. The second one may be killed: `add_node` gives another."""
    from ray.cluster_utils import Cluster

    logging.getLogger("ray").setLevel(logging.ERROR)
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, "_system_config": QUICK})
    yield made
    made.shutdown()


def measured() -> dict[str, tuple[float, float]]:
    return {key: (each["val_accuracy"], each["test_accuracy"]) for key, each in sweeps.read_results("tiny-sample").items()}


def at_work() -> set[int]:
    """The processes that train a cell now: those that began one whose folder is still there."""
    folders = (runs.runs_folder() / "sweep-tiny-sample").glob("*/events.jsonl")
    return {event["pid"] for path in folders for event in events.read(path.parent) if event["kind"] == "started"}


def wait_for(condition, seconds: float = 60) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_no_cell_is_lost_or_doubled_when_a_node_dies_in_mid_sweep(cluster, monkeypatch, tmp_path):
    node = cluster.add_node(num_cpus=1)
    killed_at = []

    def kill_when_both_nodes_train() -> None:
        wait_for(lambda: len(at_work()) >= 2)
        cluster.remove_node(node, allow_graceful=False)
        killed_at.append(len(measured()))

    killer = threading.Thread(target=kill_when_both_nodes_train)
    killer.start()
    monkeypatch.setitem(tables.SWEEPS, "tiny", SWEEP)
    assert main(["sweep", "tiny", "--ray", cluster.address]) == 0
    killer.join()
    lines = sweeps.results_path("tiny-sample").read_text().splitlines()
    assert killed_at[0] < 4, "the node died when all was done: make the cells longer"
    assert len(lines) == len(measured()) == 4
    assert set(measured()) == {cell.key for cell in SWEEP.cells()}
    assert not (runs.runs_folder() / "sweep-tiny-sample").exists()

    on_cluster = measured()
    monkeypatch.setenv("INKLING_EXPERIMENTS", str(tmp_path / "local"))
    sweep.run(SWEEP, lambda jobs: map(executors.work, jobs))  # what the local executor's processes do
    assert measured() == on_cluster


@pytest.fixture
def control_c():
    """^C as at a terminal: a shell's background job, as this suite may be, is started with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_control_c_ends_the_cells_at_work_and_keeps_their_checkpoints(cluster, control_c):
    (cell,) = dataclasses.replace(SWEEP, columns=SWEEP.columns[:1], rows=(Row(title="long", settings={**SMALL, "epochs": 1000}),)).cells()
    folder = runs.runs_folder() / "sweep-tiny" / cell.key

    def press_when_it_trains() -> None:
        wait_for(lambda: any(event["kind"] == "epoch" for event in events.read(folder)))
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press_when_it_trains).start()
    with pytest.raises(KeyboardInterrupt):
        list(on_ray.on_ray([executors.Job(cell=cell, folder=folder)], cluster.address))
    assert (folder / "member-0.safetensors").is_file()
    told = len(events.read(folder))
    time.sleep(0.5)
    assert len(events.read(folder)) == told, "the cell goes on"


def test_a_cell_that_fails_takes_nothing_from_those_that_ended_beside_it(tmp_path):
    class Cluster:
        exceptions, cancelled = ray.exceptions, []

        def put(self, dataset):
            return dataset

        def wait(self, cells, num_returns, timeout=None):
            return cells[:num_returns], cells[num_returns:]

        def cancel(self, key, force):
            self.cancelled.append(key)

        def get(self, key):
            if key == keys[0]:
                raise ray.exceptions.RayTaskError("work", "", SweepError("a cell failed"))
            if key == keys[1]:
                raise ray.exceptions.TaskCancelledError
            return {"cell": key}

    jobs = [executors.Job(cell=cell, folder=tmp_path / "sweep-tiny" / cell.key) for cell in SWEEP.cells()]
    keys = [job.cell.key for job in jobs]
    results = on_ray._results(Cluster(), jobs, SimpleNamespace(remote=lambda job, *_: job.cell.key))
    assert [next(results)["cell"], next(results)["cell"]] == keys[2:]
    with pytest.raises(SweepError, match="a cell failed"):
        next(results)
    assert Cluster.cancelled == keys[1:]


def test_an_address_where_nothing_answers_gets_one_sentence(capsys, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert main(["sweep", "r1a", "--ray", f"127.0.0.1:{port}"]) == 1
    assert f"nothing answers at 127.0.0.1:{port}" in capsys.readouterr().err
    monkeypatch.setenv("RAY_ADDRESS", f"ray://127.0.0.1:{port}")
    assert main(["sweep", "r1a", "--ray"]) == 1
    assert f"nothing answers at ray://127.0.0.1:{port}" in capsys.readouterr().err


def test_an_address_where_something_else_answers_is_given_up(monkeypatch):
    monkeypatch.setattr(on_ray, "HANDSHAKE", 4.0)
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(SweepError, match="proved no Ray cluster within 4 s"):
        list(on_ray.on_ray([], f"127.0.0.1:{other.getsockname()[1]}"))


def test_a_cluster_of_another_version_is_told_with_both_versions(cluster, monkeypatch, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import ray\nray.__version__ = '1.2.3'\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(SweepError, match=r"cannot be used: versions differ\. .*Ray: \d.*Ray: 1\.2\.3"):
        list(on_ray.on_ray([], cluster.address))


def test_ray_that_is_not_installed_is_told_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SweepError, match=r"Ray is not installed; install it with: .* requirements-cluster\.txt"):
        list(on_ray.on_ray([]))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--ray", "127.0.0.1:1", "--gpus-per-cell", "2"], "gpus-per-cell is 2; it must be a number from 0 to 1"),
        (["--gpus-per-cell", "0.5"], "gpus-per-cell is for a Ray cluster"),
    ],
)
def test_a_part_of_a_gpu_out_of_place_is_refused(options, sentence, capsys):
    assert main(["sweep", "r1a", *options]) == 1
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(("gpus", "asked", "granted"), [(0, None, 0), (2, None, 0.25), (2, 0.5, 0.5), (2, 0, 0)])
def test_a_cell_gets_a_quarter_of_a_gpu_where_there_are_any(gpus, asked, granted):
    class Cluster:
        def cluster_resources(self):
            return {"CPU": 4.0, **({"GPU": gpus} if gpus else {})}

    assert on_ray._gpus(Cluster(), "here", asked) == granted
    with pytest.raises(ConfigError, match="has no GPU"):
        on_ray._gpus(type("Bare", (), {"cluster_resources": lambda self: {}})(), "here", 0.5)


def test_a_node_without_the_runs_folder_trains_in_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(on_ray.tempfile, "tempdir", str(tmp_path / "node"))
    cell = next(SWEEP.cells())
    job = executors.Job(cell=cell, folder=tmp_path / "runs" / "sweep-tiny" / cell.key)
    token = on_ray._token(job.folder.parent)
    with on_ray._folder(job, token) as folder:
        assert folder == job.folder
    with on_ray._folder(job, "another machine's") as folder:
        assert folder.is_relative_to(tmp_path / "node")


def test_the_orphan_of_a_lost_node_is_not_joined_in_its_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(on_ray, "PATIENCE", 1)
    cell = next(SWEEP.cells())
    job = executors.Job(cell=cell, folder=tmp_path / "sweep-tiny" / cell.key)
    token = on_ray._token(job.folder.parent)
    with on_ray._folder(job, token) as orphans, on_ray._folder(job, token) as folder:
        assert orphans == job.folder != folder
