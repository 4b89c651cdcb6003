"""Finds, checks and splits the data sets. Whole sets stay in memory as uint8.

One's own data sets are in $INKLING_DATASETS, split already (own_images.py). Where the files of the two built-in ones come from, first hit wins: the folder given (`--data DIR`, or the word `sample`), $INKLING_DATA, the cache
(~/.cache/inkling), Debian's package dataset-fashion-mnist, a download by torchvision's mirrors and checksums into the
cache, and last the sample bundled with Inkling, of which page and log then say so.
"""

import gzip
import hashlib
import http.client
import os
import socket
import struct
import sys
import tempfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from models import datasets
from models.datasets import DATASETS
from models.errors import InklingError

FOLDERS = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}
DEBIAN = {"fashion-mnist": Path("/usr/share/datasets/fashion-mnist")}
SAMPLE = Path(__file__).parent / "sample"
FULL_SIZES = {"train": 60_000, "t10k": 10_000}
SPLIT_SEED = 54_006  # fixed for ever: every run, of every seed, holds out the same 6,000 images
DOWNLOAD_TIMEOUT = 10.0  # seconds without an answer before a mirror counts as unreachable


class DataError(InklingError):
    """A data file is missing or wrong. The message names the file, the fault and the fix."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """pixels uint8 [N, C, H, W], of the built-in sets [N, 1, 28, 28], bright on black, and labels int64 [N]."""

    pixels: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One data set in a folder of IDX files. Reading a part checks it; the test part is read only when asked for."""

    name: str
    folder: Path
    origin: str
    is_sample: bool = False

    @cached_property
    def _training_part(self) -> tuple[Split, Split]:
        whole = _read_pair(self.folder, "train", None if self.is_sample else FULL_SIZES["train"])
        order = np.random.default_rng(SPLIT_SEED).permutation(len(whole))
        held_out = len(whole) // 10
        parts = (order[:-held_out], order[-held_out:])
        train, validation = (Split(pixels=whole.pixels[part], labels=whole.labels[part]) for part in parts)
        return train, validation

    @property
    def train(self) -> Split:
        """Nine tenths of the training images: 54,000 of the full sets."""
        return self._training_part[0]

    @property
    def validation(self) -> Split:
        """One tenth of the training images: 6,000 of the full sets. Everything chosen is chosen on these."""
        return self._training_part[1]

    @cached_property
    def test(self) -> Split:
        """The test images: 10,000 of the full sets. Nothing is chosen by them."""
        return _read_pair(self.folder, "t10k", None if self.is_sample else FULL_SIZES["t10k"])


@dataclass(frozen=True, kw_only=True)
class OwnDataset:
    """One's own data set, as own_images.py wrote it. Reading a part checks it; the test part is read only when asked for."""

    name: str
    folder: Path
    origin: str = "own images"
    is_sample: bool = False

    @cached_property
    def train(self) -> Split:
        """About eight tenths of each class."""
        return self._read("train")

    @cached_property
    def validation(self) -> Split:
        """A tenth of each class, at least one picture. Everything chosen is chosen on these."""
        return self._read("validation")

    @cached_property
    def test(self) -> Split:
        """A tenth of each class, at least one picture. Nothing is chosen by them."""
        return self._read("test")

    def _read(self, part: str) -> Split:
        about = datasets.info(self.name)
        arrays = []
        for path in datasets.part_paths(self.name, part):
            try:
                arrays.append(np.load(path, allow_pickle=False))
            except (OSError, ValueError, EOFError) as error:
                raise DataError(f"{path} cannot be read ({error}); delete {self.folder} and import the pictures again") from None
        pixels, labels = arrays
        fits = pixels.dtype == np.uint8 and pixels.shape == (len(labels), *about.shape) and labels.dtype == np.int64 and labels.ndim == 1
        if not fits or not len(labels) or not 0 <= labels.min() <= labels.max() < len(about.labels):
            raise DataError(f"the {part} part in {self.folder} is not what its dataset.json says; delete it and import the pictures again")
        return Split(pixels=pixels, labels=labels)


