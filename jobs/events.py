"""events.jsonl: what a run says of itself, one JSON object a line, only ever appended to.

Kinds: queued (of a run that was started from the app: it waits), turn (it has a device, or goes on by a command, without one), started,
redrawing (digits are drawn anew), teaching (a teacher is asked for its answers), corrections (how many are learned from), step, epoch,
held_back (of what was learned from corrections, as validation asks), exported, then one of done, failed, cancelled; a run that is resumed
goes on behind its ending.
"""

import contextlib
import errno
import json
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

Event = dict[str, Any]
FILE = "events.jsonl"
ENDINGS = ("done", "failed", "cancelled")


def append(folder: Path, kind: str, **facts: Any) -> None:
    """Adds one event with the present time (seconds since 1970) in a single write, so that readers see whole lines."""
    add(folder, [json.dumps({"kind": kind, "time": round(time.time(), 3), **facts}).encode()])


def add(folder: Path, lines: Sequence[bytes]) -> None:
    """Adds events that are written already, a line each, in a single write."""
    if not lines:
        return
    descriptor = os.open(folder / FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        # A killed writer may have left half a line: start on a fresh one, so that this event is not lost with it.
        size = os.fstat(descriptor).st_size
        torn = size > 0 and _last_byte(folder / FILE, size) != b"\n"
        content = b"\n" * torn + b"".join(line + b"\n" for line in lines)
        if os.write(descriptor, content) < len(content):  # the last bytes of a disk: the line is torn, and the next one says so
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / FILE))
    finally:
        os.close(descriptor)


def content(folder: Path) -> bytes:
    """The file as it stands; empty before there is one."""
    try:
        return (folder / FILE).read_bytes()
    except FileNotFoundError:
        return b""


def read(folder: Path) -> list[Event]:
    """All whole events, oldest first; a half-written line is passed over."""
    return parse(content(folder).split(b"\n"))


def parse(lines: Iterable[bytes]) -> list[Event]:
    """The events among these lines."""
    found = []
    for line in lines:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict) and "kind" in event and "time" in event:
            found.append(event)
    return found


def first(folder: Path) -> Event | None:
    """The first event, without reading the others; None before there is a whole one."""
    with contextlib.suppress(OSError, ValueError, RecursionError), (folder / FILE).open("rb") as file:
        event = json.loads(file.readline())
        return event if isinstance(event, dict) and "kind" in event else None
    return None


def _last_byte(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(size - 1)
        return file.read(1)
