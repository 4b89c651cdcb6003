"""Turns trained runs into a published pair: one self-contained ONNX graph and its card.

The order is: graph into a scratch file, parity with torch, measurements through onnxruntime, and only then two renames,
the card last. Until then nothing on the shelf has changed.
"""

import hashlib
import json
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from inference import graph
from inference.classify import Classifier
from jobs import events, runs
from jobs.config import RunConfig
from jobs.summary import changes
from models import datasets, scratch, shelf
from training import checkpoint
from training.data import Dataset, OwnDataset, Split, digest, sample
from training.fit import member_path
from training.networks import Served, build, count_parameters
from training.onnx_files import OPSET, ExportError, check_parity, write_graph
from training.published import architecture, learned_before

DECLINED_ON_VALIDATION = 0.004  # share of validation images that the decline threshold is set to turn away at most,
LIKELIER = 0.5  # and nothing that is more likely right than wrong
FEWEST_TO_CALIBRATE = 200  # validation images: on a few, all answered rightly, the best temperature is the most boastful
BINS = 15
CHUNK = 64  # images at once: their activations stay in the cache, which is 2.6 times as fast as 1,000 for a CNN


def publish(folders: list[Path], name: str, data: Dataset | OwnDataset, average: bool = False) -> shelf.Card:
    """Publishes the networks of finished runs under `name` and returns the card.

    average: all members of all runs become one ensemble; where they are of one kind, of one architecture. Otherwise the runs
    are seeds of one configuration: the one with the best validation accuracy is published, and the card tells n, mean and std
    over them. Raises ExportError, ConfigError, CheckpointError.
    """
    configs = [runs.read_config(folder) for folder in folders]
    dataset = configs[0].dataset
    shelf.check_name(dataset, name)
    if (dataset, name) in shelf.KEPT:
        raise ExportError(f"the name {name} is kept for a network that came with Inkling; choose another one")
    if any(config.dataset != dataset for config in configs):
        raise ExportError("the runs were trained on different data sets; export them one data set at a time")
    _demand_alike(folders, configs, average)
    _demand_own_data(folders, data)
    groups = [[_load(config, folder, member) for member in range(config.members)] for config, folder in zip(configs, folders, strict=True)]
    pixels, labels = torch.from_numpy(np.array(data.validation.pixels)), torch.from_numpy(data.validation.labels)
    if average:
        groups = [[network for group in groups for network in group]]
    candidates = [Served(group, mirrored=configs[0].mirrored).eval() for group in groups]
    val_logits = [predict(candidate, pixels) for candidate in candidates]
    val_accuracies = [_accuracy(logits, labels) for logits in val_logits]
    best = int(np.argmax(val_accuracies))
    served, config, folder = candidates[best], configs[best], folders[best]
    if len(labels) >= FEWEST_TO_CALIBRATE:
        served.temperature.fill_(fit_temperature(val_logits[best], labels))
    target = shelf.shelf_folder() / dataset
    target.mkdir(parents=True, exist_ok=True)
    scratch.clear(target, (".*.onnx",))
    # Named by what is published: a run that is resumed finds the graph that it was killed over, and nobody else's.
    unfinished = target / f".{name}.{hashlib.sha256(repr([str(each.resolve()) for each in folders]).encode()).hexdigest()[:16]}.onnx"
    try:
        write_graph(served, dataset, unfinished)
        _demand_servable(unfinished.read_bytes(), dataset, name)
        check_parity(served, unfinished, data.validation.pixels[:64])
        card = describe(name, config, served, data, unfinished, configs if average else [config])
        alone = candidates if len(groups) > 1 else [Served([member], mirrored=served.mirrored).eval() for member in served.members]
        card["n_seeds"] = spread(alone, data, labels)
        card["run"] = _run_facts(folders if average else [folder])
        shelf.put(as_json(card), name, unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)
    return shelf.load_card(dataset, name)


