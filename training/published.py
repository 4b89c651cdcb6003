"""Reads weights back out of a published graph, so that a run can start from a network on the shelf, or learn from its answers.

The ONNX file is the only copy of the weights: its initializers keep torch's parameter names.
"""

import dataclasses
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from jobs import events
from jobs.config import ConfigError, RunConfig, layers_of
from jobs.recipes import MIXED
from models import shelf
from models.datasets import DATASETS
from training.networks import Mixture, Served, build, new_router

SHA256 = {"start_from": "start_sha256", "teacher": "teacher_sha256"}  # what a run's started event tells of the networks that it learns from


def sha256s(config: RunConfig) -> dict[str, str]:
    """Of the graphs of `start_from` and `teacher`, for the started event; one that is not on the shelf is left out."""
    cards = {key: shelf.find_card(config.dataset, name) for setting, key in SHA256.items() if (name := getattr(config, setting))}
    return {key: card.sha256 for key, card in cards.items() if card}


def demand_unchanged(config: RunConfig, setting: str, folder: Path) -> None:
    """Raises ConfigError where the network that `setting` names is not the one that the run in `folder` began with, ShelfError where it
    is gone. setting: start_from or teacher."""
    name = getattr(config, setting)
    now = shelf.load_card(config.dataset, name).sha256
    told = [event for event in events.read(folder) if event["kind"] == "started"]
    before = told[-1].get(SHA256[setting], now) if told else now
    if before != now:
        raise ConfigError(
            f"{setting} is {name}, which was published anew since the run began with it (sha256 {before[:8]} then, {now[:8]} now); put the earlier {name} back on the shelf, or start a new run"
        )


def start_weights(config: RunConfig, member: int) -> dict[str, Tensor]:
    """The state dict of `config.start_from` for one member; an ensemble's members take its members in turn.

    Raises ConfigError when the published network has another architecture than the configuration.
    """
    card = card_of(config, "start_from")
    published = card.facts["config"]
    if card.is_mixed:
        raise ConfigError(MIXED.format(name=card.name))
    wanted = config.to_dict()
    for name in architecture(config.network):
        before = published.get(name, RunConfig().to_dict()[name])  # a setting younger than the network had its default then
        if before != wanted[name]:
            raise ConfigError(
                f"{name} is {wanted[name]} but {config.start_from} was trained with {before}; use its value, or start from scratch"
            )
    return _weights(onnx.load_model_from_string(card.read_graph()).graph, f"members.{member % card.facts['members']}.", build(config))


def network(card: shelf.Card) -> Served:
    """A published network as torch modules again, in evaluation mode. Raises ConfigError where it is of several kinds and its card does not
    say which."""
    graph = onnx.load_model_from_string(card.read_graph()).graph
    if "mixture" not in card.facts:
        return _served(graph, "", layers(card)).eval()
    first, *others = card.facts["mixture"]["of"]
    if any("layers" not in each for each in (first, *others)):
        raise ConfigError(MIXED.format(name=card.name))
    router = new_router()
    router.load_state_dict(_weights(graph, "router.", router))
    experts = [_served(graph, f"others.{number}.", each) for number, each in enumerate(others)]
    return Mixture(_served(graph, "first.", first), experts, router, card.facts["temperature"]).eval()


def layers(card: shelf.Card) -> dict[str, Any]:
    """What `network` builds the networks of a graph by: each one's configuration, and what is done with their answers. Raises ConfigError."""
    facts = card.facts
    told = facts.get("member_configs") or ([] if card.is_mixed else [facts["config"]] * facts["members"])
    if not told:
        raise ConfigError(MIXED.format(name=card.name))
    return {"layers": told, "temperature": facts["temperature"], "mirrored": facts["config"].get("mirrored", False)}


def _served(graph: onnx.GraphProto, prefix: str, about: dict[str, Any]) -> Served:
    """The networks whose weights' names begin with prefix; about: as `layers`."""
    members = []
    for number, settings in enumerate(about["layers"]):
        members.append(build(dataclasses.replace(RunConfig.from_dict(settings), start_from="", teacher="", publish="")))
        members[-1].load_state_dict(_weights(graph, f"{prefix}members.{number}.", members[-1]))
    return Served(members, about["temperature"], about["mirrored"])


def _weights(graph: onnx.GraphProto, prefix: str, fresh: torch.nn.Module) -> dict[str, Tensor]:
    weights = fresh.state_dict()  # keeps what a graph does not hold: the counters of batch normalisation
    found = {
        each.name.removeprefix(prefix): torch.from_numpy(numpy_helper.to_array(each).copy())
        for each in graph.initializer
        if each.name.startswith(prefix)
    }
    if missing := [name for name in weights if name not in found and not name.endswith("num_batches_tracked")]:
        raise ConfigError(
            f"the graph has no weights {', '.join(prefix + name for name in missing[:3])}, so no run can go on or learn from it; publish it anew by python -m training export"
        )
    return weights | found


def card_of(config: RunConfig, setting: str) -> shelf.Card:
    """The card of the network that `setting` names, start_from or teacher. Raises ShelfError, and ConfigError where it has other classes."""
    dataset, name = config.dataset, getattr(config, setting)
    card = shelf.load_card(dataset, name)
    if (dataset, name) in shelf.KEPT:
        raise ConfigError(f"{name} has other classes than {dataset}; choose another network to start or learn from")
    return card


def demand_same_images(card: shelf.Card, train_sha256: str) -> None:
    """Raises ConfigError where a network of an own data set learned from other training images than there are now.

    Those of an import that is made again are parted anew, and what it learned from may be among what would measure it. The full built-in
    sets are parted the same way always; of the bundled sample see `learned_before`.
    """
    learned = card.facts["data"].get("train_sha256", train_sha256)
    if card.dataset not in DATASETS and learned != train_sha256:
        raise ConfigError(
            f"{card.dataset}/{card.name} learned from an earlier import of these pictures, which parted them in another way: some of what it learned from would measure it now; train a new network on them"
        )


def learned_before(config: RunConfig, origin: str) -> str:
    """The network that a run of a built-in set starts or learns from and that may know the images which measure the run; empty for none.

    The bundled sample is drawn from the full sets, also from what their networks learn from: of MNIST's 500 test images there 446 are.
    origin: of the run's data, as cards tell it.
    """
    for name in (config.start_from, config.teacher) if config.dataset in DATASETS else ():
        if name and (card := shelf.find_card(config.dataset, name)) and measures_what_it_learned(card, origin):
            return name
    return ""


def measures_what_it_learned(card: shelf.Card, origin: str) -> bool:
    """Whether a network of a built-in set learned from the full one, or from the sample, and the other is to measure it. origin: of that."""
    about = card.facts["data"]
    return card.dataset in DATASETS and (about["origin"] != origin or bool(about.get("learned_before")))


def architecture(network: str) -> tuple[str, ...]:
    """The architecture settings that change the weights' shapes or meaning for a network."""
    return ("dataset", "network", "standardise", *(name for name in layers_of(network) if name != "dropout"))
