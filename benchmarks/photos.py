"""python -m benchmarks.photos FOLDER [--networks photo lenet5] [--part validation] [--on-white 500] [--from-afar 120]

How clothing networks do on real photos: FOLDER is a copy of clothing-dataset-small, with a folder a part and in it a folder a kind.
For `shoes` Sandal, Sneaker and Ankle boot all count; of those that training/shoes.csv tells apart, the right one is counted too.
Accuracy is of the most probable class, the threshold for declining left aside; photos of none of the ten classes are told apart from them
by the photo network alone. --on-white: also so many of Fashion-MNIST's validation garments, enlarged, in any colour, on white, which is as
near to a catalogue's photo as they come. --from-afar: also the garments of so many photos, cut out, a fifth to nine tenths of the side, on
white, on one colour, and before a wall above a floor, as photos from across a room are.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from inference.classify import Answer, Classifier, answer_bytes, answer_image
from inference.decode import decode
from inference.foreground import cut_out, is_plain
from inference.prepare import bounds
from models import shelf
from models.datasets import DATASETS, NONE_OF_THEM
from training import data
from training.photo_pictures import GROUPS, SHOES, SIDE, kinds_of_shoe, laid_over
from training.photo_tuning import PART

PLACES = ("white", "one colour", "wall and floor")
SIZES = (0.2, 0.3, 0.45, 0.6, 0.9)


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


def cut_outs(folder: Path, names: list[str], count: int) -> list[tuple[Image.Image, str]]:
    """Up to count garments of photos on uneven ground, transparent around them, and the names of these photos; in an order drawn by lot."""
    found = []
    for name in np.random.default_rng(1).permutation(names).tolist():
        colours = np.asarray(decode((folder / name).read_bytes()).convert("RGB")).astype(np.float32)
        parts = None if is_plain(colours) else cut_out(colours)
        if parts and PART[0] < parts[1].mean() < PART[1]:
            picture = Image.fromarray(np.dstack([parts[0].astype(np.uint8), parts[1].astype(np.uint8) * 255]))
            found.append((picture.crop(bounds(parts[1])), name))
        if len(found) == count:
            break
    return found


def from_afar(garment: Image.Image, size: float, place: str, random: np.random.Generator) -> Image.Image:
    """A photo, 480x640 or 640x480, of a garment whose longer side is a share of the photo's shorter one. place: one of PLACES."""
    width, height = (480, 640) if random.random() < 0.5 else (640, 480)
    ground = np.full((height, width, 3), 255.0)
    if place != "white":
        ground[:] = random.integers(60, 230, 3)
    if place == "wall and floor":
        ground[int(height * random.uniform(0.5, 0.8)) :] = random.integers(60, 230, 3)
        light = 1 + random.uniform(-0.25, 0.25) * np.linspace(-1, 1, width)[:, None]
        ground = ground * light + random.normal(0, 5, (height, width, 1))
    shown = Image.fromarray(ground.clip(0, 255).astype(np.uint8))
    scale = size * min(width, height) / max(garment.size)
    small = garment.resize(tuple(max(1, round(scale * side)) for side in garment.size), Image.Resampling.BICUBIC)
    at = [int((whole - part) * random.uniform(0.2, 0.8)) for whole, part in zip((width, height), small.size, strict=True)]
    shown.paste(small, tuple(at), small)
    return shown


def main() -> None:
    """Prints n and top-1 accuracy of each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--networks", nargs="+", default=["photo", "lenet5"])
    parser.add_argument("--part", default="validation", help="folder of FOLDER whose photos count (default: validation)")
    parser.add_argument("--on-white", type=int, default=0, metavar="N", help="also N enlarged garments of Fashion-MNIST on white")
    parser.add_argument("--from-afar", type=int, default=0, metavar="N", help="also N photos' garments, small, on other grounds")
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
        cut, wanted = (
            cut_outs(options.folder, [name for name, _ in garments], options.from_afar) if options.from_afar else [],
            dict(garments),
        )
        random = np.random.default_rng(0)
        for place in PLACES if cut else ():
            shares = []
            for size in SIZES:
                told = [_said(classifier, answer_image(classifier, from_afar(garment, size, place, random))) for garment, _ in cut]
                right = [
                    said == wanted[name] or (wanted[name] == "shoes" and said in SHOES) for said, (_, name) in zip(told, cut, strict=True)
                ]
                shares.append(f"{np.mean(right):.1%} of size {size}")
            print(f"fashion-mnist/{network}: on {place}, n = {len(cut)} garments: {', '.join(shares)}")


if __name__ == "__main__":
    main()
