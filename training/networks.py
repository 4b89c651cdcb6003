"""The architectures: fully connected, LeNet-5, CNNs, and the graph that serves one or several of them.

Every network takes images, float [N, C, H, W] in 0..1 of its data set's shape, and returns logits, float [N, classes]. The
normalisation is its first layer, so that weights never travel without it.
"""

import math
from functools import partial

import torch
from torch import Tensor, nn

from jobs.config import LARGE, RunConfig
from models import datasets
from models.datasets import DatasetInfo
from training.layers import ACTIVATIONS, FEW, NarrowConvolution, PooledConvolution, WholeMapConvolution, activate_and_pool
from training.lenet_1998 import lenet5_1998

INITS = {
    "xavier": nn.init.xavier_uniform_,  # Glorot & Bengio 2010, equation 16
    "kaiming": partial(nn.init.kaiming_uniform_, nonlinearity="relu"),  # He et al. 2015, arXiv:1502.01852, equation 10
}
ROUTER = (8, 16, 32)  # channels of a mixture's router


class Normalise(nn.Module):
    """(images - mean) / std with the data set's constants, kept as buffers."""

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std


def fully_connected(config: RunConfig, facts: DatasetInfo) -> nn.Sequential:
    """Flatten, then any number of hidden layers of any width."""
    layers: list[nn.Module] = [nn.Flatten()]
    width = math.prod(facts.shape)
    for hidden in config.hidden:
        layers.append(nn.Linear(width, hidden))
        if config.batch_norm:
            layers.append(nn.BatchNorm1d(hidden))
        layers.append(ACTIVATIONS[config.activation]())
        layers.append(nn.Dropout(config.dropout))
        width = hidden
    layers.append(nn.Linear(width, len(facts.labels)))
    return nn.Sequential(*layers)


def lenet5(config: RunConfig, facts: DatasetInfo) -> nn.Sequential:
    """LeNet-5's five layers: three 5x5 convolutions and two linear ones (LeCun et al. 1998, section II.B).

    The first convolution pads 28x28 to the paper's 32x32; the third sees a 5x5 map and leaves one pixel.
    """

    act = ACTIVATIONS[config.activation]

    def normalised(convolution: nn.Conv2d) -> list[nn.Module]:
        return [convolution, *([nn.BatchNorm2d(convolution.out_channels)] if config.batch_norm else [])]

    def pooled(convolution: nn.Conv2d) -> list[nn.Module]:
        return [*normalised(convolution), *activate_and_pool(config.activation, config.pooling)]

    first, second, third = config.channels
    if first < FEW and not config.batch_norm:
        # The two that it does the work of keep their places: weights are named by place, in checkpoints and published graphs.
        opening = [PooledConvolution(1, first, 5, 2, config.activation, config.pooling), nn.Identity(), nn.Identity()]
    else:
        opening = pooled(nn.Conv2d(1, first, 5, padding=2))
    layers = [
        *opening,
        *pooled((NarrowConvolution if first < FEW else nn.Conv2d)(first, second, 5)),
        *normalised(WholeMapConvolution(second, third, 5)),
        act(),
        nn.Flatten(),
        nn.Linear(third, 84),
        nn.Dropout(config.dropout),  # before the activation, as R7 has it: for tanh it is not the same after it
        act(),
        nn.Linear(84, len(facts.labels)),
    ]
    return nn.Sequential(*layers)


def plain_cnn(config: RunConfig, facts: DatasetInfo) -> nn.Sequential:
    """Stages of two 3x3 convolutions with batch normalisation, the size halved between stages by max pooling.

    The first stage sees the whole picture: halving 28x28 by stride at once costs a point on garments (EXPERIMENTS.md).
    After Simonyan & Zisserman 2014, arXiv:1409.1556, with an average over the plane in place of their wide layers.
    """
    layers: list[nn.Module] = []
    width = facts.channels
    for stage, channels in enumerate(config.channels):
        if stage:
            layers.append(nn.MaxPool2d(2))
        for inputs in (width, channels):
            layers += [nn.Conv2d(inputs, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), ACTIVATIONS[config.activation]()]
        width = channels
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(config.dropout), nn.Linear(width, len(facts.labels))]
    return nn.Sequential(*layers)


