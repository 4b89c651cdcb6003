"""python -m inference IMAGE... --dataset mnist|fashion-mnist|OWN --model NAME --json"""

import argparse
import json
import sys
from pathlib import Path

from inference.classify import ALL_BUT_CERTAIN, Answer, Classifier, answer_bytes, load_classifier
from inference.decode import MAX_BYTES
from models import shelf
from models.datasets import DATASETS
from models.errors import reader_left


def main(arguments: list[str] | None = None) -> int:
    """Answers every file; returns 0 when all could be read, 1 when one could not, 2 when the network is missing."""
    parser = argparse.ArgumentParser(
        prog="python -m inference", description="Recognises what image files show: digits, garments, or the classes of an own data set."
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files; - is standard input")
    parser.add_argument(
        "--dataset",
        default="mnist",
        metavar="NAME",
        help="what the pictures show: mnist, fashion-mnist or an own data set (default: mnist)",
    )
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="network on the shelf (default: ensemble; for photos of garments, without --invert, --no-invert and --no-crop: photo; of an own data set: the newest)",
    )
    parser.add_argument(
        "--invert", action=argparse.BooleanOptionalAction, default=None, help="dark on light; decided from each picture when left out"
    )
    parser.add_argument("--crop", action=argparse.BooleanOptionalAction, default=True, help="cut the background off")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args(arguments)
    if options.dataset not in DATASETS and (options.invert is not None or not options.crop):
        parser.error(f"--invert and --no-crop are for digits and garments; pictures of {options.dataset} are shown as they were imported")
    other_card = _for_what_people_send(options)
    try:
        model = _usual_model(options.dataset) if options.model is None else options.model
        classifier = load_classifier(shelf.load_card(options.dataset, model))
        for_others = load_classifier(other_card) if other_card else None
    except shelf.ShelfError as error:
        print(error, file=sys.stderr)
        return 2
    unreadable = False
    try:
        for name in options.images:
            answer = _answer_file(classifier, for_others, name, options)
            unreadable = unreadable or answer.prepared is None
            print(_as_json(name, answer) if options.json else _as_text(name, answer), flush=True)
    except BrokenPipeError:
        return reader_left()
    except KeyboardInterrupt:
        return 130
    return int(unreadable)


def _usual_model(dataset: str) -> str:
    """The network that answers where none was named. Raises ShelfError where an own data set has none."""
    if dataset in DATASETS:
        return "ensemble"
    shelf.check_dataset(dataset)
    newest = shelf.list_cards(dataset)
    if not newest:
        raise shelf.ShelfError(f"{dataset} has no network yet; train one with: python -m training fit --dataset {dataset} --publish NAME")
    return newest[0].name


def _for_what_people_send(options: argparse.Namespace) -> shelf.Card | None:
    """The network for pictures that are not 28x28 as the data set's own: photos of garments have one. None where another network was named,
    or what only those for 28x28 grey pixels can do."""
    if options.model is not None or options.dataset != "fashion-mnist" or options.invert is not None or not options.crop:
        return None
    return shelf.photo_card()


def _answer_file(classifier: Classifier, for_others: Classifier | None, name: str, options: argparse.Namespace) -> Answer:
    try:
        if name == "-":
            content = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                content = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = f"The file cannot be read ({error.strerror}); check its name and rights."
        return Answer(label=None, probability=None, probabilities=None, reason=reason)
    try:
        return answer_bytes(classifier, content, options.invert, options.crop, for_others)
    except shelf.ShelfError as error:  # a graph that fails at this picture
        return Answer(label=None, probability=None, probabilities=None, reason=str(error))


def _as_json(name: str, answer: Answer) -> str:
    facts = {"file": name, "label": answer.label}
    if answer.probability is not None:
        facts["probability"] = round(answer.probability, 6)
    if answer.probabilities is not None:
        facts["probabilities"] = [round(float(p), 6) for p in answer.probabilities]
    if answer.digits:
        facts["digits"] = [
            {
                "label": each.label,
                "probability": round(each.probability, 6),
                "probabilities": [round(float(p), 6) for p in each.probabilities],
                "box": [round(side, 4) for side in each.prepared.box],
            }
            for each in answer.digits
        ]
    if answer.reason:
        facts["reason"] = answer.reason
    return json.dumps(facts)


def _as_text(name: str, answer: Answer) -> str:
    name = name.encode(errors="surrogateescape").decode(errors="replace")  # file names are bytes, not all of them text
    if answer.label is not None:
        return f"{name}: {answer.label} ({_confidence(answer.probability)})"
    if answer.division and answer.division.doubt and all(digit.label for digit in answer.digits):  # what it says of the digits needs them
        return f"{name}: {''.join(digit.label for digit in answer.digits)}? {answer.reason}"
    return f"{name}: {answer.reason}"


def _confidence(probability: float) -> str:
    """Without false certainty: what rounds to 100 % is told as 'over 99.9 %'."""
    return "over 99.9%" if probability > ALL_BUT_CERTAIN else f"{probability:.1%}"


if __name__ == "__main__":
    sys.exit(main())
