"""What a configuration's words for layers stand for."""

from torch import nn

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "leaky_relu": nn.LeakyReLU, "silu": nn.SiLU}
POOLING = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}
