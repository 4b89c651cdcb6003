"""What a retrain on a cluster needs and makes, at an fsspec address where its node and the app share no folder.

ADDRESS/RUN is a box between the two. The process that follows the run on the app's machine (jobs/cluster.py) packs what the job needs: configuration,
events, checkpoints, the own data set, the networks it starts or learns from. The job (training/far.py) unpacks that, trains in a folder of its node, and puts
checkpoints, events and the published network into the box as they come; the follower takes home what was told as it is told, the network before it is told
of, the checkpoints with the run's end, and then the box away. Nothing is listed, for file systems say of what they cannot list that it is empty: `box.json` names all
that is needed and every job so far; the last one alone may work with the box.

fsspec (filesystem-spec.readthedocs.io) speaks to s3, gs, abfs, sftp, ftp and more, each with a package of its own; what is secret belongs into fsspec's own configuration.
"""

import contextlib
import errno
import ftplib
import hashlib
import json
import posixpath
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from jobs import events, runs, site
from jobs.config import RunConfig
from models import datasets, shelf
from models.errors import InklingError

BOX, CANCEL = "box.json", "cancel"  # what is in it, and the job that is to stop
RUN, NETWORKS, DATASETS, TOLD = "run", "networks", "datasets", "told"  # folders of a box
CORRECTIONS = "corrections.npz"
PIECE = 2**20  # bytes that are copied at once
LARGEST = 2**31  # bytes of a checkpoint, with its optimizer's state, and of what a node fetches, such as a data set's pictures
MOST_TOLD = 2**26  # bytes of events that are taken home: those of days, whose end must not be cut off
MOST = 1e300  # of any number in them: the pages reckon with floats
LOCAL_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
# What a job may tell, with what, and of which type: a page that shows it may rely on that. Its pid is left out: it is nobody's here.
FIELDS: dict[str, dict[str, type]] = {
    "started": {"device": str, "data": str, "is_sample": bool, "train_images": int, "parameters": int},
    "redrawing": {},
    "teaching": {},
    "corrections": {"count": int},
    "step": {"member": int, "x": float, "loss": float, "lr": float, "progress": float},
    "epoch": {
        "progress": float, "member": int, "epoch": int, "train_loss": float, "val_loss": float, "val_accuracy": float, "seconds": float,
    },
    "held_back": {"member": int, "share": float, "before": float},
    "exported": {"name": str, "dataset": str, "val_accuracy": float, "test_accuracy": float},
    "done": {},
    "failed": {"message": str},
    "cancelled": {},
}  # fmt: skip
SHARES = {"progress", "val_accuracy", "test_accuracy", "share", "before"}  # are from 0 to 1, wherever they are told
# What only some tell besides: those that learn from networks, and those of today.
FROM_OTHERS = {
    "started": {"start_sha256": str, "teacher_sha256": str, "train_sha256": str},
    "held_back": {"val_loss": float, "val_accuracy": float},
}


class ArtefactsError(InklingError):
    """The address cannot be used. The message says which, why, and what to do."""


