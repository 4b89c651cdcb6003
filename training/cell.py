"""Trains and measures one cell of a sweep, in whichever process the executor gives it."""

import dataclasses
import json
import math
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from jobs import events, runs, sweeps
from jobs.config import ConfigError, RunConfig
from jobs.sweeps import Cell, Result
from training.data import Dataset
from training.export import accuracy_on_test
from training.fit import AfterEpoch, Diverged, Pruned, choose_device, device_name, fit, to_device
from training.memory import keep_memory, told_when_full
from training.networks import build, count_parameters
from training.published import sha256s
from training.replay import arithmetic
from training.together import Together

DIGITS = 5  # of accuracies and losses in a result


def measure(
    cell: Cell,
    folder: Path,
    data: Dataset,
    threads: int = 1,
    tests_each_epoch: bool = False,
    tests: bool = True,
    after_epoch: AfterEpoch | None = None,
) -> Result:
    """Trains the cell in `folder`, from its checkpoints where an earlier try left some, and measures the test images at the end.

    threads: of the CPU. tests: whether to measure them; the result's test_accuracy is otherwise None. after_epoch: as
    training.fit.fit calls it. Returns the result as jobs.sweeps describes it; a loss that stopped being a number is a
    result too, and one that after_epoch ended by Pruned is what its last epoch says, without test_accuracy. The folder is
    deleted. Of an ensemble that did not diverge the result has one key more, members: what each network of `sweeps.alone`
    would be as a cell of its own, for the rows of a table that has them too. Raises Cancelled on SIGTERM or ^C, the folder
    then stays.
    """
    config = _exact(dataclasses.replace(cell.config, threads=threads, publish=""))
    make_folder(folder, cell)
    error, val_accuracy, accuracy = "", None, None
    try:
        with told_when_full():
            fit(config, folder, data, tests_each_epoch, after_epoch=after_epoch)
        accuracy = round(accuracy_on_test(folder, data), DIGITS) if tests else None
    except Diverged as diverged:
        error = str(diverged)
    except Pruned:
        pass
    epochs = runs.status(folder).epochs
    if not error:
        last = [epoch["val_accuracy"] for epoch in epochs if epoch["epoch"] == epochs[-1]["epoch"]]
        val_accuracy = round(sum(last) / len(last), DIGITS)  # of an ensemble: the members' mean
    device = device_name(choose_device(config))
    result = describe(cell, list(epochs), val_accuracy, accuracy, error, device)
    if accuracy is not None and config.members > 1:
        result["members"] = [_member(cell, number, folder, data, epochs, device) for number in range(len(sweeps.alone(config)))]
    shutil.rmtree(folder)
    return result


def _exact(config: RunConfig) -> RunConfig:
    """In float32 on every device where nothing else is said: a table may be begun on a processor and finished on a GPU."""
    return dataclasses.replace(config, precision="float32") if config.precision == "auto" else config


def _member(cell: Cell, number: int, folder: Path, data: Dataset, epochs: Sequence[dict[str, Any]], device: str) -> Result:
    """The result of one network of an ensemble, as if it had been trained alone."""
    by_itself = dataclasses.replace(cell, config=sweeps.alone(cell.config)[number])
    curve = [epoch | {"member": 0} for epoch in epochs if epoch["member"] == number]
    accuracy = round(accuracy_on_test(folder, data, number), DIGITS)
    return describe(by_itself, curve, curve[-1]["val_accuracy"], accuracy, "", device)


def measure_group(cells: Sequence[Cell], data: Dataset, device: torch.device) -> list[Result]:
    """Trains cells that differ only in lr, momentum and seed as one batched model, and measures the test images at the end.

    Raises ConfigError when they differ in more. Unlike `measure` it keeps no checkpoints: a group takes seconds on a GPU.
    """
    keep_memory()
    with arithmetic(device), told_when_full():
        group = Together([_exact(cell.config) for cell in cells], device)
        curves = group.train(to_device(data.train, device), to_device(data.validation, device))
        _, accuracies = group.measure(to_device(data.test, device))
    results = []
    for cell, curve, accuracy in zip(cells, curves, accuracies.tolist(), strict=True):
        lost = next((epoch for epoch in curve if not math.isfinite(epoch["train_loss"])), None)
        error = f"the loss became {lost['train_loss']} in epoch {lost['epoch']} with lr {cell.config.lr:g}" if lost else ""
        figures = (None, None) if lost else (curve[-1]["val_accuracy"], round(accuracy, DIGITS))
        kept = curve[: lost["epoch"] - 1] if lost else curve
        where = f"{device_name(device)}, {len(cells)} networks together"
        results.append(describe(cell, kept, *figures, error, where))
    return results


def describe(
    cell: Cell, epochs: list[dict[str, Any]], val_accuracy: float | None, accuracy: float | None, error: str, device: str
) -> Result:
    """A result as jobs.sweeps describes it."""
    return {
        "cell": cell.key,
        "row": cell.row,
        "column": cell.column,
        "seed": cell.config.seed,
        "val_accuracy": val_accuracy,
        "test_accuracy": accuracy,
        "error": error,
        "seconds": round(sum(epoch["seconds"] for epoch in epochs), 1),
        "parameters": count_parameters(build(cell.config)) * cell.config.members,
        "device": device,
        "versions": {"torch": version("torch")},
        **sha256s(cell.config),  # of the networks that it learned from: a name on the shelf may be another's one day
        "config": cell.config.to_dict(),
        "epochs": [{name: value for name, value in epoch.items() if name not in ("kind", "time", "progress")} for epoch in epochs],
    }


def make_folder(folder: Path, cell: Cell) -> None:
    """The cell's run folder; one that a killed try left is kept when it is of this cell and otherwise made anew."""
    written = json.dumps(cell.config.to_dict(), indent=1)
    path = folder / "config.json"
    try:
        kept = path.read_text() == written and runs.read_config(folder) == cell.config
    except (OSError, ConfigError):
        kept = False
    if not kept:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        path.write_text(written)


def progress(folder: Path) -> float:
    """How far a cell at work in `folder` is, 0 to 1: the last that its events say."""
    told = [event["progress"] for event in events.read(folder) if "progress" in event]
    return told[-1] if told else 0.0
