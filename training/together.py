"""Many small networks as one: runs that differ only in lr, momentum and seed train as one batched model (torch.func).

A network of 60,000 parameters leaves a GPU idle between its kernels, whatever the batch; with K of them stacked, each
kernel does K times the work in little more than the same time. The arithmetic is that of training.fit: the same first
weights, the same order of images for a seed, the same updates; only sums are rounded in another order.

Augmentation and dropout are the exception. They draw from torch's global generator, for all networks of a group at once:
with them a cell's result depends on which cells are in its group. And training.fit takes the order of images from that
generator too, so that on a CPU, where they draw from it in between, its orders are others from the second epoch on.
"""

import dataclasses
import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from jobs.config import ConfigError, RunConfig
from training.augmentation import AUGMENTATIONS
from training.fit import Tensors, uses_bfloat16
from training.layers import ShortCut
from training.networks import build
from training.optimization import epoch_plan, loss_function
from training.replay import Replayed

OWN = ("lr", "momentum", "seed")  # may differ between the networks of a group
OPTIMIZERS = ("sgd", "nag", "adam")
ADAM = (0.9, 0.999, 1e-8)  # Kingma & Ba 2015, and torch's defaults
CHUNK = 250  # images at once when measuring
CURVE = ("train_loss", "val_loss", "val_accuracy")


def group_of(config: RunConfig) -> RunConfig | None:
    """What the configurations of one group have in common, or None for a run that has to be trained alone."""
    alone = (
        config.optimizer not in OPTIMIZERS
        or config.batch_norm  # its running averages are changed in place
        or config.schedule == "two_stage"  # batch sizes that change
        or config.network in ("cnn", "resnet", "unpadded")  # always batch-normalised
        or config.network == "softmax"  # by hand
        or config.members > 1
        or config.mirrored  # when it is measured
        or config.start_from
        or config.teacher
        or config.redrawn  # which add images
        or config.corrections
    )
    return None if alone else dataclasses.replace(config, lr=1.0, momentum=0.0, seed=0, publish="", threads=0)


