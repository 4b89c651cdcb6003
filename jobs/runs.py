"""Runs: a folder each. Cancelling, and a status that is derived from events and process, never stored; queue.py starts them.

A run is alive exactly while somebody holds its lock (locks.py).
"""

import contextlib
import errno
import functools
import json
import os
import re
import shutil
import signal
import socket
import time
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs import events, locks
from jobs.config import ConfigError, RunConfig, field_of
from models import scratch
from models.errors import InklingError

ROOT = Path(__file__).parent.parent
ONLY_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # what reading never fails with
FIXES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free some space"), errno.ENOENT: "put it back, or start anew",
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR), "mend its rights"),
}  # fmt: skip
CANCEL = "cancel"
CANCELLED = "The run was cancelled; --resume continues it."
MOST_A_MOMENT = 600  # runs that may begin at one second
RUN_ID = re.compile(r"\d{8}-\d{6}-[a-z0-9._-]+")


class NotWritten(InklingError):
    """A run cannot be kept. The message names the file, the fault and the fix."""


class Cancelled(InklingError):
    """The run was asked to stop."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """What can be said of a run now.

    state: queued, starting, running, done, failed, cancelled, or crashed (the process is gone and said nothing).
    progress: 0 to 1. ended_at: seconds since 1970, None while it is active. seconds_left: estimated from the pace so far, None before there is one.
    """

    state: str
    progress: float = 0.0
    seconds: float = 0.0
    ended_at: float | None = None
    seconds_left: float | None = None
    stage: str = ""
    message: str = ""
    started: dict[str, Any] | None = None
    exported: dict[str, Any] | None = None
    steps: tuple[dict[str, Any], ...] = ()
    epochs: tuple[dict[str, Any], ...] = ()

    @property
    def is_active(self) -> bool:
        """Whether its process waits or is at work."""
        return self.state in ("queued", "starting", "running")

    @property
    def val_accuracy(self) -> float | None:
        """After the last epoch that was told, of several networks the mean of theirs; None before there is one."""
        last = {epoch["member"]: epoch["val_accuracy"] for epoch in self.epochs}
        return sum(last.values()) / len(last) if last else None


def runs_folder() -> Path:
    """Where runs are kept: $INKLING_RUNS, or `runs` beside app.py."""
    return Path(os.environ.get("INKLING_RUNS") or ROOT / "runs")


def create(config: RunConfig, folder: Path | None = None) -> tuple[Path, int]:
    """Makes a run folder with its configuration and returns it with the descriptor of its held lock.

    The folder appears by rename, already locked. Raises FileExistsError when `folder` exists, NotWritten when it cannot be made.
    """
    targets = [folder] if folder else _names(f"{config.dataset}-{config.network}")
    if folder and folder.exists():
        raise FileExistsError(f"the run folder {folder} exists; give another one, or continue it with --resume")
    for target in targets:
        try:
            lock = _create_at(target, config)
            if lock is not None:  # 0 is a descriptor too, where a process was started without standard input
                return target, lock
        except OSError as error:
            raise NotWritten(sentence(error, target)) from None
    raise FileExistsError(f"the run folder {target} was made by somebody else just now; try again")


def _create_at(target: Path, config: RunConfig) -> int | None:
    """The lock of the folder that it makes; None where somebody else was quicker. Raises OSError."""
    if target.exists():
        return None
    new = scratch.new(target.parent)
    try:
        (new / "config.json").write_text(json.dumps(config.to_dict(), indent=1) + "\n")
        lock = locks.acquire(new)
        try:
            new.rename(target)
        except OSError:
            os.close(lock)
            raise
    except OSError as error:
        shutil.rmtree(new, ignore_errors=True)
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            return None
        raise
    return lock


def sentence(error: OSError, path: Path) -> str:
    """What went wrong with a file, and what to do about it. path: where the error does not say which.

    An error without a number comes from no file system, such as a library's that cannot be loaded, and says itself what it is about.
    """
    if error.errno is None:
        return str(error) or type(error).__name__
    what = "written" if error.errno in ONLY_WRITING else "read or written"
    fix = FIXES.get(error.errno)
    return f"{error.filename or path} cannot be {what} ({error.strerror or error}); {f'{fix} and ' if fix else ''}try again"


def _names(kind: str) -> Iterator[Path]:
    """Run folders named by the second, from this one on: two runs a second still get two folders."""
    now = int(time.time())
    for second in range(now, now + MOST_A_MOMENT):
        yield runs_folder() / f"{time.strftime('%Y%m%d-%H%M%S', time.localtime(second))}-{kind}"


def cancel(folder: Path) -> None:
    """Asks a run to stop. It ends within a step; what it had published stays published. Raises NotWritten where only a mark would reach it
    and none can be written."""
    if not is_alive(folder):
        return
    unwritten = None
    try:
        (folder / CANCEL).touch()  # so that a process too young to have a handler still counts as cancelled
    except OSError as error:
        unwritten = error
    lines = events.read(folder)
    told = {event["kind"]: event for event in lines}  # the last of each: a run that was resumed has had several
    pid = told.get("started", {}).get("pid")
    hosts = {told.get(kind, {}).get("host") for kind in ("queued", "started")}
    is_here = hosts <= {None, socket.gethostname()}  # on another machine the process looks for the mark
    is_its = isinstance(pid, int) and pid > 1 and is_here and began(pid) == told["started"].get("began")
    if is_its and lines[-1]["kind"] not in ("queued", "turn"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGTERM)
            return
    if unwritten:
        raise NotWritten(sentence(unwritten, folder / CANCEL)) from None


def began(pid: int) -> int | None:
    """When a process of this machine began, in ticks since the machine did: a pid is given again. None where there is none, and on macOS."""
    try:
        return int(
            Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19]
        )  # field 22 of proc(5), and a name may hold spaces
    except (OSError, ValueError, IndexError):
        return None


def owner(folder: Path) -> str | None:
    """Who asked for a run that was started from the app, as it was told then; None of a run that a command started."""
    with contextlib.suppress(LookupError, OSError):
        about = (folder / "config.json").stat()
        return _owner(folder, about.st_ino, about.st_mtime_ns)
    return None


@functools.lru_cache(maxsize=4096)
def _owner(folder: Path, number: int, made: int) -> str | None:
    """The first event stays what it is, so it is read once. Raises LookupError, which is not remembered, before there is one.

    number, made: of its configuration, inode and time: a name that was deleted may be given again, to somebody else's run.
    """
    first = events.first(folder)
    if first is None:
        raise LookupError(f"{folder} has said nothing yet")
    return str(first.get("owner", "")) if first["kind"] == "queued" else None


def remove(folder: Path) -> None:
    """Deletes a run's record and checkpoints. Raises locks.Busy while it waits or is at work."""
    if not RUN_ID.fullmatch(folder.name):
        raise FileNotFoundError(f"{folder} is no run folder")
    with locks.held(folder):
        scratch.remove(folder)


