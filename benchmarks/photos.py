"""python -m benchmarks.photos FOLDER [--network lenet5] [--part validation]

How a clothing network does on real photos: FOLDER/labels.csv has file, the data set's own label, and the Fashion-MNIST class.
Where the class is plain `shoes`, Sandal, Sneaker and Ankle boot all count; photos of none of the ten classes are left out.
"""

import argparse
import csv
from pathlib import Path

from inference.classify import Classifier, answer_bytes
from models import shelf

SHOES = ("Sandal", "Sneaker", "Ankle boot")


def main() -> None:
    """Prints n and top-1 accuracy, the threshold for declining left aside."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--network", default="lenet5")
    parser.add_argument("--part", default="validation", help="beginning of the file names that count (default: validation)")
    options = parser.parse_args()
    classifier = Classifier(shelf.load_card("fashion-mnist", options.network))
    labels = classifier.card.labels
    with (options.folder / "labels.csv").open(newline="") as file:
        rows = [row for row in list(csv.reader(file))[1:] if row[0].startswith(options.part) and row[2] != "none"]
    right = 0
    for name, _, wanted in rows:
        answer = answer_bytes(classifier, (options.folder / name).read_bytes())
        if answer.probabilities is not None:
            told = labels[int(answer.probabilities.argmax())]
            right += told == wanted or (wanted not in labels and told in SHOES)
    print(f"fashion-mnist/{options.network}: {right} of n = {len(rows)} photos, {right / max(1, len(rows)):.1%}")


if __name__ == "__main__":
    main()
