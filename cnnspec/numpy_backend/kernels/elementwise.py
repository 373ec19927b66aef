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
from cnnspec.numpy_backend.kernels.base import (
    Array,
    Kernel,
    Layout,
    Run,
    Scratch,
    Site,
    accumulating,
    constant,
    in_turn,
    nothing,
)

L = TypeVar("L", bound=Layer)

BLOCK: Final = 1 << 16
"""Elements of a block: 256 KiB of each array that takes part."""
CUT: Final = 1 << 15
"""Elements of a block of arrays that may be cut anywhere: 128 KiB of each. (With 8,192 elements, the calls
cost as much as the work; with 65,536, the arrays of `gelu` do not fit into an L2 cache of 1 MiB.)"""
IMAGES: Final = 64
"""The images in a piece, for which blocks are cut when the plan is made; it may have fewer or more."""


def rows_in_block(row: int, rows: int) -> int:
    """How many rows of `row` elements make a block, of `rows` altogether."""
    return max(1, min(rows, BLOCK // max(row, 1)))


def in_blocks(size: int, rows: int) -> Iterator[slice]:
    """Blocks of `size` rows, the last one as short as it comes."""
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))


def cut(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """Arrays of one shape in blocks of at most `CUT` elements, views of the same elements of each.

    Contiguous arrays are cut anywhere, as vectors; others along the first axis, or within it where rows are
    long.
    """
    first, *_ = arrays
    if all(array.flags.c_contiguous for array in arrays):
        arrays = tuple(array.reshape(-1) for array in arrays)
    length, row = len(arrays[0]), first.size // len(arrays[0])
    if arrays[0].ndim > 1 and row > CUT:
        for rows in zip(*arrays, strict=True):
            yield from cut(*rows)
        return
    size = max(CUT // arrays[0][0].size, 1)
    for part in in_blocks(size, length):
        yield tuple(array[part] for array in arrays)


def like(memory: Array, block: Array) -> Array:
    """The beginning of a vector in the shape of a block."""
    return memory[: block.size].reshape(block.shape)


def same(value: float, block: Array) -> Array:
    """An array of one value, in the shape of a block.

    NumPy compares two arrays five times as fast as an array and a number.
    """
    return like(constant(value, (CUT,), block.dtype), block)


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


class CutKernel(ElementwiseKernel[L]):
    """Functions of single elements whose arrays are cut anywhere."""

    by_channel = True

    def scratch(self) -> tuple[Scratch, ...]:
        """The spare arrays."""
        return tuple(Scratch(f"spare{i}", (CUT,), "forward", per_image=False) for i in range(self.spares))

    def spare_like(self, at: Site, block: Array) -> list[Array]:
        """The spare arrays in the shape of a block."""
        return [like(at.scratch[f"spare{i}"], block) for i in range(self.spares)]


# --- functions whose slope follows from their value -----------------------------------------------------


class SlopeByValue(CutKernel[L]):
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
        return in_turn(self.value(x, y, self.spare_like(at, y)) for x, y in cut(at.x[0], at.y))

    def backward(self, at: Site) -> Run:
        """`dx = dy f'(x)`."""
        if at.dx[0] is None:
            return nothing
        steps = []
        for y, dy, dx in cut(at.y, at.dy, at.dx[0]):
            slope = like(at.scratch["slope"], y)
            steps += [self.slope(y, slope), times(dy, slope, dx)]
        return in_turn(steps)

    def scratch(self) -> tuple[Scratch, ...]:
        """The derivative of a block, and the spare arrays."""
        return *super().scratch(), Scratch("slope", (CUT,), "backward", per_image=False)


# --- functions whose slope is found on the way to their value -------------------------------------------


class SlopeWithValue(CutKernel[L]):
    """Functions whose derivative is computed together with the value, in training, and kept."""

    @abstractmethod
    def value(self, x: Array, y: Array, slope: Array | None, spare: list[Array]) -> Run:
        """Bind `y = f(x)` and, where it is asked for, `slope = f'(x)` for a block.

        `y` may be the memory of `x`.
        """

    def forward(self, at: Site) -> Run:
        """`y = f(x)`; in training, `f'(x)` too."""
        x, y, moment = at.x[0], at.y, at.moment
        predict = in_turn(self.value(a, b, None, self.spare_like(at, b)) for a, b in cut(x, y))
        if "slope" not in at.scratch:
            return predict
        blocks = cut(x, y, at.scratch["slope"].reshape(y.shape))
        learn = in_turn(self.value(a, b, slope, self.spare_like(at, b)) for a, b, slope in blocks)

        def run() -> None:
            if moment.training:
                learn()
            else:
                predict()

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


def clipping(x: Array, y: Array, low: float, high: float) -> Run:
    """Bind `y = min(max(x, low), high)` for a block."""
    least, most = same(low, y), same(high, y)

    def run() -> None:
        np.maximum(x, least, out=y)
        np.minimum(y, most, out=y)

    return run


def rectify(y: Array) -> Run:
    """Bind `y = max(y, 0)`, block by block."""
    return in_turn(accumulating(np.maximum, (part, same(0, part)), part) for (part,) in cut(y))


def inside(y: Array, out: Array, high: float) -> Run:
    """Bind `out = [0 < y < high]` for a block whose `y` lies from 0 to `high`: where `y (high - y) > 0`."""
    zero, most = y.dtype.type(0), y.dtype.type(high)

    def run() -> None:
        np.subtract(most, y, out=out)
        np.multiply(out, y, out=out)
        np.greater(out, zero, out=out)

    return run
