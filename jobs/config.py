"""The configuration of one training run: one dataclass whose limits feed checks, command line and sliders alike."""

import dataclasses
import json
import re
from dataclasses import dataclass, field
from typing import Any

from models import datasets
from models.datasets import DatasetError, DatasetInfo
from models.errors import InklingError

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
# The layers of a network where RunConfig's own defaults are another network's.
LAYERS: dict[str, dict[str, tuple[int, ...]]] = {
    "cnn": {"channels": (32, 64, 128)},
    "lenet": {"channels": (6, 16), "hidden": (120, 84)},
    "resnet": {"channels": (32, 64, 128)},
    "unpadded": {"channels": (48, 96, 144, 192)},
}
# The networks that look at a setting which not all of them look at: training/networks.py.
LOOKED_AT_BY: dict[str, tuple[str, ...]] = {
    "hidden": ("fc", "mixpool", "lenet"),
    "channels": ("lenet5", "cnn", "mixpool", "lenet", "resnet", "unpadded"),
    "blocks": ("resnet",),
    "kernel": ("unpadded",),
    "activation": ("fc", "lenet5", "lenet5-1998", "cnn", "lenet", "resnet", "unpadded"),
    "pooling": ("lenet5", "lenet5-1998"),
    "batch_norm": ("fc", "lenet5", "mixpool"),
    "dropout": ("fc", "lenet5", "cnn", "mixpool", "resnet", "unpadded"),
}
MOST_WIDTHS, MOST_STAGES = 10, 4
ONLY_28X28_GREY = ("lenet5", "lenet5-1998")
LARGE = 64  # pixels of the shorter side from which on a resnet halves pictures in its first convolution too
SMALLEST_LENET = 16  # pixels: what two 5x5 convolutions and two poolings leave at least one pixel of


class ConfigError(InklingError, ValueError):
    """A setting is outside its limits. The message names the value, the limit and the fix."""


def _choice(default: str, *choices: str, help: str) -> Any:
    return field(default=default, metadata={"choices": choices, "help": help})


def _number(default: float, low: float, high: float, help: str, *, unit: str = "") -> Any:
    return field(default=default, metadata={"low": low, "high": high, "help": help, "unit": unit})


def _widths(*default: int, most: int, help: str) -> Any:
    return field(default=default, metadata={"low": 1, "high": 4096, "most": most, "help": help})


