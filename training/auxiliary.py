"""Trains the networks that stand beside a recipe's: the gate before them, and the router of a mixture."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def train(
    network: nn.Module, pixels: Tensor, labels: Tensor, *, epochs: int, batch_size: int, lr: float, weight_decay: float,
    augment: Callable[[Tensor], Tensor] | None = None,
) -> nn.Module:  # fmt: skip
    """The network, in evaluation mode, after AdamW with a one-cycle schedule on the processor.

    pixels: uint8 [N, 1, H, W], which it takes as float in 0..1; labels: int64 [N]. augment: changes half of each batch; the other half
    stays as pictures come.
    """
    network = network.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, epochs * -(-len(labels) // batch_size))
    for _ in range(epochs):
        for batch in torch.randperm(len(labels)).split(batch_size):
            images = pixels[batch].float() / 255
            if augment:
                half = len(batch) // 2
                images[:half] = augment(images[:half])
            with torch.autocast("cpu", torch.bfloat16):
                logits = network(images.contiguous(memory_format=torch.channels_last))
            optimizer.zero_grad()
            nn.functional.cross_entropy(logits.float(), labels[batch]).backward()
            optimizer.step()
            schedule.step()
    return network.eval().to(memory_format=torch.contiguous_format)
