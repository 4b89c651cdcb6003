"""A job of a cluster on a node that shares no folder with the app: out of the box of jobs/artefacts.py, trained here, and back into it."""

import contextlib
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from jobs import artefacts, events, runs
from jobs.artefacts import Box
from models import scratch
from models.errors import InklingError

HOME = "inkling-job-"  # how a job's folder on its node begins
EVERY = 1.0  # seconds between two deliveries
PATIENCE = {"to unpack": 120.0, "to deliver the last": 3600.0}  # seconds that the address may be out of reach


def train(address: str, job: str, work: Callable[[Path], int]) -> int:
    """Has `work` train a run in a folder of this machine and returns what it returns, once all that came of it is in the box.

    address: of the run's box. job: this one's id; it ends at once when the box is another's. Returns 1 when the address stays out of reach.
    """
    scratch.clear(Path(tempfile.gettempdir()), (f"{HOME}*",))  # of jobs that were killed: their pictures and corrections shall not stay
    box, home = Box(address), Path(tempfile.mkdtemp(prefix=HOME))
    try:
        folder = _patiently("to unpack", lambda: _unpack(box, job, home))
        with _delivered(_Delivery(box, job, folder, home)):
            return work(folder)
    except OSError as error:
        print(
            f"{address} does not answer ({error}); what is not there yet is lost, and the run goes on from what is",
            file=sys.stderr,
            flush=True,
        )
        return 1
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _patiently(what: str, act: Callable[[], Path | None]) -> Path | None:
    give_up = time.monotonic() + PATIENCE[what]
    while True:
        try:
            return act()
        except OSError:
            if time.monotonic() > give_up:
                raise
            time.sleep(EVERY)


def _unpack(box: Box, job: str, home: Path) -> Path:
    """Takes what the job needs out of the box and returns the run's folder. The variables of this process name the places from then on."""
    contents = box.contents()
    if contents is None:
        raise ConnectionError(f"{artefacts.BOX} is not there")
    if contents[0][-1] != job:
        _leave(box, home)
    places = {artefacts.RUN: home / "runs" / box.address.rpartition("/")[2]}
    for name in contents[1]:
        kind, _, rest = name.partition("/")
        root = places.get(kind, home / kind)
        if kind not in (artefacts.RUN, artefacts.NETWORKS, artefacts.DATASETS) or not (root / rest).resolve().is_relative_to(
            root.resolve()
        ):
            raise artefacts.ArtefactsError(f"{box.address} names a file outside of it: {name}; look who may write there")
        box.get(name, root / rest, artefacts.LARGEST)
    folder = places[artefacts.RUN]
    os.environ |= {
        "INKLING_RUNS": str(folder.parent),
        "INKLING_MODELS": str(home / artefacts.NETWORKS),
        "INKLING_DATASETS": str(home / artefacts.DATASETS),
    }
    for name in artefacts.checkpoints(runs.read_config(folder)):
        with contextlib.suppress(FileNotFoundError):  # no epoch of it has ended yet
            box.get(f"{artefacts.RUN}/{name}", folder / name, artefacts.LARGEST)
    return folder


def _leave(box: Box, home: Path) -> None:
    """Ends this process, wherever the thread that trains may be."""
    print(f"{box.address} is another job's by now", file=sys.stderr, flush=True)
    shutil.rmtree(home, ignore_errors=True)
    os._exit(1)


class _Delivery:
    """Puts what is new into the box. Checkpoints and networks go before what is told of them, so that what was told is there."""

    def __init__(self, box: Box, job: str, folder: Path, home: Path) -> None:
        self.box, self.job, self.folder, self.home = box, job, folder, home
        self.told = b""
        self.seen = {path: path.stat().st_mtime_ns for path, _ in self._files()}  # what came out of it

    def _files(self) -> Iterator[tuple[Path, str]]:
        for path in sorted(self.folder.glob("member-*.safetensors")):
            yield path, f"{artefacts.RUN}/{path.name}"
        for path in sorted((self.home / artefacts.NETWORKS).glob("*/[!.]*")):
            yield path, f"{artefacts.NETWORKS}/{path.parent.name}/{path.name}"

    def bring(self) -> None:
        """Raises OSError while the address does not answer."""
        os.utime(self.home)  # so that no other job takes it for a dead one's
        contents = self.box.contents()
        if contents is None:
            raise ConnectionError(f"{artefacts.BOX} is not there")
        if contents[0][-1] != self.job:
            _leave(self.box, self.home)
        if self.box.read(artefacts.CANCEL) == self.job.encode():
            (self.folder / runs.CANCEL).touch()
        with tempfile.TemporaryDirectory(dir=self.home) as held:
            before = len(events.content(self.folder))
            changed, frozen = {}, []  # as files are now: a checkpoint that is written from here on has an epoch that may not be told yet
            for number, (path, name) in enumerate(self._files()):
                changed[path] = path.stat().st_mtime_ns
                if changed[path] != self.seen.get(path):
                    os.link(path, Path(held) / str(number))
                    frozen.append((Path(held) / str(number), name))
            told = _until_published(events.content(self.folder), before)
            self.box.put(frozen)
            self.seen = changed
        if told != self.told:
            self.box.write(f"{artefacts.TOLD}/{self.job}", told)
            self.told = told


def _until_published(content: bytes, before: int) -> bytes:
    """What may be told: not of a network or an end that came only after the first `before` bytes, for their files may be newer than those at hand."""
    lines, length = [], 0
    for line in content.splitlines(keepends=True):
        length += len(line)
        if length > before and any(event["kind"] in ("exported", *events.ENDINGS) for event in events.parse([line])):
            break
        lines.append(line)
    return b"".join(lines)


@contextlib.contextmanager
def _delivered(delivery: _Delivery) -> Iterator[None]:
    """Delivers every EVERY seconds within the block, and all there is at its end."""
    over = threading.Event()

    def deliver() -> None:
        while not over.wait(EVERY):
            with contextlib.suppress(OSError, InklingError):
                delivery.bring()

    thread = threading.Thread(target=deliver, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        _patiently("to deliver the last", delivery.bring)
