"""Arrays that take minutes to make, kept on disk for the next run."""

import contextlib
import os
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from models import scratch

UNUSED = 30 * 86400.0  # seconds after which what nobody asked for goes


def kept(path: Path, make: Callable[[], dict[str, np.ndarray] | None]) -> dict[str, np.ndarray] | None:
    """What `make` returned when it was last asked for `path` (.npz), from disk; made and kept where there is none or it is damaged.

    None where `make` returns None, as it does when it was told to stop; nothing is kept then. Raises OSError where nothing can be written.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        with contextlib.suppress(OSError):  # somebody else's to keep
            os.utime(path)
        return found
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):  # there is none, or the disk has lost a part of it
        made = make()
    if made is not None:
        with scratch.whole(path) as file:
            np.savez_compressed(file, **made)
        _clear(path)
    return made


def _clear(path: Path) -> None:
    """Deletes what was kept under the same name but for the digest at its end and nobody has asked for lately, and what was half written."""
    kind = path.stem.rpartition("-")[0]
    scratch.clear(path.parent, (f"{kind}-*.partial",))
    for other in path.parent.glob(f"{kind}-*{path.suffix}"):
        with contextlib.suppress(OSError):  # somebody else was quicker
            if time.time() - other.stat().st_mtime > UNUSED:
                other.unlink()
