"""What a canvas tells -> the picture that is read, and what networks say of it. Without Streamlit: `ui.answerer` does it in a process of its own."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from inference.classify import Answer, answer_again, answer_image
from inference.sessions import classifier
from inference.strokes import Stroke, drawn, with_finer_pens
from models import shelf
from ui.pens import PENS, SIDE

INK_ON_PAPER = "#000000"


def picture(told: str, dataset: str) -> Image.Image:
    """A drawing, grey, 320x320. told: its strokes, at least one, as fabric.js tells them, as JSON. Digits written with too thick a pen come
    as a finer one would have left them."""
    objects = json.loads(told)
    strokes = list(map(_stroke, objects))
    image = drawn(with_finer_pens(strokes) if dataset == "mnist" else strokes, (SIDE, SIDE))
    return ImageOps.invert(image) if objects[0]["stroke"] == INK_ON_PAPER else image


def _stroke(told: dict[str, Any]) -> Stroke:
    """A path of fabric.js: pieces of curves, each a command and its points, of which the last is where the piece ends."""
    ends, points = [piece[-2:] for piece in told["path"]], []
    for start, piece in zip([ends[0], *ends], told["path"], strict=False):
        if len(piece) == 5:  # Q: a curve of second degree; they are so short that its middle is enough
            points.append([(a + 2 * b + c) / 4 for a, b, c in zip(start, piece[1:3], piece[3:], strict=True)])
        points.append(piece[-2:])
    # The browser says what it likes; beyond the canvas there is nothing to see.
    return np.clip(np.array(points, np.float32), -SIDE, 2 * SIDE), min(float(told["strokeWidth"]), max(PENS.values()))


def answers(told: str, cards: Sequence[shelf.Card]) -> list[Answer | shelf.ShelfError]:
    """What each of a data set's networks says of a drawing, told as for `picture`: the first reads it, the others what that one found in it.

    An error is of the network that cannot be served; where that is the first, or the drawing is blank, nobody else is asked.
    """
    try:
        first = answer_image(classifier(cards[0]), picture(told, cards[0].dataset), invert=False)
    except shelf.ShelfError as error:
        return [error]
    return [first] if first.prepared.is_blank else [first, *(_again(card, first) for card in cards[1:])]


def _again(card: shelf.Card, first: Answer) -> Answer | shelf.ShelfError:
    try:
        return answer_again(classifier(card), first)
    except shelf.ShelfError as error:
        return error
