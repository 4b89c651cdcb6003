"""Fills a table: asks an executor for the cells that its file does not have yet, and appends each as it comes.

A sweep that was killed goes on where it was: cells that are done stay done, the others continue from their checkpoints.
"""

import contextlib
import shutil
import sys
import threading
import time
from collections.abc import Container, Iterator
from pathlib import Path

from tqdm import tqdm

from jobs import runs, summary, sweeps
from jobs.sweeps import Result, Sweep, SweepError
from training import cell
from training import data as data_sets
from training.executors import Executor, Job

POLL = 1.0  # seconds between two looks at how far the cells at work are


def run(sweep: Sweep, executor: Executor, seeds: int | None = None, data: Path | None = None, rows: Container[int] | None = None) -> int:
    """Trains what is missing of a sweep and returns how many cells were added to its file.

    seeds: a cell, the sweep's own number when None; rows: indices of the rows to fill, all when None.
    What is measured on the bundled sample goes to a file of its own, NAME-sample.jsonl, and is not part of the table.
    The networks of an ensemble that other cells are about are not trained a second time for those.
    Raises Busy when another process is at this sweep, SweepError when an executor gives up or `file_of` does, Cancelled on ^C in a cell.
    """
    root = runs.runs_folder() / f"sweep-{sweep.name}"
    root.mkdir(parents=True, exist_ok=True)
    with runs.held(root):
        file = file_of(sweep, data, rows)
        done = sweeps.read_results(file)
        asked = [each for each in sweep.cells(seeds) if each.key not in done and (rows is None or each.row in rows)]
        wanted = {each.key: each for each in sweep.cells(max(seeds or 0, sweep.seeds))}
        ensembles = [each.config for each in asked if each.config.members > 1]
        by_the_way = {sweeps.key_of(member) for config in ensembles for member in sweeps.alone(config)}
        jobs = [
            Job(cell=each, folder=root / each.key, data=data, tests_each_epoch=sweep.tests_each_epoch)
            for each in asked
            if each.key not in by_the_way
        ]
        added = 0
        with _bar(jobs) as finished:
            for result in executor(jobs) if jobs else ():
                for each in _placed(result, wanted):
                    added += sweeps.append_result(file, each)
                finished(result)
    shutil.rmtree(root, ignore_errors=True)  # the orphan of a lost node may write there for a moment longer
    return added


def _placed(result: Result, wanted: dict[str, sweeps.Cell]) -> Iterator[Result]:
    """The result, and of an ensemble those of its members that the table wants too, each in its own row and column."""
    members = result.pop("members", [])
    yield result
    for each in members:
        if place := wanted.get(each["cell"]):
            yield each | {"row": place.row, "column": place.column}


def file_of(sweep: Sweep, data: Path | None = None, rows: Container[int] | None = None) -> str:
    """The name that a sweep's results have with the data sets that its rows would use, for jobs.sweeps.read_results.

    Raises SweepError where only some of them are the bundled sample: what is measured on it is not part of the table.
    """
    names = sorted({each.config.dataset for each in sweep.cells(1) if rows is None or each.row in rows})
    samples = [name for name in names if data_sets.find(name, data).is_sample]
    if samples and samples != names:
        raise SweepError(
            f"{sweep.name} needs {' and '.join(names)}, and of {' and '.join(samples)} there is only the bundled sample, whose results are no "
            "part of the table; give a folder that holds them all with --data, or choose rows with --rows"
        )
    return sweep.name + ("-sample" if samples else "")


@contextlib.contextmanager
def _bar(jobs: list[Job]) -> Iterator:
    """One bar over all cells, in epochs; cells at work count by what their folders say. Yields what to call with a result."""
    epochs = {job.cell.key: job.cell.config.epochs * job.cell.config.members for job in jobs}
    total, done = sum(epochs.values()), set()
    stop = threading.Event()
    on_terminal = sys.stderr.isatty()
    with tqdm(total=total, unit="epoch", dynamic_ncols=True, disable=not on_terminal, bar_format=BAR) as bar:

        def look() -> None:
            while not stop.wait(POLL):
                at_work = [job for job in jobs if job.cell.key not in done and job.folder.is_dir()]
                partly = sum(cell.progress(job.folder) * epochs[job.cell.key] for job in at_work)
                bar.n = round(sum(epochs[key] for key in done) + partly, 1)
                bar.set_postfix_str(f"{len(done)} of {len(jobs)} cells")

        def finished(result: Result) -> None:
            done.add(result["cell"])
            if not on_terminal:
                print(f"{time.strftime('%H:%M:%S')} {len(done)}/{len(jobs)} cells: {_line(result)}", flush=True)

        thread = threading.Thread(target=look, daemon=True)
        if on_terminal:
            thread.start()
        try:
            yield finished
        finally:
            stop.set()


BAR = "{l_bar}{bar}| {n:.1f}/{total} epochs [{elapsed}<{remaining}, {postfix}]"


def _line(result: Result) -> str:
    outcome = f"test {result['test_accuracy']:.2%}" if result["test_accuracy"] is not None else result["error"]
    return f"row {result['row'] + 1}, column {result['column'] + 1}, seed {result['seed']}: {outcome}, {result['seconds']} s"


def table(sweep: Sweep, file: str) -> str:
    """The sweep with the results of a file as text: the source's figure / ours as `jobs.summary.Outcome.told`, a line a cell."""
    widths = max(len(row.title) for row in sweep.rows)
    lines = [f"{sweep.title}: {sweep.about}", "the source's test accuracy / ours"]
    for outcome in summary.outcomes(sweep, sweeps.read_results(file)):
        if outcome.column == 0:
            lines.append("")
        title = sweep.rows[outcome.row].title if outcome.column == 0 else ""
        source = "-" if outcome.reference is None else f"{outcome.reference * 100:.2f} %"
        figure, rest = outcome.told
        lines.append(
            f"{title:{widths}}  {sweep.columns[outcome.column].title:24} {source:>8} / {figure:>8}" + (f" ({rest})" if rest else "")
        )
    return "\n".join(lines)
