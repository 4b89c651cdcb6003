"""LeNet-5 as LeCun, Bottou, Bengio & Haffner describe it: "Gradient-based learning applied to document recognition",
Proc. IEEE 86(11), 1998, section II.B, but for its last layer, which is linear here and radial basis functions there.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jobs.config import RunConfig
from models.datasets import DatasetInfo
from training.layers import ACTIVATIONS, PooledConvolution, ShortCut, WholeMapConvolution, activate_and_pool, convolve_narrowly

# Table 1 of the paper: the S2 maps that each of the 16 C3 maps sees.
SEEN_BY_C3 = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    (0, 1, 2, 3, 4, 5),
)
SIDE = 5


class Subsampling(nn.Module):
    """What follows 2x2 pooling: one trainable coefficient and one trainable bias a map."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.coefficient = nn.Parameter(torch.ones(maps, 1, 1))
        self.bias = nn.Parameter(torch.zeros(maps, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        return features * self.coefficient + self.bias


class PartialConvolution(ShortCut, nn.Module):
    """The 5x5 convolution from S2 to C3, with the weights of Table 1's 60 connections and no others."""

    def __init__(self) -> None:
        super().__init__()
        pairs = [(output, seen) for output, maps in enumerate(SEEN_BY_C3) for seen in maps]
        self.weight = nn.Parameter(torch.empty(len(pairs), SIDE, SIDE))
        self.bias = nn.Parameter(torch.empty(len(SEEN_BY_C3)))
        # Where each connection lies among all 16 x 6; the rest takes a zero kernel, number 60.
        places = torch.full((len(SEEN_BY_C3) * 6,), len(pairs))
        places[[output * 6 + seen for output, seen in pairs]] = torch.arange(len(pairs))
        self.register_buffer("places", places)
        for output, maps in enumerate(SEEN_BY_C3):
            bound = (len(maps) * SIDE**2) ** -0.5  # torch's own bound for a convolution with this many inputs
            nn.init.uniform_(self.bias[output : output + 1], -bound, bound)
            for index, (of, _) in enumerate(pairs):
                if of == output:
                    nn.init.uniform_(self.weight[index], -bound, bound)

    def forward(self, features: Tensor) -> Tensor:
        kernels = F.pad(self.weight, (0, 0, 0, 0, 0, 1))[self.places]
        convolve = F.conv2d if self.goes_plainly(features) else convolve_narrowly
        return convolve(features, kernels.view(len(SEEN_BY_C3), 6, SIDE, SIDE), self.bias)


def lenet5_1998(config: RunConfig, facts: DatasetInfo) -> nn.Sequential:
    """C1 6@5x5, S2, C3 16@5x5 by Table 1, S4, C5 120@5x5, F6 84, and one linear output a class: 60,850 trainable numbers.

    The input is padded from 28x28 to the paper's 32x32. Activation and pooling follow the configuration; 1998's are
    tanh and avg.
    """
    act = ACTIVATIONS[config.activation]
    return nn.Sequential(
        PooledConvolution(1, 6, SIDE, 2, config.activation, config.pooling), nn.Identity(), Subsampling(6),
        PartialConvolution(), nn.Sequential(*activate_and_pool(config.activation, config.pooling)), Subsampling(16),
        WholeMapConvolution(16, 120, SIDE), act(), nn.Flatten(),
        nn.Linear(120, 84), act(), nn.Linear(84, len(facts.labels)),
    )  # fmt: skip
