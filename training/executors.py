"""Where the cells of a sweep are trained. An executor takes jobs and yields results in the order in which they are done.

Executors know nothing of tables and files of results: training/sweep.py asks for what is missing and writes down what comes.
"""

import contextlib
import functools
import itertools
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from jobs import runs
from jobs.sweeps import Cell, Result, SweepError
from training.children import follow_parent


@dataclass(frozen=True, kw_only=True)
class Job:
    """One cell to train. folder: for its checkpoints; data: as `--data` gives it; tests_each_epoch: see jobs.sweeps.Sweep."""

    cell: Cell
    folder: Path
    data: Path | None = None
    tests_each_epoch: bool = False


MOST_TOGETHER = 64  # networks in one batched model
Executor = Callable[[Sequence[Job]], Iterator[Result]]
Item, Outcome = TypeVar("Item"), TypeVar("Outcome")


def work(job: Job) -> Result:
    """Does one job in this process. Raises what training.cell.measure raises."""
    from training import cell

    return cell.measure(job.cell, job.folder, dataset(job.cell.config.dataset, job.data), tests_each_epoch=job.tests_each_epoch)


@functools.lru_cache(maxsize=4)
def dataset(name: str, folder: Path | None) -> object:
    """Read once a process, not once a cell."""
    from training import data

    return data.find(name, folder)


def local(jobs: Sequence[Job], workers: int) -> Iterator[Result]:
    """Processes on this machine, one thread each: two cells on two cores take half the time of one after the other on both.

    Raises SweepError when a process dies; what was yielded before stands.
    """
    return in_processes(work, jobs, workers)


def in_processes(task: Callable[[Item], Outcome], items: Sequence[Item], workers: int) -> Iterator[Outcome]:
    """What a task says of each item, in the order in which they are done, `workers` at a time. Raises as `local` does.

    Once one fails, or ^C comes, no other is begun; what those at work come to is yielded before the first error is raised.
    """
    spawn = multiprocessing.get_context("spawn")  # a fork would copy torch's thread pools in whatever state they are
    waiting, failure = iter(items), None
    with ProcessPoolExecutor(min(workers, len(items)), spawn, _prepare) as pool:
        with _undisturbed():
            at_work = {pool.submit(_do, task, item) for item in itertools.islice(waiting, workers)}  # which begins the processes
        while at_work:
            try:
                done, at_work = wait(at_work, return_when=FIRST_COMPLETED)
            except KeyboardInterrupt as interrupt:
                if failure is not None:  # a second ^C means now
                    raise
                failure = interrupt
                continue
            for future in done:
                failure = failure or future.exception()
                try:
                    at_work |= {pool.submit(_do, task, item) for item in itertools.islice(waiting, 0 if failure else 1)}
                except BrokenProcessPool as broken:  # an idle process died: nobody at work would say so
                    failure = broken
                if not future.exception():
                    yield future.result()
    if isinstance(failure, BrokenProcessPool):
        raise SweepError("a process of the sweep died; start the same command again: it goes on with what is missing") from None
    if failure:
        raise failure


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """^C waits until the end of the block, and in the processes that are begun in it until `_prepare`: half begun, one dies with a traceback."""
    if threading.current_thread() is not threading.main_thread():  # which ^C never reaches
        yield
        return
    asked: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, frame: asked.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # what processes inherit; here another thread may still take it
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
    if asked:
        raise KeyboardInterrupt


_stopped, _at_work = False, False


def _do(task: Callable[[Item], Outcome], item: Item) -> Outcome:
    """Does one item. A process that was told to stop begins no other: it may be handed one before the sweep has heard of it."""
    global _stopped, _at_work
    try:
        _at_work = True
        if _stopped:
            raise runs.Cancelled(runs.CANCELLED)
        try:
            return task(item)
        except runs.Cancelled:
            _stopped = True
            raise
    finally:
        _at_work = False


def _note_interrupt(number: int, frame: object) -> None:
    """^C ends what is at work. Between two items it only leaves its mark: a process that died while it is handed the next one leaves half
    of that behind, which the others would take for theirs."""
    global _stopped
    _stopped = True
    if _at_work:
        raise KeyboardInterrupt


def grouped(jobs: Sequence[Job], most: int = MOST_TOGETHER) -> Iterator[Result]:
    """This process, with all cells that differ only in lr, momentum and seed as one batched model; the others one by one.

    What a GPU wants; on a CPU `local` is quicker (EXPERIMENTS.md).
    """
    from training import cell
    from training.fit import choose_device
    from training.together import group_of

    groups: dict[object, list[Job]] = {}
    for number, job in enumerate(jobs):
        common = None if job.tests_each_epoch else group_of(job.cell.config)
        groups.setdefault(number if common is None else common, []).append(job)
    for members in groups.values():
        config = members[0].cell.config
        if len(members) == 1:
            yield work(members[0])
            continue
        data = dataset(config.dataset, members[0].data)
        for start in range(0, len(members), most):
            part = [job.cell for job in members[start : start + most]]
            yield from cell.measure_group(part, data, choose_device(config))


def _prepare() -> None:
    """Once a process: it is silent, gives way to people's work, and goes when the sweep is stopped or killed."""
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for as long as the process lives
    os.nice(5)
    follow_parent()
    signal.signal(signal.SIGINT, _note_interrupt)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
