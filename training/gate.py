"""The gate of a data set: a small CNN that tells what its networks are made for from letters, scribbles, noise and the other set's pictures.

It learns with examples of what is to be declined (outlier exposure: Hendrycks et al. 2019, arXiv:1812.04606), all of them prepared as
what people send is, and with its own kind drawn by many hands and pens, so that it does not decline handwriting for being unlike MNIST's.
"""

import hashlib
import itertools
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from inference.classify import Classifier, Gate
from inference.opencv import opencv
from inference.prepare import prepare
from jobs.config import RunConfig
from models import shelf
from models.datasets import DATASETS, GATE_LABELS
from training import auxiliary, outliers, pictures, touching
from training.augmentation import AUGMENTATIONS
from training.data import Dataset, Split
from training.export import as_json, calibration_error, fit_temperature, latency, provisional, versions
from training.memory import keep_memory
from training.networks import Normalise, Served, count_parameters, plain_cnn
from training.onnx_files import OPSET, check_parity, write_graph
from training.redrawn import DIGITS, HURRIED, PIECES, redrawn

CHANNELS = (32, 64, 128)
EPOCHS, BATCH_SIZE, LR, WEIGHT_DECAY = 14, 256, 0.003, 0.02
AUGMENTATION = {"mnist": "elastic", "fashion-mnist": "mirror"}
# For training; a tenth for validation. Letters are unlike garments, and costly to cut out as photos are: a third of them is enough (EXPERIMENTS.md).
COUNTS = {
    "mnist": {"letter": 45_000, "scribble": 24_000, "noise": 6_000, "garment": 12_000},
    "fashion-mnist": {"letter": 15_000, "scribble": 12_000, "noise": 6_000, "digit": 12_000},
}
OF_ITS_OWN = 16_000  # garments in other sizes, and on light ground; half as many drawn
SHOWN = 40  # of 255: what is brighter is of the garment, and no ground
CANVAS = 224  # pixels that a drawn garment's data-set image is enlarged to
# Shares of the own kind that may be declined: of the data set's validation images, and of what other hands and pens made of them; of these a few
# more where another kind asks for it.
DECLINED, DECLINED_REDRAWN, AT_MOST_REDRAWN = 0.004, 0.015, 0.02
TURNED = {"mnist": 6.0, "fashion-mnist": 0.0}  # degrees: where it is in two minds it looks at the picture turned so both ways too
LIKELIER = 0.5  # what is more likely of the own kind than of all others together is let in,
DECLINED_OTHERS = 0.95  # unless less than this share of another kind would be declined


