"""Published networks of MNIST in one graph, and a small one between them that tells which of them a picture is for.

The first knows MNIST's own images best, the others, which are averaged, also other hands and pens; both answers are mixed by shares that
a router reads from the picture: a mixture of experts (Jacobs, Jordan, Nowlan & Hinton 1991, Neural Computation 3). The experts come as
they are, and the router learns only from where an image is from, never from the experts' answers, which on training images are nearly
all right.
"""

import time
from typing import Any

import numpy as np
import torch
from torch import nn

from jobs.config import ConfigError, RunConfig
from models import shelf
from training import auxiliary, published
from training.data import Dataset
from training.export import as_json, describe, fit_temperature, predict, spread
from training.memory import keep_memory
from training.networks import Mixture, Served, count_parameters, new_router
from training.onnx_files import ExportError, check_parity, write_graph
from training.redrawn import redrawn

DATASET = "mnist"  # the other one has no other hands
EPOCHS, BATCH_SIZE, LR, WEIGHT_DECAY = 6, 256, 0.005, 0.01


def publish(first: str, others: list[str], name: str, data: Dataset) -> shelf.Card:
    """Mixes networks of the shelf, first the one for MNIST's own images, and publishes the mixture as `name`.

    Raises ShelfError, ConfigError and ExportError.
    """
    began = time.monotonic()
    cards = _cards([first, *others], name, data)
    of = [{"title": each.title, "sha256": each.sha256, "members": each.facts["members"], **published.layers(each)} for each in cards]
    one, *rest = [published.network(card) for card in cards]
    served = Mixture(one, rest, train_router(data)).eval()
    trained = sum(each.facts["run"]["seconds"] for each in cards) + time.monotonic() - began
    return _put(
        served, name, data, of, cards[0].facts["n_seeds"], {"seconds": round(trained, 1), "device": cards[0].facts["run"]["device"]}
    )


def widen(mixture: str, added: list[str], name: str, data: Dataset) -> shelf.Card:
    """Publishes a mixture of the shelf as `name` with more networks for MNIST's own images, averaged with those that it has.

    Its router and its networks for other hands stay as they are. Raises ShelfError, ConfigError and ExportError.
    """
    began = time.monotonic()
    cards = _cards(added, name, data)
    before = shelf.load_card(DATASET, mixture)
    if "mixture" not in before.facts:
        raise ConfigError(f"{mixture} is no mixture; give one that mix has published, or mix {mixture} with other networks")
    _demand_measurable([before], data)
    served = published.network(before)
    first, *others = before.facts["mixture"]["of"]
    there = [first["sha256"], *first.get("added", [])]
    if twice := [card.name for at, card in enumerate(cards) if card.sha256 in [*there, *(each.sha256 for each in cards[:at])]]:
        raise ConfigError(f"{twice[0]} would be in {mixture} twice and count double; leave it out")
    about = [first, *map(published.layers, cards)]
    if any(each["mirrored"] for each in about):
        raise ConfigError("networks that are averaged over mirror images cannot be averaged with others; leave them out")
    layers = [settings for each in about for settings in each["layers"]]
    members = [*served.first.members, *(member for each in cards for member in published.network(each).members)]
    served.first = Served(members).eval()
    logits, labels = _on_validation(served.first, data)
    temperature = round(fit_temperature(logits, labels), 4)  # as the card tells it, from which the mixture is built again
    served.first.temperature.fill_(temperature)
    told = {
        "title": " and ".join(dict.fromkeys([first["title"], *(each.title for each in cards)])),
        "sha256": first["sha256"], "members": len(members), "layers": layers, "temperature": temperature,
        "mirrored": False, "added": [*first.get("added", []), *(each.sha256 for each in cards)],
    }  # fmt: skip
    trained = sum(each.facts["run"]["seconds"] for each in (before, *cards)) + time.monotonic() - began
    seeds = spread([Served([member]).eval() for member in members], data, labels)
    return _put(served, name, data, [told, *others], seeds, before.facts["run"] | {"seconds": round(trained, 1)})


def _cards(names: list[str], name: str, data: Dataset) -> list[shelf.Card]:
    """The cards of networks that are to be in a mixture called name. Raises ShelfError, ConfigError and ExportError where they cannot be."""
    shelf.check_name(DATASET, name)
    if (DATASET, name) in shelf.KEPT or name in names:
        raise ExportError(f"the mixture cannot be called {name}, which is taken; choose another name with --name")
    cards = [shelf.load_card(DATASET, each) for each in names]
    if wrong := [card.name for card in cards if (DATASET, card.name) in shelf.KEPT]:
        raise ConfigError(f"{wrong[0]} has other classes than {DATASET}; mix other networks")
    _demand_measurable(cards, data)
    for card in cards:
        published.layers(card)  # refuses what is a mixture itself
    return cards


def _demand_measurable(cards: list[shelf.Card], data: Dataset) -> None:
    if data.is_sample and any(card.facts["data"]["origin"] == "full data set" for card in cards):
        raise ExportError(
            "these networks learned from what the bundled sample would measure the mixture by; give the full data set, by --data"
        )


def _put(served: Mixture, name: str, data: Dataset, of: list[dict[str, Any]], seeds: dict[str, Any], run: dict[str, Any]) -> shelf.Card:
    """Fits the temperature of a mixture, measures it and puts it on the shelf. of, seeds, run: what its card says of its experts, of the
    first one's networks alone, and of how they were trained."""
    logits, labels = _on_validation(served, data)
    served.temperature.fill_(fit_temperature(logits, labels))
    target = shelf.shelf_folder() / DATASET
    scratch = target / f".{name}.{time.monotonic_ns()}.onnx"
    try:
        write_graph(served, DATASET, scratch)
        check_parity(served, scratch, data.validation.pixels[:64])
        configs = [RunConfig.from_dict(settings) for expert in of for settings in expert["layers"]]
        card = describe(name, configs[0], served, data, scratch, configs)
        card |= {
            "members": sum(expert["members"] for expert in of),
            "averaged": True,
            "title": shelf.TITLES.get(name, f"Mixture · {time.strftime('%d %b %H:%M')}"),
            "mixture": {"of": of, "router": count_parameters(served.router)},
            "n_seeds": seeds,
            "run": run,
        }
        shelf.put(as_json(card), name, scratch, target)
    finally:
        scratch.unlink(missing_ok=True)
    return shelf.load_card(DATASET, name)


def _on_validation(served: Served, data: Dataset) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits before the temperature and labels of the validation images."""
    return predict(served, torch.from_numpy(np.array(data.validation.pixels))), torch.from_numpy(data.validation.labels)


def train_router(data: Dataset) -> nn.Module:
    """A network that tells MNIST's own training images from those drawn anew, in evaluation mode; two logits each, own ones first."""
    keep_memory()
    torch.manual_seed(0)
    other = redrawn("train", data)
    pixels = torch.from_numpy(np.concatenate([data.train.pixels, other.pixels]))
    sources = torch.cat([torch.zeros(len(data.train)), torch.ones(len(other))]).long()
    return auxiliary.train(new_router(), pixels, sources, epochs=EPOCHS, batch_size=BATCH_SIZE, lr=LR, weight_decay=WEIGHT_DECAY)
