"""python -m benchmarks.strangers [--network small] [--count 1500] [--kinds letters ...]

What is no digit, drawn and sent as a picture, and read the whole way through: letters of hands held out, scribbles, faces, signs as the gate
learned them and signs that it did not; and beside them numbers of two to four digits that touch. How many are answered, and how many as a number; each with the gate's look at what is connected and
was cut into digits, and without it. The test images are not read. With 1,500 letters it takes a quarter of an hour.
"""

import argparse
from collections.abc import Iterator

import numpy as np
from PIL import Image

from inference.classify import Classifier, answer_image, load_classifier
from models import shelf
from training import hands, outliers, pictures, signs, touching
from training.strokes import bend, fitted

# How many of each, times --count.
KINDS = {"letters": 1.0, "scribbles": 0.5, "faces": 0.1, "signs": 0.5, "other signs": 0.5, "numbers that touch": 0.33}
FROM = "number_from"


def drawn(kind: str, random: np.random.Generator) -> Iterator[tuple[str | None, Image.Image]]:
    """Pictures without end, and what each is to be read as: None where it is no number."""
    letters, digits = (hands.glyphs("validation", characters) for characters in (outliers.LETTERS, "0123456789"))
    while True:
        wanted = None
        if kind == "letters":
            glyph = bend(letters[random.integers(len(letters))][1], random)
        elif kind == "scribbles":
            glyph = outliers.scribble(random)
        elif kind == "faces":
            glyph = fitted(outliers.face(random))
        elif "signs" in kind:
            known = signs.SIGNS if kind == "signs" else signs.HELD_OUT
            glyph = bend(fitted(signs.sign(known[list(known)[random.integers(len(known))]], random)), random)
        else:
            wanted, glyph = touching.number(digits, random)
        yield wanted, pictures.picture(glyph, random)


def outcomes(classifier: Classifier, image: Image.Image, wanted: str | None) -> tuple[bool, bool, bool]:
    """Whether it is answered, as a number, and right."""
    answer = answer_image(classifier, image)
    is_answered = answer.label is not None
    return is_answered, is_answered and bool(answer.digits), is_answered and answer.label == wanted


def main() -> None:
    """Prints n and shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="small")
    parser.add_argument("--count", type=int, default=1500, help="letters (default: 1500)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="only these (default: all)")
    options = parser.parse_args()
    classifier = load_classifier(shelf.load_card("mnist", options.network))
    facts = classifier.gate.card.facts
    least = facts[FROM]
    for kind in options.kinds:
        count, made, found = max(1, round(KINDS[kind] * options.count)), drawn(kind, np.random.default_rng(77)), {True: [], False: []}
        for _ in range(count):
            wanted, image = next(made)
            for looks, told in found.items():
                facts.pop(FROM, None)
                facts |= {FROM: least} if looks else {}
                told.append(outcomes(classifier, image, wanted))
        for looks, told in found.items():
            answered, as_number, right = np.mean(told, axis=0)
            rightly = f", {right:.1%} right" if kind == "numbers that touch" else ""
            print(
                f"{kind} (n = {count}), {'with' if looks else 'without'} the look: {answered:.1%} answered, {as_number:.1%} as a number{rightly}",
                flush=True,
            )


if __name__ == "__main__":
    main()
