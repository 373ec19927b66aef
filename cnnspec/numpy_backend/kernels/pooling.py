"""Kernels of pooling. One array operation for each place of the window, over all positions and images."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product as places
from typing import NamedTuple, TypeVar

import numpy as np

from cnnspec.layers import AxisWindow, Shape, product
from cnnspec.layers.pooling import AvgPool, MaxPool
from cnnspec.numpy_backend.kernels.base import Array, Index, Kernel, Run, Scratch, Site, computes, nothing
from cnnspec.numpy_backend.kernels.windows import reach

P = TypeVar("P", bound=AvgPool | MaxPool)


class Part(NamedTuple):
    """What one place of the window meets: elements of the map, and the outputs that they go to."""

    map: Array
    pooled: Array


class _PoolKernel(Kernel[P]):
    """What both kinds share: walking over the window's places, and the tile in which they lie apart."""

    reads_margin = True
    writes_margin = True

    @classmethod
    def reads_tiles(cls, layer: P, shape: Shape) -> Shape:
        """The window, where windows neither overlap nor leave anything out."""
        windows = layer.window(shape)
        sizes = zip(shape[1:], windows, strict=True)
        if all(_tiles(n, window) for n, window in sizes):
            return tuple(window.kernel for window in windows)
        return ()

    @property
    def windows(self) -> tuple[AxisWindow, ...]:
        """The window on every axis."""
        return self.layer.window(self.inputs[0].shape)

    @property
    def algorithm(self) -> str:  # type: ignore[override]
        """Whether the window's places lie side by side."""
        return "contiguous arrays" if self.inputs[0].tile else "strided slices"

    @property
    def overlaps(self) -> bool:
        """Whether an element of the map may belong to several windows."""
        return any(w.stride < w.reach for w in self.windows)

    def parts(self, x: Array, y: Array) -> Iterator[Part]:
        """What every place of the window meets, in row-major order of the window."""
        for place in places(*(range(w.kernel) for w in self.windows)):
            if self.inputs[0].tile:
                yield Part(x[place], y)
            elif (part := self._part(place, x, y)) is not None:
                yield part

    def _part(self, place: Shape, x: Array, y: Array) -> Part | None:
        axes = zip(place, self.inputs[0].shape[1:], self.output.shape[1:], self.windows, strict=True)
        reaches = [reach(*axis) for axis in axes]
        inside = [r for r in reaches if r is not None]
        if len(inside) < len(reaches):
            return None
        inputs: Index = (slice(None), *(r.inputs for r in inside))
        outputs: Index = (slice(None), *(r.outputs for r in inside))
        return Part(x[inputs], y[outputs])

    def covers(self, parts: list[Part]) -> bool:
        """Whether the parts reach every element of the map."""
        images: int = parts[0].map.shape[-1]
        reached: int = sum(part.map.size for part in parts)
        return reached == images * product(self.inputs[0].shape)


def _tiles(n: int, window: AxisWindow) -> bool:
    padding = window.before + window.after
    return not padding and window.dilation == 1 and window.stride == window.kernel and n % window.kernel == 0


