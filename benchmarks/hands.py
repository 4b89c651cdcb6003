"""python -m benchmarks.hands [--data DIR]

How each network of the shelf reads handwriting that no network has learned from: the pictures of training/redrawn.py, part "validation".
3,000 validation digits of MNIST traced and drawn anew, and 3,000 digits of hands held out of training/hands.npz; all bent, with any pen,
a quarter of them on paper. Making them takes two minutes, once. The test images are not read.
"""

import argparse
from pathlib import Path

from benchmarks.common import hardware
from inference.classify import load_classifier
from models import shelf
from training import data
from training.export import measure
from training.redrawn import COUNTS, redrawn


def main() -> None:
    """Prints a line a network: shares read right as the most probable class, answered right, declined by gate or doubt, and answered wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="DIR")
    shown = redrawn("validation", data.find("mnist", parser.parse_args().data))
    count, all_of_them = COUNTS["validation"][0], sum(COUNTS["validation"])
    if len(shown) != all_of_them:
        raise SystemExit(f"{all_of_them - len(shown)} of the pictures came out blank: traced ones and hands cannot be told apart")
    for classifier in [load_classifier(card) for card in shelf.list_cards("mnist") if card.is_shipped]:
        probabilities = measure(classifier, shown)
        right = probabilities.argmax(1) == shown.labels
        let_in = measure(classifier.gate, shown)[:, 0] >= classifier.gate.card.decline_below
        answered = let_in & (probabilities.max(1) >= classifier.card.decline_below)
        for source, part in (("traced MNIST", slice(None, count)), ("hands", slice(count, None))):
            print(
                f"{classifier.card.title:16} {source:13} most probable right {right[part].mean():.1%}, answered right {(answered & right)[part].mean():.1%}, "
                f"declined {1 - answered[part].mean():.1%}, answered wrong {(answered & ~right)[part].mean():.1%} (n = {len(right[part])})"
            )
    print(hardware())


if __name__ == "__main__":
    main()
