"""python -m training photos FOLDER: the photo network, which says of a colour photo which of Fashion-MNIST's ten classes it
shows, or that it shows none of them.

EfficientNet-Lite0 as ImageNet left it, and beside its later blocks a copy of them that is tuned to photos of garments
(photo_tuning.py). The copy's 1,280 features tell the groups apart. Which shoe, of which there are too few photos to tune on,
and bags, of which there are none, are told from what ImageNet left.
"""

import copy
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from inference.classify import Classifier
from models import datasets, shelf
from training import photo_tuning
from training.efficientnet import FEATURES, SIDE, EfficientNetLite0, pretrained, scaled
from training.export import as_json, calibration_error, latency, provisional, versions
from training.memory import keep_memory
from training.networks import count_parameters
from training.onnx_files import OPSET, check_parity, write_graph
from training.photo_pictures import GROUP_NAMES, GROUPS, SHAPE, SHOES, Photos, drawn, garments, read, strangers

LABELS = datasets.PHOTO_LABELS
# ImageNet's classes, by their numbers there.
BAGS = (414, 636, 748)  # backpack, mailbag, purse
SHOE_CLASSES = (774, 502, 770, 630, 514)  # sandal, clog, running shoe, loafer, cowboy boot
STRANGERS = (*range(398), *range(924, 981), *range(984, 999))  # animals; food and landscapes; plants and mushrooms
LARGE = 256  # pixels of the side of the photos that it is tuned on: it looks at parts of them too
VALIDATION = 10  # every tenth training photo is held out to choose on
STRANGERS_EACH = 40  # pictures of each kind that show no garment
DRAWN_EACH = 150  # letters, digits, scribbles and noise
DRAWN_HELD_OUT = 100  # of each, by hands that it did not learn from
GARMENTS = 4000  # of Fashion-MNIST, laid over other grounds
DECLINED = 0.01  # share of validation photos that the threshold is set to turn away
# Chosen by five-fold cross-validation on the training photos (EXPERIMENTS.md).
DECAY = 0.03  # of squared weights
SHOE_DECAY, SHOE_WEIGHT = 0.5, 20.0
COMPOSED = 0.3  # all of Fashion-MNIST's shoes count as much as this share of the photos of shoes
TEMPERATURES = tuple(float(each) for each in np.geomspace(0.25, 2.0, 25))
SEED = 0


