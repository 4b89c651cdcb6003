"""python -m benchmarks.corrections [--count 20] [--networks mnist/lenet5 ...] [--threads 1]

What a retrain on corrections does to shipped networks: how many of them it learns, and what becomes of the test images. The corrections are
pictures that the network reads wrong: of digits those of hands held out (training/redrawn.py, part "validation"), of garments training
images that it reads wrong still, which are ambiguous ones: the hardest case (validation images would fool the check on validation). Nothing is chosen by it; the test images are read as for every network that is published.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.common import hardware
from corrections import store
from inference.classify import Classifier
from models import datasets, shelf
from training import data
from training.__main__ import main as train
from training.data import Split
from training.export import measure
from training.redrawn import COUNTS, redrawn

NETWORKS = ("mnist/lenet5", "mnist/fc", "fashion-mnist/lenet5", "fashion-mnist/fc")


def pictures(dataset: str) -> Split:
    """Pictures to find corrections among; no network is measured on them when it is published."""
    source = data.find(dataset)
    if dataset != "mnist":
        return Split(pixels=source.train.pixels[:6000], labels=source.train.labels[:6000])
    of_hands = redrawn("validation", source)
    return Split(pixels=of_hands.pixels[COUNTS["validation"][0] :], labels=of_hands.labels[COUNTS["validation"][0] :])


def main() -> None:
    """Prints a line a network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--networks", nargs="+", default=NETWORKS, metavar="DATASET/NAME")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    for network in options.networks:
        with tempfile.TemporaryDirectory() as folder:
            print(compare(network, options.count, options.threads, Path(folder)), flush=True)
    print(hardware())


def compare(network: str, count: int, threads: int, folder: Path) -> str:
    """Keeps corrections of one network in `folder`, retrains it on them, and says what changed."""
    dataset, _, name = network.partition("/")
    card, about, shown = shelf.load_card(dataset, name), datasets.info(dataset), pictures(dataset)
    before = measure(Classifier(card, threads=0), shown).argmax(1) == shown.labels
    wrong = np.random.default_rng(0).permutation(np.flatnonzero(~before))[:count]
    os.environ[store.VARIABLE] = f"sqlite:///{folder / 'corrections.sqlite3'}"
    engine = store.open_store()
    for number in wrong:
        label = about.labels[shown.labels[number]]
        kept = store.Correction(dataset=dataset, label=label, said="", network=name, pixels=shown.pixels[number], picture=b"")
        store.keep(engine, kept, about)
    began = time.monotonic()
    publish = f"corrected-{time.time_ns()}"
    if code := train(["fit", "--fine-tune", network, "--threads", str(threads), "--publish", publish, "--out", str(folder / "run")]):
        raise SystemExit(code)
    seconds, mine = time.monotonic() - began, shelf.load_card(dataset, publish)
    after = measure(Classifier(mine, threads=0), shown).argmax(1) == shown.labels
    shelf.remove(mine)
    others = np.setdiff1d(np.arange(len(shown)), wrong)
    return (
        f"{network}: learned {after[wrong].sum()} of {len(wrong)} corrections; {len(others):,} others of these pictures {before[others].mean():.2%} -> "
        f"{after[others].mean():.2%}; test {card.test_accuracy:.2%} -> {mine.test_accuracy:.2%}; {seconds:.0f} s, {threads} thread(s)"
    )


if __name__ == "__main__":
    main()
