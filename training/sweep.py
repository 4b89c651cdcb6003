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

from jobs import locks, runs, summary, sweeps
from jobs.sweeps import Cell, Result, Sweep, SweepError
from training import cell
from training import data as data_sets
from training.executors import Executor, Job

POLL = 1.0  # seconds between two looks at how far the cells at work are


def run(sweep: Sweep, executor: Executor, seeds: int | None = None, data: Path | None = None, rows: Container[int] | None = None) -> int:
    """Trains what is missing of a sweep and returns how many cells were added to its file.

    seeds: a cell, the sweep's own number when None; rows: indices of the rows to fill, all when None.
    What is measured on the bundled sample goes to a file of its own, NAME-sample.jsonl, and is not part of the table.
    The networks of an ensemble that other cells are about are not trained a second time for those, unless the ensemble diverges.
    Raises Busy when another process fills the same file, SweepError when an executor gives up or `file_of` does, Cancelled on ^C in a
    cell.
    """
    file = file_of(sweep, data, rows)
    root = runs.runs_folder() / f"sweep-{file}"  # checkpoints on the sample are none of the table's either
    wanted = {each.key: each for each in sweep.cells(max(seeds or 0, sweep.seeds))}
    with _held(root):
        asked = [
            Job(cell=each, folder=root / each.key, data=data, tests_each_epoch=sweep.tests_each_epoch)
            for each in sweep.cells(seeds)
            if rows is None or each.row in rows
        ]
        missing = _missing(asked, file)
        ensembles = [job.cell.config for job in missing if job.cell.config.members > 1]
        by_the_way = {sweeps.key_of(member) for config in ensembles for member in sweeps.alone(config)}
        added = _fill(file, executor, [job for job in missing if job.cell.key not in by_the_way], wanted)
        added += _fill(file, executor, _missing(asked, file), wanted)
        _clear(root, file)
    return added


def _missing(jobs: list[Job], file: str) -> list[Job]:
    done = sweeps.read_results(file)
    return [job for job in jobs if job.cell.key not in done]


def _fill(file: str, executor: Executor, jobs: list[Job], wanted: dict[str, Cell]) -> int:
    """Does the jobs and appends what they come to. wanted: the cells of the table by key. Returns how many were added."""
    added = 0
    if jobs:
        with _bar(jobs) as finished:
            for result in executor(jobs):
                for each in _placed(result, wanted):
                    added += sweeps.append_result(file, each)
                finished(result)
    return added


@contextlib.contextmanager
def _held(root: Path) -> Iterator[None]:
    """Makes the folder of the cells and holds its lock for the time of a with block. Raises Busy."""
    while True:
        root.mkdir(parents=True, exist_ok=True)
        with locks.held(root):
            if (root / locks.LOCK).exists():  # otherwise who held it has removed the folder, and the lock in it, meanwhile
                yield
                return


def _clear(root: Path, file: str) -> None:
    """Removes the folders of the cells that are measured, and the root when nothing is left of others, which go on from theirs."""
    done = sweeps.read_results(file)
    for folder in [each for each in root.iterdir() if each.is_dir()]:
        if folder.name.partition(".")[0] in done:  # KEY, and the KEY.gate of a cluster
            shutil.rmtree(folder, ignore_errors=True)  # the orphan of a lost node may write there for a moment longer
    if not any(each.is_dir() for each in root.iterdir()):
        shutil.rmtree(root, ignore_errors=True)


def _placed(result: Result, wanted: dict[str, Cell]) -> Iterator[Result]:
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
            over = set(done)  # which grows meanwhile
            at_work = [job for job in jobs if job.cell.key not in over and job.folder.is_dir()]
            partly = sum(cell.progress(job.folder) * epochs[job.cell.key] for job in at_work)
            bar.n = round(sum(epochs[key] for key in over) + partly, 1)
            bar.set_postfix_str(f"{len(over)} of {len(jobs)} cells")

        def watch() -> None:
            while not stop.wait(POLL):
                look()

        def finished(result: Result) -> None:
            done.add(result["cell"])
            if not on_terminal:
                print(f"{time.strftime('%H:%M:%S')} {len(done)}/{len(jobs)} cells: {_line(result)}", flush=True)

        thread = threading.Thread(target=watch, daemon=True)
        if on_terminal:
            thread.start()
        try:
            yield finished
        finally:
            stop.set()
            if on_terminal:
                thread.join()
                look()  # the bar stays on the screen as it is now


BAR = "{l_bar}{bar}| {n:.1f}/{total} epochs [{elapsed}<{remaining}, {postfix}]"


def _line(result: Result) -> str:
    outcome = f"test {result['test_accuracy']:.2%}" if result["test_accuracy"] is not None else result["error"]
    return f"row {result['row'] + 1}, column {result['column'] + 1}, seed {result['seed']}: {outcome}, {result['seconds']} s"


def table(sweep: Sweep, file: str) -> str:
    """The sweep with the results of a file as text: a line a cell, the source's figure / ours as `jobs.summary.Outcome.told`; rows with the numbers
    that `--rows` takes."""
    names = [f"{number:2} {row.recipe or row.title}" for number, row in enumerate(sweep.rows, 1)]
    widths, is_one_column = max(map(len, names)), len(sweep.columns) == 1
    lines = [f"{sweep.title}: {sweep.about}", f"the source's {sweep.columns[0].title if is_one_column else 'test accuracy'} / ours"]
    lines += [""] * is_one_column
    for outcome in summary.outcomes(sweep, sweeps.read_results(file)):
        if outcome.column == 0 and not is_one_column:
            lines.append("")
        name = names[outcome.row] if outcome.column == 0 else ""
        column = "" if is_one_column else f"{sweep.columns[outcome.column].title:24} "
        source = "-" if outcome.reference is None else f"{outcome.reference * 100:.2f} %"
        figure, rest = outcome.told
        lines.append(f"{name:{widths}}  {column}{source:>8} / {figure:>8}" + (f" ({rest})" if rest else ""))
    return "\n".join(lines)
