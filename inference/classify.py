"""Published networks as onnxruntime sessions, and their answers."""

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime
from PIL import Image

from inference.decode import UnreadableImage, decode
from inference.ink import find_ink
from inference.prepare import Prepared, is_finished, prepare, prepare_ink, prepare_own
from inference.segment import MOST_DIGITS, Division, divide
from models.datasets import DATASETS, NONE_OF_THEM
from models.shelf import Card, ShelfError

onnxruntime.set_default_logger_severity(3)

BLANK = {"mnist": "The picture is blank: there is no ink to read.", "fashion-mnist": "The picture is blank: there is no garment to see."}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a network says of one picture.

    label, probability: the most probable class, label None where it declines. reason: why it declines, else empty.
    probabilities: float32 [classes], None where there was nothing to show the network, and of a number. prepared: what it saw.
    digits: of a number the answers to its digits, left to right; label is then the number, probability their product.
    """

    label: str | None
    probability: float | None
    probabilities: np.ndarray | None
    reason: str = ""
    prepared: Prepared | None = None
    digits: tuple["Answer", ...] = ()


class Classifier:
    """One published network, ready to answer. Sessions are safe to share between threads."""

    def __init__(self, card: Card, *, threads: int = 1, providers: Sequence[str] | None = None) -> None:
        """Raises ShelfError when the graph does not match its card or cannot be run."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads  # one picture is 0.05 to 5 ms of work: more threads only get in each other's way
        options.inter_op_num_threads = 1
        graph = card.read_graph()
        try:
            self.session = onnxruntime.InferenceSession(graph, options, providers=list(providers or ["CPUExecutionProvider"]))
        except Exception as error:  # onnxruntime's own exceptions share no public base class
            raise ShelfError(f"{card.graph_path.name} cannot be run ({str(error)[:120]}); publish {card.name} again") from None
        shape = tuple(self.session.get_inputs()[0].shape[1:])
        if shape != card.shape:
            raise ShelfError(f"{card.graph_path.name} takes pixels {shape}, its card says {card.shape}; publish {card.name} again")
        self.card = card

    @property
    def providers(self) -> list[str]:
        """Where the session really runs."""
        return self.session.get_providers()

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """pixels uint8 [N, C, H, W] of the card's shape -> probabilities float32 [N, classes]."""
        return self.session.run(["probabilities"], {"pixels": pixels})[0]

    def answer(self, prepared: Prepared) -> Answer:
        """The answer to one prepared picture; declines a blank one, and one it is less sure of than its card's threshold."""
        if prepared.is_blank:
            return Answer(label=None, probability=None, probabilities=None, reason=BLANK[self.card.dataset], prepared=prepared)
        return self._answer(prepared, self.probabilities(prepared.batch)[0])

    def _answer(self, prepared: Prepared, probabilities: np.ndarray) -> Answer:
        best = int(probabilities.argmax())
        label, probability = self.card.labels[best], float(probabilities[best])
        reason = ""
        if label == NONE_OF_THEM:
            reason = "It shows none of the ten kinds of garment."
        elif probability < self.card.decline_below:
            second = self.card.labels[int(np.argsort(probabilities)[-2])]
            reason = f"Not sure: {label} or {second}?"
        return Answer(
            label=None if reason else label, probability=probability, probabilities=probabilities, reason=reason, prepared=prepared
        )


def prepare_for(card: Card, image: Image.Image, invert: bool | None = None, crop: bool = True) -> Prepared:
    """A decoded picture as the card's network sees it. invert, crop: as in `prepare`; of no effect on an own data set and for
    the photo network, which take the whole picture."""
    if card.dataset in DATASETS and not card.takes_photos:
        return prepare(image, card.dataset, invert, crop)
    return prepare_own(image, card.shape)


def answer_image(classifier: Classifier, image: Image.Image, invert: bool | None = None, crop: bool = True) -> Answer:
    """The answer to a decoded picture. Several digits are read as a number, unless the picture is to be taken as a whole (crop)."""
    if classifier.card.dataset == "mnist" and crop and not is_finished(image):
        ink, inverted = find_ink(image, invert)
        division = divide(ink, inverted, classifier.probabilities) if ink else None
        prepared = prepare_ink(ink, inverted)
        return _number(classifier, prepared, division) if division else classifier.answer(prepared)
    return classifier.answer(prepare_for(classifier.card, image, invert, crop))


def _number(classifier: Classifier, prepared: Prepared, division: Division) -> Answer:
    digits = tuple(classifier.answer(digit) for digit in division.digits)
    probability, reason = math.prod(digit.probability for digit in digits), ""
    if division.count > len(digits):
        reason = f"There seem to be {division.count} digits; up to {MOST_DIGITS} are read."
    elif unsure := [(at, digit) for at, digit in enumerate(digits, 1) if digit.label is None]:
        at, digit = unsure[0]
        reason = f"Digit {at} of {len(digits)}: {digit.reason[0].lower()}{digit.reason[1:]}"
    guesses = "".join(classifier.card.labels[int(digit.probabilities.argmax())] for digit in digits)
    return Answer(
        label=None if reason else guesses, probability=probability, probabilities=None, reason=reason, prepared=prepared, digits=digits
    )


def answer_bytes(
    classifier: Classifier, content: bytes, invert: bool | None = None, crop: bool = True, for_photos: Classifier | None = None
) -> Answer:
    """The answer to a file's bytes; unreadable ones are declined with the reason. for_photos: answers in the other's place to what
    is no finished picture."""
    try:
        image = decode(content)
    except UnreadableImage as error:
        return Answer(label=None, probability=None, probabilities=None, reason=str(error))
    return answer_image(for_photos if for_photos and not is_finished(image) else classifier, image, invert, crop)


def accelerated_providers() -> list[str]:
    """CUDA before the CPU where a GPU is seen, for batches; found without torch. Asking for CUDA without one prints errors."""
    if shutil.which("nvidia-smi") and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        onnxruntime.preload_dlls()
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]
    return ["CPUExecutionProvider"]
