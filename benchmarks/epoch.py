"""python -m benchmarks.epoch [--batch-sizes 40 128 400] [--times 3] [--dataset mnist] [--json]

One epoch of LeNet-5 with the validation after it, by Inkling's engine and by the loop of every textbook: torchvision's data
set, ToTensor and Normalize for each picture, DataLoader(shuffle=True). Same images, network, optimizer and constant lr, the
two taking turns, each in a process of its own; accuracies are on the validation images. Target: 2 times the textbook's pace at
batch 40 and 4 times at 400; on a GPU 20 times at batch 40. Then a whole quick retrain, from the click to the published
network, as the sidebar starts it. Target: 20 s.
"""

import contextlib
import dataclasses
import gzip
import io
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch.utils.data import DataLoader, Subset
from torchvision import transforms

from benchmarks.common import hardware, parser, show, summary
from jobs import events, queue, runs
from jobs.config import RunConfig
from jobs.recipes import RECIPES
from models.datasets import DATASETS
from training import data
from training.fit import Member, choose_device, device_name, to_device
from training.layers import ShortCut
from training.memory import keep_memory
from training.networks import build
from training.optimization import build_optimizer, loss_function
from training.progress import Progress

TARGET = 20  # s, a whole quick retrain
PARTS = {"started": "start of python, reading the data", "epoch": "training", "exported": "export and measuring"}


def unpacked(dataset: data.Dataset, folder: Path) -> Path:
    """The data set's files where torchvision looks for them; returns torchvision's root."""
    raw = folder / data.FOLDERS[dataset.name] / "raw"
    raw.mkdir(parents=True)
    for path in dataset.folder.glob("*-ubyte*"):
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rb") as file:
            (raw / path.name.removesuffix(".gz")).write_bytes(file.read())
    return folder


def inkling_epoch(config: RunConfig, dataset: data.Dataset) -> tuple[float, float]:
    """Seconds and validation accuracy of an epoch by Inkling's engine."""
    torch.set_num_threads(config.threads)
    keep_memory()
    device = choose_device(config)
    train, validation = to_device(dataset.train, device), to_device(dataset.validation, device)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        with Progress(Path(folder), config, len(dataset.train)) as progress:
            Member(config, 0, Path(folder), device, lambda: False, progress).train(train, validation)
        epoch = next(event for event in events.read(Path(folder)) if event["kind"] == "epoch")
    return epoch["seconds"], epoch["val_accuracy"]


