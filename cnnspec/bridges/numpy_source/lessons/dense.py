"""Dense layers and others in which every unit sees all of the input."""

# mypy: disable-error-code="no-any-return, arg-type, index"
# The code is to be read: what NumPy's annotations do not know of `...` in an index is not spelled out.

from __future__ import annotations

import numpy as np

from cnnspec.bridges.numpy_source.lessons.layer import Array, Layer, normal


class Dense(Layer):
    """Fully connected: y = x W^T + b, of the flattened input."""

    def __init__(self, inputs: int, units: int, bias: bool = True) -> None:
        super().__init__()
        self.weights["weight"] = normal((units, inputs), inputs)
        if bias:
            self.weights["bias"] = np.zeros(units)

    def forward(self, *inputs: Array) -> Array:
        """N x ... to N x units."""
        (x,) = inputs
        self.kept = x
        y = x.reshape(len(x), -1) @ self.weights["weight"].T
        return y + self.weights["bias"] if "bias" in self.weights else y

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """`dW = dy^T x`, `dx = dy W`."""
        x = self.kept
        self.gradients["weight"] = dy.T @ x.reshape(len(x), -1)
        if "bias" in self.weights:
            self.gradients["bias"] = dy.sum(axis=0)
        return ((dy @ self.weights["weight"]).reshape(x.shape),)


class SquaredDistances(Layer):
    """The squared distance of the input to each of some centres."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.weights["centers"] = normal((units, inputs), 2)

    def forward(self, *inputs: Array) -> Array:
        """N x ... to N x units."""
        (x,) = inputs
        self.kept = x.shape, x.reshape(len(x), 1, -1) - self.weights["centers"]  # (N, units, n)
        return np.asarray((self.kept[1] ** 2).sum(axis=2))

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """Each difference d counts 2 d."""
        shape, difference = self.kept
        slope = 2 * difference * dy[:, :, None]
        self.gradients["centers"] = -slope.sum(axis=0)
        return (slope.sum(axis=1).reshape(shape),)


class Embedding(Layer):
    """A vector for each token, which stands along the channels."""

    def __init__(self, vocabulary: int, dimension: int) -> None:
        super().__init__()
        self.weights["weight"] = normal((vocabulary, dimension), 2)

    def forward(self, *inputs: Array) -> Array:
        """N x n to N x dimension x n."""
        (x,) = inputs
        self.kept = x
        return np.moveaxis(self.weights["weight"][x.astype(int)], 2, 1)

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """A token's vector gets the gradients of all places where it stood."""
        gradient = np.zeros_like(self.weights["weight"])
        np.add.at(gradient, self.kept.astype(int), np.moveaxis(dy, 1, 2))
        self.gradients["weight"] = gradient
        return (np.zeros_like(self.kept),)