def _name(help: str) -> Any:
    return field(default="", metadata={"name": True, "help": help})


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that decides what a run computes. Two equal configurations on one machine give equal weights.

    Raises ConfigError when a value is outside its limits.
    """

    dataset: str = field(default="mnist", metadata={"dataset": True, "help": "data set to train on: mnist, fashion-mnist or one's own"})
    network: str = _choice(
        "lenet5",
        "fc",
        "lenet5",
        "lenet5-1998",
        "cnn",
        "mixpool",
        "softmax",
        "lenet",
        "resnet",
        "unpadded",
        help="architecture: fully connected, LeNet-5 of any width, LeNet-5 exactly as in 1998, a CNN of 3x3 convolutions, the mixed-pooling CNN of R4, softmax regression by hand, the LeNet-like network of R2, a small ResNet, or a CNN that neither pads nor pools; lenet5 and lenet5-1998 take 28x28 grey pictures only",
    )
    members: int = _number(1, 1, 16, "networks trained independently and averaged inside one graph (an ensemble)")
    mirrored: bool = field(default=False, metadata={"help": "average each member over the image and its mirror image when served"})
    hidden: tuple[int, ...] = _widths(512, 256, most=8, help="fc, lenet and mixpool: widths of the hidden layers")
    channels: tuple[int, ...] = _widths(
        6,
        16,
        120,
        most=MOST_WIDTHS,
        help="lenet5: channels of the three 5x5 convolutions; lenet: of its two; cnn and resnet: of their one to four stages; mixpool and unpadded: of their convolutions",
    )
    blocks: int = _number(1, 1, 9, "resnet: residual blocks of each stage")
    kernel: int = _number(7, 2, 9, "unpadded: height and width of its convolutions", unit="pixels")
    activation: str = _choice("relu", "relu", "tanh", "leaky_relu", "silu", help="activation function")
    pooling: str = _choice("max", "max", "avg", help="lenet5 and lenet5-1998: pooling")
    batch_norm: bool = field(
        default=False,
        metadata={
            "help": "fc, lenet5 and mixpool: batch normalisation after each convolution or hidden layer; cnn, resnet and unpadded always have it"
        },
    )
    dropout: float = _number(0.0, 0.0, 0.9, "dropout before the last layer (fc and mixpool: after every hidden layer)")
    init: str = _choice(
        "default", "default", "xavier", "kaiming", help="first weights of the linear layers: torch's default, Xavier or Kaiming uniform"
    )
    standardise: bool = field(
        default=True, metadata={"help": "subtract the data set's mean and divide by its standard deviation; otherwise pixels are 0 to 1"}
    )
    loss: str = _choice("cross_entropy", "cross_entropy", "mse", "multi_margin", help="loss; mse is taken on the softmax")
    label_smoothing: float = _number(0.0, 0.0, 0.5, "label smoothing (cross entropy only)")
    teacher: str = _name("published network whose answers are learned in place of the labels (distillation); none when empty")
    teacher_temperature: float = _number(2.0, 0.1, 100.0, "distillation: what logits are divided by before they are compared")
    teacher_views: int = _number(
        1,
        1,
        32,
        "distillation: views of each image that the teacher is asked about, once: the image itself and others changed by the augmentation; with 1 the image alone, and the augmentation changes what the student sees",
    )
    optimizer: str = _choice(
        "adam", "sgd", "nag", "adam", "adamw", "rmsprop", "adagrad", "adadelta", help="optimizer; nag is sgd with Nesterov momentum"
    )
    lr: float = _number(0.002, 1e-6, 10.0, "learning rate (the highest one of a schedule)")
    momentum: float = _number(0.9, 0.0, 0.999, "momentum (sgd and nag)")
    weight_decay: float = _number(0.0, 0.0, 1.0, "weight decay")
    schedule: str = _choice(
        "one_cycle",
        "constant",
        "step",
        "cosine",
        "one_cycle",
        "two_stage",
        help="learning rate over the run; two_stage also sets batch size and a weight penalty, in place of lr and batch_size",
    )
    step_every: int = _number(1000, 1, 100_000_000, "step schedule: iterations between two cuts", unit="iterations")
    step_gamma: float = _number(0.9, 0.01, 1.0, "step schedule: factor of a cut")
    step_cuts: int = _number(0, 0, 1_000_000, "step schedule: most cuts; 0 for no limit")
    batch_size: int = _number(128, 1, 10_000, "images in a batch")
    epochs: int = _number(1, 1, 1000, "passes over the training images")
    augmentation: str = _choice(
        "none",
        "none",
        "shift",
        "affine",
        "rotate_shift",
        "elastic",
        "flip",
        "mirror",
        "mirror_erase",
        help="random changes made to each batch of training images",
    )
    redrawn: bool = field(
        default=False,
        metadata={
            "help": "MNIST: also learn from digits of other hands and pens, which are drawn first (minutes, once; needs requirements-shelf.txt)"
        },
    )
    corrections: bool = field(
        default=False, metadata={"help": "also learn from the corrections that people kept, each shown many times; see INKLING_CORRECTIONS"}
    )
    start_from: str = _name("published network to start from; from scratch when empty")
    seed: int = _number(0, 0, 2**31 - 1, "seed of weights, order and augmentation")
    device: str = _choice("auto", "auto", "cpu", "cuda", help="auto takes CUDA where there is one")
    threads: int = _number(0, 0, 256, "CPU threads; 0 takes every core")
    precision: str = _choice(
        "auto",
        "auto",
        "float32",
        "bfloat16",
        help="auto is bfloat16 autocast on GPUs that have it (Ampere and later) and float32 elsewhere, on a GPU by way of TF32; cells of tables are float32",
    )
    publish: str = _name("name on the shelf under which the run publishes its network when it ends; not published when empty")

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            object.__setattr__(self, item.name, _checked(item, getattr(self, item.name)))
        one_by_one = self.batch_size == 1 and self.schedule != "two_stage"  # which has batch sizes of its own
        if one_by_one and self.batch_norm and self.network in LOOKED_AT_BY["batch_norm"]:
            raise ConfigError(
                "batch_size is 1 with batch_norm; a batch of one has no variance: use a batch of at least 2, or no batch_norm"
            )
        if self.teacher and (self.network == "softmax" or (self.loss, self.label_smoothing) != ("cross_entropy", 0.0)):
            raise ConfigError(
                f"teacher is {self.teacher} with network {self.network}, loss {self.loss}, label_smoothing {self.label_smoothing:g}; its answers are learned by any network but softmax, with cross_entropy and without label_smoothing: give these, or no teacher"
            )
        if self.network == "lenet5" and len(self.channels) != 3:
            raise ConfigError(f"channels has {len(self.channels)} values; LeNet-5 has three convolutions: give three, such as 6 16 120")
        if self.network in ("cnn", "resnet") and not 1 <= len(self.channels) <= MOST_STAGES:
            raise ConfigError(
                f"channels {f'has {len(self.channels)} values' if self.channels else 'is empty'}; the {'CNN' if self.network == 'cnn' else 'ResNet'} has one to four stages: give their channels, such as 32 64 128"
            )
        if self.network == "lenet" and len(self.channels) != 2:
            raise ConfigError(f"channels has {len(self.channels)} values; lenet has two convolutions: give two, such as 6 16")
        if self.redrawn and self.dataset != "mnist":
            raise ConfigError(f"redrawn is true for {self.dataset}; only digits are drawn anew: use it with mnist, or leave it out")
        if self.corrections and self.teacher:
            raise ConfigError(f"corrections are learned with teacher {self.teacher}, which would answer for them; give one of the two")
        facts = datasets.info(self.dataset)
        if reason := misfit(self.network, facts):
            raise ConfigError(reason)
        if self.network == "unpadded":
            self._check_unpadded(facts, one_by_one)
        if one_by_one and self.network in ("cnn", "resnet") and _last_side(self.network, len(self.channels), facts) == 1:
            raise ConfigError(
                f"batch_size is 1 and {len(self.channels)} stages leave one pixel of {facts.height}x{facts.width}, which has no variance to normalise by: use a batch of at least 2, or fewer stages"
            )
        if self.network == "softmax" and (self.optimizer, self.momentum, self.loss, self.label_smoothing) != (
            "sgd",
            0.0,
            "cross_entropy",
            0.0,
        ):
            raise ConfigError(
                f"network is softmax with optimizer {self.optimizer}, momentum {self.momentum:g}, loss {self.loss}; its gradient is written by hand for sgd, momentum 0 and cross_entropy without label_smoothing: give these"
            )
        if self.network == "softmax" and self.schedule == "two_stage":
            raise ConfigError(
                "network is softmax with schedule two_stage, whose weight penalty its gradient by hand leaves out; use another schedule or network"
            )

    def _check_unpadded(self, facts: DatasetInfo, one_by_one: bool) -> None:
        side = min(facts.height, facts.width) - len(self.channels) * (self.kernel - 1)
        if not self.channels or side < 1:
            smaller = min(facts.height, facts.width)
            most = min((smaller - 1) // (self.kernel - 1), MOST_WIDTHS)
            fix = f"give one to {most} values, or a smaller kernel" if most else f"give a kernel of at most {smaller}"
            raise ConfigError(
                f"channels has {len(self.channels)} values and kernel is {self.kernel}; each convolution takes {self.kernel - 1} pixels off {facts.height}x{facts.width}: {fix}"
            )
        if one_by_one and max(facts.height, facts.width) - len(self.channels) * (self.kernel - 1) == 1:
            raise ConfigError(
                f"batch_size is 1 and {len(self.channels)} convolutions of {self.kernel}x{self.kernel} leave one pixel of {facts.height}x{facts.width}, which has no variance to normalise by: use a batch of at least 2, or fewer convolutions"
            )

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain JSON types, in field order."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in dataclasses.asdict(self).items()}

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> "RunConfig":
        """The inverse of `to_dict`. Raises ConfigError on a setting that does not exist or is out of its limits."""
        known = {item.name for item in dataclasses.fields(cls)}
        for name in settings:
            if name not in known:
                raise ConfigError(f"there is no setting {name!r}; the settings are {', '.join(sorted(known))}")
        return cls(**settings)

    @classmethod
    def from_json(cls, text: str) -> "RunConfig":
        """Reads what `json.dumps(config.to_dict())` wrote. Raises ConfigError."""
        try:
            settings = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"the configuration is not JSON ({error}); write it again with --recipe or the sidebar") from None
        if not isinstance(settings, dict):
            raise ConfigError("the configuration is not a JSON object; write it again with --recipe or the sidebar")
        return cls.from_dict(settings)


def misfit(network: str, facts: DatasetInfo) -> str:
    """Why a network cannot take a data set's pictures, as one sentence; empty where it can."""
    channels, height, width = facts.shape
    pictures = f"those of {facts.name} are {height}x{width} {'grey' if channels == 1 else 'in colour'}"
    if network in ONLY_28X28_GREY and facts.shape != (1, 28, 28):
        return f"network is {network}, which takes 28x28 grey pictures only; {pictures}: use lenet, resnet, cnn or fc, which take any"
    if network == "lenet" and min(height, width) < SMALLEST_LENET:
        return f"network is lenet, which takes pictures from {SMALLEST_LENET}x{SMALLEST_LENET} on; {pictures}: use resnet, cnn or fc, or import them larger"
    return ""


