"""What all layers share."""

# mypy: disable-error-code="no-any-return, arg-type, index"
# The code is to be read: what NumPy's annotations do not know of `...` in an index is not spelled out.

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

RANDOM = np.random.default_rng(0)
"""What initial weights and dropout are drawn from."""


class Layer:
    """What all layers share: weights by name, and their gradients after `backward`."""

    def __init__(self) -> None:
        self.weights: dict[str, Array] = {}
        self.gradients: dict[str, Array] = {}
        self.training = False
        self.kept: Any = None

    def forward(self, *inputs: Array) -> Array:
        """The output for a batch."""
        raise NotImplementedError

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """The gradient of each input for the gradient of the output."""
        raise NotImplementedError


def normal(shape: tuple[int, ...], inputs: int) -> Array:
    """Random weights for so many inputs a unit, as He et al. (2015) have them."""
    return RANDOM.normal(0, math.sqrt(2 / max(inputs, 1)), shape)


def at_channels(numbers: Array, like: Array) -> Array:
    """One number a channel, in a shape that goes with N x C x H x W."""
    return numbers.reshape(1, -1, *(1,) * (like.ndim - 2))


def sum_per_channel(x: Array) -> Array:
    """The sum of each channel over samples and positions."""
    return x.sum(axis=(0, *range(2, x.ndim)))
