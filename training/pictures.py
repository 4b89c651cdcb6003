"""Handwriting and scribbles as people send them: drawn on a canvas with any pen, or written on plain, ruled or grid paper in uneven light.

All of it goes through the same preparation as what people send, and comes out as the networks see it: uint8 [28, 28].
"""

import io
import math
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np
from PIL import Image, ImageFilter

from inference.prepare import SIDE, prepare
from training import hands
from training.children import follow_parent
from training.strokes import Glyph, bend, draw, in_pieces, loosened, trace

CANVAS = 320  # pixels, as the page's
PENS = (0.02, 0.28)  # thinnest and thickest, times the height of what is drawn
ON_PAPER = 0.25  # share of the pictures
TRACED_AT = 120  # pixels
CHUNK = 250
SEEDS = {"train": 0, "validation": 1}  # so that what is bent for one part is not bent the same way for the other


def picture(glyph: Glyph, random: np.random.Generator) -> Image.Image:
    """A canvas or a sheet of paper with the glyph on it, somewhere, in some size, drawn with some pen."""
    if random.random() < ON_PAPER:
        return on_paper(glyph, random)
    side = float(random.uniform(45, 290))
    pen = max(1.5, side * math.exp(random.uniform(*np.log(PENS))))
    image = draw(glyph, min(side, CANVAS - pen - 2), pen, (CANVAS, CANVAS), at=_place(glyph, side, pen, CANVAS, random))
    return image if random.random() < 0.7 else Image.eval(image, lambda value: 255 - value)


def _place(glyph: Glyph, side: float, pen: float, canvas: int, random: np.random.Generator) -> tuple[float, float]:
    width, height = np.concatenate(glyph).max(0) * side
    left, top = (random.uniform(pen / 2, max(pen / 2 + 1, canvas - extent - pen / 2)) for extent in (width, height))
    return left, top


def on_paper(glyph: Glyph, random: np.random.Generator, ruling: str | None = None) -> Image.Image:
    """A photo of paper: ruling "plain", "ruled" or "grid" (any when None), lines lighter than the pen, turned up to 2 degrees, light
    from one side, grain, blur, JPEG."""
    canvas = int(random.choice([240, 320, 440]))
    side = canvas * random.uniform(0.25, 0.8)
    pen = side * random.uniform(0.035, 0.12)
    ink = np.asarray(draw(glyph, side, pen, (canvas, canvas), at=_place(glyph, side, pen, canvas, random))).astype(np.float32) / 255
    margin = canvas // 10
    paper = np.full((canvas + 2 * margin,) * 2, random.uniform(190, 250), np.float32)
    ruling = ruling or str(random.choice(["plain", "ruled", "grid"]))
    if ruling != "plain":
        step, thick, shade = canvas / random.integers(7, 20), max(1, round(canvas / 400 * random.uniform(0.8, 2))), random.uniform(140, 190)
        for line in np.arange(step, len(paper), step).astype(int):
            paper[line : line + thick] = shade
            if ruling == "grid":
                paper[:, line : line + thick] = shade
    turned = Image.fromarray(paper.astype(np.uint8)).rotate(random.uniform(-2, 2), Image.Resampling.BICUBIC, fillcolor=int(paper[0, 0]))
    paper = np.asarray(turned).astype(np.float32)[margin:-margin, margin:-margin]
    down, across = np.mgrid[0:canvas, 0:canvas] / canvas - 0.5
    angle = random.uniform(0, 2 * math.pi)
    light = 1 - random.uniform(0, 0.5) * (math.cos(angle) * across + math.sin(angle) * down + 0.5)
    values = (paper * (1 - ink) + random.uniform(20, 90) * ink) * light + random.normal(0, random.uniform(0, 6), paper.shape)
    image = Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(random.uniform(0.3, 1.5)))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(random.integers(50, 95)))
    return Image.open(file).convert("L")


def traced(digit: np.ndarray) -> list[np.ndarray]:
    """The strokes of a data set's digit, uint8 [28, 28]."""
    image = Image.fromarray(digit)
    image = image.crop(image.getbbox() or (0, 0, SIDE, SIDE))
    scale = TRACED_AT / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    large = np.asarray(image.resize(size, Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(1.2)))
    return trace(large > min(110, large.max() // 2))


def seen(
    glyphs: Iterable[Glyph], dataset: str, random: np.random.Generator, strength: float = 1.0, hurried: float = 0.0, pieces: float = 0.0
) -> np.ndarray:
    """uint8 [N, 28, 28]: each glyph bent, drawn and prepared for a data set's networks.

    strength: see `bend`; 0 keeps the hand. hurried, pieces: shares of them, 0 to 1, that are `loosened` and `in_pieces`.
    """
    pixels = []
    for glyph in glyphs:
        shown = bend(glyph, random, strength) if strength else glyph
        if random.random() < hurried:
            shown = loosened(shown, random)
        if random.random() < pieces:
            shown = in_pieces(shown, random)
        pixels.append(prepare(picture(shown, random), dataset).pixels)
    return np.stack(pixels)


def redrawn(
    digits: np.ndarray, random: np.random.Generator, dataset: str = "mnist", strength: float = 1.0, hurried: float = 0.0
) -> np.ndarray:
    """A data set's digits, uint8 [N, 28, 28], with other pens: traced, and `seen`."""
    return seen(map(traced, digits), dataset, random, strength, hurried)


def written(
    part: str, characters: str, count: int, dataset: str, strength: float = 1.0, hurried: float = 0.0, pieces: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Characters in the hands of hands.npz, as `seen`: uint8 [count, 28, 28], and indices into `characters`, int64 [count]."""
    known = hands.glyphs(part, characters)
    chosen = np.random.default_rng(len(known)).integers(0, len(known), count)
    shown = [known[at][1] for at in chosen]
    show = partial(seen, dataset=dataset, strength=strength, hurried=hurried, pieces=pieces)
    return in_parts(show, shown, SEEDS[part]), np.array([characters.index(known[at][0]) for at in chosen])


def in_parts(show: Callable[..., np.ndarray], items: list | np.ndarray, seed: int = 0) -> np.ndarray:
    """What `show(items, random=...)` makes of all items, part by part on all cores; the same on any number of them."""
    parts = [items[at : at + CHUNK] for at in range(0, len(items), CHUNK)]
    randoms = [np.random.default_rng((seed, number)) for number in range(len(parts))]
    if len(parts) == 1:
        return _show(show, parts[0], randoms[0])
    # Processes of their own, no forks, which would hold the locks of a run that is killed meanwhile.
    with ProcessPoolExecutor(mp_context=get_context("spawn"), initializer=follow_parent) as pool:
        return np.concatenate([*pool.map(_show, [show] * len(parts), parts, randoms)])


def _show(show: Callable[..., np.ndarray], items: list | np.ndarray, random: np.random.Generator) -> np.ndarray:
    return show(items, random=random)
