"""Retrains that a page started stand back while people wait for its answers.

Niceness alone does not do it: on two cores a class of a hundred leaves a retrain less than one of them, and what it takes of caches and memory
makes every answer slower (EXPERIMENTS.md). So a server that has more answers at work than it has room for leaves a mark in the runs folder,
and the retrains of the same machine take no step while the mark is fresh.
"""

import contextlib
import os
import socket
import time
from pathlib import Path

from jobs import runs

NICENESS = 10
EVERY = 0.1  # seconds between two marks of one server
FRESH = 0.4  # seconds that a mark counts: a crowd's answers come closer together
LOOKS = 0.05  # seconds between two looks of a training that stands back
LONGEST = 1.0  # seconds without a step at most, so that a retrain goes on, if slowly, beside a crowd that never ends
FEW_CORES = 4  # on more of them niceness is left to do it: a server answers on one

_marked = -EVERY
_gives_way = False
_stood_back = 0.0  # seconds, in all


def mark() -> Path:
    """The file whose age says when people last waited on this machine."""
    return runs.runs_folder() / f".waited-for.{socket.gethostname()}"


def ask() -> None:
    """Has the retrains of this machine stand back for a moment. Nothing is written where there are no runs, or the folder cannot be written to."""
    global _marked
    now = time.monotonic()
    if now - _marked < EVERY:
        return
    _marked = now
    with contextlib.suppress(OSError):
        mark().touch()


def begin() -> None:
    """Makes this process one that gives way. Linux weighs niceness within a session only, unless the session has one too."""
    global _gives_way
    _gives_way = runs.cores() <= FEW_CORES
    os.nice(NICENESS)
    with contextlib.suppress(OSError):  # kernels without autogroup have no such file
        Path("/proc/self/autogroup").write_text(str(NICENESS))


def wait() -> None:
    """Before a step of training on the processor: returns when nobody waits, or after LONGEST; at once in a process that does not give way."""
    global _stood_back
    if not _gives_way:
        return
    began = time.monotonic()
    while _is_asked() and time.monotonic() < began + LONGEST:
        time.sleep(LOOKS)
    _stood_back += time.monotonic() - began


def seconds_at_work() -> float:
    """A clock that stands still while this process stands back: how quick a machine is does not depend on who waits for it."""
    return time.monotonic() - _stood_back


def _is_asked() -> bool:
    try:
        age = time.time() - mark().stat().st_mtime
    except OSError:
        return False
    return 0 <= age < FRESH  # one from the future was left before the clock was set back