def cache_folder() -> Path:
    """Where downloads are kept: $XDG_CACHE_HOME/inkling or ~/.cache/inkling."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "inkling"


def find(name: str, folder: str | Path | None = None) -> Dataset | OwnDataset:
    """The best source of data set `name`; an own one has but one, whatever `folder` says.

    Raises DataError where a folder was given and does not hold it, DatasetError where there is no such data set.
    """
    if name not in DATASETS:
        return OwnDataset(name=datasets.info(name).name, folder=datasets.own_folder(name))
    given = folder or os.environ.get("INKLING_DATA")
    if str(given) == "sample":
        return sample(name)
    if given:
        return Dataset(name=name, folder=_given_folder(name, Path(given)), origin=f"folder {given}")
    cached = cache_folder() / FOLDERS[name]
    if cached.is_dir():
        return Dataset(name=name, folder=cached, origin="download cache")
    if name in DEBIAN and _holds(DEBIAN[name]):
        return Dataset(name=name, folder=DEBIAN[name], origin="Debian's package dataset-fashion-mnist")
    try:
        download(name)
    except DataError as error:
        print(f"{error} Training on the bundled sample instead.", file=sys.stderr)
        return sample(name)
    return Dataset(name=name, folder=cached, origin="download cache")


def sample(name: str) -> Dataset:
    """The bundled sample: fewer images, so less accurate networks; training/sample/README.md says where they come from."""
    return Dataset(name=name, folder=SAMPLE / FOLDERS[name], origin="bundled sample", is_sample=True)


def redrawn_sample() -> Split:
    """The 4,000 bundled digits of other hands and pens: training/sample/README.md."""
    return _read_pair(SAMPLE / FOLDERS["mnist"], "redrawn", None)


def download(name: str) -> Path:
    """Downloads into the cache, checks torchvision's md5 sums, and only then puts the folder in place by one rename.

    Raises DataError when no mirror answers or a sum is wrong; the cache is then as it was.
    """
    import torchvision  # only here: the import takes longer than a quick retrain's epoch

    kind = getattr(torchvision.datasets, FOLDERS[name])
    cache = cache_folder()
    before = socket.getdefaulttimeout()
    try:
        socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="download-", dir=cache) as scratch:
            kind(scratch, download=True)
            return _keep(Path(scratch, FOLDERS[name], "raw"), cache / FOLDERS[name])
    except (OSError, RuntimeError, EOFError, http.client.HTTPException) as error:
        raise DataError(
            f"{FOLDERS[name]} could not be downloaded ({error}). Give a folder that holds it with --data or INKLING_DATA."
        ) from None
    finally:
        socket.setdefaulttimeout(before)


def _keep(raw: Path, target: Path) -> Path:
    for unpacked in raw.glob("*-ubyte"):
        unpacked.unlink()
    try:
        raw.rename(target)
    except OSError:
        if not target.is_dir():  # another process was first: its copy passed the same checks
            raise
    return target


def _given_folder(name: str, root: Path) -> Path:
    candidates = [root / FOLDERS[name] / "raw", root / FOLDERS[name], root / name, root]
    others = {each for other in DATASETS if other != name for each in (other, FOLDERS[other])}
    if others & {root.resolve().name, root.resolve().parent.name}:
        candidates.pop()  # another data set's own folder: its files have the same names and sizes
    for candidate in candidates:
        if _holds(candidate):
            return candidate
    raise DataError(
        f"{root} does not hold {FOLDERS[name]}: no train-images-idx3-ubyte.gz in {candidates[0]} or {root}. "
        "Give the folder that torchvision's datasets were downloaded to."
    )


def _holds(folder: Path) -> bool:
    return any((folder / f"train-images-idx3-ubyte{ending}").is_file() for ending in ("", ".gz"))


def _read_pair(folder: Path, part: str, size: int | None) -> Split:
    pixels, images_path = _read_idx(folder, f"{part}-images-idx3-ubyte", dimensions=3)
    labels, labels_path = _read_idx(folder, f"{part}-labels-idx1-ubyte", dimensions=1)
    if pixels.shape[1:] != (28, 28):
        raise DataError(f"{images_path} holds images of {pixels.shape[1]}x{pixels.shape[2]} pixels, not 28x28; {_fix(images_path)}")
    if size is not None and len(pixels) != size:
        raise DataError(f"{images_path} holds {len(pixels)} images, not {size}; {_fix(images_path)}")
    if len(pixels) != len(labels):
        raise DataError(f"{labels_path} holds {len(labels)} labels for {len(pixels)} images; {_fix(labels_path)}")
    if labels.max() > 9:
        raise DataError(f"{labels_path} holds the label {labels.max()}; labels go from 0 to 9; {_fix(labels_path)}")
    return Split(pixels=pixels[:, None], labels=labels.astype(np.int64))


def _read_idx(folder: Path, stem: str, dimensions: int) -> tuple[np.ndarray, Path]:
    path = folder / f"{stem}.gz"
    if not path.is_file() and (folder / stem).is_file():
        path = folder / stem
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} is missing; {_fix(path)}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be unpacked ({error}); {_fix(path)}") from None
    header = 4 + 4 * dimensions
    # IDX: two zero bytes, the element type (8 = uint8), the number of dimensions, then each size as big-endian int32.
    if len(content) < header or content[:4] != bytes((0, 0, 8, dimensions)):
        raise DataError(f"{path} does not start with the header of an IDX file of {dimensions} dimensions; {_fix(path)}")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    if len(content) - header != int(np.prod(shape, dtype=object)) or not shape[0]:
        raise DataError(f"{path} has {len(content) - header} bytes of data where its header promises {shape}; {_fix(path)}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape), path


def _fix(path: Path) -> str:
    if cache_folder() in path.parents:
        return f"delete the folder {path.parent} and start again: it is downloaded afresh"
    return "put an intact copy in its place, or give another folder with --data"


def digest(split: Split) -> str:
    """The sha256 of all pixels and labels: own images that were imported again may be as many and others."""
    found = hashlib.sha256(np.ascontiguousarray(split.pixels))
    found.update(np.ascontiguousarray(split.labels))
    return found.hexdigest()