def _demand_servable(content: bytes, dataset: str, name: str) -> None:
    """Raises ExportError where a graph would be refused as soon as it is to answer."""
    about = datasets.info(dataset)
    try:
        graph.check(content, about.shape, len(about.labels))
    except graph.GraphError as error:
        raise ExportError(
            f"the graph of {name} cannot be published: {error}; take fewer networks or narrower ones, or export with the versions in requirements.txt"
        ) from None


def _demand_own_data(folders: list[Path], data: Dataset | OwnDataset) -> None:
    """Raises ExportError where a run learned from other images than these: what it learned from may be among these' test images."""
    for folder in folders:
        told = [event["train_sha256"] for event in events.read(folder) if "train_sha256" in event][-1:]
        if told and told != [digest(data.train)]:
            raise ExportError(f"{folder} learned from other images than those of {data.origin}; give it its own, by --data")


def _demand_alike(folders: list[Path], configs: list[RunConfig], average: bool) -> None:
    """Raises ExportError where one card cannot stand for the runs: it has one configuration, of which weights are read back out of the
    graph by others. Networks of several kinds are averaged whatever their layers: nothing is read back out of those."""
    first = configs[0]
    kinds = {config.network for config in configs}
    names = ("mirrored", *(architecture(first.network) if len(kinds) == 1 else ()))
    advice = "average networks that share it" if average else "give seeds of one configuration, or export the runs one by one"
    for folder, config in zip(folders, configs, strict=True):
        differing = [name for name in names if getattr(config, name) != getattr(first, name)] if average else [*changes(config, first)]
        for name in differing[:1]:
            before, here = (each.to_dict()[name] for each in (first, config))
            raise ExportError(f"{name} is {before!r} in {folders[0]} but {here!r} in {folder}; {advice}")


def accuracy_on_test(folder: Path, data: Dataset | OwnDataset, member: int | None = None) -> float:
    """Accuracy of a finished run on the test images, 0 to 1, without publishing it. member: of that network alone (0-based). Raises ExportError."""
    config = runs.read_config(folder)
    members = range(config.members) if member is None else [member]
    served = Served([_load(config, folder, each) for each in members], mirrored=config.mirrored).eval()
    return _accuracy(predict(served, torch.from_numpy(np.array(data.test.pixels))), torch.from_numpy(data.test.labels))


def _load(config: RunConfig, folder: Path, member: int) -> torch.nn.Module:
    network = build(config)
    path = member_path(folder, member)
    done = checkpoint.load(path, network) if path.exists() else 0
    if done < config.epochs + bool(config.corrections and config.start_from):  # the last one of these: what was held back
        raise ExportError(f"{path} has {done} of {config.epochs} epochs; finish it first with: python -m training fit --resume {folder}")
    return network.eval().to(memory_format=torch.contiguous_format)


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature with the least cross entropy on validation logits (Guo et al. 2017, arXiv:1706.04599)."""
    grid = torch.exp(torch.linspace(np.log(0.2), np.log(5.0), 645))  # half a percent apart
    losses = torch.stack([torch.nn.functional.cross_entropy(logits / temperature, labels) for temperature in grid])
    return float(grid[losses.argmin()])


def reliability(probabilities: np.ndarray, labels: np.ndarray) -> list[list[float]]:
    """Top probability and accuracy (means, 0 to 1) and number of images of each of 15 equal bins of the top probability that is not empty."""
    top, right = probabilities.max(1), probabilities.argmax(1) == labels
    bins = np.minimum((top * BINS).astype(int), BINS - 1)
    filled = [bins == b for b in range(BINS) if (bins == b).any()]
    return [[round(float(top[each].mean()), 4), round(float(right[each].mean()), 4), int(each.sum())] for each in filled]


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error over 15 equal bins of the top probability (Naeini et al. 2015): 0 to 1."""
    top, right = probabilities.max(1), probabilities.argmax(1) == labels
    bins = np.minimum((top * BINS).astype(int), BINS - 1)
    return float(sum(abs(right[bins == b].mean() - top[bins == b].mean()) * (bins == b).mean() for b in range(BINS) if (bins == b).any()))


