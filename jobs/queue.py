"""The queue: retrains started in the app wait their turn, one at work a device.

A run that waits is a process already: it holds its run's lock, has a place in the queue, and has not imported torch yet (25 MB). So a
place outlives the server, two servers on one runs folder see one queue, nothing has to hand the work out, and what dies is out of the
queue, for the kernel frees its lock. The first in the queue takes the lock of a device as soon as that is free, and keeps it to its end.
"""

import contextlib
import fcntl
import heapq
import itertools
import json
import math
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs import costs, events, locks, runs, site
from jobs.config import RunConfig
from models import datasets
from models.errors import InklingError

FOLDER = ".queue"  # of the runs folder; a file a place, NUMBER.RUN
LOOKS = 0.25  # seconds between two looks of a waiting process
MOST_RUNS = 20  # at work or waiting
GPUS = "CUDA_VISIBLE_DEVICES"
RAY = "ray"  # stands for all devices of a cluster, which gives them out itself (jobs/cluster.py)

_children: list[subprocess.Popen] = []


class Full(InklingError):
    """The queue has no place left. The message says when to try again."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A run that waits. owner: who asked for it, as whoever started it names them. seconds: it is expected to take, once it is at work.

    devices: those it may take, the first that is free."""

    run: Path
    number: int
    owner: str
    seconds: float
    devices: tuple[str, ...]


def devices(config: RunConfig) -> tuple[str, ...]:
    """The devices of this machine that a configuration may take: each GPU for itself, or the processor. torch is not asked: it is slow to import."""
    if site.read().ray_address:
        return (RAY,)
    listed = os.environ.get(GPUS)
    if listed is None:
        # CUDA counts from 0 what it may see: in a container with one GPU that may be /dev/nvidia3.
        gpus = [str(number) for number, _ in enumerate(Path("/dev").glob("nvidia[0-9]*"))]
    else:
        gpus = [each.strip() for each in listed.split(",") if each.strip() not in ("", "-1")]
    if config.device == "cpu" or config.network == "softmax" or not gpus:
        gpus = []
    return tuple(f"{socket.gethostname()}/{name}" for name in (gpus or ["cpu"]))


def is_for_gpu(config: RunConfig) -> bool:
    """Whether a run is to be trained on a GPU, as far as can be told before: what a cluster's nodes have, its runs tell."""
    places = devices(config)
    if places == (RAY,):
        return site.read().ray_gpus > 0
    return not places[0].endswith("/cpu")


def expected_seconds(config: RunConfig, left: float = 1.0) -> float:
    """How long a run would take, from its turn to its network on the shelf. left: share of its epochs that is to be trained yet."""
    return costs.seconds(config, costs.speed(is_for_gpu(config)), left)


def expected_left(folder: Path) -> float:
    """How long a run that stopped would take from its checkpoint on, of a new one all of it. Raises ConfigError."""
    config = runs.read_config(folder)
    trained = len(runs.status(folder, alive=False).epochs)
    return expected_seconds(config, max(0.0, 1 - trained / (config.epochs * config.members)))


def start(
    config: RunConfig,
    environment: Mapping[str, str] | None = None,
    owner: str = "",
    most: int = MOST_RUNS,
    demand: Callable[[], None] = lambda: None,
    granted: float | None = None,
) -> Path:
    """Gives a configuration a run folder and a place in the queue and returns the folder.

    environment: variables that the process has beside those of this one; what is secret goes here, not into a file or a command.
    owner: who may cancel it, kept in the run's events. most: runs that may be at work or wait. demand: raises what else forbids it,
    asked while nobody can take a place: two clicks at one moment are counted one after the other. granted: seconds of epochs after
    which it is stopped (training/fit_command.py), None for no end. Raises Full, DatasetError, and what `demand` raises.
    """
    _reap()
    with _locked():
        datasets.info(config.dataset)  # it may have been deleted a moment ago
        _demand_place(most)
        demand()
        folder, lock = runs.create(config)
        try:
            _begin(folder, lock, config, environment, owner, granted)
        except Exception:  # a disk that is full, an inkling.toml that is being edited
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            os.close(lock)
    return folder


