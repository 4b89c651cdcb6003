"""Published networks of MNIST in one graph, and a small one between them that tells which of them a picture is for.

The first knows MNIST's own images best, the others, which are averaged, also other hands and pens; both answers are mixed by shares that
a router reads from the picture: a mixture of experts (Jacobs, Jordan, Nowlan & Hinton 1991, Neural Computation 3). The experts come as
they are, and the router learns only from where an image is from, never from the experts' answers, which on training images are nearly
all right.
"""

import time

import numpy as np
import torch
from torch import nn

from jobs.config import ConfigError, RunConfig
from models import shelf
from training import auxiliary, published
from training.data import Dataset
from training.export import ExportError, as_json, check_parity, describe, fit_temperature, predict, write_graph
from training.memory import keep_memory
from training.networks import Mixture, count_parameters, new_router
from training.redrawn import redrawn

DATASET = "mnist"  # the other one has no other hands
EPOCHS, BATCH_SIZE, LR, WEIGHT_DECAY = 6, 256, 0.005, 0.01


def publish(first: str, others: list[str], name: str, data: Dataset) -> shelf.Card:
    """Mixes networks of the shelf, first the one for MNIST's own images, and publishes the mixture as `name`.

    Raises ShelfError, ConfigError and ExportError.
    """
    began = time.monotonic()
    shelf.check_name(DATASET, name)
    if (DATASET, name) in shelf.KEPT or name in (first, *others):
        raise ExportError(f"the mixture cannot be called {name}, which is taken; choose another name with --name")
    cards = [shelf.load_card(DATASET, each) for each in (first, *others)]
    if wrong := [card.name for card in cards if (DATASET, card.name) in shelf.KEPT]:
        raise ConfigError(f"{wrong[0]} has other classes than {DATASET}; mix other networks")
    if data.is_sample and any(card.facts["data"]["origin"] == "full data set" for card in cards):
        raise ExportError(
            "these networks learned from what the bundled sample would measure the mixture by; give the full data set, by --data"
        )
    layers = [published.layers(card) for card in cards]  # refuses what is a mixture itself
    one, *rest = [published.network(card) for card in cards]
    router = train_router(data)
    pixels, labels = torch.from_numpy(np.array(data.validation.pixels)), torch.from_numpy(data.validation.labels)
    served = Mixture(one, rest, router).eval()
    served.temperature.fill_(fit_temperature(predict(served, pixels), labels))
    target = shelf.shelf_folder() / DATASET
    scratch = target / f".{name}.{time.monotonic_ns()}.onnx"
    try:
        write_graph(served, DATASET, scratch)
        check_parity(served, scratch, data.validation.pixels[:64])
        configs = [RunConfig.from_dict(card.facts["config"]) for card in cards]
        card = describe(name, configs[0], served, data, scratch, configs)
        card |= {
            "members": sum(each.facts["members"] for each in cards),
            "averaged": True,
            "title": shelf.TITLES.get(name, f"Mixture · {time.strftime('%d %b %H:%M')}"),
            "mixture": {
                "of": [
                    {"title": each.title, "sha256": each.sha256, "members": each.facts["members"], **about}
                    for each, about in zip(cards, layers, strict=True)
                ],
                "router": count_parameters(router),
            },
            "n_seeds": cards[0].facts["n_seeds"],
            "run": {
                "seconds": round(sum(each.facts["run"]["seconds"] for each in cards) + time.monotonic() - began, 1),
                "device": cards[0].facts["run"]["device"],
            },
        }
        shelf.put(as_json(card), name, scratch, target)
    finally:
        scratch.unlink(missing_ok=True)
    return shelf.load_card(DATASET, name)


def train_router(data: Dataset) -> nn.Module:
    """A network that tells MNIST's own training images from those drawn anew, in evaluation mode; two logits each, own ones first."""
    keep_memory()
    torch.manual_seed(0)
    other = redrawn("train", data)
    pixels = torch.from_numpy(np.concatenate([data.train.pixels, other.pixels]))
    sources = torch.cat([torch.zeros(len(data.train)), torch.ones(len(other))]).long()
    return auxiliary.train(new_router(), pixels, sources, epochs=EPOCHS, batch_size=BATCH_SIZE, lr=LR, weight_decay=WEIGHT_DECAY)