class Box:
    """The folder of one run at an address. Every method raises OSError while the address does not answer, ArtefactsError when it cannot be used."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[Any, str]]:
        """The file system, connected anew each time, and the folder's path in it."""
        import fsspec

        try:
            system, root = fsspec.core.url_to_fs(self.address, skip_instance_cache=True)
            yield system, root
        except (ImportError, ValueError, NotImplementedError) as error:
            raise ArtefactsError(
                f"{self.address} cannot be used ({error}); install what fsspec asks for, or mend artefacts in inkling.toml"
            ) from None
        except PermissionError as error:
            if error.filename:  # of this machine's disk
                raise
            raise self._refused(error) from None
        except (OSError, InklingError):
            raise
        except Exception as error:  # each file system has errors of its own, for a lost connection too
            if isinstance(error, ftplib.error_perm) and str(error).startswith("530"):  # not logged in
                raise self._refused(error) from None
            raise OSError(f"{type(error).__name__}: {error}") from None

    def _refused(self, error: Exception) -> ArtefactsError:
        return ArtefactsError(f"{self.address} lets nobody in ({error}); mend what fsspec's own configuration says, and resume the run")

    def put(self, files: Iterable[tuple[Path, str]]) -> None:
        """Copies files to their names in the folder, in this order; each appears whole."""
        with self._opened() as (system, root):
            for source, name in files:
                target = posixpath.join(root, name)
                partial = f"{target}.{uuid.uuid4().hex}.partial"  # of two jobs at once each has its own
                system.makedirs(posixpath.dirname(target), exist_ok=True)
                system.put_file(str(source), partial)
                _rename(system, partial, target)

    def get(self, name: str, target: Path, most: int) -> None:
        """Copies one file of at most so many bytes to a path, where it appears whole.

        Raises FileNotFoundError, which some file systems also mean by no answer, and ArtefactsError where it is larger.
        """
        partial = target.with_name(f"{target.name}.{uuid.uuid4().hex}.partial")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._opened() as (system, root), system.open(posixpath.join(root, name), "rb") as source, partial.open("wb") as file:
                while content := source.read(PIECE):
                    if file.tell() + len(content) > most:
                        raise ArtefactsError(f"{self.address}/{name} has more than {most / 2**20:,.0f} MB; look who may write there")
                    file.write(content)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

    def write(self, name: str, content: bytes) -> None:
        """Writes a small file, which appears whole."""
        with self._opened() as (system, root):
            target = posixpath.join(root, name)
            system.makedirs(posixpath.dirname(target), exist_ok=True)
            partial = f"{target}.{uuid.uuid4().hex}.partial"
            system.pipe_file(partial, content)
            _rename(system, partial, target)

    def read(self, name: str) -> bytes | None:
        """What a small file holds; None when there is none, or as `get` has it."""
        with self._opened() as (system, root):
            try:
                return system.cat_file(posixpath.join(root, name), end=MOST_TOLD)
            except FileNotFoundError:
                return None

    def remove(self) -> None:
        """Takes the folder away, with all in it."""
        with self._opened() as (system, root), contextlib.suppress(FileNotFoundError):
            system.rm(root, recursive=True)

    def contents(self) -> tuple[list[str], list[str]] | None:
        """The jobs so far, the last one last, and the files that a job needs; None of a box that was never packed."""
        content = self.read(BOX)
        if content is None:
            return None
        try:
            facts = json.loads(content)
            jobs, files = [str(each) for each in facts["jobs"]], [str(each) for each in facts["files"]]
        except (ValueError, TypeError, KeyError, RecursionError):
            raise ArtefactsError(f"{BOX} at {self.address} is damaged; delete that folder and resume the run") from None
        if not jobs or any("/" in job for job in jobs):
            raise ArtefactsError(f"{BOX} at {self.address} names no job; delete that folder and resume the run")
        return jobs, files


def _rename(system: Any, partial: str, target: str) -> None:
    try:
        system.mv(partial, target)
    except Exception:  # of those that do not put one file in another's place
        if not system.exists(target):
            raise
        system.rm_file(target)
        system.mv(partial, target)


def box(folder: Path) -> Box | None:
    """The box of a run; None where [ray] in inkling.toml names no address for artefacts: the nodes see the run's folder then."""
    address = site.read().ray_artefacts
    return Box(f"{address.rstrip('/')}/{folder.name}") if address else None


def pack(into: Box, folder: Path, job: str) -> None:
    """Puts what a job needs into the box, which is this job's from then on. What an earlier job left there stays: it is further than the folder."""
    config = runs.read_config(folder)
    before = into.contents()
    jobs = before[0] if before else []
    if before:
        take_home(into, folder)
    needed = [(folder / "config.json", f"{RUN}/config.json"), *_needed(config)]
    needed += [(path, f"{RUN}/{path.name}") for path in (folder / events.FILE, folder / CORRECTIONS) if path.exists()]
    kept = [] if before else [(path, f"{RUN}/{name}") for name in checkpoints(config) if (path := folder / name).exists()]
    into.put([*needed, *kept])
    into.write(BOX, json.dumps({"jobs": [*jobs, job], "files": [name for _, name in needed]}).encode())


def forget_corrections(folder: Path) -> None:
    """Takes the corrections out of a run that is done: only one that is resumed needs them, and who deletes theirs means these too."""
    for path in folder.glob(f"{CORRECTIONS}*"):
        path.unlink(missing_ok=True)


def forget_done() -> None:
    """The same for runs that were killed between their end and `forget_corrections`."""
    for folder in runs.list_runs():
        with contextlib.suppress(OSError):
            if (folder / CORRECTIONS).exists() and not runs.is_alive(folder) and runs.status(folder, alive=False).state == "done":
                forget_corrections(folder)


