"""Published networks as onnxruntime sessions, and their answers."""

import contextlib
import functools
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime
from PIL import Image

from inference.decode import UnreadableImage, decode
from inference.ink import Ink, find_ink, find_narrow_ink
from inference.opencv import opencv
from inference.prepare import Prepared, is_finished, prepare, prepare_ink, prepare_own, prepare_photo
from inference.segment import MOST_DIGITS, Division, divide
from models import shelf
from models.datasets import DATASETS, NONE_OF_THEM
from models.shelf import Card, ShelfError

onnxruntime.set_default_logger_severity(3)

FEW = 16  # pictures in a batch
ALL_BUT_CERTAIN = 0.9995  # a probability above it is told as "over 99.9 %": what rounds to 100 % would be false certainty
SLOW = 2.0  # ms a picture: from here on a network leaves it to the usual one to tell where the digits of a number are
IN_TWO_MINDS = 0.02, 0.98  # how likely a gate finds what it looks at again
SURE = 0.9  # how likely a gate has to find what only a second look shows
BLANK = {"mnist": "The picture is blank: there is no ink to read.", "fashion-mnist": "The picture is blank: there is no garment to see."}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a network says of one picture.

    label, probability: the most probable class, label None where it declines. reason: why it declines, else empty.
    probabilities: float32 [classes], None where there was nothing to show the network, and of a number. prepared: what it saw.
    digits: of a number the answers to its digits, left to right; label is then the number, probability their product.
    stranger: what the gate takes the picture for when it declines it, such as "letter"; else empty. division: of a number, where its digits are.
    """

    label: str | None
    probability: float | None
    probabilities: np.ndarray | None
    reason: str = ""
    prepared: Prepared | None = None
    digits: tuple["Answer", ...] = ()
    stranger: str = ""
    division: Division | None = None


def session_options(threads: int = 1) -> onnxruntime.SessionOptions:
    """How graphs are run here. One picture is 0.05 to 5 ms of work: more threads only get in each other's way.

    Without the arena, which keeps for each session what its largest batch ever took: 190 MB after one noisy picture, and no call was
    quicker for it (EXPERIMENTS.md).
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.enable_cpu_mem_arena = False
    return options


def read_checked(card: Card) -> bytes:
    """A network's graph, looked at before anything runs it. Raises ShelfError when it is not its card's or asks for what no network does."""
    from inference import graph  # it brings onnx, which the first page does not need

    content = card.read_graph()
    try:
        graph.check(content, card.shape, len(card.labels), card.gives_also)
    except graph.GraphError as error:
        raise ShelfError(f"{card.graph_path.name} is not served: {error}; publish {card.name} again") from None
    return content


def make_session(card: Card, content: bytes, threads: int = 1, providers: Sequence[str] | None = None) -> onnxruntime.InferenceSession:
    """A session of a graph that was looked at. Raises ShelfError when onnxruntime cannot run it."""
    try:
        return onnxruntime.InferenceSession(content, session_options(threads), providers=list(providers or ["CPUExecutionProvider"]))
    except Exception as error:  # onnxruntime's own exceptions share no public base class
        raise ShelfError(f"{card.graph_path.name} cannot be run ({_in_a_line(error)}); publish {card.name} again") from None


def run(session: onnxruntime.InferenceSession, card: Card, outputs: Sequence[str], pixels: np.ndarray) -> list[np.ndarray]:
    """What a network's session makes of pixels, uint8 [N, C, H, W]: an array for each output. Raises ShelfError when it fails at them."""
    try:
        return session.run(outputs, {"pixels": pixels})
    except Exception as error:  # as above; what a graph does wrong shows only at work where its numbers decide it
        raise ShelfError(f"{card.graph_path.name} failed at its work ({_in_a_line(error)}); publish {card.name} again") from None


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120]