def measure(classifier: Classifier, split: Split, batch_size: int = CHUNK) -> np.ndarray:
    """Probabilities float32 [N, classes] of a split, as served."""
    return np.concatenate([classifier.probabilities(split.pixels[k : k + batch_size]) for k in range(0, len(split), batch_size)])


def describe(
    name: str, config: RunConfig, served: Served, data: Dataset | OwnDataset, graph: Path, configs: list[RunConfig]
) -> dict[str, Any]:
    """The card of a graph in its scratch file: what it is, and how well it does. Reads the test set."""
    content, about = graph.read_bytes(), datasets.info(config.dataset)
    several = len({each.network for each in configs}) > 1 and len(served.members) == sum(each.members for each in configs)  # and no mixture
    card = {
        "id": f"{config.dataset}/{name}",
        "title": _title(config.network, len(served.members), name),
        "dataset": config.dataset,
        "labels": list(about.labels),
        "shape": list(about.shape),
        "architecture": config.network,
        "members": len(served.members),
        "averaged": len(served.members) > 1,
        "architectures": sorted({each.network for each in configs}),
        "parameters": count_parameters(served),
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "opset": OPSET,
        "temperature": round(float(served.temperature), 4),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "config": config.to_dict(),
        # Of several kinds each network's own, so that they can teach: training/published.py.
        **({"member_configs": [each.to_dict() for each in configs for _ in range(each.members)]} if several else {}),
        "versions": versions("torch", "onnx", "onnxscript", "numpy"),
        "data": {"origin": origin(data), "train": len(data.train), "train_sha256": digest(data.train)}
        | ({"learned_before": True} if any(learned_before(each, origin(data)) for each in configs) else {}),
    }
    classifier = Classifier(provisional(card, graph), threads=0)
    validation = measure(classifier, data.validation)
    threshold = (
        min(float(np.quantile(validation.max(1), DECLINED_ON_VALIDATION)), LIKELIER) if len(validation) >= FEWEST_TO_CALIBRATE else 0.0
    )
    card["decline_below"] = round(threshold, 4)
    card["validation"] = _figures(validation, data.validation.labels, card["decline_below"])
    test = measure(classifier, data.test)  # the one reading of the test set
    card["test"] = _test_figures(test, data.test.labels, card["decline_below"])
    if not about.is_own:
        small = sample(config.dataset)  # ships with the code: anybody can measure this figure again
        pixels, labels = (
            np.concatenate([getattr(part, field) for part in (small.train, small.validation, small.test)]) for field in ("pixels", "labels")
        )
        everything = Split(pixels=pixels, labels=labels)
        card["sample"] = _figures(measure(classifier, everything), labels, card["decline_below"])
    card["latency_ms"] = latency(Classifier(provisional(card, graph)), data.validation.pixels[:1])
    return card


def versions(*packages: str) -> dict[str, str]:
    """What a network was made with, for its card: these packages, Python, and onnxruntime by whichever of its two names it is installed."""
    return {each: version(each) for each in packages} | {"onnxruntime": onnxruntime.__version__, "python": platform.python_version()}


def provisional(card: dict[str, Any], graph: Path) -> shelf.Card:
    """The card of a graph that still lies in its scratch file."""
    return shelf.Card(
        dataset=card["dataset"], name=graph.stem, labels=tuple(card["labels"]), parameters=card["parameters"], val_accuracy=0.0,
        test_accuracy=0.0, decline_below=0.0, sha256=card["sha256"], facts=card, folder=graph.parent, shape=tuple(card["shape"]),
    )  # fmt: skip


def origin(data: Dataset | OwnDataset) -> str:
    """Where a run's data are from, as its card tells it."""
    return data.origin if isinstance(data, OwnDataset) else "bundled sample" if data.is_sample else "full data set"


def _title(network: str, members: int, name: str) -> str:
    kind = shelf.TITLES["ensemble" if members > 1 else network]
    return shelf.TITLES.get(name, f"{kind} · {time.strftime('%d %b %H:%M')}")


