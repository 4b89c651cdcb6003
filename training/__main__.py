"""python -m training fit|evaluate|export|mix|photos|gate|sweep|search|recipes|data

The commands import torch themselves: --help and recipes answer at once.
"""

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

from jobs import runs
from jobs.config import ConfigError
from models import shelf
from models.datasets import DATASETS, PARTS, read_facts
from models.errors import InklingError, reader_left
from training import fit_command, sweep_commands

TELL_EVERY = 0.3  # seconds between two lines on how far an import is


def main(arguments: list[str] | None = None) -> int:
    """Runs one command. Returns 0, or 1 after printing one sentence that says what is wrong."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)
    except InklingError as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:
        return reader_left()
    except OSError as error:
        print(runs.sentence(error, runs.runs_folder()), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description="Trains, evaluates and exports Inkling's networks.")
    commands = parser.add_subparsers(required=True, metavar="fit|evaluate|export|mix|photos|gate|sweep|search|recipes|data")

    fit = fit_command.add(commands)

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

    mix = commands.add_parser(
        "mix",
        help="mix networks of MNIST by what each knows best",
        description="Publishes one graph of networks on the shelf and a router, trained here, that tells which of them a picture is for.",
    )
    mix.add_argument("first", metavar="NETWORK", help="the one that knows MNIST's own images best")
    mix.add_argument("others", nargs="*", metavar="OTHER", help="one that also knows other hands and pens; several are averaged")
    mix.add_argument("--into", metavar="MIXTURE", help="average all of them with what MIXTURE, on the shelf, has for MNIST's own images")
    mix.add_argument("--name", required=True, help="publish it as mnist/NAME")
    mix.set_defaults(command=_mix)

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
    data.add_argument("--title", help="what it is called in the app (default: its name)")
    data.add_argument("--size", type=int, metavar="N", help="sides of the imported pictures in pixels; 8 to 128 (default: 64)")
    data.add_argument("--grey", action="store_true", default=None, help="import without colours")
    data.set_defaults(command=_data)

    for command in (fit, evaluate, export, mix, gate, sweep, search, data):
        command.add_argument(
            "--data",
            type=Path,
            metavar="DIR",
            help="folder with MNIST/raw and FashionMNIST/raw or the word sample (default: $INKLING_DATA, cache, Debian's package, download, sample)",
        )
    return parser


def _export(options: argparse.Namespace) -> int:
    from training import data, export

    source = data.find(runs.read_config(options.runs[0]).dataset, options.data)
    card = export.publish(options.runs, options.name, source, average=options.average)
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


def _mix(options: argparse.Namespace) -> int:
    from training import data, mixture

    if not options.others and not options.into:
        raise ConfigError(f"{options.first} alone is no mixture; name another network beside it, or a mixture with --into")
    source = data.find(mixture.DATASET, options.data)
    if options.into:
        card = mixture.widen(options.into, [options.first, *options.others], options.name, source)
    else:
        card = mixture.publish(options.first, options.others, options.name, source)
    print(f"published {card.dataset}/{card.name}: {card.test_accuracy:.2%} of {card.facts['test']['n']:,} test images")
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
    from training.published import demand_same_images, measures_what_it_learned

    dataset, slash, name = options.name.partition("/")
    if not slash:
        raise ConfigError(f"{options.name} is no DATASET/NAME, such as mnist/lenet5")
    card = shelf.load_card(dataset, name)
    if (dataset, name) in shelf.KEPT:
        raise ConfigError(
            f"{options.name} has other classes than {dataset}; its card says how it did on what was held out when it was trained"
        )
    source = data.find(dataset, options.data)
    if options.write and (options.part != "test" or source.is_sample):
        raise ConfigError(f"--write is for all test images, not for the {options.part} images of the {source.origin}; leave it out")
    split = getattr(source, options.part)
    demand_same_images(card, data.digest(source.train))
    # What is written is what is served: a GPU's arithmetic is another.
    classifier = Classifier(card, threads=0) if options.write else Classifier(card, threads=0, providers=accelerated_providers())
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
        "learned_before": measures_what_it_learned(card, export.origin(source)),
    }
    if options.write:
        export.write_test_figures(card, probabilities, split.labels)
    if options.json:
        print(json.dumps(facts))
    else:
        print(
            f"{options.name} on {len(split)} {options.part} images: accuracy {accuracy:.2%}, calibration error {error:.2%} ({classifier.providers[0]})"
        )
        if facts["learned_before"]:
            print(f"It has learned some of these images, which are of the {export.origin(source)}: the figures flatter it.")
    return 0


def _recipes(options: argparse.Namespace) -> int:
    from jobs.recipes import RECIPES

    for name, recipe in RECIPES.items():
        reference = f", {recipe.reference:.2%}" if recipe.reference else ""
        print(f"{name:24} {recipe.about}{reference}")
    return 0


def _data(options: argparse.Namespace) -> int:
    given = [name for name in ("images", "name", "title", "size", "grey") if getattr(options, name) is not None]
    if given:
        return _import(options, given)
    from models.datasets import list_own, names
    from training import data
    from training.own_images import mean_and_std

    for problem in list_own()[1]:
        print(problem, file=sys.stderr)
    for name in names():
        source = data.find(name, options.data)
        mean, std = mean_and_std(source.train.pixels, range(len(source.train)))
        counts = f"{len(source.train)} training, {len(source.validation)} validation, {len(source.test)} test images"
        print(f"{name}: {counts} from {source.origin} ({source.folder}); mean {mean:.4f}, std {std:.4f}")
    return 0


def _import(options: argparse.Namespace, given: list[str]) -> int:
    """Prints how far it is, now and then, and last the outcome: jobs/imports.py reads these lines. given: names of the options given."""
    from training.own_images import DEFAULT_SIDE, MOST_REASONS, import_images  # numpy and Pillow only

    if not (options.images and options.name):
        alone = " and ".join(f"--{name}" for name in given)
        raise ConfigError(f"give both --images FOLDER_OR_ZIP and --name NAME to import pictures, not {alone} alone")
    if options.data:
        raise ConfigError(f"data is {options.data} but --images brings the pictures; leave one of the two out")
    side = DEFAULT_SIDE if options.size is None else options.size
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that what is half written is cleared away
    told = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told >= TELL_EVERY:
            told = time.monotonic()
            print(f"{done} of {total} files", flush=True)

    try:
        about = import_images(options.images, options.name, title=options.title or "", side=side, grey=bool(options.grey), tell=tell)
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
    if {"--run", "--job", "--far"} & {
        *sys.argv
    }:  # from the app: run and device would stay taken for the 1.6 s that Python needs to tidy torch away
        sys.stdout.flush()
        os._exit(code)
    sys.exit(code)