def unpadded_cnn(config: RunConfig, facts: DatasetInfo) -> nn.Sequential:
    """Convolutions with batch normalisation that neither pad nor pool, so that each takes kernel - 1 pixels off, and one linear layer.

    After An et al. 2020, arXiv:2008.10400, whose M5 and M7 these are with kernels of 5 and 7; without the batch
    normalisation behind their linear layer.
    """
    layers: list[nn.Module] = []
    width, taken = facts.channels, len(config.channels) * (config.kernel - 1)
    for channels in config.channels:
        layers += [nn.Conv2d(width, channels, config.kernel, bias=False), nn.BatchNorm2d(channels), ACTIVATIONS[config.activation]()]
        width = channels
    features = width * (facts.height - taken) * (facts.width - taken)
    layers += [nn.Flatten(), nn.Dropout(config.dropout), nn.Linear(features, len(facts.labels))]
    return nn.Sequential(*layers)


class MixedPool(nn.Module):
    """Half the maximum and half the average of each 2x2 window; at an odd edge the window is cut off (TensorFlow's SAME)."""

    def __init__(self) -> None:
        super().__init__()
        self.max, self.avg = (kind(2, ceil_mode=True) for kind in (nn.MaxPool2d, nn.AvgPool2d))

    def forward(self, features: Tensor) -> Tensor:
        return (self.max(features) + self.avg(features)) / 2


def mixed_pooling_cnn(config: RunConfig, facts: DatasetInfo) -> nn.Sequential:
    """3x3 convolutions, each with ReLU and mixed pooling, then wide linear layers with leaky ReLU and dropout (a course report, R4)."""

    def normalised(kind: type[nn.Module], width: int) -> list[nn.Module]:
        return [kind(width)] if config.batch_norm else []

    layers: list[nn.Module] = []
    width, height, across = facts.shape
    for channels in config.channels:
        layers += [nn.Conv2d(width, channels, 3, padding=1), *normalised(nn.BatchNorm2d, channels), nn.ReLU(), MixedPool()]
        width, height, across = channels, (height + 1) // 2, (across + 1) // 2
    layers.append(nn.Flatten())
    width *= height * across
    for hidden in config.hidden:
        layers += [nn.Linear(width, hidden), *normalised(nn.BatchNorm1d, hidden), nn.LeakyReLU(0.2), nn.Dropout(config.dropout)]
        width = hidden
    for layer in layers:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.constant_(layer.bias, 0.1)
    return nn.Sequential(*layers, nn.Linear(width, len(facts.labels)))


def softmax_regression(config: RunConfig, facts: DatasetInfo) -> nn.Sequential:
    """One linear layer. fit.HandMember trains it without autograd."""
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(facts.shape), len(facts.labels)))


def lenet_like(config: RunConfig, facts: DatasetInfo) -> nn.Sequential:
    """Two 5x5 convolutions, each with activation and 2x2 maximum, then linear layers (a course report, R2).

    Neither convolution pads; how many numbers the first linear layer sees follows from the picture's size.
    """
    first, second = config.channels
    act = ACTIVATIONS[config.activation]
    layers: list[nn.Module] = []
    height, across = facts.height, facts.width
    for inputs, outputs in ((facts.channels, first), (first, second)):
        layers += [nn.Conv2d(inputs, outputs, 5), act(), nn.MaxPool2d(2)]
        height, across = (height - 4) // 2, (across - 4) // 2
    layers.append(nn.Flatten())
    width = second * height * across
    for hidden in config.hidden:
        layers += [nn.Linear(width, hidden), act()]
        width = hidden
    return nn.Sequential(*layers, nn.Linear(width, len(facts.labels)))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation around which the input is added (He et al. 2015, arXiv:1512.03385).

    Where stride or channels change, a 1x1 convolution takes the input along (their option B).
    """

    def __init__(self, inputs: int, outputs: int, stride: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(outputs), activation(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs),
        )  # fmt: skip
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))
        self.activation = activation()

    def forward(self, features: Tensor) -> Tensor:
        return self.activation(self.residual(features) + self.shortcut(features))


def small_resnet(config: RunConfig, facts: DatasetInfo) -> nn.Sequential:
    """A 3x3 convolution, residual blocks, the size halved between stages, and an average over the plane.

    With one block a stage and 32, 64 and 128 channels it has 0.3 million weights; three, with 16, 32 and 64, are the ResNet-20 of
    He et al. 2015 (section 4.2; its shortcuts are their option B). Pictures from 64 pixels on are halved by the first convolution too,
    which quarters the work.
    """
    act = ACTIVATIONS[config.activation]
    width = config.channels[0]
    stride = 2 if min(facts.height, facts.width) >= LARGE else 1
    layers: list[nn.Module] = [
        nn.Conv2d(facts.channels, width, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(width), act(),
    ]  # fmt: skip
    for stage, channels in enumerate(config.channels):
        for block in range(config.blocks):
            layers.append(ResidualBlock(width, channels, 2 if stage and not block else 1, act))
            width = channels
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(config.dropout), nn.Linear(width, len(facts.labels))]
    return nn.Sequential(*layers)


NETWORKS = {
    "lenet": lenet_like,
    "resnet": small_resnet,
    "softmax": softmax_regression,
    "mixpool": mixed_pooling_cnn,
    "fc": fully_connected,
    "lenet5": lenet5,
    "lenet5-1998": lenet5_1998,
    "cnn": plain_cnn,
    "unpadded": unpadded_cnn,
}


def build(config: RunConfig) -> nn.Sequential:
    """One network of the configuration's architecture, normalisation included, with fresh weights.

    A batch-normalised layer makes the bias before it redundant; it is kept where the classic network has one.
    """
    facts = datasets.info(config.dataset)
    mean, std = (facts.mean, facts.std) if config.standardise else (0.0, 1.0)
    network = nn.Sequential(Normalise(mean, std), NETWORKS[config.network](config, facts))
    if config.init != "default":
        for layer in network.modules():
            if isinstance(layer, nn.Linear):
                INITS[config.init](layer.weight)
    return network


def count_parameters(network: nn.Module) -> int:
    """Trainable numbers in the network."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


