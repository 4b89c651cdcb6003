"""Named configurations: the networks on the shelf, and the quick retrain that the sidebar starts from.

All settings were chosen on the 6,000 validation images; EXPERIMENTS.md has what was tried.
"""

from dataclasses import dataclass

from jobs.config import RunConfig


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A configuration and one line on what it is."""

    config: RunConfig
    about: str


RECIPES = {
    "quick": Recipe(
        about="LeNet-5 of 1998's size, one epoch: seconds on a CPU",
        config=RunConfig(),
    ),
    "mnist-fc": Recipe(
        about="fully connected 784-1024-512-10 for the shelf, trained on shifted, turned and bent digits",
        config=RunConfig(
            dataset="mnist", network="fc", hidden=(1024, 512), batch_norm=True, dropout=0.2, augmentation="elastic",
            optimizer="adamw", lr=0.003, weight_decay=0.01, batch_size=256, epochs=30,
        ),
    ),
    "mnist-lenet5": Recipe(
        about="LeNet-5 with wider maps and batch normalisation for the shelf",
        config=RunConfig(
            dataset="mnist", network="lenet5", channels=(32, 64, 256), batch_norm=True, dropout=0.2, augmentation="elastic",
            optimizer="adamw", lr=0.004, weight_decay=0.02, batch_size=256, epochs=12, precision="bfloat16",
        ),
    ),
    "mnist-cnn": Recipe(
        about="CNN of six 3x3 convolutions, a member of the ensemble on the shelf",
        config=RunConfig(
            dataset="mnist", network="cnn", channels=(32, 64, 128), augmentation="elastic",
            optimizer="adamw", lr=0.002, weight_decay=0.05, batch_size=128, epochs=10, precision="bfloat16",
        ),
    ),
    "fashion-mnist-fc": Recipe(
        about="fully connected 784-1024-512-10 for the shelf, trained on mirrored garments and averaged over both mirror images",
        config=RunConfig(
            dataset="fashion-mnist", network="fc", mirrored=True, hidden=(1024, 512), batch_norm=True, dropout=0.4, augmentation="flip",
            optimizer="adamw", lr=0.003, weight_decay=0.05, batch_size=256, epochs=40, label_smoothing=0.1,
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
        about="CNN of six 3x3 convolutions averaged over both mirror images, a member of the ensemble on the shelf",
        config=RunConfig(
            dataset="fashion-mnist", network="cnn", mirrored=True, channels=(32, 64, 128), augmentation="mirror_erase",
            optimizer="adamw", lr=0.002, weight_decay=0.05, batch_size=128, epochs=24, precision="bfloat16",
        ),
    ),
}  # fmt: skip