def cores() -> int:
    """Cores that this process may use: in a container often fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def page_friendly_threads() -> int:
    """CPU threads for a run beside the page: all cores but one, so that strokes are answered as before."""
    return max(1, min(cores() - 1, field_of("threads").metadata["high"]))


def is_alive(folder: Path) -> bool:
    """Whether a process holds the run's lock, or a job on a cluster its own."""
    return locks.is_held(folder / locks.LOCK) or locks.is_held(folder / locks.JOB_LOCK)


def list_runs(without: Container[Path] = ()) -> list[Path]:
    """Run folders, newest first; those in `without` are not even looked at."""
    try:
        folders = list(runs_folder().iterdir())
    except OSError:  # there is none yet, or `unreadable` says why
        return []
    found = [each for each in folders if each not in without and RUN_ID.fullmatch(each.name) and _is_whole(each)]
    return sorted(found, key=lambda each: each.name, reverse=True)


def unreadable() -> str:
    """Why the folder of runs cannot be read, in a sentence; empty where it can, or is not there yet."""
    try:
        os.scandir(runs_folder()).close()
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"The folder of retrains cannot be read ({error.strerror}); check INKLING_RUNS and the rights to it"
    return ""


def _is_whole(folder: Path) -> bool:
    """Whether a run folder has its configuration. One of another user that may not be looked into is left out, as if it were elsewhere."""
    try:
        return (folder / "config.json").is_file()
    except OSError:
        return False


