"""python -m benchmarks.corrections [--count 20] [--draws 5] [--networks mnist/lenet5 ...] [--threads 1]

What a retrain on corrections does to shipped networks: how many of them it learns, and what becomes of the test images, mean and std over
draws of other corrections. The corrections are
pictures that the network reads wrong: of digits those of hands held out (training/redrawn.py, part "validation"), of garments training
images that it reads wrong still, which are ambiguous ones: the hardest case (validation images would fool the check on validation). Nothing is chosen by it; the test images are read as for every network that is published.
"""

import argparse
import os
import statistics
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
from training.corrected import NothingLearned, demand_learned
from training.data import Split
from training.export import measure
from training.redrawn import COUNTS, redrawn

NETWORKS = ("mnist/small", "mnist/lenet5", "mnist/fc", "fashion-mnist/lenet5", "fashion-mnist/fc")


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
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--networks", nargs="+", default=NETWORKS, metavar="DATASET/NAME")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    for network in options.networks:
        found = []
        for draw in range(options.draws):
            with tempfile.TemporaryDirectory() as folder:
                found.append(compare(network, options.count, draw, options.threads, Path(folder)))
        learned, others, test, seconds = ([outcome[at] for outcome in found] for at in range(4))
        print(
            f"{network}: n = {len(found)}; learned {_spread(learned, '.1f')} of {options.count} corrections; others of these pictures "
            f"{_spread(others, '+.2f')} points; test images {_spread(test, '+.3f')} points; {_spread(seconds, '.0f')} s, {options.threads} thread(s)",
            flush=True,
        )
    print(hardware())


def _spread(values: list[float], digits: str) -> str:
    return f"{statistics.mean(values):{digits}} (std {statistics.stdev(values) if len(values) > 1 else 0:{digits.lstrip('+')}})"


def compare(network: str, count: int, draw: int, threads: int, folder: Path) -> tuple[float, float, float, float]:
    """Keeps corrections of one network in `folder` and retrains it on them.

    How many it learned, by how many points it reads others of these pictures and the test images better than before, and the seconds that it took.
    """
    dataset, _, name = network.partition("/")
    card, about, shown = shelf.load_card(dataset, name), datasets.info(dataset), pictures(dataset)
    before = measure(Classifier(card, threads=0), shown).argmax(1) == shown.labels
    wrong = np.random.default_rng(draw).permutation(np.flatnonzero(~before))[:count]
    os.environ[store.VARIABLE] = f"sqlite:///{folder / 'corrections.sqlite3'}"
    engine = store.open_store()
    for number in wrong:
        label = about.labels[shown.labels[number]]
        kept = store.Correction(dataset=dataset, label=label, said="", network=name, pixels=shown.pixels[number], picture=b"")
        store.keep(engine, kept, about)
    began = time.monotonic()
    publish = f"corrected-{time.time_ns()}"
    asked = ["--threads", str(threads), "--seed", str(draw), "--publish", publish, "--out", str(folder / "run")]
    code = train(["fit", "--fine-tune", network, *asked])
    seconds = time.monotonic() - began
    if code:
        try:
            demand_learned(folder / "run")
        except NothingLearned:
            return 0.0, 0.0, 0.0, seconds
        raise SystemExit(code)
    mine = shelf.load_card(dataset, publish)
    after = measure(Classifier(mine, threads=0), shown).argmax(1) == shown.labels
    shelf.remove(mine)
    others = np.setdiff1d(np.arange(len(shown)), wrong)
    gained = after[others].mean() - before[others].mean()
    return float(after[wrong].sum()), 100 * gained, 100 * (mine.test_accuracy - card.test_accuracy), seconds


if __name__ == "__main__":
    main()
