"""Patches: the parts of a map that the tiles of a convolution see, copied side by side.

For tiles that are `step` apart and patches of `q` places, from the padded map `x`:

    P_(c,q),(t,n) = x_c,n(t * step + q)        gather: (C, ph, pw, Ho/th, Wo/tw, N)
    dx_c,n(t * step + q) += dP_(c,q),(t,n)     scatter, since neighbouring patches overlap
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product as places
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import as_strided

from cnnspec.layers import Shape, product
from cnnspec.numpy_backend.kernels.base import (
    Array,
    Index,
    Layout,
    Margin,
    Run,
    copying,
    in_turn,
    nothing,
)
from cnnspec.numpy_backend.kernels.windows import TiledAxis

LARGEST_BLOCK: Final = 1 << 15
"""Elements of one image's patches up to which they are cut at once. More are cut in blocks that stay in the
cache while they are multiplied; with 16 images, blocks of 2 to 4 MiB were the fastest."""


@dataclass(frozen=True)
class Patches:
    """The patches of a map that lies in memory as `layout` says.

    Where the layout has the margin that the padding asks for, patches are cut from the map itself;
    otherwise from a padded copy of it. They are cut in blocks of tiles along the first axis.
    """

    layout: Layout
    axes: tuple[TiledAxis, ...]

    @property
    def patch(self) -> Shape:
        """The shape of one patch: `(C, ph, pw)`."""
        return (self.layout.shape[0], *(len(axis.offsets) for axis in self.axes))

    @property
    def tiles(self) -> Shape:
        """The number of tiles along each axis."""
        return tuple(axis.tiles for axis in self.axes)

    @property
    def blocks(self) -> tuple[slice, ...]:
        """The tiles along the first axis that are cut together, block by block."""
        first, *others = self.tiles
        most = max(LARGEST_BLOCK // product((*self.patch, *others)), 1)
        return tuple(slice(start, min(start + most, first)) for start in range(0, first, most))

    @property
    def shape(self) -> Shape:
        """The shape of the largest block of one image: `(C, ph, pw, Ho/th, Wo/tw)`."""
        block = self.blocks[0]
        return (*self.patch, block.stop - block.start, *self.tiles[1:])

    @property
    def padding(self) -> Margin:
        """The padding of the map, `()` where there is none."""
        return margin_of(self.axes)

    @property
    def padded(self) -> Layout:
        """The padded map."""
        return Layout(self.layout.shape, margin=self.padding)

    @property
    def copies(self) -> bool:
        """Whether patches are cut from a padded copy."""
        return bool(self.padding) and self.layout.margin != self.padding

    def columns(self, block: slice, n: int) -> slice:
        """The columns that a block has in a matrix of all tiles of `n` images."""
        each = product(self.tiles[1:]) * n
        return slice(block.start * each, block.stop * each)

    def within(self, memory: Array, block: slice) -> Array:
        """The array of a block at the start of memory for the largest."""
        shape = (*self.patch, block.stop - block.start, *self.tiles[1:], memory.shape[-1])
        return memory.reshape(-1)[: product(shape)].reshape(shape)

    # --- gather -----------------------------------------------------------------------------------------

    def pad(self, x: Array, whole_x: Array, copy: Array | None) -> tuple[Array, Run]:
        """The padded map, and what makes it; `copy` is memory for it where it is a copy."""
        padded = whole_x if self.layout.margin == self.padding else x
        runs = []
        if copy is not None:
            padded = copy
            runs.append(copying(x, self.padded.inside(copy)))
        return padded, in_turn([*runs, *map(_zeroing, _borders(padded, self.padding))])

    def gather(self, padded: Array, block: slice, patches: Array) -> Run:
        """Bind the copying of a block of patches from the padded map."""
        channel, *strides, image = padded.strides
        within = (s * axis.spacing for s, axis in zip(strides, self.axes, strict=True))
        across = (s * axis.step for s, axis in zip(strides, self.axes, strict=True))
        shape = (*self.patch, *self.tiles, padded.shape[-1])
        windows = as_strided(padded, shape, (channel, *within, *across, image), writeable=False)
        index: Index = (*(slice(None),) * len(self.patch), block)
        return copying(windows[index], patches)

    # --- scatter ----------------------------------------------------------------------------------------

    def scatter(self, padded: Array, block: slice, patches: Array) -> Run:
        """Bind adding a block of the patches' gradients to that of the padded map."""
        pairs = []
        for place in places(*map(range, self.patch[1:])):
            first, *others = (axis.inputs(q) for axis, q in zip(self.axes, place, strict=True))
            step = first.step
            rows = slice(first.start + block.start * step, first.start + (block.stop - 1) * step + 1, step)
            target: Index = (slice(None), rows, *others)
            source: Index = (slice(None), *place)
            pairs.append((padded[target], patches[source]))

        def run() -> None:
            for total, part in pairs:
                np.add(total, part, out=total)

        return run

    def unpad(self, dx: Array, whole_dx: Array, copy: Array | None) -> tuple[Array, Run, Run]:
        """The gradient of the padded map, what zeroes it, and what makes `dx` of it in the end."""
        if copy is not None:
            return copy, _zeroing(copy), copying(self.padded.inside(copy), dx)
        padded = whole_dx if self.layout.margin == self.padding else dx
        return padded, _zeroing(padded), nothing


def margin_of(axes: tuple[TiledAxis, ...]) -> Margin:
    """The padding before and after each axis, `()` where there is none."""
    margin = tuple((axis.window.before, axis.window.after) for axis in axes)
    return margin if any(map(sum, margin)) else ()


def _zeroing(array: Array) -> Run:
    return lambda: array.fill(0)


def _borders(padded: Array, margin: Margin) -> list[Array]:
    """The slabs of a padded array that lie outside its inside."""
    borders = []
    for axis, (before, after) in enumerate(margin, start=1):
        n = padded.shape[axis]
        for along in (slice(0, before), slice(n - after, n)):
            index: Index = (*(slice(None),) * axis, along)
            borders += [padded[index]] if along.stop > along.start else []
    return borders