@computes(MaxPool)
class MaxPoolKernel(_PoolKernel[MaxPool]):
    """The largest of each window. Padding takes no part, so it never wins."""

    keeps_input = True
    keeps_output = True

    def forward(self, at: Site) -> Run:
        """`y_o = max_k x_(o,k)`."""
        y = at.y
        parts = list(self.parts(at.x[0], y))
        lowest = y.dtype.type(-np.inf)
        whole = [part for part in parts if part.pooled.shape == y.shape]
        if len(whole) == len(parts) and len(parts) > 1:
            return _running(np.maximum, parts, y)

        def run() -> None:
            y.fill(lowest)
            for part in parts:
                np.maximum(part.pooled, part.map, out=part.pooled)

        return run

    # The gradient of an output goes to the first place of its window that holds the maximum:
    #   dx_(o,k) += dy_o [x_(o,k) = y_o] [no k' < k has x_(o,k') = y_o].
    # Once an output's gradient has been given away it is set to 0 in `dy`, which nobody reads afterwards.

    def backward(self, at: Site) -> Run:
        """Give each output's gradient to the first maximum of its window, as PyTorch does."""
        dx, dy = at.dx[0], at.dy
        if dx is None:
            return nothing
        won, given = at.scratch["won"], at.scratch["given"]
        steps = []
        for (x, y), (to, of), (_, won_here), (_, given_here) in zip(
            self.parts(at.x[0], at.y),
            self.parts(dx, dy),
            self.parts(dx, won),
            self.parts(dx, given),
            strict=True,
        ):
            steps.append((x, y, to, of, won_here, given_here))

        def run() -> None:
            dx.fill(0)
            for x, y, to, of, won_here, given_here in steps:
                np.equal(x, y, out=won_here)
                np.multiply(of, won_here, out=given_here)
                np.add(to, given_here, out=to)
                np.subtract(of, given_here, out=of)

        return run

    def scratch(self) -> tuple[Scratch, ...]:
        """Which outputs found their maximum, as numbers, and the gradient that they give."""
        shape = self.output.shape
        return Scratch("won", shape, "backward"), Scratch("given", shape, "backward")


def _running(operation: np.ufunc, parts: list[Part], y: Array) -> Run:
    """Bind `y = parts[0] op parts[1] op ...`, where every part gives to every output."""
    first, second, *others = (part.map for part in parts)

    def run() -> None:
        operation(first, second, out=y)
        for other in others:
            operation(y, other, out=y)

    return run


@computes(AvgPool)
class AvgPoolKernel(_PoolKernel[AvgPool]):
    """The mean of each window: a sum over its places, divided by the number of them that count."""

    def forward(self, at: Site) -> Run:
        """`y_o = r_o sum_k x_(o,k)`, with `r_o` one over the number of elements that count."""
        y = at.y
        parts = list(self.parts(at.x[0], y))
        share = self.shares(y)
        if all(part.pooled.shape == y.shape for part in parts) and len(parts) > 1:
            add = _running(np.add, parts, y)
        else:
            add = _filling(parts, y)

        def run() -> None:
            add()
            np.multiply(y, share, out=y)

        return run

    # dx_i = sum over the windows o that hold i of r_o dy_o.

    def backward(self, at: Site) -> Run:
        """`dx_(o,k) += r_o dy_o`."""
        dx, dy = at.dx[0], at.dy
        if dx is None:
            return nothing
        parts = list(self.parts(dx, dy))
        share = self.shares(dy)
        if self.overlaps or not self.covers(parts):
            spread = _filling([Part(pooled, to) for to, pooled in parts], dx)
        else:
            spread = _copying(parts)

        def run() -> None:
            np.multiply(dy, share, out=dy)
            spread()

        return run

    def shares(self, y: Array) -> Array:
        """One over the number of elements that count, for every output position."""
        count = np.ones((1,) * y.ndim)
        sizes, outputs = self.inputs[0].shape[1:], self.output.shape[1:]
        for axis, (n, m, window) in enumerate(zip(sizes, outputs, self.windows, strict=True), start=1):
            counts = [_counted(o, n, window, self.layer.count_padding) for o in range(m)]
            if len(set(counts)) == 1:
                counts = counts[:1]
            count = count * np.reshape(counts, (-1,) + (1,) * (y.ndim - axis - 1))
        return (1 / count).astype(y.dtype)


def _counted(o: int, n: int, window: AxisWindow, padding: bool) -> int:
    """The elements along one axis that output `o` counts; what `ceil` adds behind the padding never does."""
    start = o * window.stride - window.before
    stop = min(start + window.kernel, n + window.after)
    return stop - start if padding else min(stop, n) - max(start, 0)


def _filling(parts: list[Part], total: Array) -> Run:
    """Bind `total = 0`, then `pooled += map` for every part; `pooled` are views of `total`."""

    def run() -> None:
        total.fill(0)
        for part in parts:
            np.add(part.pooled, part.map, out=part.pooled)

    return run


def _copying(parts: list[Part]) -> Run:
    """Bind `map = pooled` for every part."""

    def run() -> None:
        for part in parts:
            np.copyto(part.map, part.pooled)

    return run
