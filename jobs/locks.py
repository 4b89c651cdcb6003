"""The locks that say who is at work: a run, a table, a search or a place in the queue is somebody's as long as a process holds its file.

They are flocks: a training process inherits the one of its run, so that it outlives the server, and the kernel frees it however the
process ends.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from jobs import events
from models.errors import InklingError

LOCK, JOB_LOCK = "lock", "job.lock"
ORPHAN = 90.0  # seconds that the process of a lost node or head is given to go
LEAVING = 10.0  # seconds that a process which told its ending is given to go


class Busy(InklingError):
    """Another process is at work on the run."""


def acquire(folder: Path) -> int:
    """Takes the lock of a run for this process and returns its descriptor. Raises Busy when the run is alive.

    A run that has told its ending is waited for: its process may be about to go.
    """
    lines = events.read(folder)
    is_over = bool(lines) and lines[-1]["kind"] in events.ENDINGS
    if is_held(folder / JOB_LOCK):
        raise _busy(folder)
    return _acquire(folder / LOCK, LEAVING if is_over else 1.0)


def acquire_for_job(folder: Path) -> int:
    """Takes the lock that a job on a cluster has beside that of the process that follows it. Raises Busy while another job is at work."""
    return _acquire(folder / JOB_LOCK, ORPHAN)


def _acquire(path: Path, patience: float) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    if flock(descriptor, fcntl.LOCK_EX, patience):
        return descriptor
    os.close(descriptor)
    raise _busy(path.parent)


def _busy(folder: Path) -> Busy:
    return Busy(f"the run {folder.name} is at work in another process; wait for it or cancel it")


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds a run's lock for the time of a with block. Raises Busy."""
    descriptor = acquire(folder)
    try:
        yield
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether a process holds the lock of a file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not flock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def flock(descriptor: int, kind: int, patience: float = 0.0) -> bool:
    """Whether a lock could be taken within `patience` seconds."""
    give_up = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= give_up:
                return False
            time.sleep(0.02)
