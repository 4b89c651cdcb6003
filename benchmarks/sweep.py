"""python -m benchmarks.sweep [--table r1a] [--epochs 1] [--json]

A whole table of runs (R1a: 24), by `python -m training sweep` and as the textbook has it, one run after the other on all
cores with the loop of benchmarks/epoch.py. Same configurations, images and epochs; fewer epochs than the table's own shorten
both alike, but the start of the processes counts as often. Target: a third of the textbook's time; on a GPU 10 s. Tables with what
that loop does not do, such as schedules, are refused; a run that diverged is in neither mean.
"""

import dataclasses
import functools
import os
import tempfile
import time
from pathlib import Path

from benchmarks.common import hardware, parser, show
from benchmarks.epoch import alone, textbook_epoch, unpacked
from jobs import sweeps, tables
from jobs.sweeps import Sweep
from training import data, executors, replay, sweep

Measured = tuple[float, dict[str, float | None]]
TEXTBOOK = {  # settings that its loop looks away from, and what it does
    "schedule": "constant", "members": 1, "mirrored": False, "augmentation": "none", "teacher": "", "redrawn": False, "corrections": False,
    "start_from": "", "precision": "auto",
}  # fmt: skip


def refusal(table: Sweep) -> str:
    """Why the textbook's loop cannot fill a table, as one sentence; empty where it can."""
    settings = [cell.config.to_dict() for cell in table.cells(1)]
    other = [name for name, value in TEXTBOOK.items() if any(each[name] != value for each in settings)]
    return f"{table.name} has settings that the textbook's loop does not know ({', '.join(other)}); give another table" if other else ""


def by_inkling(table: Sweep) -> Measured:
    """Seconds for all cells, and the validation accuracy of each by its key, None where it diverged."""
    executor = executors.grouped if not replay.fault() else functools.partial(executors.local, workers=os.cpu_count() or 1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["INKLING_RUNS"], os.environ["INKLING_EXPERIMENTS"] = f"{folder}/runs", f"{folder}/experiments"
        began = time.perf_counter()
        sweep.run(table, executor, seeds=1)
        seconds = time.perf_counter() - began
        results = sweeps.read_results(sweep.file_of(table))
    return seconds, {key: result["val_accuracy"] for key, result in results.items()}


def by_the_textbook(table: Sweep) -> Measured:
    """The same, one after the other; each in a process of its own, whose start is not counted."""
    seconds, accuracies = 0.0, {}
    dataset = data.find(next(table.cells(1)).config.dataset)
    with tempfile.TemporaryDirectory() as folder:
        root = unpacked(dataset, Path(folder))
        for cell in table.cells(1):
            config = dataclasses.replace(cell.config, threads=os.cpu_count() or 1)
            spent, accuracy = alone(textbook_epoch, config, dataset, root)
            seconds += spent
            accuracies[cell.key] = accuracy
    return seconds, accuracies


def compared(inkling: Measured, textbook: Measured) -> list[dict[str, object]]:
    """Two rows, their means over the runs that did not diverge."""
    kept = [key for key, accuracy in inkling[1].items() if accuracy is not None]
    rows: list[dict[str, object]] = []
    for name, (seconds, accuracies) in (("Inkling", inkling), ("textbook", textbook)):
        mean = f"{sum(accuracies[key] for key in kept) / len(kept):.2%}" if kept else "-"
        facts = {"n runs": len(accuracies), "s": seconds, "left out": len(accuracies) - len(kept), "mean val accuracy": mean}
        rows.append({"table by": name, **facts})
    rows[-1]["textbook/Inkling"] = textbook[0] / inkling[0]
    return rows


def main() -> None:
    """Measures and prints."""
    arguments = parser(__doc__)
    arguments.add_argument("--table", default="r1a", help="name of the sweep (default: r1a)")
    arguments.add_argument("--epochs", type=int, default=1, help="epochs of each run (default: 1)")
    options = arguments.parse_args()
    table = tables.find(options.table)
    if reason := refusal(table):
        raise SystemExit(reason)
    table = dataclasses.replace(
        table, rows=tuple(dataclasses.replace(row, settings=row.settings | {"epochs": options.epochs}) for row in table.rows)
    )
    rows = compared(by_inkling(table), by_the_textbook(table))
    show(f"{table.title}, {options.epochs} epoch(s) a run", rows, hardware("torch", "torchvision"), options.json)


if __name__ == "__main__":
    main()