class Classifier:
    """One published network, ready to answer. Sessions are safe to share between threads.

    gate: the data set's gate, which is asked first and may decline in its place. divider: tells where the digits of a number are, for
    which hundreds of parts of them are looked at; the network itself by default.
    """

    def __init__(
        self,
        card: Card,
        *,
        threads: int = 1,
        providers: Sequence[str] | None = None,
        gate: "Gate | None" = None,
        divider: "Classifier | None" = None,
    ) -> None:
        """Raises ShelfError when the graph does not match its card or cannot be run."""
        self.gate, self.card, self.divider = gate, card, divider or self
        self.session = make_session(card, read_checked(card), threads, providers)

    @property
    def providers(self) -> list[str]:
        """Where the session really runs."""
        return self.session.get_providers()

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """pixels uint8 [N, C, H, W] of the card's shape -> probabilities float32 [N, classes]. Raises ShelfError when the graph fails at it."""
        return run(self.session, self.card, ["probabilities"], pixels)[0]

    def probabilities_of_digits(self, pixels: np.ndarray) -> np.ndarray:
        """`probabilities`, times how likely the gate finds it that each picture is one for the network: parts of digits are not.

        A few pictures at a time: noise falls apart into a hundred, whose activations together take 50 MB.
        """
        parts = np.split(pixels, range(FEW, len(pixels), FEW))
        probabilities = np.concatenate([self.probabilities(part) for part in parts])
        return probabilities * np.concatenate([self.gate.probabilities(part)[:, :1] for part in parts]) if self.gate else probabilities

    def answer(self, prepared: Prepared, stranger: str | None = None) -> Answer:
        """The answer to one prepared picture; declines a blank one, one that its gate does not know, and one it is less sure of than its
        card's threshold. stranger: what the gate said of the same picture before; it is asked when None."""
        if prepared.is_blank:
            return Answer(label=None, probability=None, probabilities=None, reason=BLANK[self.card.dataset], prepared=prepared)
        return self._answer_each([prepared], None if stranger is None else [stranger])[0]

    def answer_number(self, prepared: Prepared, division: Division, strangers: Sequence[str] | None = None) -> Answer:
        """The answer to the digits that another network, or this one, found. strangers: what the gate said of each; it is asked when None."""
        digits = self._answer_each(division.digits, strangers)
        probability, reason = math.prod(digit.probability for digit in digits), ""
        if division.doubt:
            reason = division.doubt
        elif division.count > len(digits):
            reason = f"There seem to be {division.count} digits; up to {MOST_DIGITS} are read."
        elif unsure := [(at, digit) for at, digit in enumerate(digits, 1) if digit.label is None]:
            at, digit = unsure[0]
            reason = f"Digit {at} of {len(digits)}: {digit.reason[0].lower()}{digit.reason[1:]}"
        guesses = "".join(self.card.labels[int(digit.probabilities.argmax())] for digit in digits)
        return Answer(
            label=None if reason else guesses,
            probability=probability,
            probabilities=None,
            reason=reason,
            prepared=prepared,
            digits=digits,
            division=division,
        )

    def _answer_each(self, pictures: Sequence[Prepared], strangers: Sequence[str] | None) -> tuple[Answer, ...]:
        """Answers to pictures that are not blank, in one batch."""
        batch = np.concatenate([each.batch for each in pictures])
        if strangers is None:
            strangers = self.gate.strangers(batch) if self.gate else [""] * len(batch)
        return tuple(map(self._answer_one, pictures, self.probabilities(batch), strangers))

    def _answer_one(self, prepared: Prepared, probabilities: np.ndarray, stranger: str) -> Answer:
        best = int(probabilities.argmax())
        reason = self._refusal(stranger) if stranger else self._doubts(probabilities)
        return Answer(
            label=None if reason else self.card.labels[best],
            probability=float(probabilities[best]),
            probabilities=probabilities,
            reason=reason,
            prepared=prepared,
            stranger=stranger,
        )

    def _refusal(self, stranger: str) -> str:
        return f"This looks like {stranger if stranger == 'noise' else f'a {stranger}'}, not a {self.gate.card.labels[0]}."

    def _doubts(self, probabilities: np.ndarray) -> str:
        first, second = (self.card.labels[at] for at in np.argsort(-probabilities)[:2])
        if self.card.takes_photos and first == NONE_OF_THEM:  # a class of one's own may be called so too
            return "It shows none of the ten kinds of garment."
        return f"Not sure: {first} or {second}?" if float(probabilities.max()) < self.card.decline_below else ""


