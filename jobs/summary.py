"""What the results of a sweep say: cells with mean and spread over seeds, whether a source's figure was reproduced, and the
quantities drawn from them. Accuracies are fractions, 0 to 1."""

import dataclasses
import functools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from jobs import sweeps
from jobs.config import LOOKED_AT_BY, RunConfig, layers_of
from jobs.recipes import RECIPES
from jobs.sweeps import MOST_SEEDS, Result, Settings, Sweep

SEEDS_AT_WORK = 10  # seeds without any result before one that has some: cells are measured at once, and not in order
TRAIN_IMAGES = 54_000  # of both data sets, once 6,000 are held out
TOLERANCE = 0.005  # figures this close are the same, whatever their spread,
OF_THE_ERROR = 0.5  # where that is no more than this share of what the source gets wrong: 99.0 is far from 99.5
SPREADS = 3  # and so are figures within this many standard deviations
GUESSING = 0.15  # ten classes: at or below this a network guesses, and by how much says nothing
CONVERGED_WITHIN = 0.001
FILES_KEPT = 32  # summaries in memory: twice as many as there are sweeps, since a file that grows is a new one
TOLD = {  # by settings_that_matter whatever their value, or not at all; the others when they are not RunConfig's default
    "dataset", "network", *LOOKED_AT_BY, "init", "optimizer", "lr", "batch_size", "epochs", "augmentation", "schedule", "loss", "momentum",
    "step_every", "step_gamma", "step_cuts", "seed", "device", "threads", "publish",
}  # fmt: skip
SHORT = {"batch_size": "batch", "hidden": "hidden layers", "step_every": "cut every", "step_gamma": "cut by", "step_cuts": "at most cuts"}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One cell of a table, all seeds together.

    config: of its first seed; recipe: the name of what it changes; reference: the source's test accuracy or None;
    wanted: seeds that the sweep asks for; runs: what was measured, in the order of seeds.
    """

    sweep: str
    row: int
    column: int
    title: str
    config: RunConfig
    recipe: str
    reference: float | None
    wanted: int
    runs: tuple[Result, ...]

    @property
    def place(self) -> str:
        """Row and column in text, such as '2.0'."""
        return f"{self.row}.{self.column}"

    @property
    def accuracies(self) -> tuple[float, ...]:
        """Test accuracies of the runs that have one."""
        return tuple(accuracy for run in self.runs if (accuracy := _number(run.get("test_accuracy"))) is not None)

    @property
    def n(self) -> int:
        """How many runs `mean` and `std` are of."""
        return len(self.accuracies)

    @property
    def mean(self) -> float | None:
        """Mean test accuracy; None before there is one."""
        return statistics.fmean(self.accuracies) if self.accuracies else None

    @property
    def std(self) -> float | None:
        """Sample standard deviation of the test accuracy; None for fewer than two runs."""
        return statistics.stdev(self.accuracies) if self.n > 1 else None

    @property
    def difference(self) -> float | None:
        """Mean minus reference; None without either."""
        return None if self.mean is None or self.reference is None else self.mean - self.reference

    @property
    def errors(self) -> tuple[str, ...]:
        """Why runs diverged, one sentence a run."""
        return tuple(str(run.get("error") or "it diverged") for run in self.runs if _number(run.get("test_accuracy")) is None)

    @property
    def seconds(self) -> float | None:
        """Mean training time of a run, in seconds; None before there is one. Of a run that diverged only its epochs count."""
        return _mean_of(self.runs, "seconds")

    @property
    def parameters(self) -> int | None:
        """Trainable weights; None before there is a run."""
        return next((int(count) for run in self.runs if (count := _number(run.get("parameters"))) is not None), None)

    @property
    def devices(self) -> tuple[str, ...]:
        """What the runs were computed on."""
        return tuple(sorted({str(run["device"]) for run in self.runs if run.get("device")}))

    @property
    def told(self) -> tuple[str, str]:
        """The outcome in words, first the figure and then what it is of: ('98.62 %', '± 0.11, n = 3')."""
        if not self.runs:
            return "not measured", ""
        if self.mean is None:
            return "diverged", f"n = {len(self.runs)}"
        spread = [] if self.std is None else [f"± {self.std * 100:.2f}"]
        lost = [f"{len(self.errors)} diverged"] if self.errors else []
        return f"{self.mean * 100:.2f} %", ", ".join([*spread, f"n = {self.n}", *lost])

    @property
    def state(self) -> str:
        """measured, diverged (every run did) or missing."""
        return "missing" if not self.runs else "measured" if self.n else "diverged"

    @property
    def verdict(self) -> str:
        """reproduced, differs, missing (not measured), or nothing to compare with ('none').

        It differs when mean and reference are further apart than TOLERANCE, or OF_THE_ERROR of what the source gets wrong where that is less,
        and than SPREADS standard deviations, unless both are at or below GUESSING. A network that diverged guesses.
        """
        if self.reference is None:
            return "none"
        if not self.runs:
            return "missing"
        mean = self.mean if self.mean is not None else 0.0
        close = min(TOLERANCE, OF_THE_ERROR * (1 - self.reference))
        if max(mean, self.reference) <= GUESSING or abs(mean - self.reference) <= max(close, SPREADS * (self.std or 0.0)):
            return "reproduced"
        return "differs"


def read_outcomes(sweep: Sweep) -> tuple[Outcome, ...]:
    """Every cell of the sweep with what was measured so far, row by row; the file is read again only when it changed, and one
    that cannot be read counts as none."""
    path = sweeps.results_path(sweep.name)
    try:
        facts = path.stat()
        return _read(sweep.name, str(path), facts.st_mtime_ns, facts.st_size)
    except OSError:
        return outcomes(sweep, {})


@functools.lru_cache(maxsize=FILES_KEPT)
def _read(name: str, path: str, changed: int, size: int) -> tuple[Outcome, ...]:
    from jobs import tables

    return outcomes(tables.find(name), sweeps.read_results(name))


def outcomes(sweep: Sweep, results: dict[str, Result]) -> tuple[Outcome, ...]:
    """Every cell of the sweep, row by row, with all the seeds that were measured, of which there may be more than it asks for.

    results: as `sweeps.read_results` gives them; those of other cells are passed over.
    """
    left, last = set(results), 0
    configs: dict[tuple[int, int], RunConfig] = {}
    runs: dict[tuple[int, int], list[Result]] = {}
    for cell in sweep.cells(MOST_SEEDS):
        if cell.seed > last + (SEEDS_AT_WORK if left else 0):  # all seeds would take a third of a second
            break
        place = (cell.row, cell.column)
        configs.setdefault(place, cell.config)
        if (key := cell.key) in left:
            left.remove(key)
            last = cell.seed
            runs.setdefault(place, []).append(results[key])
    return tuple(
        Outcome(
            sweep=sweep.name,
            row=row,
            column=column,
            title=title_of(sweep, row, column),
            config=configs[row, column],
            recipe=sweep.rows[row].recipe or sweep.recipe,
            reference=sweep.reference(row, column),
            wanted=sweep.seeds,
            runs=tuple(runs.get((row, column), ())),
        )
        for row, column in sorted(configs)
    )


def title_of(sweep: Sweep, row: int, column: int) -> str:
    """What tells a cell from the others of its table: 'average, tanh, lr 0.1, batch 40'."""
    if len(sweep.columns) == 1:
        return sweep.rows[row].recipe or sweep.rows[row].title
    title = sweep.columns[column].title
    name = changed_number(sweep)
    if name:
        title = f"{SHORT.get(name, name)} {title}"
    return title if len(sweep.rows) == 1 else f"{sweep.rows[row].title}, {title}"


def full_title(outcome: Outcome) -> str:
    """A cell's title with that of its table: 'R1a: max, tanh, lr 0.1, batch 40'."""
    from jobs import tables

    return outcome.title if outcome.sweep == "systems" else f"{tables.find(outcome.sweep).title.partition(':')[0]}: {outcome.title}"


