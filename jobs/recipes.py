"""Named configurations: the networks on the shelf, the quick retrain that the sidebar starts from, and the reference systems
R1 to R7, each as its source describes it (on pixels from 0 to 1, which the sources do not say but R1's tables show) and, under NAME-plus, the same layers with better training.

All settings of our own were chosen on the 6,000 validation images; EXPERIMENTS.md has what was tried.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from jobs.config import LOOKED_AT_BY, ConfigError, RunConfig
from models.shelf import KEPT, Card


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A configuration and one line on what it is.

    reference: the test accuracy that its source gives, 0 to 1; None where there is no source.
    """

    config: RunConfig
    about: str
    reference: float | None = None


MIXED = "{name} is of networks of several kinds, which one run cannot take apart; choose a network of one kind"
LAYERS_KEPT = ("network", "members", "mirrored", *LOOKED_AT_BY)


def continued(card: Card) -> dict[str, Any]:
    """The settings that a run starting from a published network has to share with it. Raises ConfigError where it is of several kinds."""
    if card.is_mixed:
        raise ConfigError(MIXED.format(name=card.name))
    before = _trained_with(card)
    shared = {name: before[name] for name in ("dataset", "standardise", *LAYERS_KEPT)}
    return shared | {"members": card.facts["members"], "start_from": card.name}


def _trained_with(card: Card) -> dict[str, Any]:
    """All settings of a published network: one that is younger than the network had its default then."""
    return dataclasses.asdict(RunConfig()) | card.facts["config"]


def fine_tuned(card: Card) -> RunConfig:
    """Trains a published network further, one epoch, on the corrections that people kept among all training images.

    lr and how often a correction is shown: EXPERIMENTS.md, "Corrections". Softmax regression knows no optimizer but plain SGD.
    Raises ConfigError where no run goes on from it.
    """
    if (card.dataset, card.name) in KEPT:
        raise ConfigError(f"{card.name} has other classes than {card.dataset}; choose another network to go on from")
    before = _trained_with(card)
    own = {name: before[name] for name in ("augmentation", "precision")}
    plain = {"optimizer": "sgd", "momentum": 0.0, "lr": 0.03}
    own |= plain if before["network"] == "softmax" else {"optimizer": "adamw", "lr": 0.001, "weight_decay": 0.01}
    return RunConfig(**continued(card), **own, corrections=True, batch_size=128, epochs=1)