def resume(
    folder: Path,
    environment: Mapping[str, str] | None = None,
    most: int = MOST_RUNS,
    demand: Callable[[], None] = lambda: None,
    granted: float | None = None,
) -> None:
    """Gives a run that stopped another place in the queue; it goes on from its checkpoint. Raises Full, locks.Busy, ConfigError, DatasetError.

    most, demand, granted: as of `start`.
    """
    _reap()
    config = runs.read_config(folder)
    lock = locks.acquire(folder)  # before the queue's, for it may be waited for
    try:
        if runs.status(folder, alive=False).state == "done":
            raise locks.Busy(f"{folder.name} is done already; there is nothing to resume")
        with _locked():
            leave(folder)  # the place of a process that was killed while it waited
            datasets.info(config.dataset)
            _demand_place(most)
            demand()
            was_cancelled = (folder / runs.CANCEL).exists()
            (folder / runs.CANCEL).unlink(missing_ok=True)
            ended = [event for event in events.read(folder) if event["kind"] in events.ENDINGS][-1:]
            try:
                _begin(folder, lock, config, environment, runs.owner(folder) or "", granted)
            except Exception:  # it stays what it was: cancelled, failed or crashed
                leave(folder)
                with contextlib.suppress(OSError):
                    if was_cancelled:
                        (folder / runs.CANCEL).touch()
                    for event in ended:
                        events.append(folder, **{name: value for name, value in event.items() if name != "time"})
                raise
    finally:
        os.close(lock)


@contextlib.contextmanager
def held_still() -> Iterator[list[Path]]:
    """The runs that wait or are at work; within the block none is added to them, by this process or another. Raises NotWritten."""
    with _locked():
        waits = [place.run for place in waiting()]  # first: one whose turn comes in between is both
        yield [*waits, *active_runs()]


def _demand_place(most: int) -> None:
    places = waiting()
    count = len({*(place.run for place in places), *active_runs()})  # in this order: one whose turn comes in between is both
    if count >= most:
        soonest = next(iter(forecast(places)))
        when = "when one has ended" if math.isinf(soonest) else f"in {costs.in_words(soonest)}"
        raise Full(
            f"{count} {'retrain is' if count == 1 else 'retrains are'} at work or waiting already, no more than {most} may be; try again {when}"
        )


def _begin(folder: Path, lock: int, config: RunConfig, environment: Mapping[str, str] | None, owner: str, granted: float | None) -> None:
    try:
        expected = expected_left(folder)
        events.append(
            folder, "queued", owner=owner, host=_host(), seconds=round(expected, 1), **({} if granted is None else {"granted": granted})
        )
        _take_place(folder, config, expected)
        with (folder / "log.txt").open("ab") as log:
            _children.append(
                subprocess.Popen(
                    [sys.executable, "-m", "training", "fit", "--run", str(folder)],
                    cwd=runs.ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    # Threads that wait asleep leave the cores to the page; spinning ones, once preempted, stall each other.
                    env={**os.environ, **(environment or {}), "OMP_WAIT_POLICY": "passive", "PYTHONUNBUFFERED": "1"},
                    pass_fds=(lock,),
                )
            )
    except OSError as error:
        raise runs.NotWritten(runs.sentence(error, folder)) from None


def _take_place(folder: Path, config: RunConfig, expected: float) -> None:
    """Puts a run at the end of the queue, whose lock is held."""
    facts = {"seconds": expected, "devices": devices(config)}
    number = max((number for number, _ in _entries()), default=0) + 1
    scratch = runs.runs_folder() / FOLDER / f".{number}"
    scratch.write_text(json.dumps(facts))
    scratch.rename(_path(number, folder.name))


def _entries() -> list[tuple[int, str]]:
    """Numbers and names of all runs that have a file in the queue, first come first."""
    try:
        names = os.listdir(runs.runs_folder() / FOLDER)
    except (FileNotFoundError, NotADirectoryError, PermissionError):  # `runs.unreadable` tells of the latter
        return []
    found = [name.partition(".") for name in names if re.match(r"\d{8}\.", name)]
    return sorted((int(number), name) for number, _, name in found)


def waiting() -> list[Place]:
    """The runs that wait, first come first; the file of one whose process is gone is cleared away.

    One that cannot be looked at now, as when too many files are open, is left out and keeps its place.
    """
    places = []
    for number, name in _entries():
        run, path = runs.runs_folder() / name, _path(number, name)
        with contextlib.suppress(OSError):
            place = _place(number, run, path.read_bytes())
            if place and runs.is_alive(run):
                places.append(place)
            else:
                path.unlink()
    return places


def _place(number: int, run: Path, text: bytes) -> Place | None:
    """What a run's file in the queue says; None where it is damaged."""
    try:
        facts = json.loads(text)
        devices = tuple(facts["devices"])
        return Place(run=run, number=number, owner=runs.owner(run) or "", seconds=float(facts["seconds"]), devices=devices)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def wait_for_turn(folder: Path) -> int | None:
    """Waits until the run of this process is the first of those that want its devices and one of these is free. Called once, by that process.

    Returns the descriptor of the device's lock, to be kept open to the end, or None when the run was cancelled. Of several GPUs
    the process then sees its own alone: torch must not have been imported before.
    """
    while not (folder / runs.CANCEL).exists():
        own = own_place_if_first(folder)
        for device in own.devices if own else ():
            descriptor = _take_device(device, folder.name)
            if descriptor is not None:
                leave(folder)
                events.append(folder, "turn", device=device)
                if not device.endswith("/cpu"):
                    os.environ[GPUS] = device.partition("/")[2]
                return descriptor
        time.sleep(LOOKS)
    leave(folder)
    return None


