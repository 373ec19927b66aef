"""What poolings share: one array operation for each place of the window, over all positions and images."""

from __future__ import annotations

from dataclasses import replace
from itertools import product as places
from typing import NamedTuple, TypeVar

import numpy as np

from cnnspec.layers import AxisSight, Layer, Shape, product
from cnnspec.numpy_backend.kernels.base import Array, Index, Kernel, Member, Run, Site, along, nothing
from cnnspec.numpy_backend.kernels.windows import Reach, reaches

P = TypeVar("P", bound=Layer)


class Part(NamedTuple):
    """What one place of the window meets: elements of the map, and the outputs that they go to."""

    map: Array
    pooled: Array


class PoolKernel(Kernel[P]):
    """What poolings share: walking over the window's places, and the tile in which they lie apart."""

    reads_margin = True
    writes_margin = True

    @classmethod
    def sights(cls, layer: P, shape: Shape) -> tuple[AxisSight, ...]:
        """What an output sees along every axis."""
        window = layer.window(shape)
        assert not isinstance(window, str)
        return window

    @classmethod
    def reads_tiles(cls, layer: P, shape: Shape) -> Shape:
        """The window, where windows neither overlap nor leave anything out."""
        sights = cls.sights(layer, shape)
        if all(map(_tiles, shape[1:], sights)):
            return tuple(len(sight.seen(0)) for sight in sights)
        return ()

    @property
    def windows(self) -> tuple[AxisSight, ...]:
        """What an output sees along every axis."""
        return self.sights(self.layer, self.inputs[0].shape)

    @property
    def algorithm(self) -> str:  # type: ignore[override]
        """Whether the window's places lie side by side."""
        return "contiguous arrays" if self.inputs[0].tile else "strided slices"

    @property
    def overlaps(self) -> bool:
        """Whether an element of the map may belong to several windows."""
        return any(w.seen(o + 1).start < w.seen(o).stop for w in self.windows for o in range(w.period))

    def together(self, at: Site, member: Member) -> list[Run]:
        """Some channels, where `forward` may be bound to them."""
        if not self.by_channel:
            return super().together(at, member)
        some = member.share(len(at.y))
        if some.start == some.stop:
            return [nothing]
        x = at.x[0][along(len(self.inputs[0].tile), some)]
        return [self.forward(replace(at, x=(x,), y=at.y[some]))]

    def parts(self, x: Array, y: Array) -> list[Part]:
        """What every place of the window meets, for each output in row-major order of its window."""
        if self.inputs[0].tile:
            return [Part(x[place], y) for place in places(*map(range, self.inputs[0].tile))]
        axes = zip(self.windows, self.inputs[0].shape[1:], self.output.shape[1:], strict=True)
        inside = [[r for r in reaches(*axis) if r is not None] for axis in axes]
        return [_part(met, x, y) for met in places(*inside)]

    def covers(self, parts: list[Part]) -> bool:
        """Whether the parts, which may be of some channels, reach every element of the map."""
        channels: int = parts[0].pooled.shape[0]
        images: int = parts[0].pooled.shape[-1]
        reached: int = sum(part.map.size for part in parts)
        return reached == channels * images * product(self.inputs[0].shape[1:])

    def summing(self, x: Array, y: Array) -> Run:
        """Bind `y` as the sum of each window."""
        parts = self.parts(x, y)
        if all(part.pooled.shape == y.shape for part in parts) and len(parts) > 1:
            return running(np.add, parts, y)
        return _filling(parts, y)

    def spreading(self, dy: Array, dx: Array) -> Run:
        """Bind `dx`, for each element the sum of `dy` over the windows that hold it."""
        parts = self.parts(dx, dy)
        if self.overlaps or not self.covers(parts):
            return _filling([Part(pooled, to) for to, pooled in parts], dx)
        return _copying(parts)


def _part(met: tuple[Reach, ...], x: Array, y: Array) -> Part:
    inputs: Index = (slice(None), *(r.inputs for r in met))
    outputs: Index = (slice(None), *(r.outputs for r in met))
    return Part(x[inputs], y[outputs])


def _tiles(n: int, sight: AxisSight) -> bool:
    first = sight.seen(0)
    return sight.period == 1 and first == range(sight.advance) and n % sight.advance == 0


def running(operation: np.ufunc, parts: list[Part], y: Array) -> Run:
    """Bind `y = parts[0] op parts[1] op ...`, where every part gives to every output."""
    first, second, *others = (part.map for part in parts)

    def run() -> None:
        operation(first, second, out=y)
        for other in others:
            operation(y, other, out=y)

    return run


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
