"""Cells of a sweep on the nodes of a Ray cluster: an executor like training.executors.local.

The driver, which is the command that was typed, alone writes results: a cell that two nodes trained is written once.
Ray is an optional requirement (requirements-cluster.txt) and imported only where it is used.

- Code: the packages that training needs are copied from this checkout to every node, so that all run the same one.
- Data: the driver reads the images and puts them into the object store, which copies them once to each node and shares
  them among its cells. Were each node to look for itself, one without the data would quietly train on the bundled sample.
- Checkpoints: in the runs folder where a node shares it, so that another node goes on where a lost one was; otherwise in
  the node's own scratch folder, and the cell begins again.
"""

import contextlib
import dataclasses
import logging
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jobs import locks, runs
from jobs.config import ConfigError
from jobs.sweeps import Result, SweepError
from models.errors import InklingError
from training import data as data_sets
from training.executors import Job

PACKAGES = ("inference", "jobs", "models", "training")
GPUS_PER_CELL = 0.25  # of one GPU: these networks leave most of one idle
RETRIES = 5  # of a cell whose node or process was lost; one that brings down its process each time ends
KNOCK = 10.0  # seconds for the address to take a connection
HANDSHAKE = 60.0  # seconds for what answers there to prove a Ray cluster; Ray itself would try for many minutes
GRACE = 10.0  # seconds for cells to reach a step after ^C
PATIENCE = 5  # seconds for the orphan of a lost node to leave a cell's folder
TOKEN = ".driver"  # a file beside the cells' folders that a node finds only where it shares the runs folder

# Ray is not to send usage statistics anywhere; it reads this when it is imported and when it starts a cluster.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


def on_ray(jobs: Sequence[Job], address: str = "auto", gpus_per_cell: float | None = None) -> Iterator[Result]:
    """Trains the jobs on a cluster, one CPU core each, and yields results in the order in which they are done.

    address: as ray.init takes it, HOST:PORT or ray://HOST:PORT; "auto" is $RAY_ADDRESS, else the cluster of this machine.
    gpus_per_cell: 0 to 1; None is a quarter where the cluster has GPUs and otherwise 0. Raises SweepError when Ray is not
    installed or no cluster of this version answers, and, after all other cells, when cells were lost RETRIES times;
    ConfigError when gpus_per_cell is out of its range or there is no GPU; else what training.cell.measure raises.
    """
    if gpus_per_cell is not None and not 0 <= gpus_per_cell <= 1:
        raise ConfigError(f"gpus-per-cell is {gpus_per_cell:g}; it must be a number from 0 to 1")
    ray = _import()
    address = _checked(address)
    with _code(needs_shelf=any(job.cell.config.start_from or job.cell.config.teacher for job in jobs)) as code:
        environment = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
        ray.init(
            address,
            runtime_env={"working_dir": str(code), "env_vars": environment},
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    try:
        options = {"num_cpus": 1, "num_gpus": _gpus(ray, address, gpus_per_cell), "max_retries": RETRIES, "scheduling_strategy": "SPREAD"}
        yield from _results(ray, jobs, ray.remote(_work).options(**options))
    finally:
        ray.shutdown()


def _results(ray: Any, jobs: Sequence[Job], work: Any) -> Iterator[Result]:
    images = {}
    for name, folder in {(job.cell.config.dataset, job.data) for job in jobs}:
        dataset = data_sets.find(name, folder)
        dataset.train, dataset.validation, dataset.test  # noqa: B018 - read here, once; what is read travels along
        images[name] = ray.put(dataset)
    pending = {work.remote(_absolute(job), images[job.cell.config.dataset], _token(job.folder.parent)): job for job in jobs}
    lost, failure = 0, None
    try:
        while pending and failure is None:
            (done, *_), _ = ray.wait(list(pending), num_returns=1)
            job = pending.pop(done)
            try:
                result = ray.get(done)
            except ray.exceptions.RayTaskError as error:
                failure = error.cause if isinstance(error.cause, InklingError) else error
            except ray.exceptions.RayError:  # its process or node went, again and again
                lost += 1
            else:
                shutil.rmtree(job.folder, ignore_errors=True)  # what a try of another day left here
                yield result
    except KeyboardInterrupt as interrupt:
        failure = interrupt
    finally:
        ended = _stopped(ray, list(pending))
    for each in ended:
        with contextlib.suppress(ray.exceptions.RayError):  # it was stopped
            yield ray.get(each)
    if failure is not None:
        raise failure from None
    if lost:
        raise SweepError(
            f"{lost} cell{'s were' if lost > 1 else ' was'} lost with node or process {RETRIES + 1} times; "
            "start the same command again: it goes on with what is missing"
        )


def _stopped(ray: Any, pending: list[Any]) -> list[Any]:
    """Stops the cells that are left, and returns those that have ended: what some had come to by then counts."""
    for each in pending:
        ray.cancel(each, force=False)  # as ^C in the cell's process: it keeps its checkpoint
    return ray.wait(pending, num_returns=len(pending), timeout=GRACE)[0] if pending else []


def _work(job: Job, dataset: data_sets.Dataset, token: str) -> Result:
    """Does one job in a process of a node, which is as quiet as its log."""
    import ray

    from training import cell

    if not ray.get_gpu_ids():
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # what was not granted is not used
    with _folder(job, token) as folder:
        return cell.measure(job.cell, folder, dataset, tests_each_epoch=job.tests_each_epoch)


@contextlib.contextmanager
def _folder(job: Job, token: str) -> Iterator[Path]:
    """The folder that this node trains the job in, held by it alone.

    Processes of a lost node may outlive it by a moment and still write; where one does not leave, the cell gets a folder
    of its own.
    """
    try:
        shared = (job.folder.parent / TOKEN).read_text() == token
    except OSError:
        shared = False
    place = job.folder if shared else Path(tempfile.gettempdir(), f"inkling-{os.getuid()}", job.folder.parent.name, job.folder.name)
    gate = place.with_name(f"{place.name}.gate")
    with contextlib.ExitStack() as stack:
        for attempt in range(PATIENCE):
            gate.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(locks.held(gate))
                break
            except locks.Busy:
                if attempt == PATIENCE - 1:
                    place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="inkling-"))) / job.folder.name
        yield place


