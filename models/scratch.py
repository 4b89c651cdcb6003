"""Files and folders that appear whole and go at once: made under another name and renamed, renamed and then deleted."""

import contextlib
import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

OLD = 3600.0  # seconds after which what is still half made, or half deleted, is of a process that was killed


@contextlib.contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """An open file that becomes `path`, in place of what is there, where the with block ends; nothing is left of it where that raises.

    Of two at once the later one stays. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, suffix=".partial", delete=False) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())  # after a power cut there would be an empty file of that name
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def new(parent: Path) -> Path:
    """Makes an empty folder in `parent` that nobody takes for a finished one; to be renamed. Raises OSError."""
    parent.mkdir(parents=True, exist_ok=True)
    clear(parent)
    folder = parent / f".inkling-new-{os.getpid()}-{time.monotonic_ns()}"
    folder.mkdir()
    return folder


def remove(folder: Path) -> None:
    """Deletes a folder so that nobody sees a half of it; one that is gone already is no error. Raises OSError when it may not be."""
    clear(folder.parent)
    gone = folder.with_name(f".inkling-gone-{folder.name}-{time.monotonic_ns()}")
    try:
        os.utime(folder)
        folder.rename(gone)
    except FileNotFoundError:
        return
    shutil.rmtree(gone, ignore_errors=True)
    if gone.exists():
        for here, _, _ in os.walk(gone):  # its own rights may forbid what its owner may allow
            with contextlib.suppress(OSError):
                os.chmod(here, 0o700)
        shutil.rmtree(gone, ignore_errors=True)
    if gone.exists():
        raise OSError(errno.EACCES, "not all of it may be deleted", str(gone))


def clear(parent: Path, patterns: Sequence[str] = (".inkling-new-*", ".inkling-gone-*")) -> None:
    """Deletes what killed processes left half made or half deleted in `parent`: files and folders of these names, an hour old.

    `parent` may be anybody's, such as a home for `fit --out ~/run`: the names are such as nobody else gives.
    """
    for pattern in patterns:
        for path in parent.glob(pattern):
            try:
                is_old = time.time() - path.stat().st_mtime > OLD
            except OSError:  # somebody else was quicker
                continue
            if is_old and path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif is_old:
                path.unlink(missing_ok=True)
