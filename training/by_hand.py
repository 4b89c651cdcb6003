"""Softmax regression without autograd: one linear layer, its gradient derived by hand, in NumPy.

With z = W x + b, p = softmax(z) and the loss L = -log p[y], the derivative of L by z is p - onehot(y): the normaliser's
derivative gives p, the true class's own term gives -1. By the chain rule dL/dW = (p - onehot(y)) x' and dL/db = p - onehot(y).
"""

import numpy as np


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities [N, classes] of logits [N, classes].

    The row's maximum is subtracted first. It cancels out, and without it exp overflows from logits of 89 on in float32.
    """
    powers, total, _ = _powers(logits)
    return powers / total


def _powers(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """exp of the logits less their row's maximum, the rows' sums [N, 1] of that, and the logits so shifted."""
    shifted = logits - logits.max(1, keepdims=True)
    powers = np.exp(shifted)
    return powers, powers.sum(1, keepdims=True), shifted


def loss_and_gradients(
    weight: np.ndarray, bias: np.ndarray, images: np.ndarray, labels: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Mean cross entropy, and its gradients by weight [classes, features] and bias [classes].

    images: [N, features]. labels: whole numbers [N].
    """
    powers, total, shifted = _powers(images @ weight.T + bias)
    rows = np.arange(len(labels))
    loss = float((np.log(total[:, 0]) - shifted[rows, labels]).mean())
    by_logits = powers / total
    by_logits[rows, labels] -= 1
    by_logits /= len(labels)
    return loss, by_logits.T @ images, by_logits.sum(0)


def descend(weight: np.ndarray, bias: np.ndarray, images: np.ndarray, labels: np.ndarray, lr: float, weight_decay: float = 0.0) -> float:
    """One step of gradient descent on a batch, in place. Returns the loss before it."""
    loss, by_weight, by_bias = loss_and_gradients(weight, bias, images, labels)
    if weight_decay:
        by_weight += weight_decay * weight
    by_weight *= lr
    weight -= by_weight
    bias -= lr * by_bias
    return loss