def own_place_if_first(folder: Path) -> Place | None:
    """The place of the run of this process, unless another run before it waits for a device that it could take."""
    places = waiting()
    own = next((place for place in places if place.run.name == folder.name), None)
    if own is None and any(name == folder.name for _, name in _entries()):  # it could not be looked at
        return None
    if own is None:  # somebody emptied the folder: at the end again
        config = runs.read_config(folder)
        with _locked():
            _take_place(folder, config, expected_left(folder))
        return None
    is_first = not any(set(place.devices) & set(own.devices) for place in places if place.number < own.number)
    return own if is_first else None


def leave(folder: Path) -> None:
    """Gives up a run's place."""
    for number, name in _entries():
        if name == folder.name:
            _path(number, name).unlink(missing_ok=True)


def take_slot(folder: Path) -> int:
    """Has a run on the cluster count as at work. Returns the descriptor of a lock, to be kept open to the end."""
    for number in itertools.count():
        descriptor = _take_device(f"{RAY}/{number}", folder.name)
        if descriptor is not None:
            return descriptor


def _host() -> str:
    """The machine whose process numbers a run's events have. Those of a cluster are nobody's here: a signal would hit somebody else."""
    return RAY if site.read().ray_address else socket.gethostname()


def _path(number: int, name: str) -> Path:
    return runs.runs_folder() / FOLDER / f"{number:08d}.{name}"


def _device_path(device: str) -> Path:
    return runs.runs_folder() / f".device-{re.sub(r'[^A-Za-z0-9._-]', '-', device)}.lock"


def _take_device(device: str, name: str) -> int | None:
    descriptor = os.open(_device_path(device), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    # A look of `active_runs` holds it for a moment, which may not cost a run its turn.
    if not locks.flock(descriptor, fcntl.LOCK_EX, patience=0.1):
        os.close(descriptor)
        return None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, name.encode(), 0)
    return descriptor


def active_runs() -> list[Path]:
    """The runs at work that were started from the app, by whichever server; runs of the command line are their own affair."""
    found = []
    for path in sorted(runs.runs_folder().glob(".device-*.lock")):
        with contextlib.suppress(OSError), path.open() as file:
            if not locks.flock(file.fileno(), fcntl.LOCK_SH):
                run = runs.runs_folder() / file.read()
                if runs.RUN_ID.fullmatch(run.name) and runs.is_alive(run):
                    found.append(run)
    return found


def forecast(places: Sequence[Place]) -> list[float]:
    """In how many seconds each place is expected to be at work, and last, one more that were queued now; infinity where a cluster decides it."""
    with contextlib.suppress(site.SiteError):
        if site.read().ray_address:  # it says nothing of its room
            return [math.inf] * (len(places) + 1)
    left = [_seconds_left(run) for run in active_runs()]
    count = max((len(place.devices) for place in places), default=max(1, len(left)))
    free = [0.0] * max(0, count - len(left)) + left
    heapq.heapify(free)
    begins = []
    for place in places:
        begins.append(heapq.heappop(free))
        heapq.heappush(free, begins[-1] + place.seconds)
    return [*begins, free[0]]


def _seconds_left(run: Path) -> float:
    """Of a run at work: by its pace, or until it has one by what was expected when it was queued."""
    status = runs.status(run)
    if status.seconds_left is not None:
        return status.seconds_left
    expected = [event.get("seconds", 0.0) for event in events.read(run) if event["kind"] == "queued"][-1:] or [0.0]
    return max(0.0, float(expected[0]) - status.seconds)


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """Has nobody else take a place within the block, in this process or another. Raises NotWritten."""
    root = runs.runs_folder() / FOLDER
    try:
        root.mkdir(parents=True, exist_ok=True)
        file = (root / "lock").open("a")
    except OSError as error:
        raise runs.NotWritten(runs.sentence(error, root)) from None
    with file:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        yield


def _reap() -> None:
    """Asks after every child that was started here: one that nobody asked after stays a zombie."""
    for child in _children[:]:
        if child.poll() is not None:
            with contextlib.suppress(ValueError):  # another visitor's thread was first
                _children.remove(child)
