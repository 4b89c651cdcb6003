"""What a retrain on a cluster needs and makes, at an fsspec address where its node and the app share no folder.

ADDRESS/RUN is a box between the two. The process that follows the run on the app's machine (jobs/cluster.py) packs what the job needs: configuration,
checkpoints, the own data set, the networks it starts or learns from. The job (training/far.py) unpacks that, trains in a folder of its node, and puts
events, checkpoints and the published network into the box as they come; the follower takes them home, and the box away once the run is done.

fsspec (filesystem-spec.readthedocs.io) speaks to s3, gs, abfs, sftp, ftp and more, each with a package of its own; what is secret belongs into fsspec's own configuration.
"""

import contextlib
import hashlib
import json
import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from jobs import events, runs, site
from jobs.config import RunConfig
from models import datasets, shelf
from models.errors import InklingError

RUN, NEEDED, NETWORKS, DATASETS, TOLD = "run", "needed", "networks", "datasets", "told"  # folders of a box
JOB, CANCEL = "job", "cancel"  # files: which job may work with it, and the wish that it stops
CHECKPOINT = re.compile(r"member-\d+\.safetensors")
PARTIAL = ".partial"


class ArtefactsError(InklingError):
    """The address cannot be used. The message says which, why, and what to do."""


class Box:
    """The folder of one run at an address. Every method raises OSError while the address does not answer."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[Any, str]]:
        """The file system, connected anew each time, and the folder's path in it. Raises ArtefactsError, OSError."""
        import fsspec

        try:
            system, root = fsspec.core.url_to_fs(self.address, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise ArtefactsError(
                f"{self.address} cannot be used ({error}); install what fsspec asks for, or mend artefacts in inkling.toml"
            ) from None
        except EOFError as error:  # ftplib's word for a lost connection
            raise ConnectionError(str(error)) from None
        try:
            yield system, root
        except EOFError as error:
            raise ConnectionError(str(error)) from None
        except Exception as error:
            if isinstance(error, OSError | InklingError):
                raise
            raise OSError(f"{type(error).__name__}: {error}") from None  # each file system has errors of its own

    def put(self, files: Iterable[tuple[Path, str]]) -> None:
        """Copies files to their names in the folder. Each appears whole, the last one last."""
        with self._opened() as (system, root):
            for source, name in files:
                target = posixpath.join(root, name)
                system.makedirs(posixpath.dirname(target), exist_ok=True)
                system.put_file(str(source), target + PARTIAL)
                if system.exists(target):
                    system.rm_file(target)
                system.mv(target + PARTIAL, target)

    def names(self, under: str) -> list[str]:
        """Names of the whole files in a folder of it, however deep, as `put` takes them."""
        with self._opened() as (system, root):
            try:
                found = system.find(posixpath.join(root, under))
            except FileNotFoundError:
                return []
            start = len(system._strip_protocol(root).rstrip("/")) + 1
            return sorted(path[start:] for path in found if not path.endswith(PARTIAL))

    def get(self, name: str, target: Path) -> None:
        """Copies one file to a path, where it appears whole."""
        partial = target.with_name(target.name + PARTIAL)
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._opened() as (system, root):
            system.get_file(posixpath.join(root, name), str(partial))
        partial.replace(target)

    def write(self, name: str, content: bytes) -> None:
        """Writes a small file."""
        with self._opened() as (system, root):
            system.makedirs(posixpath.dirname(posixpath.join(root, name)), exist_ok=True)
            system.pipe_file(posixpath.join(root, name), content)

    def read(self, name: str) -> bytes | None:
        """What a small file holds; None when there is none."""
        with self._opened() as (system, root):
            try:
                return system.cat_file(posixpath.join(root, name))
            except FileNotFoundError:
                return None

    def discard(self, name: str) -> None:
        """Takes a file away, where there is one."""
        with self._opened() as (system, root), contextlib.suppress(FileNotFoundError):
            if system.exists(posixpath.join(root, name)):
                system.rm_file(posixpath.join(root, name))

    def remove(self) -> None:
        """Takes the folder away, with all in it."""
        with self._opened() as (system, root), contextlib.suppress(FileNotFoundError):
            system.rm(root, recursive=True)


def box(folder: Path) -> Box | None:
    """The box of a run; None where [ray] in inkling.toml names no address for artefacts: the nodes see the run's folder then."""
    address = site.read().ray_artefacts
    return Box(f"{address.rstrip('/')}/{folder.name}") if address else None


def pack(into: Box, folder: Path, job: str) -> None:
    """Puts what a job needs into the box, and takes out what an earlier one left, which is further than the folder. Raises OSError, ArtefactsError."""
    config = runs.read_config(folder)
    take_home(into, folder)
    there = set(into.names(""))
    needed = [(folder / "config.json", f"{RUN}/config.json"), *_needed(config)]
    needed += [(path, f"{RUN}/{path.name}") for path in folder.iterdir() if CHECKPOINT.fullmatch(path.name)]
    into.put((path, name) for path, name in needed if name not in there)
    into.discard(CANCEL)
    into.write(JOB, job.encode())


def _needed(config: RunConfig) -> Iterator[tuple[Path, str]]:
    if config.dataset not in datasets.DATASETS:
        for path in sorted(datasets.own_folder(config.dataset).iterdir()):
            yield path, f"{NEEDED}/{DATASETS}/{config.dataset}/{path.name}"
    for name in {config.start_from, config.teacher} - {""}:
        card = shelf.load_card(config.dataset, name)
        for path in (card.graph_path, card.graph_path.with_suffix(".json")):
            yield path, f"{NEEDED}/{NETWORKS}/{config.dataset}/{path.name}"


def take_home(out_of: Box, folder: Path) -> None:
    """Adds to a run's events what its jobs have told since; before a word of its publishing, the network, and before its end, the checkpoints. Raises
    OSError, ArtefactsError."""
    known = set(_lines(events.content(folder)))
    for name in out_of.names(TOLD):
        new = [line for line in _lines(out_of.read(name) or b"") if line not in known]
        kinds = {event["kind"] for event in events.parse(new)}
        if "exported" in kinds:
            config = runs.read_config(folder)
            _take_network(out_of, config.dataset, config.publish)
        if kinds & set(events.ENDINGS):
            for checkpoint in out_of.names(RUN):
                if CHECKPOINT.fullmatch(posixpath.basename(checkpoint)):
                    out_of.get(checkpoint, folder / posixpath.basename(checkpoint))
        events.add(folder, new)


def _lines(content: bytes) -> list[bytes]:
    """The whole lines, without what a writer has only begun."""
    return [line for line in content.split(b"\n")[:-1] if line]


def _take_network(out_of: Box, dataset: str, name: str) -> None:
    shelf.check_name(dataset, name)
    target = shelf.shelf_folder() / dataset
    scratch = {kind: target / f".{name}.far.{kind}" for kind in ("onnx", "json")}
    try:
        for kind, path in scratch.items():
            out_of.get(f"{NETWORKS}/{dataset}/{name}.{kind}", path)
        card = scratch["json"].read_text()
        if hashlib.sha256(scratch["onnx"].read_bytes()).hexdigest() != json.loads(card)["sha256"]:
            raise ConnectionError(f"{name}.onnx arrived damaged from {out_of.address}")  # asked for again
        shelf.put(card, name, scratch["onnx"], target)
    finally:
        for path in scratch.values():
            path.unlink(missing_ok=True)
