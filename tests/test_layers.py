"""Layers that do the same sums in fewer passes: same answers, same gradients, same names of the weights."""

import pytest
import torch
from torch import nn

from tests import tiny
from training.layers import ACTIVATIONS, POOLING, NarrowConvolution, PooledConvolution, Tanh, WholeMapConvolution, activate_and_pool


def pictures() -> torch.Tensor:
    """Bars on a blank ground, where all four places of most windows are equal."""
    return torch.from_numpy(tiny.pictures(6, 0)[0].astype("float32"))[:, None].clamp(min=60) / 255


def three_in_a_row(layer: PooledConvolution, activation: str, pooling: str) -> nn.Module:
    """What a pooled convolution stands for, sharing its weights."""
    convolution = nn.Conv2d(1, 6, 5, padding=layer.padding)
    convolution.weight, convolution.bias = layer.weight, layer.bias
    return nn.Sequential(convolution, ACTIVATIONS[activation](), POOLING[pooling](2))


def gradients(layer: nn.Module, features: torch.Tensor) -> list[torch.Tensor]:
    layer.zero_grad()
    features = features.clone().requires_grad_()
    (layer(features) * torch.linspace(-1, 1, layer(features).numel()).view_as(layer(features))).sum().backward()
    return [features.grad, *(parameter.grad.clone() for parameter in layer.parameters())]


@pytest.mark.parametrize("pooling", POOLING)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("padding", [0, 2])
def test_a_pooled_convolution_is_convolution_activation_and_pooling(activation, pooling, padding):
    torch.manual_seed(0)
    layer = PooledConvolution(1, 6, 5, padding, activation, pooling)
    features = torch.rand(4, 1, 28, 28)
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    plain = three_in_a_row(layer, activation, pooling)
    expected, expected_gradients = plain(features), gradients(plain, features)
    torch.testing.assert_close(layer(features), expected)
    for ours, wanted in zip(gradients(layer, features), expected_gradients, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-4)


def test_windows_of_equal_places_pass_one_gradient_on_and_not_four():
    torch.manual_seed(0)
    layer = PooledConvolution(1, 6, 5, 2, "relu", "max")
    _, *expected = gradients(three_in_a_row(layer, "relu", "max"), pictures())
    _, *ours = gradients(layer, pictures())
    for mine, wanted in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-3, atol=1e-3)


def test_a_convolution_over_the_whole_map_is_a_matrix_product():
    torch.manual_seed(0)
    layer, features = WholeMapConvolution(16, 120, 5), torch.rand(3, 16, 5, 5).contiguous(memory_format=torch.channels_last)
    plain = nn.Conv2d(16, 120, 5)
    plain.weight, plain.bias = layer.weight, layer.bias
    expected, expected_gradients = plain(features), gradients(plain, features)
    assert layer(features).shape == (3, 120, 1, 1)
    torch.testing.assert_close(layer(features), expected)
    for ours, wanted in zip(gradients(layer, features), expected_gradients, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_narrow_convolution_is_a_convolution(layout):
    torch.manual_seed(0)
    layer = NarrowConvolution(6, 16, 5).to(memory_format=torch.channels_last)
    features = torch.rand(5, 6, 14, 14).contiguous(memory_format=layout)
    plain = nn.Conv2d(6, 16, 5)
    plain.weight, plain.bias = layer.weight, layer.bias
    expected, expected_gradients = plain(features), gradients(plain, features)
    torch.testing.assert_close(layer(features), expected)
    for ours, wanted in zip(gradients(layer, features), expected_gradients, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(features).dtype is torch.bfloat16
        assert all(gradient.dtype is torch.float32 for gradient in gradients(layer, features))


@pytest.mark.parametrize("pooling", POOLING)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_pooling_before_or_after_an_activation_is_the_same(activation, pooling):
    torch.manual_seed(0)
    features = torch.randn(3, 4, 8, 8)
    ours = nn.Sequential(*activate_and_pool(activation, pooling))
    plain = nn.Sequential(ACTIVATIONS[activation](), POOLING[pooling](2))
    torch.testing.assert_close(ours(features), plain(features))
    torch.testing.assert_close(gradients(ours, features), gradients(plain, features))


def test_tanh_by_sigmoid_is_tanh():
    features = torch.cat([torch.linspace(-120, 120, 2001), torch.tensor([0.0, 1e-6, -1e-6, float("inf"), float("-inf")])])
    torch.testing.assert_close(Tanh()(features), torch.tanh(features), rtol=0, atol=2.5e-7)
    for ours, wanted in zip(gradients(Tanh(), features), gradients(nn.Tanh(), features), strict=True):
        torch.testing.assert_close(ours, wanted, rtol=0, atol=1e-6)
    assert torch.isnan(Tanh()(torch.tensor([float("nan")]))).all()


def test_tanh_of_small_bfloat16_numbers_is_not_cancelled_out():
    features = torch.tensor([0.001, 0.002, -0.003, 0.005, 1.0], dtype=torch.bfloat16)
    torch.testing.assert_close(Tanh()(features), torch.tanh(features), rtol=0, atol=0)
    layers, images = nn.Sequential(nn.Linear(4, 4), Tanh()), torch.full((1, 4), 0.01)
    nn.init.constant_(layers[0].bias, 0.0)
    with torch.autocast("cpu", torch.bfloat16):
        between, answer = layers[0](images), layers(images)
    assert between.dtype is torch.bfloat16
    torch.testing.assert_close(answer, torch.tanh(between), rtol=0, atol=0)
