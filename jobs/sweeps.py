"""Sweeps: tables of runs. A sweep is data, a recipe and what each row and column changes of it; experiments/NAME.jsonl has
what was measured, one JSON object a line, only ever appended to.

A result has the keys: cell (see Cell.key), row, column (indices into the sweep), seed, config (the whole configuration),
val_accuracy, test_accuracy (0 to 1, as the last epoch left the network; None when it diverged), error (why it did, else
""), epochs (one object an epoch: member, epoch, train_loss, val_loss, val_accuracy, seconds, and test_accuracy where the
sweep asks for it), seconds (of all epochs), parameters, device, and versions.
"""

import dataclasses
import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.config import RunConfig
from jobs.recipes import RECIPES
from jobs.runs import ROOT
from models.errors import InklingError

Result = dict[str, Any]
Settings = dict[str, Any]
MOST_SEEDS = 100  # a cell
NOT_WHAT_IS_COMPUTED = ("device", "threads", "publish")  # two cells that differ in these alone are the same


class SweepError(InklingError):
    """There is no such sweep, or its file cannot be used. The message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a table. settings: changed of the recipe; references: the source's test accuracy a column, 0 to 1 or None."""

    title: str
    settings: Settings
    references: tuple[float | None, ...] = ()
    recipe: str = ""  # in place of the sweep's


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table."""

    title: str
    settings: Settings


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A table to fill. seeds: how many each cell is meant to get. tests_each_epoch: also measure the test images after every
    epoch, to draw the curve; nothing is chosen by it."""

    name: str
    title: str
    about: str
    recipe: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    seeds: int = 3
    tests_each_epoch: bool = False

    def cells(self, seeds: int | None = None) -> Iterator["Cell"]:
        """Every cell, seed by seed, so that a sweep that is stopped early has a whole table."""
        for seed in range(seeds or self.seeds):
            for row_number, row in enumerate(self.rows):
                for column_number, column in enumerate(self.columns):
                    base = RECIPES[row.recipe or self.recipe].config
                    config = dataclasses.replace(base, **row.settings, **column.settings)
                    # A network's seed is its run's plus its number among the members: no two runs of a cell are to share one.
                    config = dataclasses.replace(config, seed=config.seed + seed * config.members)
                    yield Cell(sweep=self.name, row=row_number, column=column_number, seed=seed, config=config)

    def reference(self, row: int, column: int) -> float | None:
        """The source's test accuracy of a cell, 0 to 1, or None."""
        references = self.rows[row].references
        return references[column] if column < len(references) else None


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run of a sweep."""

    sweep: str
    row: int
    column: int
    seed: int
    config: RunConfig

    @property
    def key(self) -> str:
        """16 hexadecimal digits that name what this cell computes, seed included."""
        return key_of(self.config)


def key_of(config: RunConfig) -> str:
    """The key of the cell with this configuration; device, threads and name on the shelf do not count.

    Only what differs from the defaults is hashed, so that a setting that is added one day leaves the keys as they are.
    """
    defaults = RunConfig().to_dict()
    settings = {name: value for name, value in config.to_dict().items() if name not in NOT_WHAT_IS_COMPUTED and value != defaults[name]}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def alone(config: RunConfig) -> list[RunConfig]:
    """Of an ensemble the runs of one network that come to the very weights of its members, in their order.

    With `start_from` that is the first member alone: the others may start from other members of the published network; with several views
    of each image too: all members learn from those that the run's seed draws.
    """
    count = 1 if config.start_from or (config.teacher and config.teacher_views > 1) else config.members
    return [dataclasses.replace(config, members=1, seed=config.seed + number) for number in range(count)]


def results_folder() -> Path:
    """Where results are kept: $INKLING_EXPERIMENTS, or the folder experiments beside app.py."""
    return Path(os.environ.get("INKLING_EXPERIMENTS") or ROOT / "experiments")


def results_path(sweep: str) -> Path:
    """The file of one sweep's results."""
    return results_folder() / f"{sweep}.jsonl"


def read_results(sweep: str) -> dict[str, Result]:
    """What was measured so far, by cell. A half-written line is passed over; of a cell measured twice the first counts."""
    try:
        lines = results_path(sweep).read_bytes().split(b"\n")
    except FileNotFoundError:
        return {}
    results: dict[str, Result] = {}
    for line in lines:
        try:
            result = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(result, dict) and isinstance(result.get("cell"), str):
            results.setdefault(result["cell"], result)
    return results


def append_result(sweep: str, result: Result) -> bool:
    """Adds one line, whole, unless the cell has one already; two sweeps at once never double a cell. Returns whether it was added."""
    path = results_path(sweep)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if result["cell"] in read_results(sweep):
            return False
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"  # a killed writer may have left half a line
        line = (("\n" if torn else "") + json.dumps(result) + "\n").encode()
        if os.write(descriptor, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return True
    finally:
        os.close(descriptor)
