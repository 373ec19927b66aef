"""Kernels that join values. Element-wise joins repeat a `C x 1 x 1` over the positions of a `C x H x W`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np

from cnnspec.layers.merging import Add, Concat, Mean, Multiply
from cnnspec.numpy_backend.kernels.base import (
    Array,
    Kernel,
    Member,
    Run,
    Scratch,
    Site,
    accumulating,
    computes,
    copying,
    in_turn,
    nothing,
)

M = TypeVar("M", bound=Add | Mean | Multiply | Concat)


class _MergeKernel(Kernel[M]):
    """What joins share: they read and write views, so that margins are no matter."""

    reads_margin = True
    writes_margin = True


class _SumKernel(_MergeKernel[M]):
    """A sum of the inputs, perhaps scaled."""

    in_place = True
    by_channel = True

    # y_p = s sum_k x_k,p  and therefore  dx_k,p = s dy_p, for an input that is repeated dx_k = s sum_p dy_p.

    @property
    def scale(self) -> float:
        """What the sum is multiplied by."""
        return 1.0

    def forward(self, at: Site) -> Run:
        """`y = s (x_1 + x_2 + ...)`."""
        return in_turn([accumulating(np.add, at.x, at.y), _scaling(at.y, self.scale)])

    def backward(self, at: Site) -> Run:
        """`dx_k = s dy`, summed where `x_k` repeats; the first, which may be `dy` itself, comes last."""
        copies = [_sum_to(dx, at.dy) for dx in reversed(at.dx) if dx is not None]
        return in_turn([_scaling(at.dy, self.scale), *copies])


@computes(Add)
class AddKernel(_SumKernel[Add]):
    """`y = x_1 + x_2 + ...`."""

    algorithm = "sum"


@computes(Mean)
class MeanKernel(_SumKernel[Mean]):
    """`y = (x_1 + ... + x_n) / n`."""

    algorithm = "sum, scaled"

    @property
    def scale(self) -> float:
        """One over the number of inputs."""
        return 1 / len(self.inputs)


@computes(Multiply)
class MultiplyKernel(_MergeKernel[Multiply]):
    """`y = x_1 x_2 ...`."""

    in_place = True
    by_channel = True
    keeps_input = True
    algorithm = "product"

    def forward(self, at: Site) -> Run:
        """`y = x_1 x_2 ...`."""
        return accumulating(np.multiply, at.x, at.y)

    # dx_k,p = dy_p prod_(j != k) x_j,p; for an input that is repeated, summed over the positions p.

    def backward(self, at: Site) -> Run:
        """`dx_k = dy` times the other inputs; the first may be `dy` itself, and comes last."""
        return in_turn([self._backward(at, slot) for slot in reversed(range(len(at.x)))])

    def _backward(self, at: Site, slot: int) -> Run:
        dx = at.dx[slot]
        if dx is None:
            return nothing
        factors = [at.dy, *(x for other, x in enumerate(at.x) if other != slot)]
        if dx.shape == at.dy.shape:
            return accumulating(np.multiply, factors, dx)
        product = at.scratch["product"]
        return in_turn([accumulating(np.multiply, factors, product), _sum_to(dx, product)])

    def scratch(self) -> tuple[Scratch, ...]:
        """Where an input is repeated, its gradient position by position."""
        if all(layout.shape == self.output.shape for layout in self.inputs):
            return ()
        return (Scratch("product", self.output.shape, "backward"),)


@computes(Concat)
class ConcatKernel(_MergeKernel[Concat]):
    """`y = (x_1, x_2, ...)`, channel after channel."""

    algorithm = "copies"

    def forward(self, at: Site) -> Run:
        """Copy every input to its channels."""
        return in_turn(copying(x, part) for x, part in zip(at.x, self._parts(at.y), strict=True))

    def together(self, at: Site, member: Member) -> list[Run]:
        """Some channels of every input."""
        pairs = zip(at.x, self._parts(at.y), strict=True)
        shares = [(x, part, member.share(len(x))) for x, part in pairs]
        return [in_turn(copying(x[some], part[some]) for x, part, some in shares)]

    def backward(self, at: Site) -> Run:
        """Copy every input's channels of the gradient."""
        pairs = zip(self._parts(at.dy), at.dx, strict=True)
        return in_turn(copying(part, dx) for part, dx in pairs if dx is not None)

    def _parts(self, whole: Array) -> Iterator[Array]:
        """The channels of each input."""
        start = 0
        for layout in self.inputs:
            stop = start + layout.shape[0]
            yield whole[start:stop]
            start = stop


def _scaling(array: Array, scale: float) -> Run:
    if scale == 1:
        return nothing
    factor = array.dtype.type(scale)

    def run() -> None:
        np.multiply(array, factor, out=array)

    return run


def _sum_to(dx: Array, dy: Array) -> Run:
    """Bind `dx = dy`, summed over the positions where `dx` has only one."""
    if dx.shape == dy.shape:
        return nothing if np.shares_memory(dx, dy) else copying(dy, dx)
    positions = tuple(range(1, dy.ndim - 1))

    def run() -> None:
        np.add.reduce(dy, axis=positions, keepdims=True, out=dx)

    return run
