"""python -m benchmarks.inference [--runs 300] [--json]

One picture through every network of the shelf: as served, by onnxruntime on one thread, beside the same weights in torch,
eagerly and on one thread too, the two taking turns. Also says whether both give the same probabilities.
"""

import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.common import hardware, parser, show, summary
from inference.classify import Classifier
from models import shelf
from models.datasets import DATASETS
from training import published
from training.data import sample

WARM_UP = 20  # runs that are not counted
SAME = 1e-4  # largest difference of a probability that counts as agreement: the limit of the export's own check


def time_call(function: Callable[[], object]) -> float:
    """Milliseconds of one call."""
    began = time.perf_counter()
    function()
    return (time.perf_counter() - began) * 1000


@torch.inference_mode()
def compare(card: shelf.Card, pixels: np.ndarray, runs: int) -> dict[str, object]:
    """One row of the table: medians of alternating runs, and the largest difference over all pixels, uint8 [N, 1, 28, 28]."""
    classifier, network = Classifier(card), published.network(card)
    one, tensor = pixels[:1], torch.from_numpy(pixels[:1].copy())
    served, eager = [], []
    for number in range(WARM_UP + runs):
        pair = time_call(lambda: classifier.probabilities(one)), time_call(lambda: network(tensor)[0].numpy())
        if number >= WARM_UP:
            served.append(pair[0])
            eager.append(pair[1])
    expected = network(torch.from_numpy(pixels.copy()))[0].numpy()
    difference = float(np.abs(classifier.probabilities(pixels) - expected).max())
    ours, usual = summary(served), summary(eager)
    return {
        "network": f"{card.dataset}/{card.name}",
        "parameters": card.parameters,
        "n": ours["n"],
        **{f"served {key} ms": ours[key] for key in ("median", "std", "p95")},
        **{f"torch {key} ms": usual[key] for key in ("median", "std", "p95")},
        "torch/served": usual["median"] / ours["median"],
        "difference": f"{difference:.0e}",
        "agree": "yes" if difference <= SAME else "no",
    }


def main() -> None:
    """Measures and prints."""
    arguments = parser(__doc__)
    arguments.add_argument("--runs", type=int, default=300, help="counted runs of each network (default: 300)")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    rows = [
        compare(card, sample(dataset).validation.pixels[:64], options.runs)
        for dataset in DATASETS
        for card in shelf.list_cards(dataset)
        if not card.is_mixed  # what torch can be given again
    ]
    show("one picture, one thread", rows, hardware("onnxruntime", "torch"), options.json)


if __name__ == "__main__":
    main()
