"""python -m benchmarks.numbers [--network lenet5]

How several digits in one picture are read: validation digits, enlarged to some 80 pixels and set beside each other at random
distances and heights; and how often one digit, 90 to 280 pixels large, is taken for several. A number is answered right when
every digit is, and none declined; the most probable digits are also counted where the gate or a network declines. The prices of
inference/segment.py were chosen on these same digits; the test images are not read.
"""

import argparse

import numpy as np
from PIL import Image

from inference.classify import Answer, answer_image, load_classifier
from models import shelf
from training import data

KINDS = ((4, (8, 30), 150), (8, (6, 30), 150), (12, (4, 20), 150), (2, (-6, 2), 200))  # digits, pixels between them, numbers
SINGLES = 1500


def enlarged(digit: np.ndarray, side: int) -> np.ndarray:
    """uint8 [side, side]."""
    return np.asarray(Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC))


def number(digits: list[np.ndarray], gap: tuple[int, int], random: np.random.Generator) -> Image.Image:
    """The digits in a row, bright on black."""
    pixels, left = np.zeros((200, 140 * len(digits) + 40), np.uint8), 20
    for digit in digits:
        side = int(80 * random.uniform(0.85, 1.15))
        ink = enlarged(digit, side)
        ink = ink[:, (columns := np.flatnonzero((ink > 60).any(0)))[0] : columns[-1] + 1]
        top = (200 - side) // 2 + int(random.integers(-10, 11))
        place = pixels[top : top + side, left : left + ink.shape[1]]
        np.maximum(place, ink, out=place)
        left += ink.shape[1] + int(random.integers(*gap))
    return Image.fromarray(pixels[:, : left + 30])


def judged(answer: Answer, wanted: str) -> tuple[bool, bool, bool]:
    """Whether it answers right, its most probable digits are right, and their number is."""
    told = [int(digit.probabilities.argmax()) for digit in answer.digits]
    return answer.label == wanted, "".join(map(str, told)) == wanted, len(told) == len(wanted)


def main() -> None:
    """Prints n and shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="lenet5")
    classifier, random = load_classifier(shelf.load_card("mnist", parser.parse_args().network)), np.random.default_rng(0)
    known = data.find("mnist").validation
    pictures, labels = known.pixels[:, 0], known.labels
    several = 0
    for index in range(SINGLES):
        side = int(random.integers(90, 281))
        pixels = np.zeros((320, 320), np.uint8)
        top, left = random.integers(0, 320 - side + 1, 2)
        pixels[top : top + side, left : left + side] = enlarged(pictures[index % len(pictures)], side)
        several += bool(answer_image(classifier, Image.fromarray(pixels), invert=False).digits)
    print(f"one digit taken for several: {several / SINGLES:.1%} (n = {SINGLES})")
    for count, gap, times in KINDS:
        outcomes = []
        for _ in range(times):
            chosen = random.integers(0, len(labels), count)
            answer = answer_image(classifier, number([pictures[at] for at in chosen], gap, random), invert=False)
            outcomes.append(judged(answer, "".join(map(str, labels[chosen]))))
        answered, probable, counted = np.mean(outcomes, axis=0)
        print(
            f"{count} digits, {gap[0]} to {gap[1] - 1} pixels apart: {answered:.1%} answered right, most probable right {probable:.1%}, "
            f"count right {counted:.1%} (n = {times})"
        )


if __name__ == "__main__":
    main()
