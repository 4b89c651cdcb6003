"""Chooses settings with Optuna: its TPE sampler proposes, trials that fall behind on the validation images end early.

The storage holds the truth: a journal file in the runs folder, or any database that SQLAlchemy knows, which processes on
many machines may share. What is finished there is copied to experiments/search-NAME.jsonl. The test images are read by
`measure_best` alone. Optuna is an optional requirement (requirements-cluster.txt) and imported only where it is used.
"""

import contextlib
import fcntl
import os
import socket
import statistics
import time
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs import locks, runs, sweeps
from jobs.searches import Best, Range, Search, SearchError, best_cell
from jobs.sweeps import Result
from training import cell, executors
from training import data as data_sets
from training.fit import Pruned

RETRIES = 3  # of a trial whose process died
FIRST = 10  # trials drawn at random before the sampler and the pruner have seen enough to judge
HEARTBEAT = 60  # seconds between two signs of life of a trial in a database; one without for three times as long is dead


@dataclass(frozen=True, kw_only=True)
class Study:
    """A search at work: everything that a process needs to take part. storage: a URL, or "" for the journal in `root`."""

    search: Search
    name: str  # of study, folder and file of results
    root: Path
    storage: str = ""
    trials: int = 0  # wanted in all, those of earlier calls and other machines included
    data: Path | None = None

    @property
    def place(self) -> str:
        """This machine and runs folder: one command at a time works there, as it holds the lock."""
        return f"{socket.gethostname()}:{self.root}"


class Surplus(Exception):
    """Another machine began the last trial that was wanted at the same moment."""


def describe(search: Search, trials: int = 0, storage: str = "", data: Path | None = None, only_shown: bool = False) -> Study:
    """The study of a search with the data set that would be used; on the bundled sample it is one of its own.

    only_shown: nothing is trained, and where no data is given none is looked for, which might download it: the study is the real one.
    """
    sample = (data is not None or not only_shown) and data_sets.find(search.config({}).dataset, data).is_sample
    name = f"search-{search.name}" + ("-sample" if sample else "")
    return Study(search=search, name=name, root=runs.runs_folder().resolve() / name, storage=storage, trials=trials, data=data)


def run(study: Study, workers: int) -> int:
    """Trains until the study has its number of finished and pruned trials, and returns how many were added.

    Raises Busy when another process of this machine is at it, SearchError when Optuna or the storage cannot be used,
    SweepError when a process died (start again: it goes on), Cancelled on ^C in a trial.
    """
    study.root.mkdir(parents=True, exist_ok=True)
    with locks.held(study.root):
        _mend(study)
        opened = open_study(study)
        _take_up(study, opened)
        _record(study, opened)
        missing = max(0, study.trials - len(_counted(opened)))
        added = 0
        for _ in executors.in_processes(_one_trial, [(study, number) for number in range(missing)], workers) if missing else ():
            for result in _record(study, opened):
                added += 1
                print(f"{time.strftime('%H:%M:%S')} {_line(result)}", flush=True)
    return added


def measure_best(study: Study, seeds: int, workers: int) -> list[Result]:
    """Trains the best settings with so many seeds, measures the test images, and returns the results.

    They are kept in the file NAME-best, so that each is measured once. Raises SearchError when no trial is finished.
    """
    best = _best(open_study(study))
    if best is None:
        raise SearchError(f"the search {study.search.name} has no finished trial yet; run it first")
    file = f"{study.name}-best"
    cells = [study.search.cell(best.params, seed) for seed in range(seeds)]
    with locks.held(study.root):
        done = sweeps.read_results(file)
        jobs = [executors.Job(cell=each, folder=study.root / f"best-{each.key}", data=study.data) for each in cells if each.key not in done]
        for result in executors.local(jobs, workers) if jobs else ():
            sweeps.append_result(file, result)
    done = sweeps.read_results(file)
    return [done[each.key] for each in cells]


def _one_trial(item: tuple[Study, int]) -> None:
    """Does one trial in this process, unless there are enough by now."""
    import optuna

    study, number = item
    opened = _once(study, number)
    if len(_counted(opened)) >= study.trials:
        return
    dataset = executors.dataset(study.search.config({}).dataset, study.data)

    def objective(trial: optuna.Trial) -> float:
        trial.set_user_attr("place", study.place)
        if sum(each.number < trial.number for each in _counted(opened)) >= study.trials:
            raise Surplus
        settings = {name: _suggest(trial, name, each) for name, each in study.search.space.items()}
        try:
            result = _measure(study, trial, settings, dataset)
        except runs.Cancelled:
            _again(opened, trial, was_stopped=True)
            raise
        # The trial's file in experiments/ is written from this: whoever reads the storage next makes up for a lost line.
        trial.set_user_attr("result", result)
        if result["pruned"] or result["error"]:
            raise optuna.TrialPruned(result["error"])
        return result["val_accuracy"]

    opened.optimize(objective, n_trials=1, catch=(Surplus,))