def name_of(config: RunConfig, first: str = "") -> str:
    """The full title of the cell that has these settings, looked for in the sweep `first` before the others; '' for none."""
    from jobs import tables

    wanted = settings_that_matter(config)
    for name in sorted(tables.SWEEPS, key=lambda name: name != first):
        for outcome in outcomes(tables.SWEEPS[name], {}):
            if settings_that_matter(outcome.config) == wanted:
                return full_title(outcome)
    return ""


def changed_number(sweep: Sweep) -> str | None:
    """The setting that a table of one row changes, where it is a number; else None."""
    names = {name for column in sweep.columns for name in column.settings}
    if len(sweep.rows) > 1 or len(names) != 1 or any(len(column.settings) != 1 for column in sweep.columns):
        return None
    (name,) = names
    return name if all(isinstance(column.settings[name], int | float) for column in sweep.columns) else None


def settings_that_matter(config: RunConfig) -> Settings:
    """The settings that decide what this run computes, in the order of the form; those that its network or its schedule
    does not look at are left out, and so are seed, device, threads and name."""
    names = [
        "dataset",
        "network",
        *layers_of(config.network),
        "init",
        "optimizer",
        "lr",
        "batch_size",
        "epochs",
        "augmentation",
        "schedule",
        "loss",
    ]
    if config.schedule == "two_stage":
        names = [name for name in names if name not in ("lr", "batch_size")]
    if config.schedule == "step":
        names += ["step_every", "step_gamma", *(["step_cuts"] if config.step_cuts else [])]
    if config.optimizer in ("sgd", "nag"):
        names.append("momentum")
    names += [item.name for item in dataclasses.fields(config) if item.name not in TOLD and getattr(config, item.name) != item.default]
    return {name: getattr(config, name) for name in names}


