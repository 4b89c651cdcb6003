"""The gradient derived by hand against finite differences and autograd, and a softmax that does not overflow."""

import numpy as np
import pytest
import torch

from training.by_hand import descend, loss_and_gradients, softmax


@pytest.fixture
def problem() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.normal(size=(4, 6)), random.normal(size=4), random.normal(size=(5, 6)), np.array([0, 3, 1, 1, 2])


def test_the_gradient_agrees_with_finite_differences(problem):
    weight, bias, images, labels = problem
    _, by_weight, by_bias = loss_and_gradients(weight, bias, images, labels)
    for values, gradient in ((weight, by_weight), (bias, by_bias)):
        for place in np.ndindex(values.shape):
            losses = []
            for step in (1e-6, -1e-6):
                values[place] += step
                losses.append(loss_and_gradients(weight, bias, images, labels)[0])
                values[place] -= step
            assert (losses[0] - losses[1]) / 2e-6 == pytest.approx(gradient[place], abs=1e-8)


def test_the_gradient_agrees_with_autograd(problem):
    weight, bias, images, labels = problem
    loss, by_weight, by_bias = loss_and_gradients(weight, bias, images, labels)
    torch_weight, torch_bias = (torch.tensor(each, requires_grad=True) for each in (weight, bias))
    expected = torch.nn.functional.cross_entropy(torch.tensor(images) @ torch_weight.T + torch_bias, torch.tensor(labels))
    expected.backward()
    assert loss == pytest.approx(float(expected.detach()), rel=1e-12)
    np.testing.assert_allclose(by_weight, torch_weight.grad, atol=1e-12)
    np.testing.assert_allclose(by_bias, torch_bias.grad, atol=1e-12)


@pytest.mark.parametrize("size", [1e2, 1e4])
def test_large_logits_neither_overflow_nor_lose_the_loss(size):
    logits = np.array([[size, 0.0, -size], [size, size, size]], dtype=np.float32)
    with np.errstate(over="raise", invalid="raise"):
        np.testing.assert_allclose(softmax(logits), [[1, 0, 0], [1 / 3] * 3], atol=1e-6)
        weight, bias = np.diag(logits[0]), np.zeros(3, np.float32)
        loss, by_weight, _ = loss_and_gradients(weight, bias, np.ones((1, 3), np.float32), np.array([2]))
    assert loss == pytest.approx(2 * size)
    assert np.isfinite(by_weight).all()


def test_without_the_maximum_the_same_logits_overflow():
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        np.exp(np.float32(1e4))


def test_descending_lowers_the_loss(problem):
    weight, bias, images, labels = problem
    losses = [descend(weight, bias, images, labels, lr=0.1) for _ in range(50)]
    assert losses == sorted(losses, reverse=True)
