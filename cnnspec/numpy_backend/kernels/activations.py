"""Kernels of the activations. Each backward pass needs the output alone, so the input may be overwritten."""

from __future__ import annotations

import numpy as np

from cnnspec.layers import Layer
from cnnspec.layers.activations import Relu, Sigmoid, Softmax, Tanh
from cnnspec.numpy_backend.kernels.base import Kernel, Run, Scratch, Site, computes, nothing


class _Elementwise(Kernel[Layer]):
    """What functions of single elements share."""

    elementwise = True
    in_place = True
    reads_margin = True
    writes_margin = True
    keeps_output = True


@computes(Relu)
class ReluKernel(_Elementwise):
    """`y = max(x, 0)`."""

    algorithm = "maximum"

    def forward(self, at: Site) -> Run:
        """`y = max(x, 0)`."""
        (x,), y = at.x, at.y
        zero = x.dtype.type(0)

        def run() -> None:
            np.maximum(x, zero, out=y)

        return run

    def backward(self, at: Site) -> Run:
        """`dx = dy [y > 0]`; nothing at 0, as PyTorch has it."""
        (dx,), y, dy = at.dx, at.y, at.dy
        if dx is None:
            return nothing
        zero = y.dtype.type(0)
        positive = at.scratch["positive"].reshape(y.shape)

        def run() -> None:
            np.greater(y, zero, out=positive)
            np.multiply(dy, positive, out=dx)

        return run

    def scratch(self) -> tuple[Scratch, ...]:
        """`[y > 0]` as numbers."""
        return (Scratch("positive", self.output.shape, "backward"),)


@computes(Sigmoid)
class SigmoidKernel(_Elementwise):
    """`y = 1 / (1 + exp(-x)) = (1 + tanh(x / 2)) / 2`, by `tanh`, which is the faster of the two."""

    algorithm = "tanh"
    why = "(1 + tanh(x/2)) / 2 is faster than by exp"

    def forward(self, at: Site) -> Run:
        """`y = (1 + tanh(x / 2)) / 2`."""
        (x,), y = at.x, at.y
        half = x.dtype.type(0.5)

        def run() -> None:
            np.multiply(x, half, out=y)
            np.tanh(y, out=y)
            np.multiply(y, half, out=y)
            np.add(y, half, out=y)

        return run

    def backward(self, at: Site) -> Run:
        """`dx = dy y (1 - y)`."""
        (dx,), y, dy = at.dx, at.y, at.dy
        if dx is None:
            return nothing
        one = y.dtype.type(1)

        def run() -> None:
            np.multiply(dy, y, out=dx)
            np.subtract(one, y, out=y)  # y is not read again
            np.multiply(dx, y, out=dx)

        return run


@computes(Tanh)
class TanhKernel(_Elementwise):
    """`y = tanh(x)`."""

    algorithm = "tanh"

    def forward(self, at: Site) -> Run:
        """`y = tanh(x)`."""
        (x,), y = at.x, at.y

        def run() -> None:
            np.tanh(x, out=y)

        return run

    def backward(self, at: Site) -> Run:
        """`dx = dy (1 - y^2)`."""
        (dx,), y, dy = at.dx, at.y, at.dy
        if dx is None:
            return nothing
        one = y.dtype.type(1)

        def run() -> None:
            np.multiply(y, y, out=y)  # y is not read again
            np.subtract(one, y, out=y)
            np.multiply(dy, y, out=dx)

        return run


@computes(Softmax)
class SoftmaxKernel(Kernel[Layer]):
    """`y_c = exp(x_c) / sum_k exp(x_k)` over the channels, at each position apart."""

    in_place = True
    normalizes_logits = True
    keeps_output = True
    algorithm = "exp"
    why = "after subtracting the largest"

    def forward(self, at: Site) -> Run:
        """Subtract the largest first, which changes nothing but the rounding (exp cannot overflow then)."""
        (x,), y = at.x, at.y
        column = at.scratch["column"]

        def run() -> None:
            np.max(x, axis=0, out=column)
            np.subtract(x, column, out=y)
            np.exp(y, out=y)
            np.add.reduce(y, axis=0, out=column)
            np.divide(y, column, out=y)

        return run

    # With y_c = e_c / s:  dy_k/dx_c = y_k ([k = c] - y_c), and therefore
    #   dx_c = sum_k dy_k y_k ([k = c] - y_c) = y_c (dy_c - sum_k dy_k y_k).

    def backward(self, at: Site) -> Run:
        """`dx_c = y_c (dy_c - sum_k dy_k y_k)`."""
        (dx,), y, dy = at.dx, at.y, at.dy
        if dx is None:
            return nothing
        column, weighted = at.scratch["column"], at.scratch["weighted"]

        def run() -> None:
            np.multiply(dy, y, out=weighted)
            np.add.reduce(weighted, axis=0, out=column)
            np.subtract(dy, column, out=dx)
            np.multiply(dx, y, out=dx)

        return run

    def scratch(self) -> tuple[Scratch, ...]:
        """A number for each position, and the weighted gradient."""
        return (
            Scratch("column", self.output.shape[1:], "both"),
            Scratch("weighted", self.output.shape, "backward"),
        )
