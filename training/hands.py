"""python -m training.hands FOLDER    # makes hands.npz anew from the handwriting fonts (.ttf, .otf, .woff2) in FOLDER

Digits and letters of some 250 hands, as strokes: the centre lines of handwriting fonts (SIL Open Font License, of Google
Fonts), traced. Every third hand is kept for validation, less those of a family that has another one to learn from.
"""

import argparse
import string
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from training.strokes import Glyph, trace

FILE = Path(__file__).with_name("hands.npz")
CHARACTERS = string.digits + string.ascii_letters
HELD_OUT = 3  # every third hand
FINEST = 250  # steps of the longest side that points are rounded to
TRACED_AT = 120  # pixels


@cache
def _all() -> dict[tuple[str, str], list[np.ndarray]]:
    with np.load(FILE, allow_pickle=False) as file:
        points, lengths, counts = file["points"], file["lengths"], file["counts"]
        characters, fonts, names = file["characters"], file["fonts"], file["names"]
    strokes = np.split(points.astype(np.float32) / FINEST, np.cumsum(lengths)[:-1])
    ends = np.cumsum(counts)
    return {
        (str(names[font]), CHARACTERS[character]): strokes[end - count : end]
        for font, character, end, count in zip(fonts, characters, ends, counts, strict=True)
    }


def glyphs(part: str, characters: str) -> list[tuple[str, Glyph]]:
    """Characters and their strokes, of every hand of a part ("train" or "validation").

    Fonts of one family are of one hand, more or less, and their names begin with the same word: of those held out, the ones with a
    sibling to learn from are in neither part. What is drawn the same in both parts nevertheless is left out of validation.
    """
    hands = sorted({hand for hand, _ in _all()})
    held_out = set(hands[::HELD_OUT])
    families = {_family(hand) for hand in hands if hand not in held_out}
    chosen = [(hand, character, strokes) for (hand, character), strokes in _all().items() if character in characters]
    train = [(character, strokes) for hand, character, strokes in chosen if hand not in held_out]
    if part == "train":
        return train
    drawn = {np.concatenate(strokes).tobytes() for _, strokes in train}
    unseen = {hand for hand in held_out if _family(hand) not in families}
    return [
        (character, strokes) for hand, character, strokes in chosen if hand in unseen and np.concatenate(strokes).tobytes() not in drawn
    ]


def _family(hand: str) -> str:
    return hand.partition("-")[0]


def _ink(font: ImageFont.FreeTypeFont, character: str) -> np.ndarray | None:
    """bool [H, W], the longest side TRACED_AT; None of what the font does not show."""
    left, top, right, bottom = font.getbbox(character)
    image = Image.new("L", (max(1, round(right - left)) + 8, max(1, round(bottom - top)) + 8))
    ImageDraw.Draw(image).text((4 - left, 4 - top), character, font=font, fill=255)
    box = image.getbbox()
    if box is None:
        return None
    image = image.crop(box)
    scale = TRACED_AT / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    ink = np.asarray(image.resize(size, Image.Resampling.BOX)) > 110
    return ink if ink.any() else None


def main() -> None:
    """Traces every font of a folder and writes hands.npz."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    paths = sorted(path for path in parser.parse_args().folder.iterdir() if path.suffix in {".ttf", ".otf", ".woff2"})
    points, lengths, counts, characters, fonts = [], [], [], [], []
    for number, path in enumerate(paths):
        font = ImageFont.truetype(path, 200)
        for at, character in enumerate(CHARACTERS):
            if (ink := _ink(font, character)) is None:
                continue
            strokes = trace(ink)
            points += [np.rint(stroke * FINEST).astype(np.uint8) for stroke in strokes]
            lengths += [len(stroke) for stroke in strokes]
            counts.append(len(strokes))
            characters.append(at)
            fonts.append(number)
    np.savez_compressed(
        FILE, points=np.concatenate(points), lengths=np.array(lengths, np.uint16), counts=np.array(counts, np.uint8),
        characters=np.array(characters, np.uint8), fonts=np.array(fonts, np.uint16), names=np.array([path.stem for path in paths]),
    )  # fmt: skip
    print(f"{len(paths)} hands, {len(counts)} characters, {FILE.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
