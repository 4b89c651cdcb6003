"""python -m training fit: one network, from its options, for the app, or as a job of a cluster."""

import argparse
import contextlib
import dataclasses
import os
from pathlib import Path
from typing import Any

from jobs import artefacts, cluster, costs, events, giving_way, locks, queue, runs, site
from jobs.config import LAYERS, ConfigError, RunConfig, field_of, unused
from models import shelf
from models.errors import InklingError


class Overrun(InklingError):
    """A retrain of a public page takes longer than one is granted there. The message says so, and the fix."""


def add(commands: Any) -> argparse.ArgumentParser:
    """Adds it to the commands of a parser and returns its own."""
    fit = commands.add_parser(
        "fit", help="train a network", description="Trains the members of one configuration; settings given override the recipe's."
    )
    fit.add_argument("--recipe", metavar="NAME", help="start from a named configuration (python -m training recipes)")
    fit.add_argument(
        "--fine-tune", metavar="DATASET/NAME", help="start from a published network and learn the corrections that people kept"
    )
    fit.add_argument("--resume", type=Path, metavar="RUN", help="continue a run that was stopped, to the same result")
    fit.add_argument("--run", type=Path, metavar="RUN", help=argparse.SUPPRESS)  # how the app starts a folder it has made
    fit.add_argument("--job", type=Path, metavar="RUN", help=argparse.SUPPRESS)  # how a cluster does
    fit.add_argument("--far", nargs=2, metavar=("ADDRESS", "JOB"), help=argparse.SUPPRESS)  # and a cluster that shares no folder
    fit.add_argument("--out", type=Path, metavar="RUN", help="run folder to make (default: a new one in runs/)")
    fit.add_argument(
        "--tensorboard", action="store_true", help="write curves for TensorBoard into the run folder: tensorboard --logdir runs"
    )
    _add_settings(fit)
    fit.set_defaults(command=_fit)
    return fit


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """One option for every setting of RunConfig, with its limits in the help."""
    for item in dataclasses.fields(RunConfig):
        limits, flag = item.metadata, "--" + item.name.replace("_", "-")
        about = limits["help"].replace("%", "%%")
        default = (
            ""
            if item.default in ("", ())
            else f" (default: {' '.join(map(str, item.default)) if isinstance(item.default, tuple) else item.default})"
        )
        shared = {"dest": item.name, "default": None, "help": about + default}
        if "choices" in limits:
            parser.add_argument(flag, choices=limits["choices"], **shared)
        elif "most" in limits:
            parser.add_argument(flag, nargs="*", type=int, metavar="N", **shared)
        elif isinstance(item.default, bool):
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, **shared)
        elif "low" in limits:
            shared["help"] += f"; {limits['low']:.10g} to {limits['high']:.10g}"
            parser.add_argument(flag, type=type(item.default), metavar="N" if isinstance(item.default, int) else "X", **shared)
        else:
            parser.add_argument(flag, metavar="NAME", **shared)


def _config(options: argparse.Namespace) -> RunConfig:
    from jobs.recipes import RECIPES, fine_tuned

    if options.recipe is not None and options.recipe not in RECIPES:
        raise ConfigError(f"there is no recipe {options.recipe!r}; there are {', '.join(RECIPES)}")
    if options.recipe and options.fine_tune:
        raise ConfigError(f"give --recipe {options.recipe} or --fine-tune {options.fine_tune}: each has all settings")
    base = RECIPES[options.recipe].config if options.recipe else RunConfig()
    if options.fine_tune:
        dataset, _, name = options.fine_tune.partition("/")
        base = fine_tuned(shelf.load_card(dataset, name))
    given = {item.name: getattr(options, item.name) for item in dataclasses.fields(RunConfig)}
    given = {name: value for name, value in given.items() if value is not None}
    network = given.get("network", base.network)
    usual = {name: field_of(name).default for name in ("channels", "hidden")} | LAYERS.get(network, {}) if network != base.network else {}
    return dataclasses.replace(base, **usual | given)


def _fit(options: argparse.Namespace) -> int:
    if options.far:
        from training import far

        return far.train(*options.far, lambda folder: _train(folder, options.data, is_granted=True))
    if folder := options.run or options.resume or options.job:
        ignored = [item.name for item in dataclasses.fields(RunConfig) if getattr(options, item.name) is not None]
        if ignored or options.recipe or options.fine_tune or options.out:
            raise ConfigError(
                f"a run goes on in its own folder with its own config.json; leave out --out, --recipe, --fine-tune and settings such as {', '.join(ignored) or 'its name'}"
            )
        if not (folder / "config.json").is_file():
            raise ConfigError(f"{folder} is not a run folder: it has no config.json; give one that fit has made")
        with contextlib.ExitStack() as stack:
            if options.job:  # jobs/cluster.py submitted it
                stack.callback(os.close, locks.acquire_for_job(folder))
            elif options.run:  # the app started this process with the run's lock already held
                giving_way.begin()
                try:
                    if site.read().ray_address:
                        _take_corrections(folder)
                        return cluster.follow(folder)
                    turn = queue.wait_for_turn(folder)
                except InklingError as error:  # Ray refused it, or inkling.toml cannot be read
                    events.append(folder, "failed", message=str(error))
                    raise
                if turn is None:
                    events.append(folder, "cancelled")
                    return 1
            else:
                stack.enter_context(locks.held(folder))
                queue.leave(folder)  # the place of a process that was killed while it waited
                (folder / runs.CANCEL).unlink(missing_ok=True)
                if runs.status(folder, alive=False).state != "done":
                    events.append(folder, "turn", device="")  # until it tells its own, what was told of a process is of the one before
            return _train(folder, options.data, options.tensorboard, is_granted=bool(options.run or options.job))
    config = _config(options)
    _demand_publishable(config)  # what is refused leaves no run behind
    if config.corrections:
        from training import corrected

        corrected.demand_any(config.dataset)
    folder, lock = runs.create(config, options.out)
    print(f"run folder {folder}")
    try:
        code = _train(folder, options.data, options.tensorboard)
        if options.recipe and code == 0:
            _compare(options.recipe, folder, options.data)
        return code
    finally:
        os.close(lock)


