"""Kernels of the activations. Each backward pass needs the output alone, so the input may be overwritten."""

from __future__ import annotations

import numpy as np

from cnnspec.layers import Layer, Shape
from cnnspec.layers.activations import HardSigmoid, LogSoftmax, Relu, Sigmoid, Softmax, Tanh
from cnnspec.numpy_backend.kernels.base import (
    Array,
    Bare,
    Finish,
    Kernel,
    Run,
    Scratch,
    Site,
    accumulating,
    computes,
    in_turn,
    nothing,
)
from cnnspec.numpy_backend.kernels.elementwise import (
    CUT,
    SlopeByValue,
    clipping,
    cut,
    inside,
    like,
    rectify,
    same,
)


class _Elementwise(Kernel[Layer]):
    """What functions of single elements share."""

    elementwise = True
    in_place = True
    reads_margin = True
    writes_margin = True
    keeps_output = True
    by_channel = True


@computes(Relu)
class ReluKernel(_Elementwise):
    """`y = max(x, 0)`."""

    algorithm = "maximum"

    @classmethod
    def in_passing(cls, layer: Layer) -> Finish:
        """`y = max(y, 0)`."""
        return rectify

    def forward(self, at: Site) -> Run:
        """`y = max(x, 0)`."""
        return in_turn(accumulating(np.maximum, (x, same(0, x)), y) for x, y in cut(at.x[0], at.y))

    def backward(self, at: Site) -> Run:
        """`dx = dy [y > 0]`; nothing at 0, as PyTorch has it."""
        if at.dx[0] is None:
            return nothing
        spare = at.scratch["positive"]
        blocks = cut(at.y, at.dy, at.dx[0])
        return in_turn(self._differentiate(y, dy, dx, like(spare, y)) for y, dy, dx in blocks)

    def _differentiate(self, y: Array, dy: Array, dx: Array, positive: Array) -> Run:
        zero = y.dtype.type(0)

        def run() -> None:
            np.greater(y, zero, out=positive)
            np.multiply(dy, positive, out=dx)

        return run

    def scratch(self) -> tuple[Scratch, ...]:
        """`[y > 0]` as numbers, for a block."""
        return (Scratch("positive", (CUT,), "backward", per_image=False),)


@computes(Sigmoid)
class SigmoidKernel(_Elementwise):
    """`y = 1 / (1 + exp(-x)) = (1 + tanh(x / 2)) / 2`, by `tanh`, which is the faster of the two."""

    algorithm = "tanh"
    why = "(1 + tanh(x/2)) / 2 is faster than by exp"

    @classmethod
    def bare(cls, layer: Layer, inputs: tuple[Shape, ...]) -> Bare:
        """`y = (1 + t) / 2`, `t = tanh(x / 2)`."""
        return Bare(BareTanhKernel, takes=0.5, scale=0.5, shift=0.5)

    def forward(self, at: Site) -> Run:
        """`y = (1 + tanh(x / 2)) / 2`."""
        return in_turn(self._value(x, y) for x, y in cut(at.x[0], at.y))

    def _value(self, x: Array, y: Array) -> Run:
        half = x.dtype.type(0.5)

        def run() -> None:
            np.multiply(x, half, out=y)
            np.tanh(y, out=y)
            np.multiply(y, half, out=y)
            np.add(y, half, out=y)

        return run

    def backward(self, at: Site) -> Run:
        """`dx = dy y (1 - y)`."""
        if at.dx[0] is None:
            return nothing
        return in_turn(self._differentiate(y, dy, dx) for y, dy, dx in cut(at.y, at.dy, at.dx[0]))

    def _differentiate(self, y: Array, dy: Array, dx: Array) -> Run:
        one = y.dtype.type(1)

        def run() -> None:
            np.multiply(dy, y, out=dx)
            np.subtract(one, y, out=y)  # y is not read again
            np.multiply(dx, y, out=dx)

        return run


class BareTanhKernel(_Elementwise):
    """`y = tanh(x)`, of layers whose scales are in the weights of others."""

    algorithm = "tanh"
    why = "its scales are in the weights beside it"

    def forward(self, at: Site) -> Run:
        """`y = tanh(x)`."""
        return in_turn(_tanh(x, y) for x, y in cut(at.x[0], at.y))

    def backward(self, at: Site) -> Run:
        """There is none: scales are taken in by others for inference alone."""
        raise NotImplementedError


def _tanh(x: Array, y: Array) -> Run:
    def run() -> None:
        np.tanh(x, out=y)

    return run


