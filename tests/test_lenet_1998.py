"""The original LeNet-5: the paper's own counts, and which maps see which."""

import pytest
import torch

from jobs.config import RunConfig
from training.lenet_1998 import SEEN_BY_C3, PartialConvolution, Subsampling
from training.networks import build, count_parameters

CLASSIC = RunConfig(network="lenet5-1998", activation="tanh", pooling="avg")
# LeCun et al. 1998, section II.B: trainable parameters of each layer; the last is linear here.
PAPER = {"C1": 156, "S2": 12, "C3": 1_516, "S4": 32, "C5": 48_120, "F6": 10_164, "output": 850}


def test_every_layer_has_the_papers_number_of_parameters():
    layers = [count_parameters(layer) for layer in build(CLASSIC)[1] if count_parameters(layer)]
    assert layers == list(PAPER.values())


def test_a_gradient_reaches_exactly_the_s2_maps_of_table_1():
    c3 = PartialConvolution()
    for output, maps in enumerate(SEEN_BY_C3):
        features = torch.rand(1, 6, 14, 14, requires_grad=True)
        c3(features)[0, output].sum().backward()
        reached = features.grad.abs().sum((0, 2, 3)) > 0
        assert tuple(reached.nonzero()[:, 0].tolist()) == maps


def test_table_1_is_the_papers():
    assert [len(maps) for maps in SEEN_BY_C3] == [3] * 6 + [4] * 9 + [6]
    assert len(set(SEEN_BY_C3)) == 16
    assert [sum(seen in maps for maps in SEEN_BY_C3) for seen in range(6)] == [10] * 6


def test_subsampling_trains_one_coefficient_and_one_bias_a_map():
    layer = Subsampling(3)
    with torch.no_grad():
        layer.coefficient[1], layer.bias[1] = 2.0, 0.5
    answer = layer(torch.ones(1, 3, 2, 2))
    assert answer[0, :, 0, 0].tolist() == [1.0, 2.5, 1.0]
    answer.sum().backward()
    assert layer.coefficient.grad.flatten().tolist() == layer.bias.grad.flatten().tolist() == [4.0] * 3


@pytest.mark.parametrize("activation", ["tanh", "relu", "silu"])
@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_it_answers_with_the_options_of_the_tables(activation, pooling):
    network = build(RunConfig(network="lenet5-1998", activation=activation, pooling=pooling))
    assert network(torch.rand(3, 1, 28, 28)).shape == (3, 10)