def read_config(folder: Path) -> RunConfig:
    """The configuration of a run. Raises ConfigError when its file is missing or wrong."""
    try:
        return RunConfig.from_json((folder / "config.json").read_text())
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ConfigError(f"{folder / 'config.json'} cannot be read ({reason}); start the run again") from None


def status(folder: Path, alive: bool | None = None) -> Status:
    """What the run's events and process say now. alive: whether it has a process, looked up where left out."""
    alive = is_alive(folder) if alive is None else alive  # first: a process that ends in between has then written its last event
    lines = events.read(folder)
    kinds: dict[str, list[dict[str, Any]]] = {}
    for event in lines:
        kinds.setdefault(event["kind"], []).append(event)
    started = kinds.get("started", [None])[-1]
    steps = tuple(kinds.get("step", ()))
    # A run killed between an epoch's event and its checkpoint tells that epoch again: the last telling counts.
    by_epoch = {(event["member"], event["epoch"]): event for event in kinds.get("epoch", ())}
    for event in kinds.get("held_back", ()):  # the network of the last epoch is another since
        last = max((place for place in by_epoch if place[0] == event["member"]), default=None)
        if last and "val_accuracy" in event:
            by_epoch[last] = by_epoch[last] | {name: event[name] for name in ("val_loss", "val_accuracy")}
    epochs = tuple(by_epoch.values())
    ending = lines[-1] if lines and lines[-1]["kind"] in events.ENDINGS else None
    shared = {
        "started": started,
        "exported": kinds.get("exported", [None])[-1],
        "steps": steps,
        "epochs": epochs,
        "seconds": max(0.0, lines[-1]["time"] - started["time"]) if started else 0.0,  # a clock may be set back
    }
    if ending:
        shared["ended_at"] = ending["time"]
        return Status(state=ending["kind"], progress=float(ending["kind"] == "done"), message=ending.get("message", ""), **shared)
    if not alive:
        gone = "cancelled" if (folder / CANCEL).exists() else "crashed"
        message = "" if gone == "cancelled" else f"The training process ended without a word; {folder.name}/log.txt has its last output."
        shared["ended_at"] = lines[-1]["time"] if lines else (folder / "config.json").stat().st_mtime
        return Status(state=gone, message=message, **shared)
    if lines and lines[-1]["kind"] == "queued":
        return Status(state="queued", stage="waiting for its turn", **shared)
    if not started or lines[-1]["kind"] == "turn":
        return Status(state="starting", stage="getting ready", **shared)
    progress = next((event["progress"] for event in reversed(lines) if "progress" in event), 0.0)
    return Status(
        state="running",
        progress=progress,
        seconds_left=_seconds_left(started, steps),
        stage=_stage(lines),
        **shared,
    )


def _seconds_left(started: dict[str, Any], steps: tuple[dict[str, Any], ...]) -> float | None:
    since = [event for event in steps if event["time"] >= started["time"]]  # a resumed run is timed from its resumption
    if len(since) < 2 or since[-1]["progress"] <= since[0]["progress"]:
        return None
    pace = (since[-1]["time"] - since[0]["time"]) / (since[-1]["progress"] - since[0]["progress"])
    return max(0.0, (1 - since[-1]["progress"]) * pace - (time.time() - since[-1]["time"]))


def _stage(lines: list[dict[str, Any]]) -> str:
    last = lines[-1]
    if last["kind"] == "started":
        return "reading the data"
    if last["kind"] == "redrawing":
        return "drawing digits anew"
    if last["kind"] == "teaching":
        return "asking the teacher"
    if last.get("progress", 0.0) >= 1 or last["kind"] == "exported":
        return "measuring and publishing"
    return "training"
