"""python -m benchmarks.pens [--write docs/pens.md]
python -m benchmarks.pens --without-browser --each 25    # the same strokes handed to the preparation: 1,500 digits in a minute

How handwriting is read on the canvas: digits of hands that no network has learned from (training/hands.py, the validation part, and traced
validation images of MNIST), drawn with the mouse in headless Chromium with every pen, in three sizes and five places. Prints, as
a table, how many of each are read right by each network on the page. The test images are not read.
"""

import argparse
import itertools
from collections import defaultdict
from pathlib import Path

import numpy as np
from playwright.sync_api import Page

from benchmarks.common import INKLING, Server, chromium, hardware, open_page
from inference.classify import answer_image, load_classifier
from inference.strokes import drawn, with_finer_pens
from models import shelf
from training import data, hands, pictures
from training.strokes import Glyph
from ui.pens import PENS, SIDE

SIZES = {"small": 70, "medium": 140, "large": 250}  # pixels of the longest side
PLACES = {"middle": (0.5, 0.5), "top left": (0, 0), "top right": (1, 0), "bottom left": (0, 1), "bottom right": (1, 1)}
EDGE = 18  # pixels kept free
AGAIN = 250  # ms between two looks at the answer
SETTLED = 500  # ms after the last stroke: the canvas reports 200 ms after it, the answer takes 60


def glyphs(count: int) -> list[tuple[str, str, Glyph]]:
    """Digits, where they come from, and their strokes: half of them of each source, every digit as often as the others."""
    known = data.find("mnist").validation
    random = np.random.default_rng(1)
    by_hand = hands.glyphs("validation", "0123456789")
    chosen = []
    for number in range(count):
        digit = number % 10
        if number // 10 % 2:
            image = random.choice(np.flatnonzero(known.labels == digit))
            chosen.append((str(digit), "traced MNIST", pictures.traced(known.pixels[image, 0])))
        else:
            of_it = [glyph for character, glyph in by_hand if character == str(digit)]
            chosen.append((str(digit), "hands", of_it[random.integers(len(of_it))]))
    return chosen


def draw(page: Page, strokes: Glyph) -> None:
    """Draws strokes with the mouse, point by point."""
    box = page.locator("canvas.upper-canvas").bounding_box()
    for stroke in strokes:
        points = np.add(stroke, (box["x"], box["y"])).tolist()
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:] or points:
            page.mouse.move(*point)
        page.mouse.up()


def read(page: Page) -> list[str]:
    """What each network says, fully connected first, once two looks agree."""
    page.wait_for_timeout(SETTLED)
    page.get_by_test_id("trio").wait_for()
    said = None
    while said != (said := page.get_by_test_id("trio").locator(".said").all_inner_texts()):
        page.wait_for_timeout(AGAIN)
    return said


def on_canvas(glyph: Glyph, size: int, place: tuple[float, float]) -> Glyph:
    """The glyph's strokes in the canvas's pixels."""
    extent = np.concatenate(glyph).max(0) * size
    left_top = EDGE + (SIDE - 2 * EDGE - extent) * place
    return [stroke * size + left_top for stroke in glyph]


def read_in_browser(digits: list[tuple[str, str, Glyph]], kinds: list[tuple[str, str, str]]) -> list[list[str]]:
    """What each network says of each digit, drawn with the mouse on the page; kinds: pen, size and place of each."""
    said = []
    with Server(INKLING) as server, chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        open_page(page, server)
        pen = None
        for (_, _, glyph), (of_pen, size, place) in zip(digits, kinds, strict=True):
            if pen != (pen := of_pen):
                page.locator(".st-key-draw-pen button").nth(list(PENS).index(pen)).click()
                page.wait_for_timeout(SETTLED)
            draw(page, on_canvas(glyph, SIZES[size], PLACES[place]))
            said.append(read(page))
            page.get_by_role("button", name="Clear", exact=True).click()
            page.get_by_test_id("empty").wait_for()
    return said


def read_from_strokes(digits: list[tuple[str, str, Glyph]], kinds: list[tuple[str, str, str]]) -> list[list[str]]:
    """The same without a page: the strokes go where those of its canvas go."""
    networks = [load_classifier(card) for card in cards()]
    said = []
    for (_, _, glyph), (pen, size, place) in zip(digits, kinds, strict=True):
        strokes = with_finer_pens([(stroke, PENS[pen]) for stroke in on_canvas(glyph, SIZES[size], PLACES[place])])
        picture = drawn(strokes, (SIDE, SIDE))
        said.append([answer_image(network, picture, invert=False).label or "?" for network in networks])
    return said


def main() -> None:
    """Draws all of them and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the table there too")
    parser.add_argument("--each", type=int, default=5, help="digits for each pen, size and place (default: 5)")
    parser.add_argument("--without-browser", action="store_true", help="hand the strokes over in place of drawing them on the page")
    options = parser.parse_args()
    kinds = [kind for kind in itertools.product(PENS, SIZES, PLACES) for _ in range(options.each)]
    digits = glyphs(len(kinds))
    answers = (read_from_strokes if options.without_browser else read_in_browser)(digits, kinds)
    right: dict[str, list[list[bool]]] = defaultdict(list)
    missed = []
    usual = [card.name for card in cards()].index(shelf.USUAL["mnist"])
    for (label, source, _), (pen, size, place), said in zip(digits, kinds, answers, strict=True):
        if said[usual] != label:
            missed.append(f"{label} as {said[usual]} ({source}, {pen}, {size}, {place})")
        for group in ("all", f"pen {pen}, {PENS[pen]} px", f"{size}, {SIZES[size]} px", place, source):
            right[group].append([each == label for each in said])
    how = "as strokes, without a browser," if options.without_browser else "with the mouse in headless Chromium"
    report = table(right, missed, how)
    print(report)
    if options.write:
        options.write.write_text(report + "\n")


def cards() -> list[shelf.Card]:
    """The networks that the page shows side by side, in its order."""
    return [card for card in shelf.list_cards("mnist") if card.is_shipped]


def table(right: dict[str, list[list[bool]]], missed: list[str], how: str) -> str:
    """Markdown: how they were drawn, a row a group, a column a network, and what the network that is chosen at first did not read."""
    names = [card.title for card in cards()]
    lines = [
        "# Pens on the canvas",
        "",
        f"Digits drawn {how} by `python -m benchmarks.pens`, which says where they come from; answered right",
        "(a declined one is not):",
        "",
        f"| | n | {' | '.join(names)} |",
        f"|---|---|{'---|' * len(names)}",
    ]
    for group, said in right.items():
        shares = np.mean(said, axis=0)
        lines.append(f"| {group} | {len(said)} | {' | '.join(f'{share:.1%}' for share in shares)} |")
    title = shelf.TITLES[shelf.USUAL["mnist"]]
    return "\n".join([*lines, "", f"Not read by the {title}, ? where it declined: {'; '.join(missed) or 'none'}.", "", hardware()])


if __name__ == "__main__":
    main()