def _figures(probabilities: np.ndarray, labels: np.ndarray, decline_below: float) -> dict[str, Any]:
    right = probabilities.argmax(1) == labels
    return {
        "n": len(labels),
        "accuracy": round(float(right.mean()), 5),
        "calibration_error": round(calibration_error(probabilities, labels), 5),
        "declined": round(float((probabilities.max(1) < decline_below).mean()), 5),
    }


def _test_figures(probabilities: np.ndarray, labels: np.ndarray, decline_below: float) -> dict[str, Any]:
    return _figures(probabilities, labels, decline_below) | {
        "reliability": reliability(probabilities, labels),
        "confusion": _confusion(probabilities.argmax(1), labels, probabilities.shape[1]),
    }


def write_test_figures(card: shelf.Card, probabilities: np.ndarray, labels: np.ndarray) -> None:
    """Puts what was measured on the test images on the card of a published network, in place of what stands there."""
    facts = card.facts | {"test": _test_figures(probabilities, labels, card.decline_below)}
    partial = card.folder / f".{card.name}.json.partial"
    partial.write_text(as_json(facts), encoding="utf-8")
    partial.replace(card.folder / f"{card.name}.json")


def as_json(card: dict[str, Any]) -> str:
    """A card as it is written."""
    return json.dumps(card, ensure_ascii=False, indent=1) + "\n"


def _confusion(predicted: np.ndarray, labels: np.ndarray, classes: int) -> list[list[int]]:
    """Rows are the true classes, columns the predicted ones."""
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes).tolist()


def latency(classifier: Classifier, pixels: np.ndarray, times: int = 60) -> float:
    """Median milliseconds for one picture on one CPU thread."""
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        classifier.probabilities(pixels)
        seconds.append(time.perf_counter() - began)
    return round(statistics.median(seconds) * 1000, 4)


def spread(candidates: list[Served], data: Dataset | OwnDataset, val_labels: Tensor) -> dict[str, Any]:
    """n, mean and std over networks of different seeds: the runs of a single network, the members of an ensemble."""
    facts: dict[str, Any] = {"n": len(candidates)}
    if len(candidates) < 2:
        return facts
    for part, split, labels in (("validation", data.validation, val_labels), ("test", data.test, torch.from_numpy(data.test.labels))):
        accuracies = [_accuracy(predict(each, torch.from_numpy(np.array(split.pixels))), labels) for each in candidates]
        facts[part] = {
            "mean": round(statistics.mean(accuracies), 5),
            "std": round(statistics.stdev(accuracies), 5),
            "each": [round(each, 5) for each in accuracies],
        }
    return facts


@torch.inference_mode()
def predict(served: Served, pixels: Tensor) -> Tensor:
    """Logits before the temperature, float [N, classes], for pixels uint8 [N, C, H, W]."""
    return torch.cat([served.average_logits(chunk.float() / 255) for chunk in pixels.split(CHUNK)])


def _accuracy(logits: Tensor, labels: Tensor) -> float:
    return float((logits.argmax(1) == labels).float().mean())


def _run_facts(folders: list[Path]) -> dict[str, Any]:
    """Seconds spent in epochs over all runs that went into the graph, where, and how many corrections were learned from."""
    statuses = [runs.status(folder) for folder in folders]
    seconds = sum(epoch["seconds"] for status in statuses for epoch in status.epochs)
    told = [event["count"] for folder in folders for event in events.read(folder) if event["kind"] == "corrections"]
    shared = {"seconds": round(seconds, 1), "device": (statuses[0].started or {}).get("device", "")}
    return shared | ({"corrections": max(told)} if told else {})


def announce(folder: Path, card: shelf.Card) -> None:
    """Appends the exported event of a run."""
    events.append(
        folder, "exported", name=card.name, dataset=card.dataset, val_accuracy=card.val_accuracy, test_accuracy=card.test_accuracy
    )