def _measure(study: Study, trial: Any, settings: dict[str, Any], dataset: data_sets.Dataset) -> Result:
    wanted = study.search.cell(settings)
    folder = study.root / trial.user_attrs.get("folder", str(trial.number))
    pruned, told = False, set()

    def tell(facts: dict[str, Any]) -> None:
        if facts["epoch"] not in told:
            told.add(facts["epoch"])
            trial.report(facts["val_accuracy"], facts["epoch"])

    def after_epoch(facts: dict[str, Any]) -> None:
        nonlocal pruned
        tell(facts)
        pruned = facts["epoch"] < wanted.config.epochs and bool(trial.should_prune())  # it may be NumPy's
        if pruned:
            raise Pruned

    cell.make_folder(folder, wanted)
    for facts in runs.status(folder).epochs:  # of a process that died in this trial
        tell(facts)
    result = cell.measure(wanted, folder, dataset, tests=False, after_epoch=after_epoch)
    return result | {"trial": trial.number, "pruned": pruned, "settings": settings}


def _suggest(trial: Any, name: str, space: Any) -> Any:
    if isinstance(space, Range):
        return trial.suggest_float(name, space.low, space.high, log=space.log)
    return trial.suggest_categorical(name, space.values)


_opened: dict[str, Any] = {}


def _once(study: Study, number: int) -> Any:
    """The opened study, once a process: its sampler goes on drawing, from a seed that no other process has."""
    key = f"{study.place} {study.storage}"
    if key not in _opened:
        _opened[key] = open_study(study, number)
    return _opened[key]


def open_study(study: Study, number: int = 0) -> Any:
    """The optuna.Study, made where there is none. number: of the process, for the seed of its sampler. Raises SearchError."""
    optuna = _import()
    storage = _storage(optuna, study)
    opened = optuna.create_study(study_name=study.name, storage=storage, load_if_exists=True, direction="maximize")
    facts = [str(study.search.config({}).to_dict()), str(sorted(study.search.space.items()))]
    if opened.user_attrs.get("search", facts) != facts:
        raise SearchError(
            f"{_shown(study)} holds trials of another {study.search.name}: its recipe or space has changed since; "
            "move it away or give another one with --storage"
        )
    if "search" not in opened.user_attrs:
        opened.set_user_attr("search", facts)
        for start in study.search.starts:
            opened.enqueue_trial(start, skip_if_exists=True)
    seed = zlib.crc32(f"{study.name} {socket.gethostname()} {len(opened.get_trials(deepcopy=False))} {number}".encode())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        opened.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=FIRST, multivariate=True, constant_liar=True)
    # Schedules that end at a low learning rate are behind until then: nobody is judged before half of the epochs.
    warm_up = study.search.config({}).epochs // 2
    opened.pruner = optuna.pruners.MedianPruner(n_startup_trials=FIRST // 2, n_warmup_steps=warm_up)
    return opened


def _storage(optuna: Any, study: Study) -> Any:
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    class OneAtATime(RDBStorage):
        """SQLite has no row locks: without this two processes now and then take the same waiting trial."""

        def set_trial_state_values(self, *arguments: Any, **options: Any) -> bool:
            with FileLock(study.root / "states.lock"):
                return super().set_trial_state_values(*arguments, **options)

    study.root.mkdir(parents=True, exist_ok=True)
    if not study.storage:
        path = study.root / "journal.jsonl"
        return JournalStorage(JournalFileBackend(str(path), FileLock(path.with_suffix(".lock"))))
    import sqlalchemy

    arguments = {"timeout": 60} if study.storage.startswith("sqlite") else {}  # seconds that a writer waits for another
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # the heartbeat
        try:
            return (OneAtATime if arguments else RDBStorage)(
                study.storage,
                engine_kwargs={"pool_pre_ping": True, "connect_args": arguments},  # a trial is longer than many a server's patience
                heartbeat_interval=HEARTBEAT,
                grace_period=3 * HEARTBEAT,
                heartbeat_stale_trial_callback=_again,
            )
        except (ImportError, sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.OptunaError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise SearchError(
                f"the storage {_shown(study)} cannot be used: {reason}; give a URL such as postgresql+psycopg://USER@HOST/DATABASE"
            ) from None


class FileLock:
    """The journal's lock, held by the kernel: Optuna's own outlives a killed process, and others then wait 30 s for it."""

    def __init__(self, path: Path) -> None:
        self.path, self.descriptor = path, -1

    def acquire(self) -> bool:
        """Waits until it is free."""
        self.descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        """Lets the next one in."""
        os.close(self.descriptor)

    def __enter__(self) -> "FileLock":
        self.acquire()
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


def _mend(study: Study) -> None:
    """Cuts off half a line that a machine without power left at the journal's end: Optuna would read no further line."""
    with contextlib.suppress(FileNotFoundError), (study.root / "journal.jsonl").open("rb+") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)


def _counted(opened: Any) -> list[Any]:
    """The trials that count: finished, pruned, and at work."""
    from optuna.trial import TrialState

    return opened.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING))


