"""Checkpoints: one safetensors file with weights, optimizer state and random state, replaced by rename each epoch."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from models.errors import InklingError


class CheckpointError(InklingError):
    """A checkpoint cannot be used. The message names the file, the fault and the fix."""


def save(path: Path, network: nn.Module, optimizer: Optimizer, epochs_done: int) -> None:
    """Writes everything that continuing needs. Either the old file or the whole new one is there, never a part.

    Raises CheckpointError when it cannot be written.
    """
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    scalars: dict[str, Any] = {}
    for index, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{name}"] = value
            elif value is not None:
                scalars[f"{index}.{name}"] = value
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    facts = {"epochs_done": epochs_done, "scalars": scalars}
    partial = path.with_suffix(".partial")
    # clone: safetensors refuses tensors that share memory, and channels_last ones that are not contiguous
    try:
        save_file(
            {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}, partial, {"inkling": json.dumps(facts)}
        )
    except SafetensorError as error:
        partial.unlink(missing_ok=True)
        raise CheckpointError(f"{path} cannot be written ({str(error)[:120]}); free some space, or mend its rights, and resume") from None
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def load(path: Path, network: nn.Module, optimizer: Optimizer | None = None) -> int:
    """Restores what `save` wrote, into objects built from the same configuration; with an optimizer also the random state.

    Returns the number of whole epochs behind it.

    Raises CheckpointError when the file is damaged or of another network.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads(file.metadata()["inkling"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - safe_open is no dict
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); delete it to train this network again") from None
    weights = {name.removeprefix("network."): tensor for name, tensor in tensors.items() if name.startswith("network.")}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not fit its config.json ({str(error).splitlines()[0]}); delete it to train again") from None
    if optimizer is not None:
        _restore_optimizer(optimizer, tensors, facts["scalars"])
        torch.set_rng_state(tensors["random.cpu"])
        if "random.cuda" in tensors and torch.cuda.is_available():
            torch.cuda.set_rng_state(tensors["random.cuda"])
    return int(facts["epochs_done"])


def _restore_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor], scalars: dict[str, Any]) -> None:
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = tensor
    for name, value in scalars.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    # A fused step goes through memory as it lies: what belongs to a weight has to lie as it does, and convolutions' are channels_last.
    for parameter, kept in optimizer.state.items():
        for name, value in kept.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                kept[name] = torch.empty_like(parameter).copy_(value)
