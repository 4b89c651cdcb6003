"""Pictures that the photo network learns from: photos in folders, Fashion-MNIST's garments laid over other grounds, and
pictures that show no garment. All are uint8 [N, 3, 224, 224]."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from tqdm import tqdm

from inference.decode import UnreadableImage, decode
from inference.prepare import prepare_own, prepare_photo
from models.datasets import DATASETS, NONE_OF_THEM
from models.errors import InklingError
from training import data, hands, outliers
from training import pictures as drawings
from training.efficientnet import SIDE

SHAPE = (3, SIDE, SIDE)
# What the linear layer tells apart, and the folders of clothing-dataset-small (Grigorev 2020, CC0) that show it.
GROUPS = {
    "T-shirt/top": ("t-shirt",), "Trouser": ("pants",), "Pullover": ("longsleeve",), "Dress": ("dress",), "Coat": ("outwear",),
    "Shirt": ("shirt",), "shoes": ("shoes",), "Bag": (), NONE_OF_THEM: ("hat", "shorts", "skirt"),
}  # fmt: skip
GROUP_NAMES = tuple(GROUPS)
SHOES = ("Sandal", "Sneaker", "Ankle boot")
KINDS_OF_SHOE = Path(__file__).parent / "shoes.csv"


class PhotosError(InklingError):
    """There are no photos to learn from. The message says what is missing."""


@dataclass(frozen=True, kw_only=True)
class Photos:
    """pixels: uint8 [N, 3, S, S]; groups: int64 [N], indices into GROUPS; shoes: int64 [N], into SHOES, -1 where that is not known."""

    pixels: np.ndarray
    groups: np.ndarray
    shoes: np.ndarray

    def __getitem__(self, which: np.ndarray) -> "Photos":
        """Those of an array of indices, or of a mask."""
        return Photos(pixels=self.pixels[which], groups=self.groups[which], shoes=self.shoes[which])


def kinds_of_shoe() -> dict[str, str]:
    """Which of SHOES a photo of clothing-dataset-small shows, by its file, such as train/shoes/NAME.jpg.

    The data set does not say; 155 of its 224 photos of shoes were told apart by eye for Inkling. Pumps, ballerinas, loafers, brogues and
    doubtful ones are left out.
    """
    with KINDS_OF_SHOE.open(newline="") as table:
        return {row["file"]: row["kind"] for row in csv.DictReader(table)}


def read(folder: Path, side: int = SIDE) -> Photos:
    """The photos of a folder with a sub-folder a kind, in the order of their names; others, and unreadable ones, are passed over.

    side: of the pictures, in pixels.

    Raises PhotosError where a group has no photo.
    """
    group_of = {kind: number for number, kinds in enumerate(GROUPS.values()) for kind in kinds}
    files = [(path, group_of[kind]) for kind in sorted(group_of) for path in sorted((folder / kind).glob("*.*"))]
    kinds = kinds_of_shoe()
    pixels, groups, shoes = [], [], []
    for path, group in tqdm(files, desc=f"reading {folder.name}", leave=False):
        try:
            pixels.append(prepare_photo(decode(path.read_bytes()), (3, side, side)).batch[0])
            groups.append(group)
            shoes.append(SHOES.index(kinds[name]) if (name := "/".join(path.parts[-3:])) in kinds else -1)
        except UnreadableImage:
            continue
    if missing := [name for number, name in enumerate(GROUPS) if GROUPS[name] and number not in groups]:
        raise PhotosError(
            f"{folder} has no photos of {missing[0]}; it needs the folders {', '.join(sorted(group_of))}, as clothing-dataset-small has them"
        )
    return Photos(pixels=np.stack(pixels), groups=np.array(groups), shoes=np.array(shoes))


def strangers(each: int, seed: int = 0) -> np.ndarray:
    """5 * each pictures that are no garments: digits on either ground, noise, smooth noise, bars, one colour."""
    random = np.random.default_rng(seed)
    digits = data.sample("mnist").train.pixels[:, 0]
    pictures = []
    for number in range(each):
        bars = _bars(random)
        pictures += [
            laid_over(digits[number % len(digits)], _plain(random), _plain(random)),
            random.integers(0, 256, (SIDE, SIDE, 3)),
            _smooth(random),
            bars.transpose(1, 0, 2) if number % 2 else bars,
            _plain(random),
        ]
    return _stacked(pictures)


def drawn(part: str, each: int) -> dict[str, np.ndarray]:
    """What else people send, `each` of a kind: letters, digits and scribbles on a canvas or on paper, and noise.

    part: "train" or "validation": neither hands nor scribbles of one are in the other.
    """
    random = np.random.default_rng(["train", "validation"].index(part))
    letters, digits = (hands.glyphs(part, characters) for characters in (outliers.LETTERS, "0123456789"))

    def written(known: list) -> Image.Image:
        return drawings.picture(known[random.integers(len(known))][1], random)

    makers: dict[str, Callable[[], Image.Image]] = {
        "letter": lambda: written(letters),
        "digit": lambda: written(digits),
        "scribble": lambda: drawings.picture(outliers.scribble(random), random),
        "noise": lambda: outliers.noise(random),
    }
    return {kind: np.stack([prepare_own(make().convert("RGB"), SHAPE).batch[0] for _ in range(each)]) for kind, make in makers.items()}


def garments(count: int, seed: int = 0) -> Photos:
    """Fashion-MNIST's garments in any colour, mirrored and of any size, on plain, uneven and striped grounds."""
    random = np.random.default_rng(seed)
    known, labels = data.find("fashion-mnist").train, DATASETS["fashion-mnist"].labels
    grounds: tuple[Callable[[np.random.Generator], np.ndarray], ...] = (_plain, _plain, _smooth, _bars)
    pictures, groups, shoes = [], [], []
    for number in random.permutation(len(known))[:count]:
        label, pixels = labels[known.labels[number]], known.pixels[number, 0]
        ground = grounds[random.integers(len(grounds))](random)
        pictures.append(laid_over(pixels[:, :: random.choice((-1, 1))], ground, _plain(random), size=random.uniform(0.7, 1)))
        groups.append(GROUP_NAMES.index("shoes" if label in SHOES else label))
        shoes.append(SHOES.index(label) if label in SHOES else -1)
    return Photos(pixels=_stacked(pictures), groups=np.array(groups), shoes=np.array(shoes))


