"""python -m benchmarks.photos FOLDER [--networks photo lenet5] [--part validation] [--on-white 500]

How clothing networks do on real photos: FOLDER is a copy of clothing-dataset-small, with a folder a part and in it a folder a kind.
For `shoes` Sandal, Sneaker and Ankle boot all count; of those that training/shoes.csv tells apart, the right one is counted too.
Accuracy is of the most probable class, the threshold for declining left aside; photos of none of the ten classes are told apart from them
by the photo network alone. --on-white: also so many of Fashion-MNIST's validation garments, enlarged, in any colour, on white, which is as
near to a catalogue's photo as they come.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from inference.classify import Answer, Classifier, answer_bytes, answer_image
from models import shelf
from models.datasets import DATASETS, NONE_OF_THEM
from training import data
from training.photo_pictures import GROUPS, SHOES, SIDE, kinds_of_shoe, laid_over


def answers(classifier: Classifier, folder: Path, names: list[str]) -> list[str]:
    """The most probable class of each photo."""
    return [_said(classifier, answer_bytes(classifier, (folder / name).read_bytes())) for name in names]


def _said(classifier: Classifier, answer: Answer) -> str:
    """What the network calls blank is none of the ten."""
    return NONE_OF_THEM if answer.probabilities is None else classifier.card.labels[int(answer.probabilities.argmax())]


def photos(folder: Path, part: str) -> list[tuple[str, str]]:
    """The photos of a part, such as validation/dress/NAME.jpg, and which of GROUPS each shows."""
    kinds = [(kind, group) for group, kinds in GROUPS.items() for kind in kinds]
    return [(path.relative_to(folder).as_posix(), group) for kind, group in kinds for path in sorted((folder / part / kind).glob("*.*"))]


def on_white(count: int) -> list[tuple[Image.Image, str]]:
    """Validation garments and their classes."""
    random, garments = np.random.default_rng(0), data.find("fashion-mnist").validation
    white, labels, pictures = np.full((SIDE, SIDE, 3), 255), DATASETS["fashion-mnist"].labels, []
    for number in random.permutation(len(garments))[:count]:
        colour = np.broadcast_to(random.integers(20, 220, 3), (SIDE, SIDE, 3))
        picture = laid_over(garments.pixels[number, 0], white, colour, size=0.8)
        pictures.append((Image.fromarray(picture.clip(0, 255).astype(np.uint8)), labels[garments.labels[number]]))
    return pictures


def main() -> None:
    """Prints n and top-1 accuracy of each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--networks", nargs="+", default=["photo", "lenet5"])
    parser.add_argument("--part", default="validation", help="folder of FOLDER whose photos count (default: validation)")
    parser.add_argument("--on-white", type=int, default=0, metavar="N", help="also N enlarged garments of Fashion-MNIST on white")
    options = parser.parse_args()
    found = photos(options.folder, options.part)
    garments = [(name, wanted) for name, wanted in found if wanted != NONE_OF_THEM]
    kinds = kinds_of_shoe()
    others = [name for name, wanted in found if wanted == NONE_OF_THEM]
    for network in options.networks:
        classifier = Classifier(shelf.load_card("fashion-mnist", network))
        told = answers(classifier, options.folder, [name for name, _ in garments])
        right = sum(said == wanted or (wanted == "shoes" and said in SHOES) for said, (_, wanted) in zip(told, garments, strict=True))
        shoes = [said == kinds[name] for said, (name, _) in zip(told, garments, strict=True) if name in kinds]
        declined = sum(said == NONE_OF_THEM for said in answers(classifier, options.folder, others))
        print(
            f"fashion-mnist/{network}: {right} of n = {len(garments)} garments, {right / max(1, len(garments)):.1%}; "
            f"which shoe: {sum(shoes)} of n = {len(shoes)}; "
            f"none of the ten for {declined} of n = {len(others)} photos that show none"
        )
        if options.on_white:
            right = [_said(classifier, answer_image(classifier, picture)) == label for picture, label in on_white(options.on_white)]
            print(f"fashion-mnist/{network}: {np.mean(right):.1%} of n = {len(right)} enlarged garments on white")


if __name__ == "__main__":
    main()
