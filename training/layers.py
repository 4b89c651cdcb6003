"""What a configuration's words for layers stand for, and layers that do the same sums in fewer passes on a CPU."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ShortCut:
    """A layer with a quicker way to the same answer on a CPU. The weights' names are those of the layer that it stands for."""

    is_plain = False  # set by training.together, whose batched tensors cannot take the quicker way

    def goes_plainly(self, features: Tensor) -> bool:
        """Whether to do as the layer is written: also on a GPU, and in an exported graph."""
        return self.is_plain or features.is_cuda or torch.compiler.is_exporting()


class _TanhBySigmoid(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, features: Tensor) -> Tensor:
        answer = torch.sigmoid(features * 2).mul_(2).sub_(1)
        context.save_for_backward(answer)
        return answer

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        (answer,) = context.saved_tensors
        return torch.ops.aten.tanh_backward(gradient, answer)


class Tanh(ShortCut, nn.Tanh):
    """tanh(x) as 2 sigmoid(2x) - 1 on a CPU, where torch has a sigmoid six times as fast; the two differ by up to 2e-7.

    Of bfloat16, which autocast hands on, the subtraction would leave nothing near zero.
    """

    def forward(self, features: Tensor) -> Tensor:
        """features: float, of any shape."""
        if self.goes_plainly(features) or features.dtype is not torch.float32:
            return super().forward(features)
        return _TanhBySigmoid.apply(features)


ACTIVATIONS = {"relu": nn.ReLU, "tanh": Tanh, "leaky_relu": nn.LeakyReLU, "silu": nn.SiLU}
MONOTONE = ("relu", "tanh", "leaky_relu")
POOLING = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}


def activate_and_pool(activation: str, pooling: str) -> tuple[nn.Module, nn.Module]:
    """An activation and 2x2 pooling. A maximum goes before an activation that rises, which leaves that a quarter of the work."""
    act, pool = ACTIVATIONS[activation](), POOLING[pooling](2)
    return (pool, act) if pooling == "max" and activation in MONOTONE else (act, pool)


FEW = 16  # maps: from here on a convolution fills the processor's vectors by itself


class LargestOfFour(torch.autograd.Function):
    """The maximum of four groups of maps, [N, 4 * maps, h, w] -> [N, maps, h, w]. Of equal ones the first gets the gradient,
    as in max pooling; torch's amax would share it out, which takes four times as long."""

    @staticmethod
    def forward(context: Any, windows: Tensor) -> Tensor:
        first, second, third, fourth = windows.chunk(4, 1)
        largest = torch.maximum(torch.maximum(first, second), torch.maximum(third, fourth))
        context.save_for_backward(windows, largest)
        return largest

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        windows, largest = context.saved_tensors
        gradients = torch.empty_like(windows)
        *parts, last = gradients.chunk(4, 1)
        left = last.copy_(gradient)  # what no group so far took
        for group, part in zip(windows.chunk(4, 1), parts, strict=False):
            torch.sub(group, largest, out=part)
            part.sign_().add_(1).mul_(left)  # by 1 or 0: a comparison and a selection take three times as long
            left.sub_(part)
        return gradients


class PooledConvolution(ShortCut, nn.Conv2d):
    """A convolution of few maps, its activation and 2x2 pooling, with the weights and the answers of the three one after the other.

    On a CPU it is one convolution of stride 2 with four times the maps, one for each place in a pooling window: few maps
    use a part of the processor's vectors, and pooling becomes a maximum or mean of whole planes. A maximum goes before an
    activation that rises, which leaves that a quarter of the work. Exported, it is the three. EXPERIMENTS.md has the figures.
    """

    def __init__(self, inputs: int, outputs: int, side: int, padding: int, activation: str, pooling: str) -> None:
        super().__init__(inputs, outputs, side, padding=padding)
        self.after = nn.Sequential(*activate_and_pool(activation, pooling))
        self.act = ACTIVATIONS[activation]()
        self.pools_first = pooling == "max" and activation in MONOTONE
        self.takes_maximum = pooling == "max"

    def forward(self, features: Tensor) -> Tensor:
        """features: float [N, inputs, H, W]; returns [N, outputs, h, w] with h and w half of what the convolution leaves."""
        if self.goes_plainly(features):
            return self.after(super().forward(features))
        shifts = [(across, 1 - across, down, 1 - down) for down in (0, 1) for across in (0, 1)]
        kernels = torch.cat([F.pad(_planes(self.weight), shift) for shift in shifts])
        windows = F.conv2d(_planes(features), kernels, self.bias.repeat(len(shifts)), stride=2, padding=self.padding)
        if not self.pools_first:
            windows = self.act(windows)
        pooled = LargestOfFour.apply(windows) if self.takes_maximum else windows.unflatten(1, (len(shifts), -1)).mean(1)
        return (self.act(pooled) if self.pools_first else pooled).contiguous(memory_format=torch.channels_last)


def _planes(tensor: Tensor) -> Tensor:
    """The tensor with its planes one after the other, and strides that say so: with one channel there is nothing to move."""
    return tensor.reshape(-1).view(tensor.shape)


class _InBothLayouts(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        context.save_for_backward(features, weight)
        return F.conv2d(features, weight, bias)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features, weight = context.saved_tensors

        def gradients(layout: torch.memory_format, *wanted: bool) -> tuple[Tensor, Tensor, Tensor]:
            tensors = (each.contiguous(memory_format=layout) for each in (gradient, features, weight))
            return torch.ops.aten.convolution_backward(*tensors, [len(weight)], [1, 1], [0, 0], [1, 1], False, [0, 0], 1, wanted)

        of_features, _, _ = gradients(torch.contiguous_format, True, False, False)
        _, of_weight, of_bias = gradients(torch.channels_last, False, True, True)
        return of_features, of_weight, of_bias


def convolve_narrowly(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A convolution of few maps, whose gradient by the input is taken plane by plane and that by the weights in channels_last: the
    quicker layout for either on a CPU (EXPERIMENTS.md). Under autocast, which would mix types, it is the usual one."""
    convolve = F.conv2d if torch.is_autocast_enabled("cpu") else _InBothLayouts.apply
    return convolve(features, weight, bias)


class NarrowConvolution(ShortCut, nn.Conv2d):
    """A convolution of few maps, without padding."""

    def forward(self, features: Tensor) -> Tensor:
        """features: float [N, inputs, H, W]; returns [N, outputs, h, w]."""
        if self.goes_plainly(features):
            return super().forward(features)
        return convolve_narrowly(features, self.weight, self.bias)


class WholeMapConvolution(ShortCut, nn.Conv2d):
    """A convolution whose kernel covers the whole map, which leaves one pixel: on a CPU one matrix product."""

    def forward(self, features: Tensor) -> Tensor:
        """features: float [N, inputs, side, side]; returns [N, outputs, 1, 1]."""
        if self.goes_plainly(features):
            return super().forward(features)
        return F.linear(features.flatten(1), self.weight.flatten(1), self.bias)[..., None, None]