class Gate(Classifier):
    """The network that stands before a data set's others and declines what they are not made for.

    Where it is in two minds it looks at the picture again, turned a little both ways as its card says, and the mean of the three logits
    counts: it then declines a fifth less of other hands' digits, and as many letters (EXPERIMENTS.md).
    """

    def strangers(self, pixels: np.ndarray) -> list[str]:
        """What each of pixels, uint8 [N, 1, H, W], is instead of what the networks are made for; empty where it lets one in. Raises ShelfError."""
        told, likely = self._look(pixels)
        names = self.card.labels
        return ["" if own >= self.card.decline_below else names[1 + int(each[1:].argmax())] for own, each in zip(likely, told, strict=True)]

    def likelihoods(self, pixels: np.ndarray) -> np.ndarray:
        """How likely each of pixels, uint8 [N, 1, H, W], is of the networks' kind: float [N]. Raises ShelfError."""
        return self._look(pixels)[1]

    def numbers(self, pixels: np.ndarray) -> np.ndarray:
        """How likely each of pixels, uint8 [N, 1, H, W], is a number whose digits touch: float32 [N]. Only of a gate whose card has
        number_from. Raises ShelfError."""
        return run(self.session, self.card, [shelf.NUMBER], pixels)[0]

    def are_numbers(self, pictures: Sequence[Prepared]) -> bool:
        """Whether all that was cut into digits may be numbers, for all it can tell. Raises ShelfError."""
        least = self.card.facts.get("number_from")
        if least is None or not pictures:
            return True
        return bool(self.numbers(np.concatenate([each.batch for each in pictures])).min() >= least)

    def _look(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The probabilities at first sight, float32 [N, kinds], and after the second look that of the own kind, float64 [N]."""
        told = self.probabilities(pixels)
        likely, degrees = told[:, 0].astype(float), float(self.card.facts.get("turned", 0))
        low, high = IN_TWO_MINDS
        (unsure,) = np.nonzero((low < likely) & (likely < high)) if degrees else (np.array([], int),)
        if len(unsure):
            again = [self.probabilities(_turned(pixels[unsure], angle))[:, 0].astype(float) for angle in (-degrees, degrees)]
            odds = [np.log(np.clip(each, 1e-9, 1 - 1e-9)) - np.log1p(-np.clip(each, 1e-9, 1 - 1e-9)) for each in (likely[unsure], *again)]
            likely[unsure] = 1 / (1 + np.exp(-np.mean(odds, axis=0)))
        return told, likely


def _turned(pixels: np.ndarray, degrees: float) -> np.ndarray:
    """Pictures, uint8 [N, 1, H, W], turned about their middles."""
    height, width = pixels.shape[2:]
    matrix = opencv().getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    return np.stack([opencv().warpAffine(each[0], matrix, (width, height))[None] for each in pixels])


def load_classifier(card: Card) -> Classifier:
    """A published network with the gate of its data set before it, where there is a sound one. Raises ShelfError."""
    gate = _gate_before(card)
    return Classifier(card, gate=gate, divider=_divider(card, gate))


def add_gate(classifier: Classifier) -> None:
    """Puts its gate before a network that was loaded while that could not be, as where too many files were open; none where it cannot now."""
    if gate := _gate_before(classifier.card):
        classifier.divider = _divider(classifier.card, gate) or classifier
        classifier.gate = gate


def _divider(card: Card, gate: Gate | None) -> Classifier | None:
    """The usual network for digits in the place of a slow one; None for others, and where it is not to be had."""
    if card.dataset != "mnist" or float(card.facts.get("latency_ms", 0)) <= SLOW:
        return None
    usual = shelf.find_card("mnist", shelf.USUAL["mnist"])
    if usual is None or usual.name == card.name:
        return None
    with contextlib.suppress(ShelfError):
        return _usual(str(usual.folder), usual.sha256, gate)
    return None


@functools.lru_cache(maxsize=4)
def _usual(folder: str, sha256: str, gate: Gate | None) -> Classifier:
    """One session of the usual network for digits for all slow ones. Raises ShelfError."""
    return Classifier(shelf.load_card("mnist", shelf.USUAL["mnist"]), gate=gate)


def _gate_before(card: Card) -> Gate | None:
    """None where there is none or it is damaged, which the Models page says."""
    if card.dataset in DATASETS and not card.takes_photos and (version := shelf.gate_version(card.dataset)):
        with contextlib.suppress(ShelfError):
            return _gate(card.dataset, str(shelf.shelf_folder()), version)
    return None


@functools.lru_cache(maxsize=4)
def _gate(dataset: str, folder: str, version: int) -> Gate:
    """One session for all networks behind it. Raises ShelfError, which is not remembered: it may be of that moment only."""
    return Gate(shelf.load_card(dataset, shelf.GATE))


def prepare_for(card: Card, image: Image.Image, invert: bool | None = None, crop: bool = True) -> Prepared:
    """A decoded picture as the card's network sees it. invert, crop: as in `prepare`; of no effect on an own data set and for
    the photo network the former, and the latter as in `prepare_photo`."""
    if card.takes_photos:
        return prepare_photo(image, card.shape, crop)
    return prepare(image, card.dataset, invert, crop) if card.dataset in DATASETS else prepare_own(image, card.shape)


def answer_image(classifier: Classifier, image: Image.Image, invert: bool | None = None, crop: bool = True) -> Answer:
    """The answer to a decoded picture. Several digits are read as a number, unless the picture is to be taken as a whole (crop); where one
    ends and the next begins, a slow network leaves to the usual one. Of a photo that the gate declines, a second look sees what is narrow
    alone."""
    if classifier.card.dataset == "mnist" and crop and not is_finished(image):
        answer = _answer_ink(classifier, *find_ink(image, invert))
        if invert is None and any(each.stranger for each in answer.digits or (answer,)):
            return _look_again(classifier, image) or answer
        return answer
    return classifier.answer(prepare_for(classifier.card, image, invert, crop))


def _answer_ink(classifier: Classifier, ink: Ink | None, inverted: bool) -> Answer:
    division = divide(ink, inverted, classifier.divider.probabilities_of_digits) if ink else None
    if division and classifier.gate and not classifier.gate.are_numbers(division.cut):  # a letter falls apart into digits too
        division = None
    prepared = prepare_ink(ink, inverted)
    return classifier.answer_number(prepared, division) if division else classifier.answer(prepared)


def _look_again(classifier: Classifier, image: Image.Image) -> Answer | None:
    """What is read of the narrow ink of a photo; None unless the gate is sure of all of it: a shadow is darker than some pens, and who photographs
    a letter or a shirt is not to get a digit for it (EXPERIMENTS.md)."""
    for on_sheet in (True, False):
        if ink := find_narrow_ink(image, on_sheet):
            answer = _answer_ink(classifier, ink, inverted=True)
            seen = [each.prepared.batch for each in answer.digits or (answer,)]
            if answer.label is not None and classifier.gate.likelihoods(np.concatenate(seen)).min() >= SURE:
                return answer
    return None


def answer_again(classifier: Classifier, answer: Answer) -> Answer:
    """What another network of the same data set says of what was answered: of the same pixels, and of a number of the same digits."""
    if answer.division is None:
        return classifier.answer(answer.prepared, answer.stranger)
    return classifier.answer_number(answer.prepared, answer.division, [digit.stranger for digit in answer.digits])


def answer_bytes(
    classifier: Classifier, content: bytes, invert: bool | None = None, crop: bool = True, for_others: Classifier | None = None
) -> Answer:
    """The answer to a file's bytes; unreadable ones are declined with the reason. for_others: answers in its place to what
    is no finished picture."""
    try:
        image = decode(content)
    except UnreadableImage as error:
        return Answer(label=None, probability=None, probabilities=None, reason=str(error))
    return answer_image(for_others if for_others and not is_finished(image) else classifier, image, invert, crop)


def accelerated_providers() -> list[str]:
    """CUDA before the CPU where a GPU is seen, for batches; found without torch. Asking for CUDA without one prints errors."""
    if shutil.which("nvidia-smi") and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        onnxruntime.preload_dlls()
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]
    return ["CPUExecutionProvider"]
