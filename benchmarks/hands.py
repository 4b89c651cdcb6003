"""python -m benchmarks.hands [--data DIR]

How each network of the shelf reads handwriting that no network has learned from: the pictures of training/redrawn.py, part "validation".
3,000 validation digits of MNIST traced and drawn anew, and 3,000 digits of hands held out of training/hands.npz; all bent, with any pen,
a quarter of them on paper. Making them takes two minutes, once. As many of these hands in a hurry, which leave rings open, and as many
digits by the rules of training/ways.py, of which the networks have seen others. And how much gate and doubt together decline of
validation images and of 1,500 letters, scribbles, garments and pictures of noise each. The test images are not read.
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
    """Prints a line a network: shares read right as the most probable class, answered right, declined by gate or doubt, and answered wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="DIR")
    folder = parser.parse_args().data
    own, other = data.find("mnist", folder), data.find("fashion-mnist", folder)
    shown = redrawn("validation", own)
    hurried = pictures.written("validation", DIGITS, COUNTS["validation"][1], "mnist", HOW_FAR_BENT["validation"], hurried=1.0)
    ruled = by_rule(COUNTS["validation"][1], np.random.default_rng(0), HOW_FAR_BENT["validation"], HURRIED["train"])
    declined = {"validation": own.validation.pixels} | {
        kind: outliers.make(kind, "validation", "mnist", STRANGERS, other)[0][:, None] for kind in GATE_LABELS["mnist"][1:]
    }
    count, all_of_them = COUNTS["validation"][0], sum(COUNTS["validation"])
    if len(shown) != all_of_them:
        raise SystemExit(f"{all_of_them - len(shown)} of the pictures came out blank: traced ones and hands cannot be told apart")
    more = np.concatenate([hurried[0], ruled[0]])[:, None]
    shown = Split(pixels=np.concatenate([shown.pixels, more]), labels=np.concatenate([shown.labels, hurried[1], ruled[1]]))
    ends = (0, count, all_of_them, all_of_them + len(hurried[1]), len(shown))
    sources = dict(zip(("traced MNIST", "hands", "in a hurry", "by rule"), map(slice, ends[:-1], ends[1:]), strict=True))
    for classifier in [load_classifier(card) for card in shelf.list_cards("mnist") if card.is_shipped]:
        probabilities = measure(classifier, shown)
        right = probabilities.argmax(1) == shown.labels
        answered = is_answered(classifier, shown.pixels)
        for source, part in sources.items():
            print(
                f"{classifier.card.title:16} {source:13} most probable right {right[part].mean():.1%}, answered right {(answered & right)[part].mean():.1%}, "
                f"declined {1 - answered[part].mean():.1%}, answered wrong {(answered & ~right)[part].mean():.1%} (n = {len(right[part])})"
            )
        shares = (f"{kind} {1 - is_answered(classifier, pixels).mean():.2%} (n = {len(pixels)})" for kind, pixels in declined.items())
        print(f"{classifier.card.title:16} declined: {', '.join(shares)}")
    print(hardware())


def is_answered(classifier: Classifier, pixels: np.ndarray) -> np.ndarray:
    """Whether neither gate nor doubt declines each of pixels, uint8 [N, 1, 28, 28]: bool [N]."""
    few = [pixels[at : at + CHUNK] for at in range(0, len(pixels), CHUNK)]
    let_in = np.concatenate([classifier.gate.probabilities(each)[:, 0] for each in few]) >= classifier.gate.card.decline_below
    return let_in & (np.concatenate([classifier.probabilities(each).max(1) for each in few]) >= classifier.card.decline_below)


if __name__ == "__main__":
    main()