@computes(Tanh)
class TanhKernel(_Elementwise):
    """`y = a tanh(s x)`, with amplitude `a` and slope `s`."""

    layer: Tanh
    algorithm = "tanh"

    @classmethod
    def bare(cls, layer: Layer, inputs: tuple[Shape, ...]) -> Bare | None:
        """`y = a t`, `t = tanh(s x)`."""
        assert isinstance(layer, Tanh)
        if layer.amplitude == layer.slope == 1 or min(layer.amplitude, layer.slope) <= 0:
            return None
        return Bare(BareTanhKernel, takes=layer.slope, scale=layer.amplitude)

    def forward(self, at: Site) -> Run:
        """`y = a tanh(s x)`."""
        return in_turn(self._value(x, y) for x, y in cut(at.x[0], at.y))

    def _value(self, x: Array, y: Array) -> Run:
        amplitude, slope = map(y.dtype.type, (self.layer.amplitude, self.layer.slope))

        def run() -> None:
            np.multiply(x, slope, out=y)
            np.tanh(y, out=y)
            np.multiply(y, amplitude, out=y)

        return _tanh(x, y) if amplitude == slope == 1 else run

    def backward(self, at: Site) -> Run:
        """`dx = dy (a s - (s / a) y^2)`."""
        if at.dx[0] is None:
            return nothing
        return in_turn(self._differentiate(y, dy, dx) for y, dy, dx in cut(at.y, at.dy, at.dx[0]))

    def _differentiate(self, y: Array, dy: Array, dx: Array) -> Run:
        amplitude, slope = self.layer.amplitude, self.layer.slope
        steepest, ratio = map(y.dtype.type, (amplitude * slope, slope / amplitude))

        def run() -> None:
            np.multiply(y, y, out=y)  # y is not read again
            if ratio != 1:
                np.multiply(y, ratio, out=y)
            np.subtract(steepest, y, out=y)
            np.multiply(dy, y, out=dx)

        return run


@computes(HardSigmoid)
class HardSigmoidKernel(SlopeByValue[Layer]):
    """`y = min(max(x / 6 + 1/2, 0), 1)`."""

    algorithm = "maximum, minimum"

    def value(self, x: Array, y: Array, spare: list[Array]) -> Run:
        """`y = min(max(x / 6 + 1/2, 0), 1)`."""
        half, sixth = map(x.dtype.type, (0.5, 1 / 6))
        clip = clipping(y, y, 0, 1)

        def run() -> None:
            np.multiply(x, sixth, out=y)
            np.add(y, half, out=y)
            clip()

        return run

    def slope(self, y: Array, slope: Array) -> Run:
        """`1/6` where `0 < y < 1`."""
        sixth = y.dtype.type(1 / 6)
        find_inside = inside(y, slope, 1)

        def run() -> None:
            find_inside()
            np.multiply(slope, sixth, out=slope)

        return run


@computes(Softmax)
class SoftmaxKernel(Kernel[Layer]):
    """`y_c = exp(x_c) / sum_k exp(x_k)` over the channels, at each position apart."""

    in_place = True
    keeps_output = True
    algorithm = "exp"
    why = "after subtracting the largest"

    def forward(self, at: Site) -> Run:
        """Subtract the largest first, which changes nothing but the rounding (exp cannot overflow then)."""
        (x,), y = at.x, at.y
        column = at.scratch["column"]

        def run() -> None:
            np.maximum.reduce(x, axis=0, out=column)
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


@computes(LogSoftmax)
class LogSoftmaxKernel(Kernel[Layer]):
    """`y_c = x_c - log(sum_k exp(x_k))` over the channels, at each position apart."""

    in_place = True
    keeps_output = True
    algorithm = "exp, log"
    why = "after subtracting the largest"

    def forward(self, at: Site) -> Run:
        """Subtract the largest first, which changes nothing but the rounding (exp cannot overflow then)."""
        (x,), y = at.x, at.y
        column, exponentials = at.scratch["column"], at.scratch["exponentials"]

        def run() -> None:
            np.maximum.reduce(x, axis=0, out=column)
            np.subtract(x, column, out=y)
            np.exp(y, out=exponentials)
            np.add.reduce(exponentials, axis=0, out=column)
            np.log(column, out=column)
            np.subtract(y, column, out=y)

        return run

    # dy_k/dx_c = [k = c] - exp(y_c), and therefore  dx_c = dy_c - exp(y_c) sum_k dy_k.

    def backward(self, at: Site) -> Run:
        """`dx_c = dy_c - exp(y_c) sum_k dy_k`."""
        (dx,), y, dy = at.dx, at.y, at.dy
        if dx is None:
            return nothing
        column = at.scratch["column"]

        def run() -> None:
            np.add.reduce(dy, axis=0, out=column)
            np.exp(y, out=y)  # y is not read again
            np.multiply(y, column, out=y)
            np.subtract(dy, y, out=dx)

        return run

    def scratch(self) -> tuple[Scratch, ...]:
        """A number for each position, and the exponentials."""
        return (
            Scratch("column", self.output.shape[1:], "both"),
            Scratch("exponentials", self.output.shape, "forward"),
        )