RECIPES = {
    "quick": Recipe(
        about="LeNet-5 of 1998's size, one epoch: seconds on a CPU",
        config=RunConfig(),
    ),
    "mnist-fc": Recipe(
        about="fully connected 784-1024-512-10 for the shelf, trained on shifted, turned and bent digits, MNIST's own and redrawn",
        config=RunConfig(
            dataset="mnist", redrawn=True, network="fc", hidden=(1024, 512), batch_norm=True, dropout=0.2, augmentation="elastic",
            optimizer="adamw", lr=0.003, weight_decay=0.01, batch_size=256, epochs=20,
        ),
    ),
    "mnist-lenet5": Recipe(
        about="LeNet-5 with wider maps and batch normalisation for the shelf",
        config=RunConfig(
            dataset="mnist", redrawn=True, network="lenet5", channels=(32, 64, 256), batch_norm=True, dropout=0.2, augmentation="elastic",
            optimizer="adamw", lr=0.004, weight_decay=0.02, batch_size=256, epochs=10, precision="bfloat16",
        ),
    ),
    "mnist-cnn": Recipe(
        about="CNN of six 3x3 convolutions, trained on bent digits, MNIST's own and redrawn",
        config=RunConfig(
            dataset="mnist", redrawn=True, network="cnn", channels=(32, 64, 128), augmentation="elastic",
            optimizer="adamw", lr=0.002, weight_decay=0.05, batch_size=128, epochs=7, precision="bfloat16",
        ),
    ),
    "mnist-resnet": Recipe(
        about="ResNet-20 (He et al. 2015) trained on MNIST's own digits, bent: a member of the ensemble on the shelf",
        config=RunConfig(
            dataset="mnist", network="resnet", channels=(16, 32, 64), blocks=3, augmentation="elastic",
            optimizer="nag", lr=0.1, weight_decay=0.0005, batch_size=128, epochs=36, precision="bfloat16",
        ),
    ),
    "mnist-unpadded": Recipe(
        about="CNN of five 5x5 convolutions that neither pad nor pool (M5 of An et al. 2020) trained on MNIST's own digits, turned and shifted",
        config=RunConfig(
            dataset="mnist", network="unpadded", channels=(32, 64, 96, 128, 160), kernel=5, augmentation="rotate_shift",
            optimizer="nag", lr=0.1, weight_decay=0.0005, batch_size=128, epochs=40, precision="bfloat16",
        ),
    ),
    "fashion-mnist-fc": Recipe(
        about="fully connected 784-1024-512-10 for the shelf, taught by the ensemble on mirrored garments and averaged over both mirror images",
        config=RunConfig(
            dataset="fashion-mnist", network="fc", mirrored=True, hidden=(1024, 512), batch_norm=True, dropout=0.4, augmentation="flip",
            teacher="ensemble", optimizer="adamw", lr=0.003, weight_decay=0.05, batch_size=256, epochs=40,
        ),
    ),
    "fashion-mnist-lenet5": Recipe(
        about="LeNet-5 with wider maps and batch normalisation for the shelf",
        config=RunConfig(
            dataset="fashion-mnist", network="lenet5", channels=(32, 64, 256), batch_norm=True, dropout=0.3, augmentation="mirror",
            optimizer="adamw", lr=0.004, weight_decay=0.02, batch_size=256, epochs=16, precision="bfloat16",
        ),
    ),
    "fashion-mnist-cnn": Recipe(
        about="wide CNN of six 3x3 convolutions averaged over both mirror images, a member of the ensemble on the shelf",
        config=RunConfig(
            dataset="fashion-mnist", network="cnn", mirrored=True, channels=(64, 128, 256), augmentation="mirror_erase",
            optimizer="adamw", lr=0.002, weight_decay=0.05, batch_size=128, epochs=24, precision="bfloat16",
        ),
    ),
    "fashion-mnist-resnet": Recipe(
        about="ResNet-20 (He et al. 2015) averaged over both mirror images, a member of the ensemble on the shelf",
        config=RunConfig(
            dataset="fashion-mnist", network="resnet", mirrored=True, channels=(16, 32, 64), blocks=3, augmentation="mirror_erase",
            optimizer="nag", lr=0.1, weight_decay=0.0005, batch_size=128, epochs=90, precision="bfloat16",
        ),
    ),
    "mnist-small": Recipe(
        about="CNN of six 3x3 convolutions with 92,000 parameters, trained on bent digits, MNIST's own and redrawn",
        config=RunConfig(
            dataset="mnist", redrawn=True, network="cnn", channels=(18, 36, 72), augmentation="elastic",
            optimizer="adamw", lr=0.004, weight_decay=0.02, batch_size=128, epochs=16, precision="bfloat16",
        ),
    ),
    "fashion-mnist-small": Recipe(
        about="narrow ResNet of 14 layers with 99,000 parameters, taught by the ensemble",
        config=RunConfig(
            dataset="fashion-mnist", network="resnet", channels=(12, 24, 48), blocks=2, augmentation="mirror_erase",
            teacher="ensemble", optimizer="adamw", lr=0.004, weight_decay=0.02, batch_size=128, epochs=72, precision="bfloat16",
        ),
    ),
    "r1-fc": Recipe(
        about="fully connected 784-300-100-10, plain SGD (a course report, R1; widths of LeCun et al. 1998)",
        reference=0.9268,
        config=RunConfig(
            dataset="mnist", standardise=False, network="fc", hidden=(300, 100), optimizer="sgd", momentum=0.0, lr=0.01, schedule="constant",
            batch_size=40, epochs=5,
        ),
    ),
    "r1-lenet5": Recipe(
        about="LeNet-5 exactly as in 1998, Table 1 included, plain SGD (LeCun et al. 1998; a course report, R1)",
        reference=0.9504,
        config=RunConfig(
            dataset="mnist", standardise=False, network="lenet5-1998", activation="tanh", pooling="avg", optimizer="sgd", momentum=0.0, lr=0.01,
            schedule="constant", batch_size=40, epochs=5,
        ),
    ),
    "r2-softmax": Recipe(
        about="softmax regression, gradient by hand, one image at a time (a course report, R2)",
        reference=0.875,
        config=RunConfig(
            dataset="mnist", standardise=False, network="softmax", optimizer="sgd", momentum=0.0, lr=0.0005, schedule="constant", batch_size=1, epochs=30,
        ),
    ),
    "r2-lenet": Recipe(
        about="LeNet-like 6-16-120-84 for any picture size from 16x16 on, one image at a time (a course report, R2, without its lr: 0.001, momentum 0.9 are ours)",
        reference=0.97,
        config=RunConfig(
            dataset="mnist", standardise=False, network="lenet", channels=(6, 16), hidden=(120, 84), optimizer="sgd", momentum=0.9, lr=0.001,
            schedule="constant", batch_size=1, epochs=1,
        ),
    ),
    "r2-resnet": Recipe(
        about="small ResNet of 3x3 convolutions for any picture size (a course report, R2, without its layers or settings: these are ours)",
        config=RunConfig(
            dataset="mnist", network="resnet", channels=(32, 64, 128), optimizer="sgd", momentum=0.9, lr=0.05, weight_decay=0.0005,
            batch_size=64, epochs=3,
        ),
    ),
    "r3-mlp": Recipe(
        about="fully connected 784-1024-10 with a validation split, plain SGD (a course report, R3)",
        reference=0.9810,
        config=RunConfig(
            dataset="mnist", standardise=False, network="fc", hidden=(1024,), init="kaiming", optimizer="sgd", momentum=0.0, lr=0.1,
            schedule="constant", batch_size=100, epochs=30, seed=123,
        ),
    ),
    "r4-mixpool": Recipe(
        about="CNN with mixed pooling, two-stage dynamic schedule of 7,400 iterations (a course report, R4)",
        reference=0.9949,
        config=RunConfig(
            dataset="mnist", standardise=False, network="mixpool", channels=(32, 64, 128), hidden=(1024, 512), dropout=0.5, optimizer="adam",
            schedule="two_stage", epochs=62,
        ),
    ),
    "r5-ensemble": Recipe(
        about="two r4-mixpool networks averaged (a course report, R5)",
        reference=0.9956,
        config=RunConfig(
            dataset="mnist", standardise=False, network="mixpool", channels=(32, 64, 128), hidden=(1024, 512), dropout=0.5, optimizer="adam",
            schedule="two_stage", epochs=62, members=2,
        ),
    ),
    "r6-fc512": Recipe(
        about="fully connected 784-512-10, Adam (a course report, R6)",
        reference=0.894,
        config=RunConfig(
            dataset="fashion-mnist", standardise=False, network="fc", hidden=(512,), init="xavier", optimizer="adam", lr=0.001, schedule="constant",
            batch_size=100, epochs=20,
        ),
    ),
    "r7-lenet5": Recipe(
        about="LeNet-5 6-16-120, tanh, average pooling, Adam (a course report, R7)",
        reference=0.8924,
        config=RunConfig(
            dataset="fashion-mnist", standardise=False, network="lenet5", activation="tanh", pooling="avg", init="xavier", optimizer="adam", lr=0.001,
            schedule="constant", batch_size=100, epochs=20,
        ),
    ),
    "r1-lenet5-plus": Recipe(
        about="r1-lenet5's layers, trained on shifted, turned and bent digits with AdamW and a one-cycle schedule",
        config=RunConfig(
            dataset="mnist", network="lenet5-1998", activation="tanh", pooling="avg", augmentation="elastic", optimizer="adamw", lr=0.004,
            weight_decay=0.01, batch_size=64, epochs=30,
        ),
    ),
    "r3-mlp-plus": Recipe(
        about="r3-mlp's layers with batch normalisation and dropout, trained on shifted, turned and bent digits",
        config=RunConfig(
            dataset="mnist", network="fc", hidden=(1024,), init="kaiming", batch_norm=True, dropout=0.2, augmentation="elastic",
            optimizer="adamw", lr=0.003, weight_decay=0.01, batch_size=256, epochs=40,
        ),
    ),
    "r4-mixpool-plus": Recipe(
        about="r4-mixpool's layers with the batch normalisation that R5 wished for, trained on shifted, turned and bent digits",
        config=RunConfig(
            dataset="mnist", network="mixpool", channels=(32, 64, 128), hidden=(1024, 512), batch_norm=True, dropout=0.5,
            augmentation="elastic", optimizer="adamw", lr=0.002, weight_decay=0.05, batch_size=128, epochs=24, precision="bfloat16",
        ),
    ),
    "r5-ensemble-plus": Recipe(
        about="two r4-mixpool-plus networks averaged",
        config=RunConfig(
            dataset="mnist", network="mixpool", channels=(32, 64, 128), hidden=(1024, 512), batch_norm=True, dropout=0.5, members=2,
            augmentation="elastic", optimizer="adamw", lr=0.002, weight_decay=0.05, batch_size=128, epochs=24, precision="bfloat16",
        ),
    ),
    "r6-fc512-plus": Recipe(
        about="r6-fc512's layers with batch normalisation, trained on the answers of the ensemble on the shelf to garments and their mirror images, averaged over both",
        config=RunConfig(
            dataset="fashion-mnist", network="fc", hidden=(512,), init="xavier", batch_norm=True, mirrored=True, augmentation="flip",
            teacher="ensemble", optimizer="adamw", lr=0.003, weight_decay=0.05, batch_size=256, epochs=80,
        ),
    ),
    "r7-lenet5-plus": Recipe(
        about="r7-lenet5's best setting (32-64-256, max pooling, batch normalisation), trained on mirrored, shifted garments, averaged over both mirror images",
        config=RunConfig(
            dataset="fashion-mnist", network="lenet5", mirrored=True, channels=(32, 64, 256), activation="leaky_relu", batch_norm=True,
            dropout=0.3, init="xavier", augmentation="mirror", optimizer="adamw", lr=0.004, weight_decay=0.02, batch_size=256, epochs=24,
            precision="bfloat16",
        ),
    ),
}  # fmt: skip
