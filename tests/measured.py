"""Results of sweeps as `python -m training sweep` writes them, made up in no time."""

from collections.abc import Iterable

from jobs import sweeps, tables
from jobs.sweeps import Cell, Result


def result(cell: Cell, accuracy: float | None, error: str = "") -> Result:
    """What a run of this cell leaves: curves that rise to the accuracy over its epochs (at most 10), or a run that diverged."""
    top = 0.1 if accuracy is None else accuracy
    epochs = [
        {
            "member": member,
            "epoch": epoch,
            "train_loss": round(2.3 * (1 - top * epoch / 11), 5),
            "val_loss": round(2.3 * (1 - top * epoch / 12), 5),
            "val_accuracy": round(top * epoch / min(cell.config.epochs, 10), 5),
            "test_accuracy": round(top * epoch / min(cell.config.epochs, 10), 5),
            "seconds": 1.5,
        }
        for member in range(cell.config.members)
        for epoch in range(1, min(cell.config.epochs, 10) + 1)
    ]
    return {
        "cell": cell.key, "row": cell.row, "column": cell.column, "seed": cell.seed, "config": cell.config.to_dict(),
        "val_accuracy": accuracy, "test_accuracy": accuracy, "error": error, "epochs": epochs, "seconds": 1.5 * len(epochs),
        "parameters": 60_000, "device": "CPU, 2 threads", "versions": {},
    }  # fmt: skip


def measure(
    name: str, places: Iterable[tuple[int, int]] | None = None, diverged: Iterable[tuple[int, int]] = (), away: float = 0.001
) -> None:
    """Writes results of a sweep's cells into the folder of results. places: rows and columns, all when None; away: how far
    from the source's figures the seeds' mean lies."""
    sweep = tables.find(name)
    for cell in sweep.cells():
        place = (cell.row, cell.column)
        if place in diverged:
            sweeps.append_result(
                name, result(cell, None, "the loss became nan in epoch 1 by step 9 with lr 0.1; try a lower one, such as 0.01")
            )
        elif places is None or place in places:
            reference = sweep.reference(*place)
            spread = (cell.seed - (sweep.seeds - 1) / 2) * 0.0004
            sweeps.append_result(name, result(cell, round((0.9 if reference is None else reference) + away + spread, 5)))
