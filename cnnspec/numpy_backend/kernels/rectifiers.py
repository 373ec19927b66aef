"""Kernels of the rectifiers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from cnnspec.layers import Layer, Shape
from cnnspec.layers.rectifiers import Elu, LeakyRelu, Prelu, Relu6, Selu, Softplus
from cnnspec.numpy_backend.kernels.base import (
    Array,
    Finish,
    Run,
    Scratch,
    Site,
    add_rows,
    computes,
    copying,
    in_turn,
)
from cnnspec.numpy_backend.kernels.elementwise import (
    ElementwiseKernel,
    SlopeByValue,
    clipping,
    cut,
    inside,
    same,
)

SELU_SCALE: Final = 1.0507009873554804934193349852946
SELU_ALPHA: Final = 1.6732632423543772848170429916717
"""Klambauer et al. 2017, arXiv:1706.02515, in the digits of the authors' code."""


@computes(LeakyRelu)
class LeakyReluKernel(SlopeByValue[LeakyRelu]):
    """`y = x` where it is positive, else `a x`: the larger of the two, with `a` over 1 the smaller."""

    algorithm = "maximum"
    spares = 1

    def value(self, x: Array, y: Array, spare: list[Array]) -> Run:
        """`y = max(x, a x)`."""
        a = x.dtype.type(self.layer.slope)
        choose = np.maximum if self.layer.slope <= 1 else np.minimum
        (scaled,) = spare

        def run() -> None:
            np.multiply(x, a, out=scaled)
            choose(x, scaled, out=y)

        return run

    def slope(self, y: Array, slope: Array) -> Run:
        """`1` where `y > 0`, else `a`: `a + (1 - a) [y > 0]`."""
        zero, a = y.dtype.type(0), y.dtype.type(self.layer.slope)
        rest = y.dtype.type(1 - self.layer.slope)

        def run() -> None:
            np.greater(y, zero, out=slope)
            np.multiply(slope, rest, out=slope)
            np.add(slope, a, out=slope)

        return run


@computes(Relu6)
class Relu6Kernel(SlopeByValue[Layer]):
    """`y = min(max(x, 0), 6)`."""

    algorithm = "maximum, minimum"

    @classmethod
    def in_passing(cls, layer: Layer) -> Finish:
        """`y = min(max(y, 0), 6)`."""
        return lambda y: in_turn(clipping(part, part, 0, 6) for (part,) in cut(y))

    def value(self, x: Array, y: Array, spare: list[Array]) -> Run:
        """`y = min(max(x, 0), 6)`."""
        return clipping(x, y, 0, 6)

    def slope(self, y: Array, slope: Array) -> Run:
        """`[0 < y < 6]`; nothing at the corners, as PyTorch has it."""
        return inside(y, slope, 6)


class _ExponentialKernel(SlopeByValue[Layer]):
    """`y = s x` where it is positive, else `s a (exp(x) - 1)`: `s max(x, 0) + s a (exp(min(x, 0)) - 1)`."""

    algorithm = "expm1"
    spares = 1

    @property
    def constants(self) -> tuple[float, float]:
        """`s` and `s a`."""
        raise NotImplementedError

    def value(self, x: Array, y: Array, spare: list[Array]) -> Run:
        """The two halves apart, then their sum."""
        (negative,) = spare
        zero = same(0, x)
        s, sa = map(x.dtype.type, self.constants)

        def run() -> None:
            np.minimum(x, zero, out=negative)
            np.expm1(negative, out=negative)
            np.multiply(negative, sa, out=negative)
            np.maximum(x, zero, out=y)
            if s != 1:
                np.multiply(y, s, out=y)
            np.add(y, negative, out=y)

        return run

    # f'(x) = s where x > 0, else s a exp(x) = y + s a; together
    #   f' = (s - s a) [y > 0] + min(y, 0) + s a.

    def slope(self, y: Array, slope: Array) -> Run:
        """`(s - s a) [y > 0] + min(y, 0) + s a`."""
        zero, zeros = y.dtype.type(0), same(0, y)
        s, sa = self.constants
        step, low = y.dtype.type(s - sa), y.dtype.type(sa)

        def run() -> None:
            np.greater(y, zero, out=slope)
            np.multiply(slope, step, out=slope)
            np.minimum(y, zeros, out=y)  # y is not read again
            np.add(slope, y, out=slope)
            np.add(slope, low, out=slope)

        return run


@computes(Elu)
class EluKernel(_ExponentialKernel):
    """`s = 1`."""

    @property
    def constants(self) -> tuple[float, float]:
        """`1` and `a`."""
        assert isinstance(self.layer, Elu)
        return 1.0, self.layer.alpha


