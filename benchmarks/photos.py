"""python -m benchmarks.photos FOLDER [--networks photo lenet5] [--part validation]

How clothing networks do on real photos: FOLDER/labels.csv has file, the data set's own label, and the Fashion-MNIST class.
Where the class is plain `shoes`, Sandal, Sneaker and Ankle boot all count. Accuracy is of the most probable class, the threshold
for declining left aside; photos of none of the ten classes are told apart from them by the photo network alone.
"""

import argparse
import csv
from pathlib import Path

from inference.classify import Classifier, answer_bytes
from models import shelf
from models.datasets import NONE_OF_THEM

SHOES = ("Sandal", "Sneaker", "Ankle boot")


def answers(network: str, folder: Path, names: list[str]) -> list[str]:
    """The most probable class of each photo; what the network calls blank is none of them."""
    classifier, told = Classifier(shelf.load_card("fashion-mnist", network)), []
    for name in names:
        answer = answer_bytes(classifier, (folder / name).read_bytes())
        told.append(NONE_OF_THEM if answer.probabilities is None else classifier.card.labels[int(answer.probabilities.argmax())])
    return told


def main() -> None:
    """Prints n and top-1 accuracy of each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--networks", nargs="+", default=["photo", "lenet5"])
    parser.add_argument("--part", default="validation", help="beginning of the file names that count (default: validation)")
    options = parser.parse_args()
    with (options.folder / "labels.csv").open(newline="") as file:
        rows = [row for row in list(csv.reader(file))[1:] if row[0].startswith(options.part)]
    garments = [(name, wanted) for name, _, wanted in rows if wanted != "none"]
    others = [name for name, _, wanted in rows if wanted == "none"]
    for network in options.networks:
        told = answers(network, options.folder, [name for name, _ in garments])
        right = sum(
            said == wanted or (wanted.startswith("shoes") and said in SHOES) for said, (_, wanted) in zip(told, garments, strict=True)
        )
        declined = sum(said == NONE_OF_THEM for said in answers(network, options.folder, others))
        print(
            f"fashion-mnist/{network}: {right} of n = {len(garments)} garments, {right / max(1, len(garments)):.1%}; "
            f"none of the ten for {declined} of n = {len(others)} photos that show none"
        )


if __name__ == "__main__":
    main()
