"""Kernels that enlarge and cut maps at their edges."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np

from cnnspec.layers.framing import Crop, Pad
from cnnspec.numpy_backend.kernels.base import (
    Array,
    Index,
    Kernel,
    Run,
    Site,
    along,
    computes,
    copying,
    in_turn,
    nothing,
)

F = TypeVar("F", bound=Crop | Pad)


class Mirror(NamedTuple):
    """Positions beside the map along one axis, and the positions of the map that they repeat."""

    outside: Index
    inside: Index


class _FrameKernel(Kernel[F]):
    """What these share: one map stands within the other. They copy views, so that margins are no matter."""

    reads_margin = True
    writes_margin = True
    algorithm = "copy"

    def within(self, larger: Array) -> Array:
        """The smaller map within the larger."""
        sizes = zip(self.inputs[0].shape[1:], self.output.shape[1:], strict=True)
        ends = zip(self.layer.frame(self.inputs[0].shape), sizes, strict=True)
        index: Index = (
            slice(None),
            *(slice(abs(before), abs(before) + min(n, m)) for (before, _), (n, m) in ends),
        )
        return larger[index]


@computes(Crop)
class CropKernel(_FrameKernel[Crop]):
    """`y_i = x_(i + before)`."""

    def forward(self, at: Site) -> Run:
        """Copy what is kept."""
        return copying(self.within(at.x[0]), at.y)

    def backward(self, at: Site) -> Run:
        """`dx_(i + before) = dy_i`, nothing for what was cut off."""
        dx, dy = at.dx[0], at.dy
        if dx is None:
            return nothing
        kept = self.within(dx)

        def run() -> None:
            dx.fill(0)
            np.copyto(kept, dy)

        return run


@computes(Pad)
class PadKernel(_FrameKernel[Pad]):
    """`y_i = x_(i - before)` inside, and outside a constant or what mirrors it.

    The axes are filled one after the other, each over the whole length of those before it, so that the
    corners mirror edges.
    """

    def forward(self, at: Site) -> Run:
        """Copy the map, and fill the frame around it."""
        y, copy = at.y, copying(at.x[0], self.within(at.y))
        if self.layer.mode == "constant":
            value = y.dtype.type(self.layer.value)
            edges = [y[edge] for edge in self._edges()]
            return in_turn([copy, *(_filling(edge, value) for edge in edges)])
        mirrors = (copying(y[inside], y[outside]) for outside, inside in self._mirrors())
        return in_turn([copy, *mirrors])

    # y_o = x_m(o) for every position o, with the same m in both passes: dx_i = sum over o of dy_o [m(o) = i].

    def backward(self, at: Site) -> Run:
        """Add the gradients outside to what they mirror, the last axis first; `dx` is what is inside then."""
        dx, dy = at.dx[0], at.dy
        if dx is None:
            return nothing
        mirrors = [] if self.layer.mode == "constant" else self._mirrors()
        additions = (_adding(dy[outside], dy[inside]) for outside, inside in reversed(mirrors))
        return in_turn([*additions, copying(self.within(dy), dx)])

    def _edges(self) -> list[Index]:
        """The frame, as slabs over the whole length of the other axes."""
        slabs = []
        for axis, (before, after) in enumerate(self.layer.frame(self.inputs[0].shape), start=1):
            n = self.output.shape[axis]
            slabs += [along(axis, slice(0, before)), along(axis, slice(n - after, n))]
        return slabs

    def _mirrors(self) -> list[Mirror]:
        """What every part of the frame repeats, axis by axis."""
        mirrors = []
        for axis, (before, after) in enumerate(self.layer.frame(self.inputs[0].shape), start=1):
            last = before + self.inputs[0].shape[axis] - 1
            if self.layer.mode == "edge":
                places = [(o, before) for o in range(before)] + [(last + 1 + o, last) for o in range(after)]
            else:
                places = [(before - o, before + o) for o in range(1, before + 1)]
                places += [(last + o, last - o) for o in range(1, after + 1)]
            mirrors += [Mirror(along(axis, _one(o)), along(axis, _one(i))) for o, i in places]
        return mirrors


def _one(position: int) -> slice:
    return slice(position, position + 1)


def _filling(array: Array, value: np.float32) -> Run:
    return lambda: array.fill(value)


def _adding(part: Array, total: Array) -> Run:
    def run() -> None:
        np.add(total, part, out=total)

    return run
