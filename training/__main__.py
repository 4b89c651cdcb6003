"""python -m training fit|evaluate|export|photos|gate|sweep|search|recipes|data

The commands import torch themselves: --help and recipes answer at once.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import signal
import sys
import time
from pathlib import Path

from jobs import events, queue, runs
from jobs.config import LAYERS, ConfigError, RunConfig
from models import shelf
from models.datasets import DATASETS, PARTS, read_facts
from models.errors import InklingError
from training import sweep_commands

TELL_EVERY = 0.3  # seconds between two lines on how far an import is
NICENESS = 10  # a retrain started from the app leaves the page its share of the cores


def main(arguments: list[str] | None = None) -> int:
    """Runs one command. Returns 0, or 1 after printing one sentence that says what is wrong."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)
    except (InklingError, FileExistsError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description="Trains, evaluates and exports Inkling's networks.")
    commands = parser.add_subparsers(required=True, metavar="fit|evaluate|export|photos|gate|sweep|search|recipes|data")

    fit = commands.add_parser(
        "fit", help="train a network", description="Trains the members of one configuration; settings given override the recipe's."
    )
    fit.add_argument("--recipe", metavar="NAME", help="start from a named configuration (python -m training recipes)")
    fit.add_argument(
        "--fine-tune", metavar="DATASET/NAME", help="start from a published network and learn the corrections that people kept"
    )
    fit.add_argument("--resume", type=Path, metavar="RUN", help="continue a run that was stopped, to the same result")
    fit.add_argument("--run", type=Path, metavar="RUN", help=argparse.SUPPRESS)  # how the app starts a folder it has made
    fit.add_argument("--out", type=Path, metavar="RUN", help="run folder to make (default: a new one in runs/)")
    fit.add_argument(
        "--tensorboard", action="store_true", help="write curves for TensorBoard into the run folder: tensorboard --logdir runs"
    )
    _add_settings(fit)
    fit.set_defaults(command=_fit)

    evaluate = commands.add_parser(
        "evaluate", help="measure a published network", description="Measures a published network as served, on one part of its data set."
    )
    evaluate.add_argument("name", metavar="DATASET/NAME", help="for example mnist/lenet5")
    evaluate.add_argument("--part", choices=["validation", "test"], default="test", help="images to measure on (default: test)")
    evaluate.add_argument("--json", action="store_true", help="one JSON object")
    evaluate.add_argument("--write", action="store_true", help="put the figures on its card; of all test images only")
    evaluate.set_defaults(command=_evaluate)

    export = commands.add_parser(
        "export",
        help="publish finished runs",
        description="Publishes finished runs as one ONNX graph with its card: the run best on validation, or all averaged.",
    )
    export.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="run folders; several are seeds of one network, or members with --average"
    )
    export.add_argument("--name", required=True, help="name on the shelf")
    export.add_argument("--average", action="store_true", help="one ensemble of all networks of the runs")
    export.set_defaults(command=_export)

    photos = commands.add_parser(
        "photos",
        help="train the photo network",
        description="Trains the photo network on FOLDER/train, measures it on FOLDER/validation, and publishes it as fashion-mnist/photo.",
    )
    photos.add_argument(
        "folder", type=Path, metavar="FOLDER", help="a copy of clothing-dataset-small: train and validation, a folder a kind"
    )
    photos.add_argument(
        "--weights", type=Path, metavar="FILE", help="ImageNet weights of EfficientNet-Lite0 (default: of requirements-shelf.txt)"
    )
    photos.set_defaults(command=_photos)

    gate = commands.add_parser(
        "gate",
        help="train the gate of a built-in data set",
        description="Trains the network that declines what a built-in data set's networks are not made for, and publishes it as DATASET/gate.",
    )
    gate.add_argument("dataset", choices=list(DATASETS), metavar="DATASET", help="mnist or fashion-mnist")
    gate.set_defaults(command=_gate)

    sweep, search = sweep_commands.add(commands)

    recipes = commands.add_parser("recipes", help="list the named configurations", description="Lists the named configurations.")
    recipes.set_defaults(command=_recipes)

    data = commands.add_parser(
        "data",
        help="find, download and check the data sets, or import one's own",
        description="Finds, downloads and checks the data sets and prints what it found; with --images, imports one's own pictures.",
    )
    data.add_argument("--images", type=Path, metavar="FOLDER_OR_ZIP", help="import these pictures: a folder for each class")
    data.add_argument("--name", metavar="NAME", help="what the imported data set is called in commands: a-z, 0-9 and dash")
    data.add_argument("--title", default="", help="what it is called in the app (default: its name)")
    data.add_argument("--size", type=int, default=64, metavar="N", help="sides of the imported pictures in pixels; 8 to 128 (default: 64)")
    data.add_argument("--grey", action="store_true", help="import without colours")
    data.set_defaults(command=_data)

    for command in (fit, evaluate, export, gate, sweep, search, data):
        command.add_argument(
            "--data",
            type=Path,
            metavar="DIR",
            help="folder with MNIST/raw and FashionMNIST/raw or the word sample (default: $INKLING_DATA, cache, download, sample)",
        )
    return parser


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
    usual = LAYERS.get(network, {}) if network != base.network else {}
    return dataclasses.replace(base, **usual | given)


