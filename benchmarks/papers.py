"""python -m benchmarks.papers [--count 300] [--skip 200]

How handwriting is read from other pictures than the canvas: Paint drawings with pens of 1 to 3 pixels, photos of plain, ruled and grid
paper in uneven light, and what else people's pictures show around a sheet (benchmarks/scenes.py). The digits are of hands that no network has learned from (training/hands.py, the validation part)
and traced validation images of MNIST. Prints how many are read right, and how many are declined, by each network; the test
images are not read.
"""

import argparse

import numpy as np
from PIL import Image

from benchmarks import scenes
from benchmarks.common import hardware
from benchmarks.pens import glyphs
from inference.classify import answer_image, load_classifier
from models import shelf
from training.pictures import on_paper
from training.strokes import Glyph, draw

PAINT = (400, 300)  # pixels


def in_paint(glyph: Glyph, random: np.random.Generator) -> Image.Image:
    """Black on white, with a thin hard pen."""
    side, pen = random.uniform(80, 270), int(random.integers(1, 4))
    width, height = np.concatenate(glyph).max(0) * side
    at = (random.uniform(5, PAINT[0] - width - 5), random.uniform(5, PAINT[1] - height - 5))
    return draw(glyph, side, pen, PAINT, at).point(lambda value: 0 if value > 127 else 255)


KINDS = {
    "Paint, 1 to 3 pixels": in_paint,
    "plain paper": lambda glyph, random: on_paper(glyph, random, "plain"),
    "ruled paper": lambda glyph, random: on_paper(glyph, random, "ruled"),
    "grid paper": lambda glyph, random: on_paper(glyph, random, "grid"),
    "a window's frame": lambda glyph, random: scenes.in_window(in_paint(glyph, random), random),
    "on a table": lambda glyph, random: scenes.on_table(on_paper(glyph, random), random),
    "a black border": lambda glyph, random: scenes.with_black_border(on_paper(glyph, random), random),
    "a hand's shadow": lambda glyph, random: scenes.in_a_shadow(on_paper(glyph, random), random),
    "a flash": lambda glyph, random: scenes.by_flash(on_paper(glyph, random), random),
    "a box or a ring": lambda glyph, random: scenes.in_box(in_paint(glyph, random), random),
    "a card on nothing": lambda glyph, random: scenes.on_nothing(on_paper(glyph, random, "plain"), random),
}


def main() -> None:
    """Prints a line a kind and network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300, help="digits of each kind (default: 300)")
    parser.add_argument("--skip", type=int, default=200, help="digits before them, in view of which scenes were looked at (default: 200)")
    options = parser.parse_args()
    count, skip = options.count, options.skip
    networks = [load_classifier(card) for card in shelf.list_cards("mnist") if card.is_shipped]
    for kind, show in KINDS.items():
        random = np.random.default_rng(0)
        pictures = [(label, show(glyph, random)) for label, _, glyph in glyphs(skip + count)][skip:]
        for network in networks:
            answers = [(label, answer_image(network, picture)) for label, picture in pictures]
            right = np.mean([answer.label == label for label, answer in answers])
            declined = np.mean([answer.label is None for _, answer in answers])
            print(f"{kind:22} {network.card.title:16} right {right:.1%}, declined {declined:.1%} (n = {count})", flush=True)
    print(hardware())


if __name__ == "__main__":
    main()
