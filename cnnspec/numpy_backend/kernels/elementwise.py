"""What kernels of element-wise functions share: they work in blocks that stay in the cache.

Such a function is a handful of array operations, each of which reads and writes everything. Over a whole
feature map they would wait for the memory; over a few channels at a time, they find the numbers in the cache.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Final, TypeVar

import numpy as np

from cnnspec.layers import Layer, Shape, product
from cnnspec.numpy_backend.kernels.base import Array, Kernel, Layout, Run, Scratch, Site, in_turn, nothing

L = TypeVar("L", bound=Layer)

BLOCK: Final = 1 << 16
"""Elements of a block: 256 KiB of each array that takes part."""
IMAGES: Final = 64
"""The images in a piece, for which blocks are cut when the plan is made; it may have fewer or more."""


def rows_in_block(row: int, rows: int) -> int:
    """How many rows of `row` elements make a block, of `rows` altogether."""
    return max(1, min(rows, BLOCK // max(row, 1)))


def in_blocks(size: int, rows: int) -> Iterator[slice]:
    """Blocks of `size` rows, the last one as short as it comes."""
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))


class ElementwiseKernel(Kernel[L]):
    """Functions of single elements. The first axis of an array is what blocks are cut along."""

    elementwise = True
    in_place = True
    reads_margin = True
    writes_margin = True
    spares: ClassVar[int] = 0
    """Arrays of the size of a block that the forward pass needs."""

    @property
    def shape(self) -> Shape:
        """The shape of the output as it lies in memory, without a margin and without the images."""
        return Layout(self.output.shape, self.output.tile).stored

    @property
    def block_shape(self) -> Shape:
        """The shape of a block."""
        rows, *row = self.shape
        return (rows_in_block(product(tuple(row)) * IMAGES, rows), *row)

    def scratch(self) -> tuple[Scratch, ...]:
        """The spare arrays."""
        return tuple(Scratch(f"spare{i}", self.block_shape, "forward") for i in range(self.spares))

    def blocks(self) -> list[slice]:
        """The rows of each block."""
        return list(in_blocks(self.block_shape[0], self.shape[0]))

    def spare(self, at: Site, rows: slice) -> list[Array]:
        """The spare arrays, as long as a block."""
        return [at.scratch[f"spare{i}"][: rows.stop - rows.start] for i in range(self.spares)]


# --- functions whose slope follows from their value -----------------------------------------------------


class SlopeByValue(ElementwiseKernel[L]):
    """Functions whose derivative is found from the output alone: the input may be overwritten."""

    keeps_output = True

    @abstractmethod
    def value(self, x: Array, y: Array, spare: list[Array]) -> Run:
        """Bind `y = f(x)` for a block; `y` may be the memory of `x`."""

    @abstractmethod
    def slope(self, y: Array, slope: Array) -> Run:
        """Bind `slope = f'(x)` for a block, from `y`, which it may destroy."""

    def forward(self, at: Site) -> Run:
        """`y = f(x)`."""
        (x,), y = at.x, at.y
        return in_turn(self.value(x[rows], y[rows], self.spare(at, rows)) for rows in self.blocks())

    def backward(self, at: Site) -> Run:
        """`dx = dy f'(x)`."""
        (dx,), y, dy = at.dx, at.y, at.dy
        if dx is None:
            return nothing
        steps = []
        for rows in self.blocks():
            slope = at.scratch["slope"][: rows.stop - rows.start]
            steps += [self.slope(y[rows], slope), times(dy[rows], slope, dx[rows])]
        return in_turn(steps)

    def scratch(self) -> tuple[Scratch, ...]:
        """The derivative of a block, and the spare arrays."""
        return *super().scratch(), Scratch("slope", self.block_shape, "backward")


# --- functions whose slope is found on the way to their value -------------------------------------------


class SlopeWithValue(ElementwiseKernel[L]):
    """Functions whose derivative is computed together with the value, in training, and kept."""

    @abstractmethod
    def value(self, x: Array, y: Array, slope: Array | None, spare: list[Array]) -> Run:
        """Bind `y = f(x)` and, where it is asked for, `slope = f'(x)` for a block.

        `y` may be the memory of `x`.
        """

    def forward(self, at: Site) -> Run:
        """`y = f(x)`; in training, `f'(x)` too."""
        (x,), y, moment = at.x, at.y, at.moment
        predict, learn = [], []
        kept = at.scratch["slope"].reshape(y.shape) if "slope" in at.scratch else None
        for rows in self.blocks():
            spare = self.spare(at, rows)
            predict.append(self.value(x[rows], y[rows], None, spare))
            if kept is not None:
                learn.append(self.value(x[rows], y[rows], kept[rows], spare))

        def run() -> None:
            for work in learn if moment.training else predict:
                work()

        return run

    def backward(self, at: Site) -> Run:
        """`dx = dy f'(x)`."""
        (dx,), dy = at.dx, at.dy
        return nothing if dx is None else times(dy, at.scratch["slope"].reshape(dy.shape), dx)

    def scratch(self) -> tuple[Scratch, ...]:
        """The derivative, from forward to backward, and the spare arrays."""
        return *super().scratch(), Scratch("slope", self.output.shape, "kept")


def times(a: Array, b: Array, out: Array) -> Run:
    """Bind `out = a b`, element by element."""

    def run() -> None:
        np.multiply(a, b, out=out)

    return run