def _fit(options: argparse.Namespace) -> int:
    if options.run or options.resume:
        folder = options.run or options.resume
        ignored = [item.name for item in dataclasses.fields(RunConfig) if getattr(options, item.name) is not None]
        if ignored or options.recipe or options.fine_tune:
            raise ConfigError(
                f"a run goes on with its own config.json; leave out --recipe, --fine-tune and settings such as {', '.join(ignored) or 'its name'}"
            )
        if not (folder / "config.json").is_file():
            raise ConfigError(f"{folder} is not a run folder: it has no config.json; give one that fit has made")
        with contextlib.ExitStack() as stack:
            if options.run:  # the app started this process with the run's lock already held
                _give_way()
                if queue.wait_for_turn(folder) is None:
                    events.append(folder, "cancelled")
                    return 1
            else:
                stack.enter_context(runs.held(folder))
                (folder / runs.CANCEL).unlink(missing_ok=True)
            return _train(folder, options.data, options.tensorboard)
    folder, lock = runs.create(_config(options), options.out)
    print(f"run folder {folder}")
    try:
        code = _train(folder, options.data)
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
    ours = export.test_accuracy(folder, source)
    note = " of the bundled sample" if source.is_sample else ""
    print(f"{recipe}: reference {reference:.2%}, ours {ours:.2%} on {len(source.test):,} test images{note}")


def _give_way() -> None:
    """Leaves the page its share of the cores. Linux weighs niceness within a session only, unless the session has one too."""
    os.nice(NICENESS)
    with contextlib.suppress(OSError):  # kernels without autogroup have no such file
        Path("/proc/self/autogroup").write_text(str(NICENESS))


def _train(folder: Path, data_folder: Path | None, tensorboard: bool = False) -> int:
    """Trains and publishes a run, and makes sure that its events end with exactly one of done, failed, cancelled."""
    last = events.read(folder)
    if last and last[-1]["kind"] == "done":
        print(f"{folder} is done already; nothing to resume")
        return 0
    reserve = folder / "reserve"
    with contextlib.suppress(OSError):
        reserve.write_bytes(bytes(2**16))  # given up at the end, so that a full disk has room for what is said of it
    try:
        from training import data, export, fit

        config = runs.read_config(folder)
        source = data.find(config.dataset, data_folder)
        if source.is_sample:
            print(
                f"Training on the bundled sample of {len(source.train)} images: expect a less accurate network than with the full data set."
            )
        fit.fit(config, folder, source, board=folder / "tensorboard" if tensorboard else None)
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
    return 0


def _tell_ending(folder: Path, error: BaseException) -> None:
    from training.fit import Cancelled

    if isinstance(error, Cancelled | KeyboardInterrupt | SystemExit):
        events.append(folder, "cancelled")
    else:
        with contextlib.suppress(OSError):  # of a folder that was deleted: there is nobody to tell, and the log says it
            message = runs.sentence(error, folder) if isinstance(error, OSError) else str(error)
            events.append(folder, "failed", message=message or type(error).__name__)


def _export(options: argparse.Namespace) -> int:
    from training import data, export

    source = data.find(runs.read_config(options.runs[0]).dataset, options.data)
    average = options.average or runs.read_config(options.runs[0]).members > 1
    card = export.publish(options.runs, options.name, source, average=average)
    print(json.dumps({key: card.facts[key] for key in ("id", "parameters", "bytes", "temperature", "n_seeds", "latency_ms")}))
    print(f"published {card.dataset}/{card.name}: validation {card.val_accuracy:.2%}, test {card.test_accuracy:.2%}")
    return 0


def _photos(options: argparse.Namespace) -> int:
    from training import photos

    card = photos.publish(options.folder, options.weights)
    print(photos.describe(card))
    print(
        f"published {card.dataset}/{card.name}: {card.facts['bytes'] / 1e6:.1f} MB, {card.facts['latency_ms']:.0f} ms a photo on one thread"
    )
    return 0


