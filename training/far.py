"""A job of a cluster on a node that shares no folder with the app: out of the box of jobs/artefacts.py, trained here, and back into it."""

import contextlib
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from jobs import artefacts, events, runs
from jobs.artefacts import Box

EVERY = 1.0  # seconds between two deliveries
PATIENCE = 60.0  # seconds that the address may be out of reach at the end


def train(address: str, job: str, work: Callable[[Path], int]) -> int:
    """Has `work` train a run in a folder of this machine and returns what it returns, once all that came of it is in the box.

    address: of the run's box. job: this one's id; a box that names another is no longer for this one, which ends then. Raises OSError.
    """
    box = Box(address)
    with tempfile.TemporaryDirectory(prefix="inkling-job-") as home:
        folder = _unpack(box, Path(home))
        with _delivered(_Delivery(box, job, folder, Path(home) / artefacts.NETWORKS)):
            return work(folder)


def _unpack(box: Box, home: Path) -> Path:
    folder = home / "runs" / box.address.rpartition("/")[2]
    for name in box.names(artefacts.RUN):
        box.get(name, folder / Path(name).name)
    for name in box.names(artefacts.NEEDED):
        path = (home / name.removeprefix(f"{artefacts.NEEDED}/")).resolve()
        if not path.is_relative_to(home.resolve()):
            raise OSError(f"{box.address} names a file outside of it: {name}")
        box.get(name, path)
    os.environ |= {
        "INKLING_RUNS": str(folder.parent),
        "INKLING_MODELS": str(home / artefacts.NETWORKS),
        "INKLING_DATASETS": str(home / artefacts.DATASETS),
    }
    return folder


class _Delivery:
    """Puts what is new into the box: checkpoints, then networks, then what was told before they were looked for."""

    def __init__(self, box: Box, job: str, folder: Path, networks: Path) -> None:
        self.box, self.job, self.folder, self.networks = box, job, folder, networks
        self.told = b""
        self.seen = {path: path.stat().st_mtime_ns for path, _ in self._files()}  # what came out of it

    def _files(self) -> Iterator[tuple[Path, str]]:
        for path in sorted(self.folder.glob("*.safetensors")):
            yield path, f"{artefacts.RUN}/{path.name}"
        for path in sorted(self.networks.glob("*/[!.]*")):
            yield path, f"{artefacts.NETWORKS}/{path.parent.name}/{path.name}"

    def bring(self) -> None:
        """Raises OSError while the address does not answer."""
        if self.box.read(artefacts.JOB) != self.job.encode():
            print(f"{self.box.address} is another job's by now", file=sys.stderr, flush=True)
            os._exit(1)  # the thread that trains may be anywhere
        if self.box.read(artefacts.CANCEL) is not None:
            (self.folder / runs.CANCEL).touch()
        told = events.content(self.folder)
        changed = {path: path.stat().st_mtime_ns for path, _ in self._files()}
        self.box.put((path, name) for path, name in self._files() if changed.get(path) != self.seen.get(path))
        self.seen = changed
        if told != self.told:
            self.box.write(f"{artefacts.TOLD}/{self.job}", told)
            self.told = told


@contextlib.contextmanager
def _delivered(delivery: _Delivery) -> Iterator[None]:
    """Delivers every EVERY seconds within the block, and all there is at its end."""
    over = threading.Event()

    def deliver() -> None:
        while not over.wait(EVERY):
            with contextlib.suppress(OSError):
                delivery.bring()

    thread = threading.Thread(target=deliver, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                delivery.bring()
                break
            except OSError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(EVERY)
