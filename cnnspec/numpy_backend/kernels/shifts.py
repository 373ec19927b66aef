"""Shifted copies of a map, in which all that a row of outputs sees is one matrix.

Patches hold each number of the map once for every place of the kernel. The copies hold it once for every
place along all axes but the first, rows of the map outermost:

    S_r,(c,q),(t,n) = x_c,n(r, t * step + q)        (rows, C, pw, Wo/tw, N)

What a row `p` of outputs meets, from row `p * stride` on, then lies behind one another, and is a matrix
without another copy:

    Y_p = T S_(p * stride ...),    a view of (kh * C * pw) x (Wo/tw * N),    T: (tw * out) x (kh * C * pw)

Neighbouring rows of outputs see most of the same memory, so that a kernel of `kh` rows copies `kh` times less
than patches do, in longer stretches. (LeNet's convolutions of 5x5, 8 to 128 images on one core, beside tiles
of 2x2 from patches: 0.60 to 0.78 of the time with OpenBLAS's kernels for AVX-512, 0.77 to 0.92 with those for
AVX2. ResNet-18's first layer beside patches: 0.77 to 0.93.) There is no backward pass: the gradient of the
map would be summed row by row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import as_strided

from cnnspec.layers import Shape, product
from cnnspec.numpy_backend.kernels.base import Array, Run, copying, copying_images
from cnnspec.numpy_backend.kernels.stacks import equal_blocks
from cnnspec.numpy_backend.kernels.windows import TiledAxis

LARGEST_MATRIX: Final = 1 << 15
"""Elements of T, which every row of outputs reads again, up to which this may pay. (3x3 kernels, 8 and 64
images, time beside that of patches: 16 channels 0.65, 32 channels 0.75, 64 to 512 channels 1.0 and, with a
single image of 14x14, over 2.)"""
LARGEST_BLOCK: Final = 1 << 15
"""Elements of one image's copies up to which they are made at once."""
BLOCK_OF_ALL: Final = 1 << 18
"""Elements of the copies of all images together, above which they are made block by block."""
SHORTEST_PRODUCT: Final = 64
"""Columns under which a product is not cut: they come one after the other without a call of Python."""


@dataclass(frozen=True)
class Shifts:
    """The copies of a padded map of `channels` in `groups`, and the products with them.

    `axes` have a tile of 1 along the first axis, along which outputs of a tile lie `apart`: output row
    `t * apart + a` is row `t` at place `a` of their tiles.
    """

    channels: int
    groups: int
    axes: tuple[TiledAxis, ...]
    apart: int

    @property
    def row(self) -> Shape:
        """The shape of a row of copies of one group: `(C, pw, Wo/tw)`."""
        _, *others = self.axes
        sizes = (*(len(axis.offsets) for axis in others), *(axis.tiles for axis in others))
        return (self.channels // self.groups, *sizes)

    @property
    def tiles(self) -> int:
        """Rows of tiles of outputs."""
        return self.axes[0].outputs // self.apart

    def seen(self, tiles: int) -> int:
        """Rows of the map that so many rows of tiles see."""
        first = self.axes[0].window
        return (tiles * self.apart - 1) * first.stride + first.kernel

    @property
    def at_once(self) -> int:
        """Rows of tiles whose copies are made at once, however many images there are."""
        return self._fitting(LARGEST_BLOCK)

    @property
    def copies(self) -> Shape:
        """All copies of one image."""
        return (self.groups * self.seen(self.tiles), *self.row)

    @property
    def memory(self) -> Shape:
        """The copies of one image that are made at once."""
        return (self.groups * self.seen(self.at_once), *self.row)

    @property
    def of_few(self) -> int:
        """Elements of the memory for blocks of few images."""
        return min(BLOCK_OF_ALL, product(self.copies))

    def _fitting(self, elements: int) -> int:
        """The rows of tiles whose copies have no more elements, but at least one."""
        rows = elements // (self.groups * product(self.row))
        first = self.axes[0].window
        most = ((rows - first.kernel) // first.stride + 1) // self.apart
        return min(max(most, 1), self.tiles)

    def blocks(self, tiles: slice, memory: Array, n: int) -> Iterator[slice]:
        """Some rows of tiles, as many at a time as memory is for and the cache holds."""
        together = self._fitting(min(memory.size, BLOCK_OF_ALL) // n)
        for start in range(tiles.start, tiles.stop, together):
            yield slice(start, min(start + together, tiles.stop))

    def within(self, memory: Array, block: slice, n: int) -> Array:
        """The copies for some rows of tiles: `(groups, rows, C, pw, Wo/tw, N)`."""
        shape = (self.groups, self.seen(block.stop - block.start), *self.row, n)
        return memory.reshape(-1)[: product(shape)].reshape(shape)

    def copy(self, padded: Array, block: slice, copies: Array) -> Run:
        """Bind making the copies for some rows of tiles from the padded map."""
        channel, row, *strides, image = padded.strides
        _, *others = self.axes
        within = (s * axis.spacing for s, axis in zip(strides, others, strict=True))
        across = (s * axis.step for s, axis in zip(strides, others, strict=True))
        first = block.start * self.apart * self.axes[0].window.stride
        shifted = as_strided(
            padded[:, first:],
            copies.shape,
            (self.channels // self.groups * channel, row, channel, *within, *across, image),
            writeable=False,
        )
        side_by_side = bool(others) and others[-1].step == 1
        return copying(shifted, copies) if side_by_side else copying_images(shifted, copies)

    def multiply(self, matrix: Array, copies: Array, block: slice, y: Array) -> Run:
        """Bind some rows of tiles of `y = T S`: a product for each row of outputs, or each part of one."""
        rows, inner = matrix.shape[-2:]
        columns = product(copies.shape[3 + len(self.axes) - 1 :])
        parts = equal_blocks((rows, inner), columns, SHORTEST_PRODUCT)
        width, item = columns // parts, copies.itemsize
        row = self.axes[0].window.stride * copies.strides[1]
        seen = as_strided(
            copies,
            (self.apart, self.groups, block.stop - block.start, parts, inner, width),
            (row, copies.strides[0], self.apart * row, width * item, columns * item, item),
            writeable=False,
        )
        outputs = y.reshape(self.apart, self.groups, rows, self.tiles, parts, width)
        into = outputs[:, :, :, block].transpose(0, 1, 3, 4, 2, 5)
        spread = matrix.reshape(self.groups, 1, 1, rows, inner)

        def run() -> None:
            np.matmul(spread, seen, out=into)

        return run
