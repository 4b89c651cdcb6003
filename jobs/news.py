"""Runs that ended lately, found without a look at all that ended before: the folder of a school year has thousands."""

import contextlib
import functools
import time
from collections.abc import Iterable
from pathlib import Path

from jobs import events, runs

LASTS = 15 * 60  # seconds that the end of a run is news
AHEAD = 60.0  # seconds that the clock of another server on the folder may be ahead
DISMISSED = "dismissed"  # a file of a run whose end somebody has read
AGAIN = 60.0  # seconds after which those that ended before are looked at once more: a command may have resumed one

_old: set[Path] = set()  # ended before, and not looked at until then
_looked_at = 0.0


def ended_lately(active: Iterable[Path]) -> list[tuple[Path, runs.Status]]:
    """Runs that ended lately, the last one first, with their statuses, however many younger ones wait: a run is as young as its last event.

    active: the runs that wait or are at work, of which an old one that was resumed is news again at its end. For one thread at a time.
    """
    global _looked_at
    if not 0 <= time.monotonic() - _looked_at < AGAIN:
        _old.clear()
        _looked_at = time.monotonic()
    _old.difference_update(active)
    found = []
    for folder in runs.list_runs(without=_old):
        with contextlib.suppress(OSError):  # deleted just now
            if _is_dismissed(folder):
                _old.add(folder)
                continue
            changed = max(path.stat().st_mtime_ns for path in (folder, folder / events.FILE) if path.exists() or path == folder)
            if runs.is_alive(folder):
                continue
            if time.time() - changed / 1e9 > LASTS:
                _old.add(folder)
                continue
            status = _status(folder, changed)
            # Where the clock was set back, what ended in the time to come is no news.
            if status is not None and status.ended_at and -AHEAD < time.time() - status.ended_at < LASTS:
                found.append((folder, status))
    return sorted(found, key=lambda each: -each[1].ended_at)


def dismiss(folder: Path) -> None:
    """Has the end of a run be news no more, for anybody; where the folder cannot be written to it stays news."""
    with contextlib.suppress(OSError):
        (folder / DISMISSED).touch()


def _is_dismissed(folder: Path) -> bool:
    """Whether it was since it last said something: a run may have been resumed."""
    try:
        return (folder / DISMISSED).stat().st_mtime_ns >= (folder / events.FILE).stat().st_mtime_ns
    except OSError:
        return False


@functools.lru_cache(maxsize=64)
def _status(folder: Path, changed: int) -> runs.Status | None:
    """A run that has ended does not change any more: its events are read once."""
    status = runs.status(folder)
    return None if status.is_active else status
