"""The matrix of a convolution that computes a tile of outputs from one patch.

The rows of T are the outputs of a tile, its columns the places of a patch. T holds the kernel once for every
output, shifted to its place in the patch, and zeros elsewhere: it is block-Toeplitz. Output `a` of the tile
and place `i` of the kernel meet place `m(a, i)` of the patch, so

    T_(a,o),(c,q) = sum_i W_(o,c,i) [q = m(a, i)]        dW_(o,c,i) = sum_a dT_(a,o),(c,m(a,i))

The gradient is summed as the transpose of dT: `P dY^T` is up to twice as fast as `dY P^T`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product as places

import numpy as np

from cnnspec.layers import Shape, product
from cnnspec.numpy_backend.kernels.base import Array, Index, Run
from cnnspec.numpy_backend.kernels.windows import TiledAxis


@dataclass(frozen=True)
class Toeplitz:
    """The matrix for `channels` outputs, from kernels of `depth` input channels in each of `groups`.

    Its columns are the places of a patch, channel by channel, or `by_rows`: all channels of the patch's first
    row, then of the next.
    """

    channels: int
    depth: int
    groups: int
    axes: tuple[TiledAxis, ...]
    by_rows: bool = False

    @property
    def tile(self) -> Shape:
        """The outputs of a tile along each axis."""
        return tuple(axis.tile for axis in self.axes)

    @property
    def is_weight(self) -> bool:
        """Whether T is the weight itself: a tile is one output."""
        return product(self.tile) == 1 and not self.by_rows

    @property
    def rows(self) -> int:
        """Outputs of a tile, in one group."""
        return product(self.tile) * self.channels // self.groups

    @property
    def columns(self) -> int:
        """Elements of a patch, in one group."""
        return self.depth * product(tuple(len(axis.offsets) for axis in self.axes))

    @property
    def shape(self) -> Shape:
        """The shape of T, group by group where there are groups."""
        shape = (self.rows, self.columns)
        return shape if self.groups == 1 else (self.groups, *shape)

    @property
    def transposed(self) -> Shape:
        """The shape of T with rows and columns exchanged."""
        return (*self.shape[:-2], self.columns, self.rows)

    def spread(self, weight: Array, matrix: Array) -> Run:
        """Bind filling T from the weight; its zeros are set now."""
        matrix.fill(0)
        views = self._kernels(self._unfolded(matrix))
        grouped = self._grouped(weight)

        def run() -> None:
            for view in views:
                np.copyto(view, grouped)

        return run

    def fold(self, transposed: Array, weight: Array) -> Run:
        """Bind the sum of the gradient of T, given transposed, over the places that hold the same weight."""
        sizes, tile = self._sizes, self.tile
        unfolded = transposed.reshape(self.groups, self.depth, *sizes, *tile, self.channels // self.groups)
        first, *others = self._kernels(_rows_first(unfolded, len(sizes)))
        grouped = self._grouped(weight)

        def run() -> None:
            np.copyto(grouped, first)
            for view in others:
                np.add(grouped, view, out=grouped)

        return run

    @property
    def _sizes(self) -> Shape:
        return tuple(len(axis.offsets) for axis in self.axes)

    def _unfolded(self, matrix: Array) -> Array:
        """T as `(groups, th, tw, channels/groups, depth, ph, pw)`."""
        rows = (self.groups, *self.tile, self.channels // self.groups)
        if not self.by_rows:
            return matrix.reshape(*rows, self.depth, *self._sizes)
        first, *others = self._sizes
        return matrix.reshape(*rows, first, self.depth, *others).swapaxes(len(rows), len(rows) + 1)

    def _grouped(self, weight: Array) -> Array:
        """The weight as `(groups, channels/groups, depth, kh, kw)`."""
        return weight.reshape(self.groups, self.channels // self.groups, *weight.shape[1:])

    def _kernels(self, unfolded: Array) -> list[Array]:
        """For each output of a tile, the part of T that holds the kernel, shaped as the grouped weight."""
        views = []
        for output in places(*map(range, self.tile)):
            within = (axis.kernel(a) for axis, a in zip(self.axes, output, strict=True))
            index: Index = (slice(None), *output, slice(None), slice(None), *within)
            views.append(unfolded[index])
        return views


def _rows_first(unfolded: Array, axes: int) -> Array:
    """`(G, C, ph, pw, th, tw, O)` seen as `(G, th, tw, O, C, ph, pw)`."""
    columns = range(1, axes + 2)
    rows = range(axes + 2, 2 * axes + 3)
    return unfolded.transpose(0, *rows, *columns)
