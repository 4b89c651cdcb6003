"""Reads weights back out of a published graph, so that a run can start from a network on the shelf.

The ONNX file is the only copy of the weights: its initializers keep torch's parameter names.
"""

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from jobs.config import ConfigError, RunConfig
from models import shelf
from training.networks import build


def start_weights(config: RunConfig, member: int) -> dict[str, Tensor]:
    """The state dict of `config.start_from` for one member; an ensemble's members take its members in turn.

    Raises ConfigError when the published network has another architecture than the configuration.
    """
    card = shelf.load_card(config.dataset, config.start_from)
    published = card.facts["config"]
    if len(card.facts.get("architectures", [])) > 1:
        raise ConfigError(f"{config.start_from} averages different architectures, which no one run can continue; start from scratch")
    wanted = config.to_dict()
    for name in architecture(config.network):
        before = published.get(name, RunConfig().to_dict()[name])  # a setting younger than the network had its default then
        if before != wanted[name]:
            raise ConfigError(
                f"{name} is {wanted[name]} but {config.start_from} was trained with {before}; use its value, or start from scratch"
            )
    graph = onnx.load_model_from_string(card.read_graph()).graph
    prefix = f"members.{member % card.facts['members']}."
    weights = build(config).state_dict()  # keeps what a graph does not hold: the counters of batch normalisation
    for each in graph.initializer:
        if each.name.startswith(prefix):
            weights[each.name.removeprefix(prefix)] = torch.from_numpy(numpy_helper.to_array(each).copy())
    return weights


def architecture(network: str) -> tuple[str, ...]:
    """The architecture settings that change the weights' shapes or meaning for a network."""
    own = {
        "fc": ("hidden", "activation", "batch_norm"),
        "lenet5": ("channels", "activation", "pooling", "batch_norm"),
        "mixpool": ("hidden", "channels", "batch_norm"),
        "softmax": (),
        "lenet5-1998": ("activation", "pooling"),
        "cnn": ("channels", "activation"),
        "lenet": ("channels", "hidden", "activation"),
        "resnet": ("channels", "activation"),
    }
    return ("dataset", "network", "standardise", *own[network])
