"""Searches: settings to choose on the validation images where a grid would be too large. A search is data, like a sweep.

Finished and pruned trials are kept in experiments/search-NAME.jsonl as jobs.sweeps describes a result, with row and
column 0, test_accuracy None, and three more keys: trial (its number in the storage), pruned (whether it was stopped early;
val_accuracy is then its last) and settings (those that were searched).
"""

import dataclasses
from dataclasses import dataclass

from jobs.config import RunConfig
from jobs.recipes import RECIPES
from jobs.sweeps import MOST_SEEDS, Cell, Result, Settings, read_results
from jobs.tables import SWEEPS
from models.errors import InklingError


class SearchError(InklingError):
    """There is no such search, or its storage cannot be used. The message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of several values, in no order."""

    values: tuple[str | int | float | bool, ...]


@dataclass(frozen=True, kw_only=True)
class Range:
    """A number from low to high, both included. log: spread evenly over the magnitudes."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True, kw_only=True)
class Search:
    """Settings to choose. recipe: what is not searched, with the settings `fixed` changed of it; starts: tried first; tables: prefix of
    the sweeps whose best cell is the one to beat."""

    name: str
    title: str
    about: str
    recipe: str
    space: dict[str, Choice | Range]
    fixed: Settings = dataclasses.field(default_factory=dict)
    starts: tuple[Settings, ...] = ()
    tables: str = ""

    def config(self, settings: Settings) -> RunConfig:
        """The whole configuration of a trial. Raises ConfigError."""
        return dataclasses.replace(RECIPES[self.recipe].config, **{**self.fixed, **settings})

    def cell(self, settings: Settings, seed: int = 0) -> Cell:
        """What a trial computes. seed: added to the recipe's."""
        config = self.config(settings)
        return Cell(sweep=f"search-{self.name}", row=0, column=0, seed=seed, config=dataclasses.replace(config, seed=config.seed + seed))


@dataclass(frozen=True, kw_only=True)
class Best:
    """The best cell of some tables: by the mean validation accuracy of its n seeds, 0 to 1; test_accuracy is their mean too."""

    sweep: str
    title: str
    val_accuracy: float
    test_accuracy: float | None
    n: int


def best_cell(tables: str, ending: str = "", channels: tuple[int, ...] | None = None) -> Best | None:
    """The cell with the highest validation accuracy in the sweeps whose names start with `tables`, or None where none is measured.

    ending: of the names of the files, as training.sweep.file_of gives them; channels: look only at networks of these.
    """
    found: list[Best] = []
    for sweep in SWEEPS.values():
        if not sweep.name.startswith(tables):
            continue
        known = {cell.key: cell for cell in sweep.cells(MOST_SEEDS)}
        places: dict[tuple[int, int], list[Result]] = {}
        for key, result in read_results(sweep.name + ending).items():
            cell = known.get(key)
            if cell and result["val_accuracy"] is not None and channels in (None, cell.config.channels):
                places.setdefault((cell.row, cell.column), []).append(result)
        for (row, column), results in places.items():
            title = f"{sweep.rows[row].title}, {sweep.columns[column].title}"
            means = {name: sum(each[name] for each in results) / len(results) for name in ("val_accuracy", "test_accuracy")}
            found.append(Best(sweep=sweep.name, title=title, n=len(results), **means))
    return max(found, key=lambda best: best.val_accuracy, default=None)


# What R7's tables vary, and what Inkling has beside it. Epochs, the network and its widths stay R7's own.
R7_SPACE = {
    "optimizer": Choice(values=("adam", "adamw", "nag", "rmsprop")),
    "lr": Range(low=1e-4, high=0.03, log=True),
    "batch_size": Choice(values=(25, 50, 100, 200, 400)),
    "schedule": Choice(values=("constant", "cosine", "one_cycle")),
    "weight_decay": Range(low=1e-6, high=0.1, log=True),
    "activation": Choice(values=("tanh", "relu", "leaky_relu", "silu")),
    "pooling": Choice(values=("avg", "max")),
    "batch_norm": Choice(values=(False, True)),
    "dropout": Range(low=0.0, high=0.5),
    "label_smoothing": Range(low=0.0, high=0.15),
    "augmentation": Choice(values=("none", "shift", "flip", "mirror", "mirror_erase")),
    "init": Choice(values=("default", "xavier", "kaiming")),
}
# R7's own network with the parts that its table finds best one at a time.
R7_START = {
    "optimizer": "adam", "lr": 0.001, "batch_size": 100, "schedule": "constant", "weight_decay": 1e-6, "activation": "leaky_relu",
    "pooling": "max", "batch_norm": True, "dropout": 0.0, "label_smoothing": 0.0, "augmentation": "none", "init": "xavier",
}  # fmt: skip

SEARCHES = {
    search.name: search
    for search in (
        Search(
            name="r7", title="R7: search", recipe="r7-lenet5", space=R7_SPACE, starts=(R7_START,), tables="r7-",
            about="LeNet-5 6-16-120 on Fashion-MNIST, 20 epochs: R7's network, every other setting searched",
        ),
        Search(
            name="r7-wide", title="R7: search, 32-64-256", recipe="r7-lenet5", space=R7_SPACE, starts=(R7_START,), tables="r7-",
            fixed={"channels": (32, 64, 256)},
            about="the same with the widths of R7's best rows",
        ),
    )
}  # fmt: skip


def find(name: str) -> Search:
    """The search of that name. Raises SearchError."""
    if name not in SEARCHES:
        raise SearchError(f"there is no search {name!r}; there are {', '.join(SEARCHES)}")
    return SEARCHES[name]
