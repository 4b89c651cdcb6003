"""Arrays that take minutes to make, kept on disk for the next run."""

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from models import scratch


def kept(path: Path, make: Callable[[], dict[str, np.ndarray] | None]) -> dict[str, np.ndarray] | None:
    """What `make` returned when it was last asked for `path` (.npz), from disk; made and kept where there is none or it is damaged.

    None where `make` returns None, as it does when it was told to stop; nothing is kept then. Raises OSError where nothing can be written.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):  # there is none, or the disk has lost a part of it
        made = make()
    if made is not None:
        with scratch.whole(path) as file:
            np.savez_compressed(file, **made)
    return made
