"""Softmax regression without autograd: one linear layer, its gradient derived by hand, in NumPy.

With z = W x + b, p = softmax(z) and the loss L = -log p[y], the derivative of L by z is p - onehot(y): the normaliser's
derivative gives p, the true class's own term gives -1. By the chain rule dL/dW = (p - onehot(y)) x' and dL/db = p - onehot(y).
"""

import numpy as np


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities [N, classes] of logits [N, classes].

    The row's maximum is subtracted first. It cancels out, and without it exp overflows from logits of 89 on in float32.
    """
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def loss_and_gradients(
    weight: np.ndarray, bias: np.ndarray, images: np.ndarray, labels: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Mean cross entropy, and its gradients by weight [classes, features] and bias [classes].

    images: [N, features]. labels: whole numbers [N].
    """
    logits = images @ weight.T + bias
    shifted = logits - logits.max(1, keepdims=True)
    rows = np.arange(len(labels))
    loss = float((np.log(np.exp(shifted).sum(1)) - shifted[rows, labels]).mean())
    by_logits = softmax(logits)
    by_logits[rows, labels] -= 1
    by_logits /= len(labels)
    return loss, by_logits.T @ images, by_logits.sum(0)


def descend(weight: np.ndarray, bias: np.ndarray, images: np.ndarray, labels: np.ndarray, lr: float, weight_decay: float = 0.0) -> float:
    """One step of gradient descent on a batch, in place. Returns the loss before it."""
    loss, by_weight, by_bias = loss_and_gradients(weight, bias, images, labels)
    weight -= lr * (by_weight + weight_decay * weight)
    bias -= lr * by_bias
    return loss
