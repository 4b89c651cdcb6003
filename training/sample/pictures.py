"""python -m training.sample.pictures: makes the sample pictures of the Upload page from the bundled sample.

Digits are inked on paper of several kinds, garments enlarged onto a plain ground, as a visitor's files would be.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from training.data import sample

TARGET = Path(__file__).parents[2] / "ui" / "samples"
# image number among the bundled test images, paper, ink, degrees, place (fractions), side of the digit
DIGITS = {
    "pencil-on-white.png": (12, (250, 249, 244), (70, 72, 80), 0, (0.55, 0.5), 190),
    "blue-ink-in-a-corner.png": (131, (244, 240, 228), (38, 60, 150), 8, (0.28, 0.3), 110),
    "chalk-on-a-board.png": (262, (38, 62, 52), (232, 234, 226), -6, (0.6, 0.55), 200),
    "marker-in-shade.png": (415, (226, 214, 190), (24, 22, 26), 4, (0.5, 0.6), 150),
}
GARMENTS = {"on-white.png": (1, "white"), "on-beige.png": (95, "beige"), "on-black.png": (410, "black"), "on-blue.png": (733, "blue")}
GROUNDS = {"white": (252, 252, 252), "beige": (226, 214, 196), "black": (10, 10, 12), "blue": (96, 132, 176)}


def main() -> None:
    """Writes ui/samples/<dataset>/*.png."""
    for dataset in ("mnist", "fashion-mnist"):
        (TARGET / dataset).mkdir(parents=True, exist_ok=True)
    digits, garments = sample("mnist").test, sample("fashion-mnist").test
    for name, (index, *look) in DIGITS.items():
        inked(digits.pixels[index, 0], *look, shaded="shade" in name).save(TARGET / "mnist" / name, optimize=True)
    for name, (index, ground) in GARMENTS.items():
        photographed(garments.pixels[index, 0], ground).save(TARGET / "fashion-mnist" / name, optimize=True)


def inked(pixels: np.ndarray, paper: tuple, ink: tuple, degrees: float, place: tuple, side: int, shaded: bool) -> Image.Image:
    """A digit written on paper, 320 by 320, with grain and, if asked for, light from one side."""
    digit = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(side / 90))
    digit = digit.point(lambda value: max(0, min(255, (value - 90) * 4))).rotate(degrees, Image.Resampling.BICUBIC)
    sheet = Image.new("L", (320, 320))
    sheet.paste(digit, (round(place[0] * 320 - side / 2), round(place[1] * 320 - side / 2)))
    grain = np.random.default_rng(0).normal(0, 2.5, (320, 320, 1))
    light = np.linspace(1.0, 0.6, 320)[None, :, None] if shaded else 1.0
    amount = np.asarray(sheet)[..., None] / 255 * 0.94
    colours = (np.array(paper) * (1 - amount) + np.array(ink) * amount) * light + grain
    return Image.fromarray(np.clip(colours, 0, 255).astype(np.uint8)).quantize(48).convert("RGB")


def photographed(pixels: np.ndarray, ground: str) -> Image.Image:
    """A garment enlarged tenfold onto a plain ground with a margin."""
    mask = Image.fromarray(((pixels > 8) * 255).astype(np.uint8)).resize((280, 280), Image.Resampling.BICUBIC)
    mask = mask.filter(ImageFilter.GaussianBlur(4)).point(lambda value: max(0, min(255, (value - 100) * 5)))
    light = Image.fromarray(pixels if ground == "black" else 255 - pixels).resize((280, 280), Image.Resampling.BICUBIC)
    picture = Image.new("RGB", (360, 360), GROUNDS[ground])
    picture.paste(light.convert("RGB"), (40, 40), mask)
    return picture.quantize(64).convert("RGB")


if __name__ == "__main__":
    main()
