"""python -m benchmarks.sweep [--table r1a] [--epochs 1] [--json]

A whole table of runs (R1a: 24), by `python -m training sweep` and as the textbook has it, one run after the other on all
cores with the loop of benchmarks/epoch.py. Same configurations, images and epochs; fewer epochs than the table's own shorten
both alike, but the start of the processes counts as often. Target: a third of the textbook's time; on a GPU 10 s.
"""

import dataclasses
import functools
import os
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.common import hardware, parser, show
from benchmarks.epoch import alone, textbook_epoch, unpacked
from jobs import sweeps, tables
from jobs.sweeps import Sweep
from training import data, executors, sweep


def by_inkling(table: Sweep) -> tuple[float, list[float]]:
    """Seconds for all cells, and their validation accuracies."""
    executor = executors.grouped if torch.cuda.is_available() else functools.partial(executors.local, workers=os.cpu_count() or 1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["INKLING_RUNS"], os.environ["INKLING_EXPERIMENTS"] = f"{folder}/runs", f"{folder}/experiments"
        began = time.perf_counter()
        sweep.run(table, executor, seeds=1)
        seconds = time.perf_counter() - began
        results = sweeps.read_results(sweep.file_of(table)).values()
    return seconds, [result["val_accuracy"] for result in results]


def by_the_textbook(table: Sweep) -> tuple[float, list[float]]:
    """The same, one after the other; each in a process of its own, whose start is not counted."""
    seconds, accuracies = 0.0, []
    dataset = data.find(next(table.cells(1)).config.dataset)
    with tempfile.TemporaryDirectory() as folder:
        root = unpacked(dataset, Path(folder))
        for cell in table.cells(1):
            config = dataclasses.replace(cell.config, threads=os.cpu_count() or 1)
            spent, accuracy = alone(textbook_epoch, config, dataset, root)
            seconds += spent
            accuracies.append(accuracy)
    return seconds, accuracies


def main() -> None:
    """Measures and prints."""
    arguments = parser(__doc__)
    arguments.add_argument("--table", default="r1a", help="name of the sweep (default: r1a)")
    arguments.add_argument("--epochs", type=int, default=1, help="epochs of each run (default: 1)")
    options = arguments.parse_args()
    table = tables.find(options.table)
    table = dataclasses.replace(
        table, rows=tuple(dataclasses.replace(row, settings=row.settings | {"epochs": options.epochs}) for row in table.rows)
    )
    rows = []
    for name, measure in (("Inkling", by_inkling), ("textbook", by_the_textbook)):
        seconds, accuracies = measure(table)
        rows.append(
            {"table by": name, "n runs": len(accuracies), "s": seconds, "mean val accuracy": f"{sum(accuracies) / len(accuracies):.2%}"}
        )
    rows[-1]["textbook/Inkling"] = rows[1]["s"] / rows[0]["s"]
    show(f"{table.title}, {options.epochs} epoch(s) a run", rows, hardware("torch", "torchvision"), options.json)


if __name__ == "__main__":
    main()
