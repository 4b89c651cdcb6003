"""What Inkling knows about each data set before any file is read: its classes, in label order."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """Facts about a data set.

    mean, std: of all training pixels scaled to 0..1 (computed by `python -m training data`).
    """

    name: str
    title: str
    labels: tuple[str, ...]
    noun: str
    mean: float
    std: float


DATASETS = {
    info.name: info
    for info in (
        DatasetInfo(
            name="mnist",
            title="MNIST digits",
            labels=tuple("0123456789"),
            noun="digit",
            mean=0.1307,
            std=0.3081,
        ),
        DatasetInfo(
            name="fashion-mnist",
            title="Fashion-MNIST clothing",
            labels=(
                "T-shirt/top",
                "Trouser",
                "Pullover",
                "Dress",
                "Coat",
                "Sandal",
                "Shirt",
                "Sneaker",
                "Bag",
                "Ankle boot",
            ),
            noun="garment",
            mean=0.2860,
            std=0.3530,
        ),
    )
}
