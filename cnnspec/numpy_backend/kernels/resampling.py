"""Kernels that make maps larger."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product as places

import numpy as np

from cnnspec.layers import Shape
from cnnspec.layers.resampling import PixelShuffle, Upsample
from cnnspec.numpy_backend.kernels.base import (
    Array,
    Index,
    Kernel,
    Run,
    Scratch,
    Site,
    accumulating,
    along,
    computes,
    copying,
    in_turn,
    nothing,
)


@computes(PixelShuffle)
class PixelShuffleKernel(Kernel[PixelShuffle]):
    """`y_c(h * rh + i, w * rw + j) = x_((c * rh + i) * rw + j)(h, w)`."""

    reads_margin = True
    writes_margin = True
    algorithm = "copy"

    def forward(self, at: Site) -> Run:
        """Copy with channels and places in a tile exchanged."""
        return copying(self._by_place(at.x[0]), tiles(at.y, self._tile))

    def backward(self, at: Site) -> Run:
        """The same copy the other way."""
        dx = at.dx[0]
        return nothing if dx is None else copying(tiles(at.dy, self._tile), self._by_place(dx))

    @property
    def _tile(self) -> Shape:
        return self.layer.factors(self.inputs[0].shape)

    def _by_place(self, x: Array) -> Array:
        """`(C * rh * rw, H, W, N)` seen as `(C, H, rh, W, rw, N)`."""
        tile = self._tile
        axes = len(tile)
        split = x.reshape(-1, *tile, *x.shape[1:])  # (C, rh, rw, H, W, N)
        pairs = (axis for a in range(axes) for axis in (axes + 1 + a, 1 + a))
        return split.transpose(0, *pairs, 2 * axes + 1)


@computes(Upsample)
class UpsampleKernel(Kernel[Upsample]):
    """Repeats positions, or interpolates along one axis after the other."""

    reads_margin = True
    writes_margin = True

    @property
    def algorithm(self) -> str:  # type: ignore[override]
        """How positions in between are filled."""
        return "repetition" if self.layer.mode == "nearest" else "interpolation, axis by axis"

    def forward(self, at: Site) -> Run:
        """Bind the mode's computation of `y`."""
        if self.layer.mode == "nearest":
            return self._repeat(at.x[0], at.y)
        return in_turn(stretch(*step) for step in self._steps(at, "forward", at.x[0], at.y))

    def backward(self, at: Site) -> Run:
        """Bind the transposed computation of `dx`."""
        dx = at.dx[0]
        if dx is None:
            return nothing
        if self.layer.mode == "nearest":
            return self._gather(dx, at.dy)
        steps = list(self._steps(at, "backward", dx, at.dy))
        return in_turn(shrink(*step) for step in reversed(steps))

    # --- nearest: y_o = x_floor(o / f), so that dx_i = sum over the f^axes outputs o of a tile of dy_o ------

    def _repeat(self, x: Array, y: Array) -> Run:
        between = (part for _ in self._factors for part in (slice(None), None))
        index = (slice(None), *between)
        tiled = tiles(y, self._factors)
        return copying(np.broadcast_to(x[index], tiled.shape), tiled)

    def _gather(self, dx: Array, dy: Array) -> Run:
        parts = []
        for place in places(*map(range, self._factors)):
            steps = zip(place, self._factors, strict=True)
            index: Index = (slice(None), *(slice(start, None, factor) for start, factor in steps))
            parts.append(dy[index])
        return accumulating(np.add, parts, dx)

    # --- linear: one axis after the other, each making the map longer -------------------------------------

    def _steps(self, at: Site, during: str, x: Array, y: Array) -> Iterator[tuple[Array, Array, int, int]]:
        """The map before and after each axis, the axis, and its factor."""
        axes = range(1, len(self._factors) + 1)
        maps = [x, *(at.scratch[f"{during} {axis}"] for axis in axes[:-1]), y]
        for axis, factor in zip(axes, self._factors, strict=True):
            yield maps[axis - 1], maps[axis], axis, factor

    def scratch(self) -> tuple[Scratch, ...]:
        """The map behind each axis but the last, in both passes."""
        if self.layer.mode == "nearest":
            return ()
        shape, sizes = self.inputs[0].shape, self.output.shape
        kept = []
        for axis in range(1, len(self._factors)):
            partly = (*sizes[: axis + 1], *shape[axis + 1 :])
            kept += [Scratch(f"forward {axis}", partly, "forward")]
            kept += [Scratch(f"backward {axis}", partly, "backward")]
        return tuple(kept)

    @property
    def _factors(self) -> Shape:
        return self.layer.factors(self.inputs[0].shape)


def tiles(array: Array, tile: Shape) -> Array:
    """`(C, H * th, W * tw, N)` seen as `(C, H, th, W, tw, N)`."""
    sizes = zip(array.shape[1:-1], tile, strict=True)
    split = (part for n, t in sizes for part in (n // t, t))
    return array.reshape(array.shape[0], *split, array.shape[-1])


# Along one axis, output o = f i + p lies at i + t with t = (2 p + 1 - f) / 2f, between i and its neighbour
# i' = i - 1 where t < 0 and i + 1 where t > 0. Beyond the edge i' = i. With a = |t|,
#
#   y_o = x_i + a (x_i' - x_i)        dx_i += dy_o - a dy_o,   dx_i' += a dy_o


def stretch(x: Array, y: Array, axis: int, factor: int) -> Run:
    """Bind linear interpolation along one axis, which becomes `factor` times as long."""
    steps = []
    for phase in range(factor):
        weight, here, neighbour, edge = _neighbours(x.shape[axis], phase, factor, axis)
        out = y[along(axis, slice(phase, None, factor))]
        steps.append((x.dtype.type(weight), out, out[here], out[edge], x[here], x[neighbour]))

    def run() -> None:
        for weight, out, out_here, out_edge, x_here, x_neighbour in steps:
            np.subtract(x_neighbour, x_here, out=out_here)
            out_edge.fill(0)
            np.multiply(out, weight, out=out)
            np.add(out, x, out=out)

    return run


def shrink(dx: Array, dy: Array, axis: int, factor: int) -> Run:
    """Bind the transpose of `stretch`; `dy` is destroyed."""
    steps = []
    for phase in range(factor):
        weight, here, neighbour, _ = _neighbours(dx.shape[axis], phase, factor, axis)
        part = dy[along(axis, slice(phase, None, factor))]
        steps.append((dx.dtype.type(weight), part, part[here], dx[here], dx[neighbour]))

    def run() -> None:
        dx.fill(0)
        for weight, part, part_here, dx_here, dx_neighbour in steps:
            np.add(dx, part, out=dx)
            np.multiply(part, weight, out=part)
            np.subtract(dx_here, part_here, out=dx_here)
            np.add(dx_neighbour, part_here, out=dx_neighbour)

    return run


def _neighbours(n: int, phase: int, factor: int, axis: int) -> tuple[float, Index, Index, Index]:
    """How much the neighbour counts, the positions that have one, the neighbours, the one without."""
    offset = (2 * phase + 1 - factor) / (2 * factor)
    first, others, last = slice(0, 1), slice(1, n), slice(n - 1, n)
    most = slice(0, n - 1)
    parts = (others, most, first) if offset < 0 else (most, others, last)
    here, neighbour, edge = (along(axis, part) for part in parts)
    return abs(offset), here, neighbour, edge