class Together:
    """K networks on one device. Raises ConfigError when the configurations do not form a group."""

    def __init__(self, configs: Sequence[RunConfig], device: torch.device) -> None:
        groups = {group_of(config) for config in configs}
        if len(groups) != 1 or None in groups:
            raise ConfigError(
                f"these {len(configs)} runs differ in more than {', '.join(OWN)}, or cannot be batched; train them one by one"
            )
        self.configs, self.device, self.config = list(configs), device, configs[0]
        networks, self.generators = [], []
        for config in configs:
            torch.manual_seed(config.seed)
            networks.append(build(config))
            # Goes on as training.fit's would, were nothing else drawn from it.
            self.generators.append(torch.Generator().set_state(torch.get_rng_state()))
        parameters, buffers = stack_module_state(networks)
        self.names = list(parameters)
        self.weights = [parameters[name].detach().to(device) for name in self.names]  # each [K, ...]
        self.buffers = {name: buffer.to(device) for name, buffer in buffers.items()}
        self.skeleton = networks[0].to(device)
        for layer in self.skeleton.modules():
            if isinstance(layer, ShortCut):
                layer.is_plain = True
        self.augment = AUGMENTATIONS[self.config.augmentation]
        bfloat16 = uses_bfloat16(self.config, device)
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=bfloat16, cache_enabled=False)  # a graph keeps no cache
        self.momentum = torch.tensor([config.momentum for config in configs], device=device)
        self.state = [torch.zeros_like(weight) for weight in self.weights]  # velocity, or Adam's first moment
        self.second = [torch.zeros_like(weight) for weight in self.weights] if self.config.optimizer == "adam" else []
        self.step = torch.zeros((), device=device)
        self.batch: Tensor | None = None

    def epoch(self, number: int, train: Tensors) -> Tensor:
        """Trains every network over all images once, in an order of its own; number is 0-based. Returns mean losses, float [K]."""
        pixels, labels = train
        plans = [epoch_plan(config, number, len(labels)) for config in self.configs]  # which differ in nothing but lr
        steps, size = len(plans[0]), plans[0][0].batch_size
        self.skeleton.train()
        order = torch.stack([torch.randperm(len(labels), generator=each) for each in self.generators]).to(self.device)  # [K, N]
        # All learning rates of the epoch at once, [steps, K]: nothing is computed twice, nothing crosses to the device in between.
        lrs = torch.tensor([[step.lr for step in plan] for plan in plans], device=self.device).T.contiguous()
        total = torch.zeros(len(self.configs), device=self.device)
        if self.batch is None:
            self.batch, self.lr = order[:, :size].clone(), lrs[0].clone()
            self.replayed = Replayed(lambda: self._train(pixels[self.batch], labels[self.batch], self.lr), self.device)
        with torch.no_grad():
            for step in range(steps):
                self.batch.copy_(order[:, step * size : (step + 1) * size])
                self.lr.copy_(lrs[step])
                total += self.replayed()
        return total / steps

    def _train(self, pixels: Tensor, labels: Tensor, lr: Tensor) -> Tensor:
        """pixels uint8 [K, B, C, H, W], labels int64 [K, B], lr float [K] -> losses float [K]."""
        images = self.augment(pixels.flatten(0, 1).float() / 255).view(pixels.shape)
        gradients, losses = self._gradients(dict(zip(self.names, self.weights, strict=True)), images, labels)
        self._update([gradients[name] for name in self.names], lr)
        return losses

    def _gradients(self, weights: dict[str, Tensor], images: Tensor, labels: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        def loss(one: dict[str, Tensor], buffers: dict[str, Tensor], images: Tensor, labels: Tensor) -> Tensor:
            with self.autocast:
                logits = functional_call(self.skeleton, (one, buffers), (images,))
            return loss_function(self.config, logits.float(), labels)

        return vmap(grad_and_value(loss), randomness="different")(weights, self.buffers, images, labels)

    def _update(self, gradients: list[Tensor], lr: Tensor) -> None:
        self.step += 1
        for index, (weight, gradient) in enumerate(zip(self.weights, gradients, strict=True)):
            shape = (-1, *[1] * (weight.dim() - 1))
            gradient = gradient + self.config.weight_decay * weight if self.config.weight_decay else gradient
            if self.config.optimizer == "adam":
                change = self._adam(index, gradient)
            else:
                momentum = self.momentum.view(shape)
                self.state[index].mul_(momentum).add_(gradient)
                change = gradient + momentum * self.state[index] if self.config.optimizer == "nag" else self.state[index]
            weight.sub_(lr.view(shape) * change)

    def _adam(self, index: int, gradient: Tensor) -> Tensor:
        first, second, epsilon = ADAM
        mean = self.state[index].lerp_(gradient, 1 - first)
        square = self.second[index].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        return (mean / (1 - first**self.step)) / ((square / (1 - second**self.step)).sqrt() + epsilon)

    def train(self, train: Tensors, validation: Tensors) -> list[list[dict[str, float]]]:
        """Trains to the last epoch. Returns, for each network, one object an epoch as training.fit tells it; seconds are the
        group's, divided by K."""
        curves: list[list[dict[str, float]]] = [[] for _ in self.configs]
        for epoch in range(self.config.epochs):
            began = time.perf_counter()
            train_losses = self.epoch(epoch, train)
            val_losses, val_accuracies = self.measure(validation)
            columns = torch.stack([train_losses, val_losses, val_accuracies], 1).tolist()  # waits for the device
            seconds = round((time.perf_counter() - began) / len(self.configs), 3)
            for curve, values in zip(curves, columns, strict=True):
                told = {name: round(value, 5) for name, value in zip(CURVE, values, strict=True)}
                curve.append({"member": 0, "epoch": epoch + 1, **told, "seconds": seconds})
        return curves

    @torch.inference_mode()
    def measure(self, split: Tensors) -> tuple[Tensor, Tensor]:
        """Mean cross entropies and accuracies of the networks on one split, float [K] each."""
        pixels, labels = split
        self.skeleton.eval()

        def logits(one: dict[str, Tensor], buffers: dict[str, Tensor], images: Tensor) -> Tensor:
            with self.autocast:
                return functional_call(self.skeleton, (one, buffers), (images,)).float()

        weights = dict(zip(self.names, self.weights, strict=True))
        answer = vmap(logits, in_dims=(0, 0, None))
        loss = torch.zeros(len(self.configs), device=self.device)
        right = torch.zeros_like(loss)
        for chunk, wanted in zip(pixels.split(CHUNK), labels.split(CHUNK), strict=True):
            told = answer(weights, self.buffers, chunk.float() / 255)  # [K, N, classes]
            per_network = told.flatten(0, 1), wanted.repeat(len(self.configs))
            losses = nn.functional.cross_entropy(*per_network, reduction="none").view(len(self.configs), -1)
            loss += losses.sum(1)
            right += (told.argmax(2) == wanted).sum(1)
        return loss / len(labels), right / len(labels)