def _last_side(network: str, stages: int, facts: DatasetInfo) -> int:
    """Pixels of the longer side that the last stage of a cnn or resnet sees."""
    halvings, longest = max(0, stages - 1), max(facts.height, facts.width)
    if network == "cnn":
        return longest >> halvings  # pooling leaves an odd edge out
    return -(-longest >> halvings)  # strides take it along; pictures from 64 pixels on are halved once more and keep several


def layers_of(network: str) -> tuple[str, ...]:
    """The settings that decide what a network's layers are, but for how its weights begin (init)."""
    return tuple(name for name, networks in LOOKED_AT_BY.items() if network in networks)


def unused(config: RunConfig) -> str:
    """Which settings differ from their defaults and do nothing, as one sentence for people; empty where there is none."""
    said = [
        f"{name} is not used by {config.network}"
        for name, networks in LOOKED_AT_BY.items()
        if config.network not in networks and getattr(config, name) != field_of(name).default
    ]
    idle = {
        f"the loss {config.loss}": ("label_smoothing",) if config.loss != "cross_entropy" else (),
        f"the optimizer {config.optimizer}": ("momentum",) if config.optimizer not in ("sgd", "nag") else (),
        f"the schedule {config.schedule}": (
            *(("step_every", "step_gamma", "step_cuts") if config.schedule != "step" else ()),
            *(("lr", "batch_size") if config.schedule == "two_stage" else ()),
        ),
        "a run without a teacher": ("teacher_temperature", "teacher_views") if not config.teacher else (),
        "the augmentation none": ("teacher_views",) if config.augmentation == "none" else (),
        "a run that goes on from a network": ("init",) if config.start_from else (),
        "softmax regression by hand": ("precision",) if config.network == "softmax" else (),
    }
    for by, names in idle.items():
        said += [f"{name} is not used by {by}" for name in names if getattr(config, name) != field_of(name).default]
    return "; ".join(said)