class Served(nn.Module):
    """The published graph: uint8 pixels in, probabilities and logits out; one member or the average of several.

    Scaling, normalisation, temperature (Guo et al. 2017, arXiv:1706.04599), softmax and averaging are inside.
    `mirrored` also shows each member the left-right mirror image, for data sets in which that changes nothing.
    """

    def __init__(self, members: list[nn.Module], temperature: float = 1.0, mirrored: bool = False) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.register_buffer("temperature", torch.tensor(temperature))
        self.mirrored = mirrored

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """pixels uint8 [N, C, H, W] -> probabilities float32 [N, classes], logits = log(probabilities) up to a constant."""
        images = pixels.float() / 255
        logits = self.average_logits(images) / self.temperature
        return torch.softmax(logits, dim=1), logits

    def average_logits(self, images: Tensor) -> Tensor:
        """Logits before the temperature. Several members: log of their mean probability; one: its own logits."""
        views = [images, images.flip(3)] if self.mirrored else [images]
        logits = [member(view) for member in self.members for view in views]
        if len(logits) == 1:
            return logits[0]
        probabilities = torch.stack([torch.softmax(each, dim=1) for each in logits]).mean(0)
        return torch.log(probabilities.clamp_min(1e-12))


class Mixture(Served):
    """The published graph of a mixture of experts: uint8 pixels in, probabilities and logits out, as `Served`.

    first: the expert for the data set's own images. others: those for other hands and pens, whose probabilities are averaged.
    router: images, float [N, 1, 28, 28] in 0..1 -> logits, float [N, 2], of being one of the first expert's and one of the others'.
    """

    def __init__(self, first: Served, others: list[Served], router: nn.Module, temperature: float = 1.0) -> None:
        super().__init__([], temperature)
        self.first, self.others, self.router = first, nn.ModuleList(others), router

    def average_logits(self, images: Tensor) -> Tensor:
        """Logits before the temperature: the logarithm of the experts' probabilities, each at its own temperature, in the router's shares."""
        first, *others = (torch.softmax(each.average_logits(images) / each.temperature, dim=1) for each in (self.first, *self.others))
        share = torch.softmax(self.router(images), dim=1)[:, :1]
        return torch.log((share * first + (1 - share) * torch.stack(others).mean(0)).clamp_min(1e-12))


def new_router() -> nn.Sequential:
    """A mixture's router with fresh weights: a small CNN with two logits, for MNIST's 28x28 grey pictures."""
    about = datasets.info("mnist")
    body = plain_cnn(RunConfig(dataset="mnist", network="cnn", channels=ROUTER), about)
    body[-1] = nn.Linear(ROUTER[-1], 2)
    return nn.Sequential(Normalise(about.mean, about.std), body)
