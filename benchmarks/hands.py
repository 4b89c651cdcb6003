"""python -m benchmarks.hands [--data DIR]

How each network of the shelf reads handwriting that no network has learned from: the pictures of training/redrawn.py, part "validation".
3,000 validation digits of MNIST traced and drawn anew, and 3,000 digits of hands held out of training/hands.npz; all bent, with any pen,
a quarter of them on paper. Making them takes two minutes, once. As many of these hands in a hurry, which leave rings open, as many in few
straight pieces, and as many digits by the rules of training/ways.py, of which the networks have seen others. And how much gate and doubt
together decline of validation images and of 1,500 letters, scribbles, garments and pictures of noise each. The test images are not read.
Both tables of docs/accuracy.md, "Other hands", are what this prints.
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks.common import hardware
from inference.classify import Classifier, load_classifier
from models import shelf
from models.datasets import GATE_LABELS
from training import data, outliers, pictures
from training.data import Split
from training.export import CHUNK, measure
from training.redrawn import COUNTS, DIGITS, HOW_FAR_BENT, HURRIED, by_rule, redrawn

STRANGERS = 1500


def main() -> None:
    """Prints two tables, a column a network: how each kind of handwriting is read, and what is declined."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="DIR")
    folder = parser.parse_args().data
    own, other = data.find("mnist", folder), data.find("fashion-mnist", folder)
    shown = redrawn("validation", own)
    count, of_hands, _ = COUNTS["validation"]
    bent = HOW_FAR_BENT["validation"]
    others = {
        "in a hurry": pictures.written("validation", DIGITS, of_hands, "mnist", bent, hurried=1.0),
        "in pieces": pictures.written("validation", DIGITS, of_hands, "mnist", bent, pieces=1.0),
        "by rule": by_rule(of_hands, np.random.default_rng(0), bent, HURRIED["train"]),
    }
    declined = {"validation": own.validation.pixels} | {
        kind: outliers.make(kind, "validation", "mnist", STRANGERS, other)[0][:, None] for kind in GATE_LABELS["mnist"][1:]
    }
    if len(shown) != count + of_hands:
        raise SystemExit(f"{count + of_hands - len(shown)} of the pictures came out blank: traced ones and hands cannot be told apart")
    pixels, labels = (np.concatenate([each[at] for each in others.values()]) for at in (0, 1))
    shown = Split(pixels=np.concatenate([shown.pixels, pixels[:, None]]), labels=np.concatenate([shown.labels, labels]))
    ends = np.cumsum([0, count, of_hands, *(len(labels) for _, labels in others.values())])
    sources = dict(zip(("traced MNIST", "hands", *others), map(slice, ends[:-1], ends[1:]), strict=True))
    classifiers = [load_classifier(card) for card in shelf.list_cards("mnist") if card.is_shipped]
    read = {source: [] for source in sources}
    for classifier in classifiers:
        right = measure(classifier, shown).argmax(1) == shown.labels
        answered = is_answered(classifier, shown.pixels)
        for source, part in sources.items():
            read[source].append(f"{(answered & right)[part].mean():.1%}, {(answered & ~right)[part].mean():.1%}, {right[part].mean():.1%}")
    rows = {f"{source} (n = {len(shown.labels[part])})": read[source] for source, part in sources.items()}
    print_table("answered right, answered wrong, most probable is right", classifiers, rows)
    rows = {
        f"{kind} (n = {len(pixels)})": [f"{1 - is_answered(classifier, pixels).mean():.2%}" for classifier in classifiers]
        for kind, pixels in declined.items()
    }
    print_table("declined", classifiers, rows)
    print(hardware())


def print_table(about: str, classifiers: list[Classifier], rows: dict[str, list[str]]) -> None:
    """A table in Markdown, a column a network."""
    lines = [[about, *(classifier.card.title for classifier in classifiers)], ["---"] * (len(classifiers) + 1)]
    lines += [[name, *cells] for name, cells in rows.items()]
    print("\n".join(f"| {' | '.join(line)} |" for line in lines), end="\n\n")


def is_answered(classifier: Classifier, pixels: np.ndarray) -> np.ndarray:
    """Whether neither gate nor doubt declines each of pixels, uint8 [N, 1, 28, 28]: bool [N]."""
    few = [pixels[at : at + CHUNK] for at in range(0, len(pixels), CHUNK)]
    let_in = np.concatenate([classifier.gate.likelihoods(each) for each in few]) >= classifier.gate.card.decline_below
    return let_in & (np.concatenate([classifier.probabilities(each).max(1) for each in few]) >= classifier.card.decline_below)


if __name__ == "__main__":
    main()