class Kinds:
    """What a gate learns from or is measured on, by kind: pixels, uint8 [N, 28, 28], and what each is among its kind, int64 [N]."""

    def __init__(self, dataset: str, part: str, own: Dataset, other: Dataset) -> None:
        share = 1 if part == "train" else 10
        _, *others = GATE_LABELS[dataset]
        images = getattr(own, part)
        self.images = np.stack([prepare_image(each, dataset) for each in images.pixels[:, 0]])
        if dataset == "mnist":
            other_hands = redrawn(part, own)
            self.redrawn, labels = other_hands.pixels[:, 0], other_hands.labels
        else:
            self.redrawn, labels = _enlarged(images, OF_ITS_OWN // share)
        self.members = {GATE_LABELS[dataset][0]: np.concatenate([images.labels, labels])}
        self.others = {}
        for kind in others:
            self.others[kind], self.members[kind] = outliers.make(kind, part, dataset, COUNTS[dataset][kind] // share, other)
        if "digit" in others:  # drawn ones too
            count, shares = COUNTS[dataset]["digit"] // share // 3, {"hurried": HURRIED[part], "pieces": PIECES[part]}
            drawn, labels = pictures.written(part, DIGITS, count, dataset, **shares)
            self.others["digit"] = np.concatenate([self.others["digit"], drawn])
            self.members["digit"] = np.concatenate([self.members["digit"], labels])
        self.numbers = touching.make(part, touching.COUNTS[part]) if dataset == "mnist" else None

    def together(self) -> tuple[Tensor, Tensor, Tensor]:
        """All pixels uint8 [N, 1, 28, 28], the number of each one's kind in GATE_LABELS, and what each is among its kind, int64 [N]."""
        parts = [np.concatenate([self.images, self.redrawn]), *self.others.values()]
        kinds = np.concatenate([np.full(len(part), number) for number, part in enumerate(parts)])
        members = np.concatenate(list(self.members.values()))
        return torch.from_numpy(np.concatenate(parts)[:, None]), torch.from_numpy(kinds), torch.from_numpy(members)


class Summed(nn.Module):
    """Kinds' logits from those of what each kind is made of: the logarithm of the sum of their exponentials, which sums their probabilities.

    sizes: of how many classes each kind is made. Told digits and letters apart one by one, a network tells both kinds apart better (EXPERIMENTS.md).
    """

    def __init__(self, network: nn.Module, sizes: list[int]) -> None:
        super().__init__()
        ends = list(itertools.accumulate(sizes))
        self.network, self.places = network, [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]

    def forward(self, images: Tensor) -> Tensor:
        """Images, float [N, 1, 28, 28] in 0..1 -> logits, float [N, kinds]."""
        return self.kinds(self.features(images))

    def features(self, images: Tensor) -> Tensor:
        """Images, float [N, 1, 28, 28] in 0..1 -> what the last layer sees of them, float [N, features]."""
        normalise, body = self.network
        features = normalise(images)
        for layer in [*body][:-1]:
            features = layer(features)
        return features

    def kinds(self, features: Tensor) -> Tensor:
        """Features, float [N, features] -> logits, float [N, kinds]."""
        logits = self.network[1][-1](features)
        return torch.cat([logits[:, place].logsumexp(1, keepdim=True) for place in self.places], dim=1)


class WithNumbers(Served):
    """The published graph of a gate that also knows numbers whose digits touch: gives how likely each picture is one, beside what `Served` does."""

    def __init__(self, network: Summed, head: nn.Module) -> None:
        super().__init__([network])
        self.head = head

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """pixels uint8 [N, 1, 28, 28] -> probabilities and logits, float32 [N, kinds], and how likely each is a number, float32 [N]."""
        features = self.members[0].features(pixels.float() / 255)
        logits = self.members[0].kinds(features) / self.temperature
        return torch.softmax(logits, dim=1), logits, self.head(features)


def prepare_image(pixels: np.ndarray, dataset: str) -> np.ndarray:
    """An image of a data set as a file of it would be seen: uint8 [28, 28]."""
    return prepare(Image.fromarray(pixels), dataset).pixels


def _enlarged(garments: Split, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Garments as other people send and draw them, some coloured in with one pen: uint8 [N, 28, 28], and their classes."""
    order = np.random.default_rng(len(garments)).permutation(len(garments))
    first, last = order[:count], order[::-1][: count // 2]
    pixels, flat = garments.pixels[:, 0], first[: count // 4]
    plain = np.where(pixels[flat] > SHOWN, 230, 0).astype(np.uint8)
    all_sent = pictures.in_parts(partial(outliers.sent, dataset="fashion-mnist"), np.concatenate([pixels[first], plain]))
    found = np.concatenate([all_sent, pictures.in_parts(coloured_in, pixels[last])])
    labels = garments.labels[np.concatenate([first, flat, last])]
    is_seen = found.any((1, 2))
    return found[is_seen], labels[is_seen]


def coloured_in(garments: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Garments, uint8 [N, 28, 28], as a hand draws them with a round pen on a canvas, by a few corners, and colours them in."""
    return np.stack([_coloured_in(each, random) for each in garments])


def _coloured_in(garment: np.ndarray, random: np.random.Generator) -> np.ndarray:
    cv2 = opencv()
    large = np.pad(cv2.resize(garment, (CANVAS, CANVAS), interpolation=cv2.INTER_CUBIC) > SHOWN, CANVAS // 4)
    contours, _ = cv2.findContours(large.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return np.zeros_like(garment)
    outline = max(contours, key=cv2.contourArea)
    corners = cv2.approxPolyDP(outline, random.uniform(0.003, 0.018) * cv2.arcLength(outline, True), True)[:, 0]
    corners = corners + random.normal(0, random.uniform(0, 0.025) * CANVAS, corners.shape)
    across = random.uniform(0.75, 1.35)  # people draw shirts wider than they are
    corners = ((corners - corners.mean(0)) * (across, 1) + large.shape[0] / 2).astype(np.int32)
    drawn, inside, pen = (np.zeros_like(large, np.uint8) for _ in range(3))
    width = int(random.uniform(0.02, 0.11) * CANVAS)
    cv2.fillPoly(inside, [corners], 255)
    if random.random() < 0.65:
        drawn = inside
    else:  # to and fro, with or without gaps
        rows = np.arange(-large.shape[0], 2 * large.shape[0], max(2, int(width * random.uniform(0.7, 1.3))))
        ends = np.where(np.arange(len(rows)) % 2, 0, large.shape[1]), rows + random.uniform(-0.5, 0.5) * large.shape[0]
        cv2.polylines(pen, [np.stack(ends, axis=1).astype(np.int32)], False, 255, width)
        drawn = np.minimum(pen, inside)
    cv2.polylines(drawn, [corners], True, 255, width, cv2.LINE_AA)
    return prepare(Image.fromarray(drawn), "fashion-mnist", invert=False).pixels


def publish(dataset: str, own: Dataset, other: Dataset) -> shelf.Card:
    """Trains the gate of a data set, measures it, and puts it on the shelf. own, other: the two built-in data sets. Raises ExportError."""
    began = time.monotonic()
    keep_memory()
    torch.manual_seed(0)
    known, held_out = Kinds(dataset, "train", own, other), Kinds(dataset, "validation", own, other)
    learned = known.together()
    served = _with_numbers(train(dataset, *learned), known).eval()
    pixels, kinds, _ = held_out.together()
    with torch.inference_mode():
        logits = torch.cat([served.average_logits(chunk.float() / 255) for chunk in pixels.split(250)])
    served.temperature.fill_(fit_temperature(logits, kinds))
    target = shelf.shelf_folder() / dataset
    target.mkdir(parents=True, exist_ok=True)
    scratch = target / f".{shelf.GATE}.{time.monotonic_ns()}.onnx"
    try:
        write_graph(served, dataset, scratch, labels=GATE_LABELS[dataset], also=[shelf.NUMBER] if known.numbers is not None else [])
        check_parity(served, scratch, held_out.images[:64, None])
        card = _card(dataset, served, scratch, held_out, own)
        card["data"]["train"] = len(learned[1])
        card["run"] = {"seconds": round(time.monotonic() - began, 1), "device": f"CPU, {torch.get_num_threads()} threads"}
        shelf.put(as_json(card), shelf.GATE, scratch, target)
    finally:
        scratch.unlink(missing_ok=True)
    return shelf.gate_card(dataset)


def train(dataset: str, pixels: Tensor, kinds: Tensor, members: Tensor) -> nn.Module:
    """The gate's network, in evaluation mode.

    It learns from pixels uint8 [N, 1, 28, 28]; kinds, int64 [N], tells the number of each one's kind, members what each is among its kind.
    """
    about = DATASETS[dataset]
    sizes = [int(members[kinds == number].max()) + 1 for number in range(len(GATE_LABELS[dataset]))]
    classes = members + torch.tensor([0, *sizes]).cumsum(0)[kinds]
    body = plain_cnn(RunConfig(dataset=dataset, network="cnn", channels=CHANNELS), about)
    body[-1] = nn.Linear(CHANNELS[-1], sum(sizes))
    network = auxiliary.train(
        nn.Sequential(Normalise(about.mean, about.std), body), pixels, classes,
        epochs=EPOCHS, batch_size=BATCH_SIZE, lr=LR, weight_decay=WEIGHT_DECAY, augment=AUGMENTATIONS[AUGMENTATION[dataset]],
    )  # fmt: skip
    return Summed(network, sizes)


def _with_numbers(network: Summed, known: Kinds) -> Served:
    """The gate's graph; that of digits learns numbers whose digits touch, and what else there is as no numbers."""
    if known.numbers is None:
        return Served([network])
    random, others = np.random.default_rng(4), [np.concatenate([known.images, known.redrawn]), *known.others.values()]
    others = [each[random.permutation(len(each))[: touching.OF_A_KIND]] for each in others]
    return WithNumbers(network, touching.train(*(_features(network, pixels) for pixels in (known.numbers, np.concatenate(others)))))


def _features(network: Summed, pixels: np.ndarray) -> Tensor:
    with torch.inference_mode():
        return torch.cat([network.features(chunk[:, None].float() / 255) for chunk in torch.from_numpy(pixels).split(250)])


def area_under_curve(inside: np.ndarray, outside: np.ndarray) -> float:
    """Area under the ROC curve: how often a picture of the own kind scores above one of another, ties counting half (Mann & Whitney 1947)."""
    scores = np.concatenate([inside, outside])
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return float((ranks[: len(inside)].sum() - len(inside) * (len(inside) + 1) / 2) / (len(inside) * len(outside)))


def threshold_between(inside: np.ndarray, redrawn: np.ndarray, others: Iterable[np.ndarray]) -> float:
    """The probability of being of the own kind below which a picture is declined, from those of validation pictures: images of the data set,
    what other hands and pens made of them, and the other kinds."""
    likelier = min(LIKELIER, np.quantile(redrawn, DECLINED_REDRAWN))
    wanted = max(np.quantile(scores, DECLINED_OTHERS, method="higher") for scores in others)
    return float(min(max(likelier, wanted), np.quantile(inside, DECLINED), np.quantile(redrawn, AT_MOST_REDRAWN)))


def _card(dataset: str, served: Served, graph: Path, held_out: Kinds, own: Dataset) -> dict[str, Any]:
    content = graph.read_bytes()
    card = {
        "id": f"{dataset}/{shelf.GATE}", "title": shelf.TITLES[shelf.GATE], "dataset": dataset, "labels": list(GATE_LABELS[dataset]),
        "shape": [1, 28, 28], "architecture": "cnn", "members": 1, "averaged": False, "parameters": count_parameters(served),
        "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content), "opset": OPSET,
        "temperature": round(float(served.temperature), 4), "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": versions("torch", "onnx"), "turned": TURNED[dataset],
        "data": {"origin": "bundled sample" if own.is_sample else "full data set"}
    }  # fmt: skip
    if held_out.numbers is not None:
        card["number_from"] = 0.0  # measured below, by its graph, which is looked at by what its card says
    card |= measured(Gate(provisional(card, graph), threads=0), held_out, own)
    card["latency_ms"] = latency(Classifier(provisional(card, graph)), held_out.images[:1, None])
    return card


def measured(gate: Gate, held_out: Kinds, own: Dataset) -> dict[str, Any]:
    """The threshold that validation pictures set, and what the gate declines with it: of them, and of the test images."""

    def in_parts(ask: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray) -> np.ndarray:
        return np.concatenate([ask(pixels[at : at + 250, None]) for at in range(0, len(pixels), 250)])

    told = partial(in_parts, gate.likelihoods)
    inside, redrawn = told(held_out.images), told(held_out.redrawn)
    outside = {kind: told(shown) for kind, shown in held_out.others.items()}
    threshold = round(threshold_between(inside, redrawn, outside.values()), 6)
    card: dict[str, Any] = {"decline_below": threshold}
    pixels, kinds, _ = held_out.together()
    everything = in_parts(gate.probabilities, pixels[:, 0].numpy())
    card["validation"] = {
        "n": len(kinds),
        "accuracy": round(float((everything.argmax(1) == kinds.numpy()).mean()), 5),
        "calibration_error": round(calibration_error(everything, kinds.numpy()), 5),
        "declined": round(float((inside < threshold).mean()), 5),
        "declined_redrawn": round(float((redrawn < threshold).mean()), 5),
        "by_kind": {},
    }
    for kind, scores in outside.items():
        card["validation"]["by_kind"][kind] = {
            "n": len(scores), "declined": round(float((scores < threshold).mean()), 4), "auroc": round(area_under_curve(inside, scores), 5),
        }  # fmt: skip
    if held_out.numbers is not None:
        card |= _measured_numbers(partial(in_parts, gate.numbers), held_out)
    test = told(np.stack([prepare_image(each, gate.card.dataset) for each in own.test.pixels[:, 0]]))  # the one reading of the test set
    card["test"] = {
        "n": len(test),
        "accuracy": round(float((test >= threshold).mean()), 5),
        "declined": round(float((test < threshold).mean()), 5),
    }
    return card


def _measured_numbers(told: Callable[[np.ndarray], np.ndarray], held_out: Kinds) -> dict[str, Any]:
    """The likelihood from which a picture is taken for a number whose digits touch, as held-out ones set it, and what of the rest is."""
    least = round(float(np.quantile(told(held_out.numbers), touching.LOST)), 6)
    shares = {kind: round(float((told(pixels) >= least).mean()), 4) for kind, pixels in held_out.others.items()}
    return {"number_from": least, "numbers": {"n": len(held_out.numbers), "lost": touching.LOST, "taken_for_one": shares}}