def _gate(options: argparse.Namespace) -> int:
    from training import data, gate

    other = next(name for name in DATASETS if name != options.dataset)
    card = gate.publish(options.dataset, data.find(options.dataset, options.data), data.find(other, options.data))
    for kind, facts in card.facts["validation"]["by_kind"].items():
        print(f"{kind:10} declined {facts['declined']:.1%}, AUROC {facts['auroc']:.4f} (n = {facts['n']}, held out)")
    print(f"{options.dataset}: declined {card.facts['test']['declined']:.2%} of {card.facts['test']['n']:,} test images")
    print(
        f"published {card.dataset}/{card.name}: {card.facts['bytes'] / 1e6:.2f} MB, {card.facts['latency_ms']:.2f} ms a picture on one thread"
    )
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from inference.classify import Classifier, accelerated_providers
    from training import data, export

    dataset, _, name = options.name.partition("/")
    card = shelf.load_card(dataset, name)
    if (dataset, name) in shelf.KEPT:
        raise ConfigError(
            f"{options.name} has other classes than {dataset}; its card says how it did on what was held out when it was trained"
        )
    source = data.find(dataset, options.data)
    if options.write and (options.part != "test" or source.is_sample):
        raise ConfigError(f"--write is for all test images, not for the {options.part} images of the {source.origin}; leave it out")
    split = getattr(source, options.part)
    classifier = Classifier(card, threads=0, providers=accelerated_providers())
    probabilities = export.measure(classifier, split)
    accuracy = float((probabilities.argmax(1) == split.labels).mean())
    error = export.calibration_error(probabilities, split.labels)
    facts = {
        "id": options.name,
        "part": options.part,
        "n": len(split),
        "accuracy": accuracy,
        "calibration_error": error,
        "providers": classifier.providers,
    }
    if options.write:
        export.write_test_figures(card, probabilities, split.labels)
    if options.json:
        print(json.dumps(facts))
    else:
        print(
            f"{options.name} on {len(split)} {options.part} images: accuracy {accuracy:.2%}, calibration error {error:.2%} ({classifier.providers[0]})"
        )
    return 0


def _recipes(options: argparse.Namespace) -> int:
    from jobs.recipes import RECIPES

    for name, recipe in RECIPES.items():
        reference = f", {recipe.reference:.2%}" if recipe.reference else ""
        print(f"{name:24} {recipe.about}{reference}")
    return 0


def _data(options: argparse.Namespace) -> int:
    if options.images or options.name:
        return _import(options)
    from models.datasets import list_own, names
    from training import data

    for problem in list_own()[1]:
        print(problem, file=sys.stderr)
    for name in names():
        source = data.find(name, options.data)
        scaled = source.train.pixels / 255.0
        counts = f"{len(source.train)} training, {len(source.validation)} validation, {len(source.test)} test images"
        print(f"{name}: {counts} from {source.origin} ({source.folder}); mean {scaled.mean():.4f}, std {scaled.std():.4f}")
    return 0


def _import(options: argparse.Namespace) -> int:
    """Prints how far it is, now and then, and last the outcome: jobs/imports.py reads these lines."""
    from training.own_images import MOST_REASONS, import_images  # numpy and Pillow only

    if not (options.images and options.name):
        raise ConfigError("give both --images FOLDER_OR_ZIP and --name NAME to import pictures")
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that what is half written is cleared away
    told = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told >= TELL_EVERY:
            told = time.monotonic()
            print(f"{done} of {total} files", flush=True)

    try:
        about = import_images(options.images, options.name, title=options.title, side=options.size, grey=options.grey, tell=tell)
    finally:
        signal.signal(signal.SIGTERM, before)
    facts = read_facts(about.name)
    for each in facts["reasons"]:
        print(f"skipped {each['file']}: {each['reason']}")
    if facts["skipped"] > MOST_REASONS:
        print(f"skipped {facts['skipped'] - MOST_REASONS} more")
    train, validation, test = (sum(facts["counts"][part]) for part in PARTS)
    kind = "grey" if about.channels == 1 else "colour"
    skipped = f"; {facts['skipped']} file{'' if facts['skipped'] == 1 else 's'} skipped" if facts["skipped"] else ""
    print(
        f"imported {about.name}: {train + validation + test:,} {kind} pictures of {about.height}x{about.width} in {len(about.labels)} classes "
        f"({', '.join(about.labels)}): {train:,} training, {validation:,} validation, {test:,} test{skipped}"
    )
    return 0


if __name__ == "__main__":
    code = main()
    if "--run" in sys.argv:  # started by the app: its run and its device stay taken for the 1.6 s that Python needs to tidy torch away
        sys.stdout.flush()
        os._exit(code)
    sys.exit(code)