class PhotoNetwork(nn.Module):
    """The published graph. Probabilities of the classes in the order of LABELS, and their logarithms.

    ImageNet's classes take their share first: bags, and strangers, which are none of the ten. What is left goes to the
    groups of one linear layer; that of shoes is divided by the other.
    """

    def __init__(self, backbone: EfficientNetLite0) -> None:
        super().__init__()
        self.backbone, self.tuned = backbone, copy.deepcopy(backbone.late)
        self.groups, self.shoes = nn.Linear(FEATURES, len(GROUPS)), nn.Linear(FEATURES, len(SHOES))
        self.register_buffer("temperature", torch.tensor(1.0))  # of the groups
        self.register_buffer("imagenet_temperature", torch.tensor(1.0))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """pixels uint8 [N, 3, 224, 224] -> probabilities float32 [N, 11], logits = log(probabilities)."""
        return self.from_features(*self.features(pixels))

    def features(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """pixels uint8 [N, 3, 224, 224] -> tuned features [N, 1280], ImageNet's features [N, 1280] and logits [N, 1000]."""
        below = self.backbone.early(scaled(pixels))
        features = self.backbone.late(below)
        return self.tuned(below), features, self.backbone.classes(features)

    def from_features(self, tuned: Tensor, features: Tensor, imagenet: Tensor) -> tuple[Tensor, Tensor]:
        """`forward` from what `features` gives."""
        imagenet = imagenet / self.imagenet_temperature
        known = torch.softmax(imagenet, dim=1)
        bag, stranger = known[:, list(BAGS)].sum(1), known[:, list(STRANGERS)].sum(1)
        rest = (1 - bag - stranger).clamp_min(0)
        shares = dict(zip(GROUPS, (torch.softmax(self.groups(tuned) / self.temperature, dim=1) * rest[:, None]).unbind(1), strict=True))
        kinds = torch.softmax(self.shoes(features), dim=1) * shares.pop("shoes")[:, None]
        shares |= dict(zip(SHOES, kinds.unbind(1), strict=True))
        shares |= {"Bag": shares["Bag"] + bag, datasets.NONE_OF_THEM: shares[datasets.NONE_OF_THEM] + stranger}
        probabilities = torch.stack([shares[label] for label in LABELS], dim=1)
        return probabilities, torch.log(probabilities.clamp_min(1e-12))


@torch.no_grad()
def seen_by(part: Callable[[Tensor], tuple[Tensor, ...]], pixels: np.ndarray, what: str) -> tuple[Tensor, ...]:
    """What a part of the network gives of pictures, uint8 [N, 3, 224, 224], a few at a time."""
    chunks = torch.from_numpy(pixels).split(32)
    return tuple(torch.cat(each) for each in zip(*(part(chunk) for chunk in tqdm(chunks, desc=what, leave=False)), strict=True))


def logistic_regression(seen: Tensor, classes: Tensor, count: int, weights: Tensor, decay: float) -> nn.Linear:
    """The layer with the least cross entropy, pictures counting by their weights, and penalty: seen [N, F], classes int64 [N].

    There is one such layer, and L-BFGS finds it: what AdamW comes to depends on its learning rate, by 11 points (EXPERIMENTS.md).
    """
    layer = nn.Linear(seen.shape[1], count)
    nn.init.zeros_(layer.weight), nn.init.zeros_(layer.bias)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=300, history_size=10, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        each = nn.functional.cross_entropy(layer(seen), classes, reduction="none")
        value = (each * weights).sum() / weights.sum() + decay * layer.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return layer


def train(network: PhotoNetwork, features: Tensor, groups: Tensor) -> None:
    """Trains the layer of groups on standardised features [N, 1280], and folds their mean and spread into it."""
    mean, spread = features.mean(0), features.std(0) + 1e-3
    layer = logistic_regression((features - mean) / spread, groups, len(GROUPS), photo_tuning.balanced(groups)[groups], DECAY)
    with torch.no_grad():
        network.groups.weight.copy_(layer.weight / spread)
        network.groups.bias.copy_(layer.bias - layer.weight @ (mean / spread))


def train_shoes(network: PhotoNetwork, features: Tensor, kinds: Tensor, weights: Tensor) -> None:
    """Trains the layer that tells shoes apart: features [N, 1280] of pictures of shoes, kinds int64 [N], and how much each counts.

    They are few. What ImageNet's own classes of shoes say is in the features already, and is made SHOE_WEIGHT times as large, so that
    the penalty on large weights leaves it most of the say.
    """
    classes = network.backbone.classes
    known, offset = classes.weight[list(SHOE_CLASSES)].detach(), classes.bias[list(SHOE_CLASSES)].detach()
    said = features @ known.T + offset
    (mean, spread), (said_mean, said_spread) = ((each.mean(0), each.std(0) + 1e-3) for each in (features, said))
    seen = torch.cat([(features - mean) / spread, SHOE_WEIGHT * (said - said_mean) / said_spread], 1)
    layer = logistic_regression(seen, kinds, len(SHOES), weights, SHOE_DECAY)
    with torch.no_grad():  # both parts are linear in the features: folded into one layer
        of_features, of_classes = layer.weight[:, :FEATURES] / spread, SHOE_WEIGHT * layer.weight[:, FEATURES:] / said_spread
        network.shoes.weight.copy_(of_features + of_classes @ known)
        network.shoes.bias.copy_(layer.bias - of_features @ mean + of_classes @ (offset - said_mean))


@torch.no_grad()
def calibrate(network: PhotoNetwork, seen: tuple[Tensor, ...], groups: np.ndarray) -> None:
    """Sets both temperatures to the pair with the least cross entropy on validation photos. seen: what `PhotoNetwork.features` gives of them.

    ImageNet's own leaves a tenth of the probability to classes that a photo does not show, since it was trained on smoothed labels.
    """
    best = (np.inf, 1.0, 1.0)
    for first in TEMPERATURES:
        for second in TEMPERATURES:
            network.temperature.fill_(first)
            network.imagenet_temperature.fill_(second)
            told = by_group(network.from_features(*seen)[0].numpy())[np.arange(len(groups)), groups]
            best = min(best, (float(-np.log(told.clip(1e-12)).mean()), first, second))
    network.temperature.fill_(best[1])
    network.imagenet_temperature.fill_(best[2])


def by_group(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities [N, 11] of the classes -> [N, 9] of GROUPS: the three kinds of shoe are added up."""
    columns = [probabilities[:, [LABELS.index(label) for label in (SHOES if name == "shoes" else [name])]].sum(1) for name in GROUPS]
    return np.stack(columns, 1)


def begin(network: PhotoNetwork, photos: Photos, composed: Photos, others: np.ndarray) -> None:
    """Trains both linear layers on what ImageNet left. others: uint8 [N, 3, 224, 224], pictures of none of the ten."""
    nothing = torch.full((len(others),), GROUP_NAMES.index(datasets.NONE_OF_THEM))
    pictures = (photos.pixels, photos.pixels[..., ::-1].copy(), composed.pixels, others)
    seen = [seen_by(network.backbone, each, "training pictures")[0] for each in pictures]
    train(network, torch.cat(seen), torch.cat([*(torch.from_numpy(each.groups) for each in (photos, photos, composed)), nothing]))
    kinds = torch.from_numpy(np.concatenate([each.shoes for each in (photos, photos, composed)]))
    known, on_photos = kinds >= 0, torch.arange(len(kinds)) < 2 * len(photos.shoes)
    weights = torch.where(on_photos, 1.0, COMPOSED * (known & on_photos).sum() / (known & ~on_photos).sum().clamp_min(1))
    train_shoes(network, torch.cat(seen[:3])[known], kinds[known], weights[known])


def publish(folder: Path, weights: Path | None = None) -> shelf.Card:
    """Trains on FOLDER/train, measures FOLDER/validation once, and puts the photo network on the shelf.

    Raises PhotosError, WeightsError, ExportError.
    """
    began = time.monotonic()
    keep_memory()
    network = PhotoNetwork(pretrained(weights)).eval()
    known, held_out = read(folder / "train", LARGE), read(folder / "validation")
    chosen_on = np.random.default_rng(SEED).permutation(len(known.groups)) % VALIDATION == 0
    learned, chosen = known[~chosen_on], _shrunk(known[chosen_on])
    composed, others = garments(GARMENTS), np.concatenate([strangers(STRANGERS_EACH), *drawn("train", DRAWN_EACH).values()])
    begin(network, _shrunk(learned), composed, others)
    nothing = torch.full((len(others),), GROUP_NAMES.index(datasets.NONE_OF_THEM))
    of_photos, of_composed = (torch.from_numpy(each.groups) for each in (learned, composed))
    photo_tuning.tune(
        network.backbone.early,
        network.tuned,
        network.groups,
        photo_tuning.Pictures(
            pixels=torch.from_numpy(learned.pixels), groups=of_photos, inside=torch.from_numpy(photo_tuning.outlines(learned))
        ),
        photo_tuning.Pictures(pixels=torch.from_numpy(composed.pixels), groups=of_composed),
        photo_tuning.Pictures(pixels=torch.from_numpy(others), groups=nothing),
        SEED,
    )
    calibrate(network, seen_by(network.features, chosen.pixels, "validation photos"), chosen.groups)
    target = shelf.shelf_folder() / "fashion-mnist"
    target.mkdir(parents=True, exist_ok=True)
    scratch = target / f".{shelf.PHOTO}.{time.monotonic_ns()}.onnx"
    try:
        write_graph(network, "fashion-mnist", scratch, SHAPE, LABELS)
        check_parity(network, scratch, held_out.pixels[:8])
        card = _card(network, scratch, chosen, held_out, len(learned.groups))
        card["run"] = {"seconds": round(time.monotonic() - began, 1), "device": f"CPU, {torch.get_num_threads()} threads"}
        shelf.put(as_json(card), shelf.PHOTO, scratch, target)
    finally:
        scratch.unlink(missing_ok=True)
    return shelf.photo_card()


def _shrunk(photos: Photos) -> Photos:
    """The photos as the network sees them."""
    parts = (
        F.interpolate(part.float(), size=(SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False).round()
        for part in torch.from_numpy(photos.pixels).split(256)
    )
    pixels = torch.cat([part.clamp(0, 255).to(torch.uint8) for part in parts]).numpy()
    return Photos(pixels=pixels, groups=photos.groups, shoes=photos.shoes)


def _card(network: PhotoNetwork, graph: Path, validation: Photos, test: Photos, trained_on: int) -> dict[str, Any]:
    content = graph.read_bytes()
    card = {
        "id": f"fashion-mnist/{shelf.PHOTO}", "title": shelf.TITLES[shelf.PHOTO], "dataset": "fashion-mnist", "labels": list(LABELS),
        "shape": list(SHAPE), "architecture": shelf.PHOTO, "members": 1, "averaged": False,
        "parameters": count_parameters(network), "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content), "opset": OPSET,
        "temperature": round(float(network.temperature), 4), "imagenet_temperature": round(float(network.imagenet_temperature), 4), "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": versions("torch", "onnx"),
        "data": {"origin": "clothing-dataset-small (CC0), ImageNet's weights", "train": trained_on},
    }  # fmt: skip
    classifier = Classifier(provisional(card, graph), threads=0)
    on_validation, on_test = (_measure(classifier, each.pixels) for each in (validation, test))
    card["decline_below"] = round(float(np.quantile(on_validation.max(1), DECLINED)), 4)
    card["validation"], card["test"] = (
        _figures(probabilities, part, card["decline_below"]) for probabilities, part in ((on_validation, validation), (on_test, test))
    )
    shown = drawn("validation", DRAWN_HELD_OUT)
    by_kind = {kind: _declined(classifier, pixels, card["decline_below"]) for kind, pixels in shown.items()}
    card["declined"] = {"n": DRAWN_HELD_OUT, "by_kind": by_kind}
    card["latency_ms"] = latency(Classifier(provisional(card, graph)), test.pixels[:1])
    return card


def _declined(classifier: Classifier, pixels: np.ndarray, decline_below: float) -> float:
    """Share of pictures that are told to be none of the ten, or not to be sure of."""
    probabilities = _measure(classifier, pixels)
    declined = (probabilities.argmax(1) == LABELS.index(datasets.NONE_OF_THEM)) | (probabilities.max(1) < decline_below)
    return round(float(declined.mean()), 4)


def _measure(classifier: Classifier, pixels: np.ndarray) -> np.ndarray:
    return np.concatenate([classifier.probabilities(pixels[at : at + 16]) for at in range(0, len(pixels), 16)])


def _figures(probabilities: np.ndarray, photos: Photos, decline_below: float) -> dict[str, Any]:
    """Accuracy by group, any shoe counting for shoes; and of photos of shoes whose kind is known, how often that is the most probable class."""
    answers, groups, known = by_group(probabilities), photos.groups, photos.shoes >= 0
    said = answers.argmax(1)
    wanted = np.array([LABELS.index(SHOES[kind]) for kind in photos.shoes[known]], int)
    return {
        "n": len(groups),
        "accuracy": round(float((said == groups).mean()), 5),
        "calibration_error": round(calibration_error(answers, groups), 5),
        "declined": round(float((probabilities.max(1) < decline_below).mean()), 5),
        "by_group": {
            name: round(float((said == number)[groups == number].mean()), 4) for number, name in enumerate(GROUPS) if number in groups
        },
        "which_shoe": {"n": len(wanted), "right": int((probabilities[known].argmax(1) == wanted).sum())},
    }


def describe(card: shelf.Card) -> str:
    """One line a group, and the whole."""
    facts = card.facts["test"]
    lines = [f"{name:18} {accuracy:7.1%}" for name, accuracy in facts["by_group"].items()]
    shoes = facts["which_shoe"]
    lines.append(f"{'which shoe':18} {shoes['right']:4} of {shoes['n']}")
    return "\n".join([*lines, f"{'all':18} {facts['accuracy']:7.1%}  (n = {facts['n']}, photos held out)"])