def checkpoints(config: RunConfig) -> list[str]:
    """The names that a run's checkpoints have."""
    return [f"member-{member}.safetensors" for member in range(config.members)]


def _needed(config: RunConfig) -> Iterator[tuple[Path, str]]:
    if config.dataset not in datasets.DATASETS:
        for path in sorted(datasets.own_folder(config.dataset).iterdir()):
            yield path, f"{DATASETS}/{config.dataset}/{path.name}"
    for name in {config.start_from, config.teacher} - {""}:
        # One that is gone is missed by the job, in its own words, unless checkpoints have taken over from it.
        if card := shelf.find_card(config.dataset, name):
            for path in (card.graph_path, card.graph_path.with_suffix(".json")):
                yield path, f"{NETWORKS}/{config.dataset}/{path.name}"


def take_home(out_of: Box, folder: Path) -> None:
    """Adds to a run's events what its jobs have told since; before a word of its publishing, the network, and before its end, the checkpoints."""
    contents = out_of.contents()
    if contents is None:
        return
    config = runs.read_config(folder)
    known = set(_sound(events.read(folder), config))
    for job in contents[0]:
        told = _sound(events.parse(_lines(out_of.read(f"{TOLD}/{job}") or b"")), config)
        new = [line for line in told if line not in known]
        kinds = {event["kind"] for event in events.parse(new)}
        if "exported" in kinds:
            _take_network(out_of, config)
        if kinds & set(events.ENDINGS):
            for name in checkpoints(config):
                try:
                    out_of.get(f"{RUN}/{name}", folder / name, LARGEST)
                except FileNotFoundError:
                    if out_of.contents() is None:  # it does not answer; otherwise the run ended before its first epoch did
                        raise
        events.add(folder, new)


def _lines(content: bytes) -> list[bytes]:
    """The whole lines, without what a writer has only begun."""
    return [line for line in content.split(b"\n")[:-1] if line]


def _sound(told: Iterable[events.Event], config: RunConfig) -> Iterator[bytes]:
    """The events that a job of this configuration may tell, as lines: other kinds, fields and types are left out."""
    for event in told:
        kind = event["kind"]
        if not (isinstance(kind, str) and kind in FIELDS and _is(event["time"], float)):
            continue
        if not all(name in event and _is(event[name], of) for name, of in FIELDS[kind].items()):
            continue
        if not all(0 <= event[name] <= 1 for name in SHARES & event.keys() if _is(event[name], float)):
            continue
        if kind == "exported" and (event["name"], event["dataset"]) != (config.publish, config.dataset):
            continue
        names = [*FIELDS[kind], *(name for name, of in FROM_OTHERS.get(kind, {}).items() if _is(event.get(name), of))]
        yield json.dumps({"kind": kind, "time": event["time"]} | {name: event[name] for name in names}).encode()


def _is(value: object, of: type) -> bool:
    if of in (int, float):
        return isinstance(value, int | of) and not isinstance(value, bool) and -MOST < value < MOST
    return isinstance(value, of)


def _take_network(out_of: Box, config: RunConfig) -> None:
    shelf.check_name(config.dataset, config.publish)
    target, name = shelf.shelf_folder() / config.dataset, config.publish
    graph, card = (target / f".{name}.far.{kind}" for kind in ("onnx", "json"))
    try:
        out_of.get(f"{NETWORKS}/{config.dataset}/{name}.onnx", graph, shelf.LARGEST_GRAPH)
        out_of.get(f"{NETWORKS}/{config.dataset}/{name}.json", card, shelf.LARGEST_CARD)
        try:
            text = card.read_text(encoding="utf-8")
            is_its = hashlib.sha256(graph.read_bytes()).hexdigest() == shelf.parse_card(config.dataset, name, text, target).sha256
        except (UnicodeDecodeError, shelf.ShelfError) as error:
            raise ArtefactsError(
                f"the network {name} arrived from {out_of.address} with a card that cannot be its own ({error}); train it again"
            ) from None
        if not is_its:
            raise ArtefactsError(f"{name}.onnx arrived damaged from {out_of.address} (sha256 differs from its card's); train it again")
        shelf.put(text, name, graph, target)
    finally:
        for path in (graph, card):
            path.unlink(missing_ok=True)