@computes(Selu)
class SeluKernel(_ExponentialKernel):
    """`s` and `a` of the paper."""

    @property
    def constants(self) -> tuple[float, float]:
        """`s` and `s a`."""
        return SELU_SCALE, SELU_SCALE * SELU_ALPHA


@computes(Softplus)
class SoftplusKernel(SlopeByValue[Layer]):
    """`y = log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))`, whose exponential cannot overflow."""

    algorithm = "log1p"
    spares = 1

    def value(self, x: Array, y: Array, spare: list[Array]) -> Run:
        """`y = max(x, 0) + log(1 + exp(-|x|))`."""
        (bend,) = spare
        zero = same(0, x)

        def run() -> None:
            np.abs(x, out=bend)
            np.negative(bend, out=bend)
            np.exp(bend, out=bend)
            np.log1p(bend, out=bend)
            np.maximum(x, zero, out=y)
            np.add(y, bend, out=y)

        return run

    def slope(self, y: Array, slope: Array) -> Run:
        """`f'(x) = exp(x) / (1 + exp(x)) = 1 - exp(-y)`."""

        def run() -> None:
            np.negative(y, out=slope)
            np.expm1(slope, out=slope)
            np.negative(slope, out=slope)

        return run


@computes(Prelu)
class PreluKernel(ElementwiseKernel[Prelu]):
    """`y_c = max(x_c, 0) + a_c min(x_c, 0)`, with a slope `a_c` that is learned."""

    elementwise = False  # the first axis must be the channels
    keeps_input = True
    algorithm = "maximum, minimum"
    spares = 1

    def forward(self, at: Site) -> Run:
        """`y = max(x, 0) + a min(x, 0)`."""
        return in_turn(self._value(at, rows) for rows in self.blocks())

    def _value(self, at: Site, rows: slice) -> Run:
        x, y, a = at.x[0][rows], at.y[rows], self._slopes(at, rows)
        (negative,) = self.spare(at, rows)
        zero = x.dtype.type(0)

        def run() -> None:
            np.minimum(x, zero, out=negative)
            np.multiply(negative, a, out=negative)
            np.maximum(x, zero, out=y)
            np.add(y, negative, out=y)

        return run

    # da_c = sum over channel c of dy min(x, 0);   dx = dy [x > 0] + a_c dy [x <= 0].

    def backward(self, at: Site) -> Run:
        """`da_c = sum dy min(x, 0)`, `dx = dy [x > 0] + a dy [x <= 0]`."""
        steps: list[Run] = []
        for rows in self.blocks():
            steps += self._sum_up(at, rows)
            if at.dx[0] is not None:
                steps.append(self._spread(at, rows, at.dx[0][rows]))
        return in_turn(steps)

    def _sum_up(self, at: Site, rows: slice) -> list[Run]:
        x, dy = at.x[0][rows], at.dy[rows]
        share, zero = at.scratch["share"][: len(x)], x.dtype.type(0)

        def weigh() -> None:
            np.minimum(x, zero, out=share)
            np.multiply(share, dy, out=share)

        by_channel = share.reshape(len(x), -1)  # (C, H * W * N)
        spare = at.scratch["by_channel"][: len(x)]
        return [weigh, add_rows(by_channel, at.sums["by_channel"][rows], spare, at.moment)]

    def _spread(self, at: Site, rows: slice, dx: Array) -> Run:
        x, dy, a = at.x[0][rows], at.dy[rows], self._slopes(at, rows)
        share, zero = at.scratch["share"][: len(x)], x.dtype.type(0)

        def run() -> None:
            np.greater(x, zero, out=share)
            np.multiply(share, dy, out=share)
            np.subtract(dy, share, out=dx)
            np.multiply(dx, a, out=dx)
            np.add(dx, share, out=dx)

        return run

    def _slopes(self, at: Site, rows: slice) -> Array:
        """The slopes of some channels, to be multiplied with their elements."""
        slopes = at.weights["slope"]
        return (slopes if self.layer.shared else slopes[rows]).reshape(-1, *(1,) * (at.y.ndim - 1))

    def sums(self) -> dict[str, Shape]:
        """A sum for each channel, even where they share a slope."""
        return {"by_channel": self.output.shape[:1]}

    def fold(self, sums: Mapping[str, Array], gradients: Mapping[str, Array]) -> Run:
        """The gradient of each slope, or of the one that is shared."""
        by_channel, gradient = sums["by_channel"], gradients["slope"]
        if not self.layer.shared:
            return copying(by_channel, gradient)

        def run() -> None:
            np.add.reduce(by_channel, keepdims=True, out=gradient)

        return run

    def scratch(self) -> tuple[Scratch, ...]:
        """Parts of a block of channels, and their sums."""
        return (
            *super().scratch(),
            Scratch("share", self.block_shape, "backward"),
            Scratch("by_channel", self.block_shape[:1], "backward", per_image=False),
        )