def textbook_epoch(config: RunConfig, dataset: data.Dataset, root: Path) -> tuple[float, float]:
    """The same by the textbook's loop."""
    torch.set_num_threads(config.threads)
    facts, device = DATASETS[config.dataset], choose_device(config)
    scaling = [transforms.Normalize((facts.mean,), (facts.std,))] if config.standardise else []
    transform = transforms.Compose([transforms.ToTensor(), *scaling])
    pictures = getattr(torchvision.datasets, data.FOLDERS[config.dataset])(str(root), train=True, transform=transform)
    order = np.random.default_rng(data.SPLIT_SEED).permutation(len(pictures))  # Inkling's split: the same images on both sides
    held_out = len(order) // 10
    train_loader = DataLoader(Subset(pictures, order[:-held_out].tolist()), batch_size=config.batch_size, shuffle=True)
    val_loader = DataLoader(Subset(pictures, order[-held_out:].tolist()), batch_size=1000)
    torch.manual_seed(config.seed)
    network = build(config)[1].to(device)  # without its first layer: the transform normalises
    for layer in network.modules():
        if isinstance(layer, ShortCut):  # ours is part of what is measured
            layer.is_plain = True
    optimizer = build_optimizer(config, network.parameters())
    began = time.perf_counter()
    network.train()
    running_loss = 0.0
    for _ in range(config.epochs):
        for images, labels in train_loader:
            loss = loss_function(config, network(images.to(device)), labels.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
    network.eval()
    right = 0
    with torch.no_grad():
        for images, labels in val_loader:
            right += int((network(images.to(device)).argmax(1) == labels.to(device)).sum())
    return time.perf_counter() - began, right / held_out


def alone(function: Callable[..., tuple[float, float]], *arguments: object) -> tuple[float, float]:
    """The function's answer from a new process, so that neither loop inherits the other's memory settings or warm caches."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def compare(dataset: data.Dataset, batch_size: int, times: int, threads: int) -> list[dict[str, object]]:
    """Two rows of the table: Inkling and the textbook's loop at one batch size."""
    config = RunConfig(dataset=dataset.name, batch_size=batch_size, schedule="constant", lr=0.002, threads=threads)
    measured: dict[str, list[tuple[float, float]]] = {"Inkling": [], "textbook": []}
    with tempfile.TemporaryDirectory() as folder:
        root = unpacked(dataset, Path(folder))
        for seed in range(times):
            seeded = dataclasses.replace(config, seed=seed)
            measured["Inkling"].append(alone(inkling_epoch, seeded, dataset))
            measured["textbook"].append(alone(textbook_epoch, seeded, dataset, root))
    rows = []
    for name, pairs in measured.items():
        seconds, accuracy = (summary(values) for values in zip(*pairs, strict=True))
        figures = {
            "median s": seconds["median"],
            "std s": seconds["std"],
            "val accuracy": f"{accuracy['median']:.2%}",
            "its std": f"{accuracy['std']:.2%}",
        }
        rows.append({"batch size": batch_size, "loop": name, "n": seconds["n"], **figures})
    rows[-1]["textbook/Inkling"] = rows[1]["median s"] / rows[0]["median s"]
    return rows


def time_quick_retrain(dataset: str) -> tuple[float, str]:
    """Seconds of a quick retrain from the click to its last event, and where they went."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["INKLING_RUNS"], os.environ["INKLING_MODELS"] = f"{folder}/runs", f"{folder}/models"
        config = dataclasses.replace(RECIPES["quick"].config, dataset=dataset, threads=runs.page_friendly_threads(), publish="quick")
        began, clicked = time.perf_counter(), time.time()
        run = queue.start(config)
        while (status := runs.status(run)).is_active:
            time.sleep(0.02)
        seconds = time.perf_counter() - began
        if status.state != "done":
            raise SystemExit(f"the quick retrain ended as {status.state}: {status.message}\n{(run / 'log.txt').read_text()}")
        parts, last = [], clicked
        for event in events.read(run):
            if event["kind"] in PARTS:
                parts.append(f"{PARTS[event['kind']]} {event['time'] - last:.1f} s")
                last = event["time"]
    return seconds, ", ".join(parts)


def main() -> None:
    """Measures and prints."""
    arguments = parser(__doc__)
    arguments.add_argument(
        "--batch-sizes", type=int, nargs="+", default=[40, 128, 400], metavar="N", help="batch sizes (default: 40 128 400)"
    )
    arguments.add_argument("--times", type=int, default=3, help="epochs of each (default: 3)")
    arguments.add_argument("--dataset", choices=list(DATASETS), default="mnist", help="data set (default: mnist)")
    arguments.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU threads of both loops (default: all cores)")
    options = arguments.parse_args()
    dataset = data.find(options.dataset)
    config = RunConfig()
    rows = [row for batch_size in options.batch_sizes for row in compare(dataset, batch_size, options.times, options.threads)]
    retrains = [time_quick_retrain(options.dataset) for _ in range(options.times)]
    figure = summary([seconds for seconds, _ in retrains])
    verdict = "met" if figure["median"] <= TARGET else "missed"
    notes = [
        f"a quick retrain, click to published network: n {figure['n']}, median {figure['median']:.1f} s, std {figure['std']:.1f} s; target {TARGET} s: {verdict}",
        *(f"  {seconds:.1f} s: {parts}" for seconds, parts in retrains),
    ]
    title = (
        f"one epoch of LeNet-5 on {len(dataset.train)} images of {options.dataset} ({dataset.origin}), {device_name(choose_device(config))}"
    )
    show(title, rows, hardware("torch", "torchvision"), options.json, notes)


if __name__ == "__main__":
    main()