def _token(root: Path) -> str:
    """Leaves a mark in the runs folder that nodes can look for, and returns what is in it."""
    root.mkdir(parents=True, exist_ok=True)
    path = root / TOKEN
    if not path.exists():
        path.write_text(secrets.token_hex())
    return path.read_text()


def _absolute(job: Job) -> Job:
    return dataclasses.replace(job, folder=job.folder.resolve(), data=None)


def _import() -> Any:
    try:
        import ray
    except ImportError:
        raise SweepError("Ray is not installed; install it with: python -m pip install -r requirements-cluster.txt") from None
    return ray


def _checked(address: str) -> str:
    """The address, once a cluster of this version of Ray and Python has answered there. Raises SweepError.

    Ray has no time limit for it: at an address where nothing or something else answers, it tries on for minutes. So a
    process of its own asks, which can be ended.
    """
    address = os.environ.get("RAY_ADDRESS") or address if address == "auto" else address
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK).close()
        except (OSError, OverflowError) as error:
            raise SweepError(f"nothing answers at {address} ({error}); start Ray there or give another address with --ray") from None
    command = [sys.executable, "-c", "import sys, ray; ray.init(sys.argv[1], log_to_driver=False, logging_level='ERROR')", address]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=HANDSHAKE, check=False)
    except subprocess.TimeoutExpired:
        raise SweepError(
            f"what answers at {address} proved no Ray cluster within {HANDSHAKE:.0f} s; give the address that ray start printed"
        ) from None
    if asked.returncode:
        raise SweepError(f"{address} cannot be used: {_reason(asked.stderr)}")
    return address


def _reason(stderr: str) -> str:
    """One sentence for what Ray said with a traceback."""
    said = stderr.strip()
    if "Version mismatch" in said:
        versions = " ".join(said.partition("Version mismatch:")[2].split())
        return f"versions differ. {versions}. Install the cluster's versions of Ray and Python here"
    if "Could not find any running Ray instance" in said:
        return "no Ray cluster runs on this machine; start one with ray start --head, give --ray HOST:PORT, or set RAY_ADDRESS"
    return said.splitlines()[-1] if said else "Ray ended without a word"


def _gpus(ray: Any, address: str, asked: float | None) -> float:
    """The part of a GPU that a cell gets."""
    there = ray.cluster_resources().get("GPU", 0) > 0
    if asked and not there:
        raise ConfigError(f"gpus-per-cell is {asked:g} but the cluster at {address} has no GPU; leave it out")
    return (GPUS_PER_CELL if there else 0) if asked is None else asked


@contextlib.contextmanager
def _code(needs_shelf: bool) -> Iterator[Path]:
    """A copy of the packages that a cell needs, for Ray to send: not the runs, data and environments that lie beside them."""
    left_out = ["__pycache__"] if needs_shelf else ["__pycache__", "*.onnx"]
    with tempfile.TemporaryDirectory(prefix="inkling-") as folder:
        for package in PACKAGES:
            shutil.copytree(runs.ROOT / package, Path(folder, package), ignore=shutil.ignore_patterns(*left_out))
        yield Path(folder)
