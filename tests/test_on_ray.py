"""Sweeps on a real Ray cluster of two nodes on this machine, one of which is killed with a cell at work."""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from jobs import events, runs, sweeps
from jobs.config import ConfigError
from jobs.runs import ROOT
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


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    for name, value in {
        "INKLING_RUNS": tmp_path / "runs",
        "INKLING_EXPERIMENTS": tmp_path / "experiments",
        "INKLING_DATA": "sample",
    }.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.fixture(scope="module")
def cluster():
    """A head and a second node, one core each. The second one may be killed: `add_node` gives another."""
    from ray.cluster_utils import Cluster

    logging.getLogger("ray").setLevel(logging.ERROR)
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield made
    made.shutdown()


def measured() -> dict[str, tuple[float, float]]:
    return {key: (each["val_accuracy"], each["test_accuracy"]) for key, each in sweeps.read_results("tiny-sample").items()}


def at_work() -> set[int]:
    """The processes that train a cell now: those that began one whose folder is still there."""
    folders = (runs.runs_folder() / "sweep-tiny").glob("*/events.jsonl")
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
    added = sweep.run(SWEEP, lambda jobs: on_ray.on_ray(jobs, cluster.address))
    killer.join()
    lines = sweeps.results_path("tiny-sample").read_text().splitlines()
    assert killed_at[0] < 4, "the node died when all was done: make the cells longer"
    assert added == len(lines) == len(measured()) == 4
    assert set(measured()) == {cell.key for cell in SWEEP.cells()}
    assert not (runs.runs_folder() / "sweep-tiny").exists()

    on_cluster = measured()
    monkeypatch.setenv("INKLING_EXPERIMENTS", str(tmp_path / "local"))
    sweep.run(SWEEP, lambda jobs: executors.local(jobs, workers=2))
    assert measured() == on_cluster