def _compare(recipe: str, folder: Path, data_folder: Path | None) -> None:
    """Prints the figure of a recipe's source beside what this run reaches on the same test images."""
    from jobs.recipes import RECIPES
    from training import data, export

    reference, dataset = RECIPES[recipe].reference, runs.read_config(folder).dataset
    if reference is None or dataset != RECIPES[recipe].config.dataset:
        return
    source = data.find(dataset, data_folder)
    ours = export.accuracy_on_test(folder, source)
    note = " of the bundled sample" if source.is_sample else ""
    print(f"{recipe}: reference {reference:.2%}, ours {ours:.2%} on {len(source.test):,} test images{note}")


def _take_corrections(folder: Path) -> None:
    """Reads the corrections that a run learns from here, where a node that shares no folder could not."""
    config = runs.read_config(folder)
    if config.corrections and site.read().ray_artefacts:
        from training import corrected

        corrected.corrected(folder, config.dataset)


def _train(folder: Path, data_folder: Path | None, tensorboard: bool = False, is_granted: bool = False) -> int:
    """Trains and publishes a run, and makes sure that its events end with exactly one of done, failed, cancelled.

    is_granted: it was asked for on a page, which may have said how long it may take.
    """
    last = events.read(folder)
    if last and last[-1]["kind"] == "done":
        print(f"{folder} is done already; nothing to resume")
        artefacts.forget_corrections(folder)  # it may have been killed before it did so
        return 0
    reserve = folder / "reserve"
    with contextlib.suppress(OSError):
        reserve.write_bytes(bytes(2**16))  # given up at the end, so that a full disk has room for what is said of it
    try:
        from training import corrected, data, export, fit, memory
        from training.published import learned_before

        config = runs.read_config(folder)
        if said := unused(config):
            print(said)
        _demand_publishable(config)
        source = data.find(config.dataset, data_folder)
        if source.is_sample:
            print(
                f"Training on the bundled sample of {len(source.train)} images: expect a less accurate network than with the full data set."
            )
        if name := learned_before(config, export.origin(source)):
            print(f"{name} has learned some of the images that measure this run: its figures flatter it.")
        with memory.told_when_full():
            demand = (lambda *_: _demand_granted(folder, config)) if is_granted else (lambda *_: None)
            demand()
            fit.fit(config, folder, source, board=folder / "tensorboard" if tensorboard else None, after_epoch=demand)
        corrected.demand_learned(folder)
        if config.publish:
            card = export.publish([folder], config.publish, source, average=config.members > 1)
            export.announce(folder, card)
            print(f"published {card.dataset}/{card.name}: validation {card.val_accuracy:.2%}, test {card.test_accuracy:.2%}")
    except BaseException as error:
        reserve.unlink(missing_ok=True)
        _tell_ending(folder, error)
        if isinstance(error, OSError):
            raise runs.NotWritten(runs.sentence(error, folder)) from None
        raise
    reserve.unlink(missing_ok=True)
    events.append(folder, "done")
    artefacts.forget_corrections(folder)
    return 0


def _demand_granted(folder: Path, config: RunConfig) -> None:
    """Raises Overrun once a run's epochs together took longer than the page that it was asked for on grants, and others are to come."""
    told = events.read(folder)
    granted = [event.get("granted") for event in told if event["kind"] == "queued"][-1:]
    epochs = [event for event in told if event["kind"] == "epoch"]
    spent = sum(event["seconds"] for event in epochs)
    is_trained = len({(event["member"], event["epoch"]) for event in epochs}) == config.members * config.epochs
    if granted and granted[0] is not None and spent > granted[0] and not is_trained:
        raise Overrun(
            f"its epochs have taken {costs.in_words(spent)}, and a retrain is stopped here after {costs.in_words(granted[0])}; choose fewer epochs or a smaller network"
        )


def _demand_publishable(config: RunConfig) -> None:
    """Raises ConfigError, before anything is trained, where `publish` names what a finished run could not put on the shelf."""
    if not config.publish:
        return
    from inference import graph
    from training.networks import build, count_parameters

    if (config.dataset, config.publish) in shelf.KEPT:
        raise ConfigError(
            f"publish is {config.publish}, a name that is kept for a network that came with Inkling; give another one, such as my-{config.publish}"
        )
    size = 4 * count_parameters(build(config)) * config.members  # bytes of float32
    if size > graph.LARGEST_GRAPH:
        raise ConfigError(
            f"the network would have {size / 2**20:,.1f} MB, more than the {graph.LARGEST_GRAPH // 2**20} MB that a published one may have; give narrower layers or fewer members, or leave publish out"
        )


def _tell_ending(folder: Path, error: BaseException) -> None:
    if isinstance(error, runs.Cancelled | KeyboardInterrupt | SystemExit):
        events.append(folder, "cancelled")
    else:
        with contextlib.suppress(OSError):  # of a folder that was deleted: there is nobody to tell, and the log says it
            message = runs.sentence(error, folder) if isinstance(error, OSError) else str(error)
            events.append(folder, "failed", message=message or type(error).__name__)
