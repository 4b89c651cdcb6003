"""Losses, optimizers and learning-rate schedules, each a plain dict from name to function."""

import functools
import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from jobs.config import RunConfig
from training.lenet_1998 import PartialConvolution


def loss_function(config: RunConfig, logits: Tensor, labels: Tensor) -> Tensor:
    """Mean loss of a batch: logits float [N, classes], labels int64 [N], or a teacher's probabilities float [N, classes].

    From a teacher it is the divergence from its probabilities, both at `teacher_temperature`, times the temperature's square,
    which keeps gradients as large as they are with labels (Hinton, Vinyals & Dean 2015, arXiv:1503.02531, section 2).
    """
    if labels.is_floating_point():
        temperature = config.teacher_temperature
        return F.kl_div(F.log_softmax(logits / temperature, dim=1), labels, reduction="batchmean") * temperature**2
    if config.loss == "mse":
        return F.mse_loss(torch.softmax(logits, dim=1), _one_hot(labels, logits.shape[1]))
    if config.loss == "multi_margin":
        true = _one_hot(labels, logits.shape[1])  # torch's own has no kernel for several networks at once
        margins = (1 - (logits * true).sum(1, keepdim=True) + logits).clamp(min=0)
        return (margins * (1 - true)).mean()
    return F.cross_entropy(logits, labels, label_smoothing=config.label_smoothing)


def _one_hot(labels: Tensor, classes: int) -> Tensor:
    """float [N, classes]; torch's own looks at the labels' values, which neither vmap nor a CUDA graph can."""
    return (labels[:, None] == torch.arange(classes, device=labels.device)).float()


CAPTURABLE = ("sgd", "nag", "adam", "adamw", "rmsprop", "adadelta")


def build_optimizer(config: RunConfig, parameters: Iterable[Tensor], captured_on: torch.device | None = None) -> Optimizer:
    """The optimizer with the configuration's settings; what it does not name keeps torch's defaults.

    captured_on: the CUDA device on which its steps become part of a CUDA graph; only for one of CAPTURABLE.
    """
    lr = config.lr if captured_on is None else torch.tensor(config.lr, device=captured_on)  # a graph reads it anew each time
    capturable = {} if captured_on is None else {"capturable": True}
    shared = {"lr": lr, "weight_decay": config.weight_decay}
    fused = shared | {"fused": True}  # one pass over all weights: a third off an epoch of a large fully connected network
    optim = torch.optim
    return {
        "sgd": lambda: optim.SGD(parameters, momentum=config.momentum, **fused),
        "nag": lambda: optim.SGD(parameters, momentum=config.momentum, nesterov=config.momentum > 0, **fused),
        "adam": lambda: optim.Adam(parameters, **fused, **capturable),
        "adamw": lambda: optim.AdamW(parameters, **fused, **capturable),
        "rmsprop": lambda: optim.RMSprop(parameters, **shared, **capturable),
        "adagrad": lambda: optim.Adagrad(parameters, **shared),
        "adadelta": lambda: optim.Adadelta(parameters, **shared, **capturable),
    }[config.optimizer]()


def lr_at(config: RunConfig, step: int, steps: int) -> float:
    """Learning rate of iteration `step` (0-based) of `steps`: a pure function, so that resuming needs no scheduler state.

    one_cycle warms up linearly over a fifth of the run and falls along a cosine to zero (Smith 2018, arXiv:1803.09820).
    """
    done = step / steps
    if config.schedule == "step":
        cuts = step // config.step_every
        return config.lr * config.step_gamma ** (min(cuts, config.step_cuts) if config.step_cuts else cuts)
    if config.schedule == "cosine":
        return config.lr * (1 + math.cos(math.pi * done)) / 2
    if config.schedule == "one_cycle":
        warm_up = max(1, round(0.2 * steps))
        if step < warm_up:
            return config.lr * (step + 1) / warm_up
        return config.lr * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up))) / 2
    return config.lr


class Step(NamedTuple):
    """What one iteration uses. penalty: coefficient of `mean_squared_weights`, beside the loss summed over the batch."""

    lr: float
    batch_size: int
    penalty: float = 0.0


class Stage(NamedTuple):
    """A stretch of a run over which lr, batch size and penalty go from their first to their second value in a straight line."""

    iterations: int
    lr: tuple[float, float]
    batch_size: tuple[int, int]
    penalty: tuple[float, float]


# A course report, R4: "two-stage dynamic schedule", renewed every 50 iterations.
TWO_STAGE = (
    Stage(iterations=1400, lr=(0.00375, 0.0025), batch_size=(200, 300), penalty=(100.0, 400.0)),
    Stage(iterations=6000, lr=(0.0002, 1e-8), batch_size=(400, 600), penalty=(100.0, 0.0)),
)
RENEWED_EVERY = 50


def epoch_plan(config: RunConfig, epoch: int, images: int) -> tuple[Step, ...]:
    """The iterations of an epoch (0-based) over a number of training images. A pure function, as lr_at is."""
    if config.schedule == "two_stage":
        return _two_stage(config.epochs, images)[epoch]
    size = min(config.batch_size, images)
    steps = images // size  # the rest of a permutation sits this epoch out: every step has the same shape
    return tuple(Step(lr_at(config, epoch * steps + step, config.epochs * steps), size) for step in range(steps))


@functools.lru_cache(maxsize=4)
def _two_stage(epochs: int, images: int) -> tuple[tuple[Step, ...], ...]:
    """R4's schedule, iteration by iteration, stretched over any number of images in all; 62 epochs of MNIST are its own length.

    An epoch takes as many iterations as bring it nearest to all its images, and its batches share what is left over or missing: a batch of
    the few that are left would weigh as much as the others.
    """
    whole = sum(stage.iterations * sum(stage.batch_size) / 2 for stage in TWO_STAGE)
    stretch = epochs * images / whole
    plan, iteration, behind = [], 0, 0.0
    for _ in range(epochs):
        steps, seen = [], behind  # what the epochs before have seen too few or too many by the schedule's own sizes
        while True:
            lr, size, penalty = _renewed(iteration // RENEWED_EVERY * RENEWED_EVERY / stretch)
            size = min(size, images)
            if steps and seen + size / 2 > images:
                break
            steps.append(Step(lr, size, penalty))
            seen += size
            iteration += 1
        behind = seen - images
        ends = np.cumsum([step.batch_size for step in steps])
        sizes = np.diff(np.rint(ends * images / ends[-1]).astype(int), prepend=0)
        plan.append(tuple(step._replace(batch_size=int(size)) for step, size in zip(steps, sizes, strict=True)))
    return tuple(plan)


def _renewed(iteration: float) -> tuple[float, float, float]:
    """lr, batch size and penalty of R4's schedule at an iteration of its own."""
    for stage in TWO_STAGE:
        if iteration < stage.iterations or stage is TWO_STAGE[-1]:
            along = min(iteration / stage.iterations, 1.0)
            return tuple(first + (last - first) * along for first, last in stage[1:])
        iteration -= stage.iterations


def mean_squared_weights(network: nn.Module) -> Tensor:
    """The sum over all layers but the last of the mean of the squared weights, R4's L2 term; 0 for a network of one layer."""
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear | PartialConvolution)]
    if len(layers) == 1:
        return layers[0].weight.new_zeros(())
    return torch.stack([layer.weight.square().mean() for layer in layers[:-1]]).sum()