def changes(config: RunConfig, base: RunConfig) -> Settings:
    """The settings that matter and are other than those of `base`, do not matter there, or are back at their default here."""
    here, there = settings_that_matter(config), settings_that_matter(base)
    may_be_back = {name for name in there if name not in TOLD} | ({"step_cuts"} if config.schedule == "step" else set())
    reset = {name: getattr(config, name) for name in there if name not in here and name in may_be_back}
    return {name: value for name, value in here.items() if name not in there or value != there[name]} | reset


def changes_of_recipe(outcome: Outcome) -> Settings:
    """What a cell changes of its recipe."""
    return changes(outcome.config, RECIPES[outcome.recipe].config)


def in_words(settings: Settings) -> str:
    """Settings in one line: 'lr 0.1 · batch 40 · tanh'."""
    return " · ".join(f"{SHORT.get(name, name.replace('_', ' '))} {value_in_words(value)}" for name, value in settings.items())


def value_in_words(value: object) -> str:
    """One setting's value: numbers without trailing zeros, widths with dashes, words without underscores."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return "-".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value).replace("_", " ")


def noise_scale(config: RunConfig, images: int = TRAIN_IMAGES) -> float:
    """The scale of the gradient's noise, lr / (1 - momentum) * N / B (Smith et al. 2018, arXiv:1711.00489)."""
    momentum = config.momentum if config.optimizer in ("sgd", "nag") else 0.0
    return config.lr / (1 - momentum) * images / config.batch_size


def gaps(cells: Sequence[Outcome]) -> tuple[list[float], list[float]]:
    """How far accuracies of two batch sizes lie apart, in the same row: at the same noise scale, and at the same lr."""
    at_scale, at_lr = [], []
    measured = [cell for cell in cells if cell.mean is not None]
    for index, one in enumerate(measured):
        for other in measured[index + 1 :]:
            if (one.sweep, one.row) != (other.sweep, other.row) or one.config.batch_size == other.config.batch_size:
                continue
            gap = abs(one.mean - other.mean)
            if math.isclose(noise_scale(one.config), noise_scale(other.config), rel_tol=1e-6):
                at_scale.append(gap)
            if one.config.lr == other.config.lr:
                at_lr.append(gap)
    return at_scale, at_lr


def convergence_epoch(accuracies: Sequence[float], within: float = CONVERGED_WITHIN) -> int | None:
    """The first epoch (1-based) whose accuracy is within `within` of the best of the run; None of no epochs."""
    if not accuracies:
        return None
    enough = max(accuracies) - within - 1e-9  # what is written with five digits is not more exact
    return next(epoch for epoch, accuracy in enumerate(accuracies, 1) if accuracy >= enough)


def epochs_of(run: Result) -> list[dict[str, object]]:
    """A run's epochs that can be drawn: member and epoch are there; figures that are no finite number are None."""
    shown = []
    for epoch in run.get("epochs") or ():
        if isinstance(epoch, dict) and isinstance(epoch.get("epoch"), int):
            figures = {name: _number(epoch.get(name)) for name in ("train_loss", "val_loss", "val_accuracy", "test_accuracy")}
            shown.append({"member": epoch.get("member", 0), "epoch": epoch["epoch"], **figures})
    return shown


def _number(value: object) -> float | None:
    """A finite number, or None."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) else None


def _mean_of(runs: Sequence[Result], name: str) -> float | None:
    values = [value for run in runs if (value := _number(run.get(name))) is not None]
    return statistics.fmean(values) if values else None
