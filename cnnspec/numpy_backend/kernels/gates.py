"""Kernels of the gated activations: `y = x g(x)`, with the slope `g(x) + x g'(x)`."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from cnnspec.layers import Layer
from cnnspec.layers.gates import Gelu, HardSwish, Mish, Silu
from cnnspec.numpy_backend.kernels.base import Array, Run, computes, nothing
from cnnspec.numpy_backend.kernels.elementwise import SlopeWithValue, clipping, inside, same
from cnnspec.numpy_backend.kernels.normal import normal_distribution

GELU_CUBE: Final = 0.044715
GELU_FACTOR: Final = math.sqrt(2 / math.pi)
FARTHEST: Final = 40
"""From here on mish is `x` to the last digit of float64; the square of `exp` does not overflow in float32."""
LARGEST_SQUARE: Final = 100
"""From here on `tanh` is 1 to the last digit of float64, and no power of `x` overflows."""


@computes(Silu)
class SiluKernel(SlopeWithValue[Layer]):
    """`y = x s` with the sigmoid `s = (1 + tanh(x / 2)) / 2`: with `h = x / 2`, `y = h + h tanh(h)`."""

    algorithm = "tanh"
    spares = 2

    # s' = s (1 - s), and therefore  f' = s + x s (1 - s) = s + y (1 - s).

    def value(self, x: Array, y: Array, slope: Array | None, spare: list[Array]) -> Run:
        """`y = x s`, `f' = s + y (1 - s)`."""
        h, t = spare
        one, half = x.dtype.type(1), x.dtype.type(0.5)

        def run() -> None:
            np.multiply(x, half, out=h)
            np.tanh(h, out=t)
            np.multiply(h, t, out=y)
            np.add(y, h, out=y)
            if slope is not None:
                np.multiply(t, half, out=t)
                np.add(t, half, out=t)  # s
                np.subtract(one, t, out=slope)
                np.multiply(slope, y, out=slope)
                np.add(slope, t, out=slope)

        return run


@computes(HardSwish)
class HardSwishKernel(SlopeWithValue[Layer]):
    """`y = x h` with the piecewise linear gate `h = min(max(x / 6 + 1/2, 0), 1)`."""

    algorithm = "maximum, minimum"
    spares = 1

    # h' = 1/6 where 0 < h < 1, which is where h (1 - h) > 0:  f' = h + x/6 [h (1 - h) > 0].

    def value(self, x: Array, y: Array, slope: Array | None, spare: list[Array]) -> Run:
        """`y = x h`, `f' = h + x/6 [h (1 - h) > 0]`."""
        (h,) = spare
        half, sixth = map(x.dtype.type, (0.5, 1 / 6))
        clip, find_inside = clipping(h, h, 0, 1), nothing if slope is None else inside(h, slope, 1)

        def run() -> None:
            np.multiply(x, sixth, out=h)
            np.add(h, half, out=h)
            clip()
            find_inside()
            if slope is not None:
                np.multiply(slope, x, out=slope)
                np.multiply(slope, sixth, out=slope)
                np.add(slope, h, out=slope)
            np.multiply(x, h, out=y)

        return run


@computes(Mish)
class MishKernel(SlopeWithValue[Layer]):
    """`y = x t` with `t = tanh(log(1 + e))`, `e = exp(x)`: by `w = e (e + 2)`, `t = w / (w + 2)`."""

    algorithm = "exp"
    why = "tanh(log(1 + e)) = w / (w + 2) with w = e (e + 2), so one exponential is enough"
    spares = 2

    # tanh(log u) = (u^2 - 1) / (u^2 + 1), and with u = 1 + e that is w / (w + 2), w = e^2 + 2 e. So
    #   t' = 2 w' / (w + 2)^2 = 4 e (e + 1) / (w + 2)^2,  as w' = 2 e (e + 1);   f' = t + x t'.

    def value(self, x: Array, y: Array, slope: Array | None, spare: list[Array]) -> Run:
        """`y = x t`, `f' = t + x 4 e (e + 1) / (w + 2)^2`."""
        e, t = spare
        one, two, four = map(x.dtype.type, (1, 2, 4))
        most = same(FARTHEST, x)

        def run() -> None:
            np.minimum(x, most, out=e)
            np.exp(e, out=e)
            np.add(e, two, out=t)
            np.multiply(t, e, out=t)  # w
            if slope is None:
                np.add(t, two, out=e)
                np.divide(t, e, out=t)
                np.multiply(x, t, out=y)
                return
            np.add(e, one, out=slope)
            np.multiply(slope, e, out=slope)
            np.add(t, two, out=e)
            np.divide(slope, e, out=slope)
            np.divide(slope, e, out=slope)
            np.multiply(slope, four, out=slope)
            np.multiply(slope, x, out=slope)
            np.divide(t, e, out=t)
            np.add(slope, t, out=slope)
            np.multiply(x, t, out=y)

        return run


@computes(Gelu)
class GeluKernel(SlopeWithValue[Gelu]):
    """`y = x P(x)` with the normal distribution function `P`, or what approximates it by `tanh`."""

    spares = 5

    @property
    def algorithm(self) -> str:  # type: ignore[override]
        """What the gate is made of."""
        return "tanh" if self.layer.approximate else "normal distribution"

    def value(self, x: Array, y: Array, slope: Array | None, spare: list[Array]) -> Run:
        """`y = x P(x)` and its slope."""
        if self.layer.approximate:
            return _by_tanh(x, y, slope, spare)
        return _by_normal(x, y, slope, spare)


# P' is the density p:  f' = P + x p.


def _by_normal(x: Array, y: Array, slope: Array | None, spare: list[Array]) -> Run:
    distribution, density, *rest = spare
    distribute = normal_distribution(x, distribution, None if slope is None else density, rest)

    def run() -> None:
        distribute()
        if slope is not None:
            np.multiply(x, density, out=slope)
            np.add(slope, distribution, out=slope)
        np.multiply(x, distribution, out=y)

    return run


# P = (1 + t) / 2 with t = tanh(u), u = k (x + a x^3), k = sqrt(2 / pi):
#   P' = (1 - t^2) u' / 2 = 2 P (1 - P) k (1 + 3 a x^2);   f' = P + x P'.


def _by_tanh(x: Array, y: Array, slope: Array | None, spare: list[Array]) -> Run:
    gate, square, rest, *_ = spare
    one, half, k, cube = map(x.dtype.type, (1, 0.5, GELU_FACTOR, GELU_FACTOR * GELU_CUBE))
    most = same(LARGEST_SQUARE, x)
    two_k, six_cubes = x.dtype.type(2 * GELU_FACTOR), x.dtype.type(6 * GELU_FACTOR * GELU_CUBE)

    def run() -> None:
        np.multiply(x, x, out=square)
        np.minimum(square, most, out=square)
        np.multiply(square, cube, out=gate)
        np.add(gate, k, out=gate)
        np.multiply(gate, x, out=gate)  # u
        np.tanh(gate, out=gate)
        np.multiply(gate, half, out=gate)
        np.add(gate, half, out=gate)
        if slope is not None:
            np.multiply(square, six_cubes, out=square)
            np.add(square, two_k, out=square)
            np.multiply(square, x, out=square)  # 2 x u'
            np.subtract(one, gate, out=rest)
            np.multiply(rest, gate, out=rest)
            np.multiply(rest, square, out=slope)
            np.add(slope, gate, out=slope)
        np.multiply(x, gate, out=y)

    return run
