"""The commands that train many networks: python -m training sweep and search."""

import argparse
import functools
from collections.abc import Sequence
from typing import Any

from jobs import runs
from jobs.config import ConfigError

TRIALS = 40  # of a search
TRIALS_ON_GPU = 4  # at once: all of them on the same one


def add(commands: Any) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    """Adds both to the commands of a parser and returns theirs."""
    sweep = commands.add_parser(
        "sweep",
        help="fill a table of runs",
        description="Trains the cells of a table that its file in experiments/ does not have yet; killed, it goes on where it was.",
    )
    sweep.add_argument("name", nargs="?", metavar="NAME", help="name of the table; without one: all of them, and how much of each is there")
    sweep.add_argument("--seeds", type=int, metavar="N", help="seeds a cell (default: the table's own)")
    sweep.add_argument("--rows", type=int, nargs="+", metavar="N", help="fill only these rows, counted from 1 (default: all)")
    sweep.add_argument("--workers", type=int, metavar="N", help="cells at once, each in a process (default: the number of cores)")
    sweep.add_argument(
        "--together",
        action=argparse.BooleanOptionalAction,
        help="train cells that differ only in lr, momentum and seed as one batched model (default: where there is a GPU and no --workers)",
    )
    sweep.add_argument(
        "--ray",
        nargs="?",
        const="auto",
        metavar="ADDRESS",
        help="train on a Ray cluster in place of this machine: HOST:PORT or ray://HOST:PORT; without an address $RAY_ADDRESS, else this machine's cluster",
    )
    sweep.add_argument(
        "--gpus-per-cell",
        type=float,
        metavar="X",
        help="with --ray: part of a GPU for each cell, 0 to 1 (default: 0.25 where there are GPUs)",
    )
    sweep.add_argument(
        "--show", action="store_true", help="print the table as far as it is measured, and train nothing; --data sample: of the sample"
    )
    sweep.set_defaults(command=_sweep)

    search = commands.add_parser(
        "search",
        help="search for better settings than a table's",
        description="Has Optuna choose settings on the validation images; stopped, it goes on where it was.",
    )
    search.add_argument("name", nargs="?", metavar="NAME", help="name of the search; without one: all of them")
    search.add_argument("--trials", type=int, metavar="N", help=f"trials in all, earlier ones included (default: {TRIALS})")
    search.add_argument(
        "--workers", type=int, metavar="N", help=f"trials at once (default: the number of cores, {TRIALS_ON_GPU} where there is a GPU)"
    )
    search.add_argument(
        "--storage",
        default="",
        metavar="URL",
        help="database that several machines share, such as postgresql+psycopg://USER@HOST/DATABASE (default: a file in the runs folder)",
    )
    search.add_argument(
        "--test", type=int, nargs="?", const=1, metavar="N", help="at the end train the best settings with N seeds and read the test images"
    )
    search.add_argument(
        "--show", action="store_true", help="print the best settings so far, and train nothing; --data sample: of the sample"
    )
    search.set_defaults(command=_search)
    return sweep, search


def _sweep(options: argparse.Namespace) -> int:
    from jobs import sweeps, tables

    _demand_that_all_count(options)
    if options.name is None:
        for each in tables.SWEEPS.values():
            done, wanted = sweeps.read_results(each.name), [cell.key for cell in each.cells()]
            print(f"{each.name:14} {sum(key in done for key in wanted):3} of {len(wanted):3} cells  {each.about}")
        return 0
    table = tables.find(options.name)
    for name, value, most in (("seeds", options.seeds, sweeps.MOST_SEEDS), ("workers", options.workers, 100)):
        if value is not None and not 1 <= value <= most:
            raise ConfigError(f"{name} is {value}; give a whole number from 1 to {most}")
    rows = None if options.rows is None else [number - 1 for number in options.rows]
    if rows is not None and not all(0 <= row < len(table.rows) for row in rows):
        raise ConfigError(f"rows is {' '.join(map(str, options.rows))}; {table.name} has the rows 1 to {len(table.rows)}")
    from training import sweep

    if options.show:  # looks for no data set where none is given: what is committed can be read anywhere
        print(sweep.table(table, sweep.file_of(table, options.data) if options.data else table.name))
        return 0
    sweep.run(table, _executor(options), options.seeds, options.data, rows)
    print(sweep.table(table, sweep.file_of(table, options.data, rows)))
    return 0


def _demand_that_all_count(options: argparse.Namespace) -> None:
    """Raises ConfigError for an option of `sweep` that would be without effect, for another one or for want of a name."""
    _demand_name_and_training(options, ("seeds", "rows", "workers", "together", "ray", "gpus_per_cell"))
    if options.gpus_per_cell is not None and not options.ray:
        raise ConfigError("gpus-per-cell is for a Ray cluster; give its address with --ray, or leave it out")
    if options.ray and options.together is not None:
        raise ConfigError(f"{'together' if options.together else 'no-together'} is for this machine; leave it out, or --ray")
    if options.ray and options.workers is not None:
        raise ConfigError(f"workers is {options.workers} but with --ray the cluster's cores are the limit; leave it out, or --ray")
    if options.together and options.workers is not None:
        raise ConfigError(f"workers is {options.workers} but --together trains in one process; leave one of the two out")


def _demand_name_and_training(options: argparse.Namespace, of_training: Sequence[str], of_one: Sequence[str] = ()) -> None:
    """Raises ConfigError for an option that is for training where nothing is trained, or for one table or search where none is named."""
    given = [name for name in (*of_training, *of_one, "show", "data") if getattr(options, name) not in (None, False, "")]
    said = {name: f"--{name.replace('_', '-')}" for name in given}
    if options.name is None and given:
        raise ConfigError(f"{said[given[0]]} is for one NAME, and none is given; give it, or leave {said[given[0]]} out")
    useless = [name for name in given if name in of_training]
    if options.show and useless:
        raise ConfigError(f"{said[useless[0]]} is for training, and --show trains nothing; leave one of the two out")


def _executor(options: argparse.Namespace) -> Any:
    from training import executors, on_ray, replay

    if options.ray:
        return functools.partial(on_ray.on_ray, address=options.ray, gpus_per_cell=options.gpus_per_cell)
    # Whoever gives --workers wants processes, on a GPU too.
    together = (options.workers is None and not replay.fault()) if options.together is None else options.together
    return executors.grouped if together else functools.partial(executors.local, workers=options.workers or runs.cores())


def _search(options: argparse.Namespace) -> int:
    from jobs import searches

    _demand_name_and_training(options, ("trials", "workers", "test"), ("storage",))
    if options.name is None:
        for each in searches.SEARCHES.values():
            print(f"{each.name:14} {each.about}")
        return 0
    space = searches.find(options.name)
    for name, value, most in (("trials", options.trials, 100_000), ("workers", options.workers, 100), ("test", options.test, 100)):
        if value is not None and not 1 <= value <= most:
            raise ConfigError(f"{name} is {value}; give a whole number from 1 to {most}")
    from training import replay, search

    workers = options.workers or (runs.cores() if replay.fault() else TRIALS_ON_GPU)

    study = search.describe(space, options.trials or TRIALS, options.storage, options.data, options.show)
    if not options.show:
        search.run(study, workers)
    tested = search.measure_best(study, options.test, workers) if options.test else []
    print(search.summary(study, tested))
    return 0
