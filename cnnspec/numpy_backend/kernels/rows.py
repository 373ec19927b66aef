"""Convolution of each channel by itself, some rows of outputs at a time, as matrix products.

The map is copied once for each column of the kernel, shifted so that what this column meets stands below
the outputs, with zeros where it meets padding. The copies of a row lie side by side, so that all that `th`
rows of outputs need is one matrix:

    Y_(c,p) = T_c X_(c,p),    X: (rows * kw) x (Wo * N), a view    T_c: th x (rows * kw)

T holds the kernel at `th` places. It is mostly zeros, and still its products are faster than multiplying
and adding slice by slice. The weights' gradient takes the same matrices the other way, `dy X^T`, of which the
kernel's places in T are summed up.

With 3x3 kernels, maps of 112x112 to 7x7 and one core, against a product for each row of 16 outputs this took
a third to all of the time with one image and half of it with 16; against multiplying and adding whole shifted
maps as long vectors, half to all of it with one image, and half to three quarters with 16.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from cnnspec.layers import AxisWindow, Shape, product
from cnnspec.numpy_backend.kernels.base import Array, Moment, Run, by_image, nothing
from cnnspec.numpy_backend.kernels.elementwise import in_blocks
from cnnspec.numpy_backend.kernels.windows import reaches

TILE: Final = 4
"""Rows of outputs of one product: more take more of its arithmetic, fewer more of its reading. (3x3 kernels,
16 images, maps of 112x112 to 28x28: 7 rows are 10 % to 40 % slower, 14 up to 90 %.)"""
SPARSEST: Final = 4
"""Rows that a dilated kernel reaches over for each of its own, beyond which T has too many zeros."""
LOW: Final = 7
"""Rows of outputs that one product takes where a map has no more."""
COPIED: Final = 1 << 16
"""Elements of one image's shifted copies that are made before they are multiplied: with few images, these are
short calls. (With one image 4,096 are up to three times as slow, 32,768 a tenth to a quarter; with 8 and 16
images all sizes are alike.)"""


class _Tiles(NamedTuple):
    """Tiles of one height, `rows` of outputs each, in the copies and in the outputs of some channels."""

    rows: int
    copies: Array
    outputs: Array


@dataclass(frozen=True)
class RowProducts:
    """The products for maps of `sizes` rows and columns, and outputs likewise."""

    channels: int
    sizes: Shape
    outputs: Shape
    windows: tuple[AxisWindow, AxisWindow]

    @property
    def fits(self) -> bool:
        """Whether it is worth it."""
        down, along = self.windows
        return down.kernel * along.kernel > 1 and down.reach <= SPARSEST * down.kernel

    @property
    def tile(self) -> int:
        """Rows of outputs of a tile."""
        return self.outputs[0] if self.outputs[0] <= LOW else TILE

    @property
    def together(self) -> int:
        """Channels whose copies are made at once."""
        return max(min(COPIED // product(self._copy), self.channels), 1)

    @property
    def matrix(self) -> Shape:
        """The shape of T for each output channel."""
        return (self.tile, self._reach(self.tile) * self.windows[1].kernel)

    @property
    def scratch(self) -> Shape:
        """The shape of the copies of some channels of one image."""
        return (self.together, *self._copy)

    @property
    def products(self) -> Shape:
        """The shape of the products of some channels, from which the weights' gradient is summed up."""
        return (self.together, -(-self.outputs[0] // self.tile), *self.matrix)

    def spread(self, weight: Array, matrix: Array) -> Run:
        """Bind filling T from a weight of `channels x kh x kw`; its zeros are set now."""
        matrix.fill(0)
        target = self._in_tile(matrix, self.tile)
        spread = weight[:, None]

        def run() -> None:
            np.copyto(target, spread)

        return run

    def run(
        self,
        matrix: Array,
        x: Array,
        y: Array,
        copies: Array,
        finishing: Callable[[slice], Run] = lambda outputs: nothing,
    ) -> Run:
        """Bind `y = T x` for `x` of `channels x H x W x N`; `y` may have several outputs for each channel.

        `finishing` binds what is done to some channels of the outputs as soon as they are there.
        """
        steps, multiplier = [], len(y) // self.channels
        matrices = matrix.reshape(self.channels, -1, 1, *self.matrix)
        for some in in_blocks(self.together, self.channels):
            copied = copies[: some.stop - some.start]
            pairs = [
                (matrices[some][..., : tiles.rows, : tiles.copies.shape[-2]], tiles.copies, tiles.outputs)
                for tiles in self._tiles(copied, y.reshape(self.channels, -1, *y.shape[1:])[some])
            ]
            then = finishing(slice(some.start * multiplier, some.stop * multiplier))
            steps.append((list(self._shifted(x[some], copied)), pairs, then))

        def run() -> None:
            copies.fill(0)  # what lies outside the map stays 0
            for shifted, products, then in steps:
                for source, target in shifted:
                    np.copyto(target, source)
                for left, right, out in products:
                    np.matmul(left, right, out=out)
                then()

        return run

    def add_gradient(
        self, x: Array, dy: Array, total: Array, copies: Array, memory: Array, moment: Moment
    ) -> Run:
        """Bind adding to the gradient of the weight, of `channels x kh x kw`; `memory` has `products`."""
        steps = []
        kernel = tuple(window.kernel for window in self.windows)
        multiplier = len(dy) // self.channels
        totals = total.reshape(self.channels, multiplier, *kernel)
        for some in in_blocks(self.together, self.channels):
            copied = copies[: some.stop - some.start]
            pairs = []
            for m in range(multiplier):
                for tiles in self._tiles(
                    copied, dy.reshape(self.channels, multiplier, *dy.shape[1:])[some, m, None]
                ):
                    outputs, seen = tiles.outputs[:, 0], tiles.copies[:, 0]
                    shape = (*outputs.shape[:2], tiles.rows, seen.shape[-2])
                    products = memory.reshape(-1)[: product(shape)].reshape(shape)
                    places = self._in_tile(products, tiles.rows)  # (C, tiles, th, kh, kw)
                    pairs.append((outputs, seen.swapaxes(-1, -2), products, places, totals[some, m]))
            steps.append((list(self._shifted(x[some], copied)), pairs))

        def run() -> None:
            if moment.first:
                total.fill(0)
            copies.fill(0)
            for shifted, pairs in steps:
                for source, target in shifted:
                    np.copyto(target, source)
                for left, right, out, places, sums in pairs:
                    np.matmul(left, right, out=out)
                    np.add(sums, np.add.reduce(places, axis=(1, 2)), out=sums)

        return run

    # --- arrays -----------------------------------------------------------------------------------------

    def _reach(self, rows: int) -> int:
        """Rows of the map that `rows` rows of outputs see."""
        return (rows - 1) * self.windows[0].stride + self.windows[0].reach

    @property
    def _copy(self) -> Shape:
        """The shape of the copies of one channel: rows, shifts and columns."""
        return (self._reach(self.outputs[0]), self.windows[1].kernel, self.outputs[1])

    def _shifted(self, x: Array, copies: Array) -> Iterator[tuple[NDArray[np.void], NDArray[np.void]]]:
        """What of the map goes where in the copies."""
        before, n = self.windows[0].before, self.sizes[0]
        first, last = max(-before, 0), min(self._copy[0] - before, n)
        for shift, met in enumerate(reaches(self.windows[1], self.sizes[1], self.outputs[1])):
            if met is not None and first < last:
                target = copies[:, first + before : last + before, shift, met.outputs]
                yield by_image(x[:, first:last, met.inputs]), by_image(target)

    def _tiles(self, copies: Array, y: Array) -> Iterator[_Tiles]:
        """The tiles of full height, and the one below them; copies and outputs of `C x multiplier x ...`."""
        channels, multiplier, height, *_ = y.shape
        row, shifted = product(y.shape[3:]), product(copies.shape[2:])
        full, rest = divmod(height, self.tile)
        for start, count, rows in ((0, full, self.tile), (full * self.tile, 1, rest)):
            if not count * rows:
                continue
            item = y.itemsize
            seen = as_strided(
                copies[:, start * self.windows[0].stride :],
                (channels, 1, count, self._reach(rows) * self.windows[1].kernel, row),
                (copies.strides[0], 0, rows * self.windows[0].stride * shifted * item, row * item, item),
                writeable=False,
            )
            outputs = y[:, :, start : start + count * rows].reshape(channels, multiplier, count, rows, row)
            yield _Tiles(rows, seen, outputs)

    def _in_tile(self, matrices: Array, rows: int) -> Array:
        """Where the kernel stands in matrices like T: `... x rows x kh x kw`."""
        down, along = self.windows
        item, width = matrices.itemsize, matrices.shape[-1]
        return as_strided(
            matrices,
            (*matrices.shape[:-2], rows, down.kernel, along.kernel),
            (
                *matrices.strides[:-2],
                (width + down.stride * along.kernel) * item,
                down.dilation * along.kernel * item,
                item,
            ),
        )