def _take_up(study: Study, opened: Any) -> None:
    """Ends the trials whose process died, on this machine or by their heartbeat elsewhere, and has each done again."""
    import optuna
    from optuna.trial import TrialState

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        optuna.storages.fail_stale_trials(opened)
    for trial in opened.get_trials(states=(TrialState.RUNNING,)):
        if not study.storage or trial.user_attrs.get("place") == study.place:
            with contextlib.suppress(ValueError):  # somebody else has just done so
                opened.tell(trial.number, state=TrialState.FAIL)
                _again(opened, trial)


def _again(opened: Any, trial: Any, was_stopped: bool = False) -> None:
    """Puts a trial that failed through no fault of its settings back in the queue; it finds its checkpoint by its folder.

    was_stopped: by whoever runs the search, which is no try."""
    tries = trial.user_attrs.get("tries", 0) + (not was_stopped)
    if tries <= RETRIES and trial.params:
        opened.enqueue_trial(trial.params, user_attrs={"tries": tries, "folder": trial.user_attrs.get("folder", str(trial.number))})


def _record(study: Study, opened: Any) -> list[Result]:
    """Appends to experiments/ what the storage has and the file has not, and returns it."""
    from optuna.trial import TrialState

    finished = opened.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    done = sweeps.read_results(study.name)
    results = [trial.user_attrs["result"] for trial in finished if "result" in trial.user_attrs]
    return [result for result in results if result["cell"] not in done and sweeps.append_result(study.name, result)]


def _best(opened: Any) -> Any:
    from optuna.trial import TrialState

    finished = opened.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return max(finished, key=lambda trial: (trial.value, -trial.number), default=None)


def _line(result: Result) -> str:
    outcome = result["error"] or f"validation {result['val_accuracy']:.2%}"
    note = f", pruned after epoch {result['epochs'][-1]['epoch']}" if result["pruned"] else ""
    return f"trial {result['trial']}: {outcome}{note}, {result['seconds']} s"


def summary(study: Study, tested: list[Result] = ()) -> str:
    """The best settings so far as text, beside the best cells of the tables that the search is to beat."""
    opened = open_study(study)
    counted, best = _counted(opened), _best(opened)
    states = [trial.state.name for trial in counted]
    lines = [
        f"{study.search.title}: {study.search.about}",
        f"{states.count('COMPLETE')} trials finished, {states.count('PRUNED')} pruned, {states.count('RUNNING')} at work",
    ]
    if best is not None:
        lines.append(f"best, trial {best.number}: validation {best.value:.2%}")
        lines += [f"  {name} {value:.4g}" if isinstance(value, float) else f"  {name} {value}" for name, value in best.params.items()]
    ending = "-sample" if study.name.endswith("-sample") else ""
    channels = study.search.config({}).channels
    same, any_ = (best_cell(study.search.tables, ending, only) for only in (channels, None))
    if any_ is None:
        lines.append(f"the tables {study.search.tables}* hold no cell yet to compare with; fill them with: python -m training sweep NAME")
    else:
        lines.append(f"best cell of the tables: {_cell_line(any_)}")
        if same and same != any_:
            lines.append(f"best cell with the same channels: {_cell_line(same)}")
    accuracies = [each["test_accuracy"] for each in tested if each["test_accuracy"] is not None]
    if accuracies:
        spread = f" ± {statistics.stdev(accuracies) * 100:.2f}" if len(accuracies) > 1 else ""
        lines.append(f"best settings on the test images: {statistics.mean(accuracies) * 100:.2f}{spread} % (n={len(accuracies)})")
    return "\n".join(lines)


def _cell_line(best: Best) -> str:
    test = f", test {best.test_accuracy:.2%}" if best.test_accuracy is not None else ""
    return f"validation {best.val_accuracy:.2%}{test} (n={best.n}; {best.sweep}: {best.title})"


def _shown(study: Study) -> str:
    """The storage without its password."""
    if not study.storage:
        return str(study.root / "journal.jsonl")
    scheme, _, rest = study.storage.rpartition("://")
    user, at, host = rest.rpartition("@")
    return f"{scheme}://{user.partition(':')[0]}{at}{host}" if scheme else rest


def _import() -> Any:
    try:
        import optuna
    except ImportError:
        raise SearchError("Optuna is not installed; install it with: python -m pip install -r requirements-cluster.txt") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