def ground(random: np.random.Generator) -> np.ndarray:
    """What a garment may lie on, [224, 224, 3], 0 to 255: white as in catalogues, one colour, uneven, or striped."""
    makers = (lambda random: np.full((SIDE, SIDE, 3), 255), _plain, _smooth, _bars)
    return makers[random.integers(len(makers))](random)


def laid_over(ink: np.ndarray, ground: np.ndarray, colour: np.ndarray, size: float = 1.0) -> np.ndarray:
    """A picture of 28x28 grey, enlarged to a share of the side, in a colour as bright as it is, on a ground [224, 224, 3]."""
    side = round(SIDE * size)
    large = Image.fromarray(np.ascontiguousarray(ink)).resize((side, side), Image.Resampling.BICUBIC)
    frame = Image.new("L", (SIDE, SIDE))
    frame.paste(large, ((SIDE - side) // 2, (SIDE - side) // 2))
    inside = frame.point(lambda value: 255 if value > 24 else 0).filter(ImageFilter.GaussianBlur(2))
    light, cover = np.asarray(frame, np.float32)[..., None] / 255, np.asarray(inside, np.float32)[..., None] / 255
    return cover * colour * (0.35 + 0.65 * light) + (1 - cover) * ground


def _plain(random: np.random.Generator) -> np.ndarray:
    return np.broadcast_to(random.integers(0, 256, 3), (SIDE, SIDE, 3))


def _smooth(random: np.random.Generator) -> np.ndarray:
    coarse = Image.fromarray(random.integers(0, 256, (7, 7, 3), dtype=np.uint8))
    return np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def _bars(random: np.random.Generator) -> np.ndarray:
    dark = (np.arange(SIDE) // random.integers(2, 30) % 2)[:, None, None]
    return np.broadcast_to(np.where(dark, random.integers(0, 256, 3), random.integers(0, 256, 3)), (SIDE, SIDE, 3))


def _stacked(pictures: list[np.ndarray]) -> np.ndarray:
    return np.stack(pictures).clip(0, 255).astype(np.uint8).transpose(0, 3, 1, 2)
