"""What a training costs, before it begins: from its layers, and from how quick the runs of this machine were."""

import itertools
import math
import statistics
from collections.abc import Iterator

from jobs import events, runs
from jobs.config import LARGE, ConfigError, RunConfig
from models import datasets, shelf

FIXED = 6.0  # seconds: imports, reading the data, calibration, the ONNX graph, its check and the test images
# Of one member on one core, fitted to the runs in experiments/ (a factor of two off at worst for most): seconds for 1e9 multiplications
# forwards, and for 1,000 steps of the optimizer.
RATES = {
    "fc": (0.08, 1.3),
    "softmax": (0.0, 0.11),
    "lenet5": (0.017, 8.0),
    "lenet5-1998": (0.04, 3.5),
    "cnn": (0.09, 8.0),
    "mixpool": (0.115, 4.0),
    "lenet": (0.3, 0.9),
    "resnet": (0.05, 8.0),
    "unpadded": (0.03, 8.0),
}
# Seconds that 1,000 steps of the optimizer take longer for each weight more than the runs had that these were fitted to.
BY_WEIGHT, FEW_WEIGHTS = 2.7e-6, 500_000
# Seconds to change a number of a picture, on one core.
AUGMENTING = {
    "none": 0.0,
    "flip": 1e-9,
    "shift": 8e-9,
    "mirror": 9e-9,
    "mirror_erase": 12e-9,
    "affine": 17e-9,
    "rotate_shift": 17e-9,
    "elastic": 19e-9,
}
LATEST = 12  # runs that tell how quick this machine is
MOST_OTHERS = 48  # on the other kind of device, after which no more are read
TWO_STAGE_BATCH = 400  # pictures a step of R4's schedule, which has its own sizes, on average
ASKED = 0.3e-3  # seconds that a teacher takes for one of many pictures, for each millisecond that its card gives for one alone
ON_GPU = 0.1  # of these seconds, until a run on a GPU has told: a guess, for want of one


def _layers(config: RunConfig) -> Iterator[tuple[float, float]]:
    """About the layers of one member: how many weights each has, and at how many places of a picture they are used."""
    about = datasets.info(config.dataset)
    channels, height, width = about.shape
    classes, area = len(about.labels), height * width
    if config.network in ("fc", "softmax"):
        sizes = [channels * area, *(config.hidden if config.network == "fc" else ()), classes]
        yield from ((a * b, 1) for a, b in itertools.pairwise(sizes))
        return
    if config.network in ("lenet5", "lenet5-1998", "lenet"):
        for number, wide in enumerate(config.channels if config.network != "lenet5-1998" else (6, 16, 120)):
            yield 25 * channels * wide, area / 4**number
            channels = wide
        return
    if config.network == "unpadded":
        for wide in config.channels:
            height, width = height - config.kernel + 1, width - config.kernel + 1
            yield config.kernel**2 * channels * wide, height * width
            channels = wide
        yield channels * height * width * classes, 1
        return
    if config.network == "resnet":
        area /= 4 if min(height, width) >= LARGE else 1
        yield 9 * channels * config.channels[0], area  # the one before the blocks
        channels = config.channels[0]
    further = {"cnn": 1, "mixpool": 0, "resnet": 2 * config.blocks - 1}[config.network]  # convolutions of a stage beside its first
    for number, wide in enumerate(config.channels):
        yield 9 * (channels + further * wide) * wide, area / 4**number
        channels = wide
    if config.network == "mixpool":
        sizes = [channels * area / 4 ** len(config.channels), *config.hidden, classes]
        yield from ((a * b, 1) for a, b in itertools.pairwise(sizes))


def multiplications(config: RunConfig) -> float:
    """Of one picture on its way forwards, about; of one member."""
    return float(sum(weights * places for weights, places in _layers(config)))


def work(config: RunConfig, images: int | None = None) -> float:
    """Seconds on one core of the machine that RATES were measured on. images: of an epoch, by default those of the whole data set."""
    images = images or datasets.info(config.dataset).train_images
    passes = images * config.epochs * config.members * (1.4 if config.redrawn or config.corrections else 1.0)
    by_size, by_step = RATES[config.network]
    batch_size = TWO_STAGE_BATCH if config.schedule == "two_stage" else config.batch_size
    by_step += BY_WEIGHT * max(0.0, sum(weights for weights, _ in _layers(config)) - FEW_WEIGHTS)
    by_picture = by_size * multiplications(config) / 1e9 + AUGMENTING[config.augmentation] * math.prod(datasets.info(config.dataset).shape)
    return by_picture * passes + by_step * passes / batch_size / 1000


def asking(config: RunConfig) -> float:
    """Seconds on one core that its teacher takes to answer, before the first epoch; 0 without one, or without a card that says."""
    card = shelf.find_card(config.dataset, config.teacher) if config.teacher else None
    if card is None:
        return 0.0
    images = datasets.info(config.dataset).train_images * (1.4 if config.redrawn or config.corrections else 1.0)
    return images * config.teacher_views * card.facts["latency_ms"] * ASKED


def speed(on_gpu: bool = False) -> float:
    """How much longer than `work` says the latest runs took that were started from the app: 0.5 on a machine twice as quick, 1 before any.

    on_gpu: of those that a GPU trained in place of the processor; where it trained none and the processor some, torch passes it over,
    and these tell. What counts is the time in epochs: a run may have been resumed, on another day.
    """
    ratios: dict[bool, list[float]] = {True: [], False: []}
    for folder in runs.list_runs():
        try:
            config = runs.read_config(folder)
            lines = events.read(folder)
            told = {event["kind"]: event for event in lines}
            epochs = {(each["member"], each["epoch"]): each["seconds"] for each in lines if each["kind"] == "epoch"}
            was_on_gpu = not str(told["started"].get("device", "CPU")).startswith("CPU")
            if config.publish and "done" in told and len(epochs) == config.epochs * config.members:
                took = sum(epochs.values())
                ratios[was_on_gpu].append(max(took, 0.5) / max(work(config, told["started"]["train_images"]), 0.5))
        except (ConfigError, KeyError, TypeError):
            continue
        if len(ratios[on_gpu]) == LATEST or len(ratios[not on_gpu]) == MOST_OTHERS:
            break
    latest = ratios[on_gpu] or (ratios[False][:LATEST] if on_gpu else [])
    if not latest:
        return ON_GPU if on_gpu else 1.0
    return min(20.0, max(0.002, statistics.median(latest)))


def seconds(config: RunConfig, pace: float, left: float = 1.0) -> float:
    """How long a run is expected to take, from its turn to its network on the shelf. pace: what `speed` said. left: share of its epochs."""
    return FIXED + (work(config) * left + asking(config)) * pace


def in_words(duration: float) -> str:
    """A duration for people: about 40 seconds, 5 minutes or 3 hours."""
    if duration < 90:
        return f"{max(10, math.ceil(duration / 10) * 10)} seconds"
    if duration < 90 * 60:
        return f"{round(duration / 60)} minutes"
    return f"{round(duration / 3600)} hours"