def field_of(name: str) -> dataclasses.Field:
    """The field of RunConfig called `name`, for its limits and help."""
    return RunConfig.__dataclass_fields__[name]


def _checked(item: dataclasses.Field, value: Any) -> Any:
    limits = item.metadata
    if "dataset" in limits:
        try:
            return datasets.info(value).name
        except DatasetError as error:
            raise ConfigError(str(error)) from None
    if "choices" in limits:
        if value not in limits["choices"]:
            raise ConfigError(f"{item.name} is {value!r}; it must be one of {', '.join(limits['choices'])}")
        return value
    if "name" in limits:
        if not isinstance(value, str) or (value and not NAME.fullmatch(value)):
            raise ConfigError(
                f"{item.name} is {value!r}; a name has 1 to 64 of the characters a-z, 0-9, dot, dash and underscore and starts with a letter or digit"
            )
        return value
    if "most" in limits:
        return _checked_widths(item, value)
    if item.type in (bool, "bool"):
        if not isinstance(value, bool):
            raise ConfigError(f"{item.name} is {value!r}; it must be true or false")
        return value
    return _checked_number(item, value)


def _checked_widths(item: dataclasses.Field, value: Any) -> tuple[int, ...]:
    limits = item.metadata
    whole = isinstance(value, list | tuple) and all(isinstance(width, int) and not isinstance(width, bool) for width in value)
    if not whole or len(value) > limits["most"] or any(not limits["low"] <= width <= limits["high"] for width in value):
        raise ConfigError(
            f"{item.name} is {value!r}; give at most {limits['most']} whole numbers from {limits['low']} to {limits['high']}, such as {' '.join(map(str, item.default))}"
        )
    return tuple(value)


def _checked_number(item: dataclasses.Field, value: Any) -> float:
    limits = item.metadata
    whole = item.type in (int, "int")
    right_type = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not right_type or not limits["low"] <= value <= limits["high"]:  # false for nan and infinity too
        kind = "a whole number" if whole else "a number"
        raise ConfigError(
            f"{item.name} is {value!r}; it must be {kind} from {limits['low']:.10g} to {limits['high']:.10g} (default {item.default:.10g})"
        )
    return value if whole else float(value)
