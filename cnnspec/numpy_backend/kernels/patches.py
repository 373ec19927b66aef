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
    copying_images,
    in_turn,
    nothing,
)
from cnnspec.numpy_backend.kernels.windows import TiledAxis

LARGEST_BLOCK: Final = 1 << 15
"""Elements of one image's patches up to which they are cut at once. More are cut in blocks that stay in the
cache while they are multiplied; with 16 images, blocks of 2 to 4 MiB were the fastest."""
BLOCK_OF_FEW: Final = 1 << 18
"""Elements of a block of all images together, where these are so few that it then has more of each: with
less, products have too few columns. (One image on one core, milliseconds with 32,768, this many, 524,288: a
kernel of 7x7 over 3x224x224 by steps of two 2.4, 1.9 and 2.1; of 3x3 from 256x14x14 to 512x7x7 2.4, 1.0 and
1.0.)"""


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
        return self.blocks_of(slice(0, self.tiles[0]), self.together)

    @property
    def row(self) -> int:
        """Elements of the patches of one row of tiles, of one image."""
        return product((*self.patch, *self.tiles[1:]))

    @property
    def together(self) -> int:
        """Rows of tiles that are cut together, however many images there are."""
        return max(LARGEST_BLOCK // self.row, 1)

    @property
    def of_few(self) -> int:
        """Elements of the memory for blocks of few images."""
        return min(BLOCK_OF_FEW, self.row * self.tiles[0])

    def blocks_of(self, tiles: slice, together: int) -> tuple[slice, ...]:
        """Some rows of tiles, so many of them at a time."""
        return tuple(
            slice(i, min(i + together, tiles.stop)) for i in range(tiles.start, tiles.stop, together)
        )

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

    def within(self, memory: Array, block: slice, n: int) -> Array:
        """The array of a block at the start of memory for the largest."""
        shape = (*self.patch, block.stop - block.start, *self.tiles[1:], n)
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
        side_by_side = self.axes[-1].step == 1
        return copying(windows[index], patches) if side_by_side else copying_images(windows[index], patches)

    # --- scatter ----------------------------------------------------------------------------------------
    #
    # Neighbouring tiles that are `step` apart meet every `step`-th input. Sums over such strided rows are
    # short loops, so where tiles are apart the map's gradient is summed by phases, inputs of one remainder
    # side by side, and laid in order at the end:
    #
    #   D_c,p,h = dx_c(h * step + p)        D_c,p,(t + a) += dP_c,(a * step + p),t

    @property
    def phased(self) -> bool:
        """Whether gradients are summed by phases: where an input is in several patches, with gaps between."""
        phases = product(tuple(axis.step for axis in self.axes))
        return phases > 1 and 2 * phases <= product(self.patch[1:]) and all(axis.dense for axis in self.axes)

    @property
    def sums(self) -> Shape:
        """The memory of one image in which gradients are summed, `()` where the map's own will do."""
        if not self.phased:
            return self.padded.stored if self.copies else ()
        steps = tuple(axis.step for axis in self.axes)
        return (self.layout.shape[0], *steps, *(axis.strides for axis in self.axes))

    def scatter(self, total: Array, block: slice, patches: Array) -> Run:
        """Bind adding a block of the patches' gradients to that of the map, as `summing` gave it."""
        pairs = (
            self._by_phases(total, block, patches) if self.phased else self._by_places(total, block, patches)
        )

        def run() -> None:
            for into, part in pairs:
                np.add(into, part, out=into)

        return run

    def _by_phases(self, total: Array, block: slice, patches: Array) -> list[tuple[Array, Array]]:
        """All phases of one round of the patch at once."""
        pairs = []
        for rounds in places(*(range(axis.rounds) for axis in self.axes)):
            turns = list(zip(rounds, self.axes, strict=True))
            part = patches[(slice(None), *(slice(a * axis.step, (a + 1) * axis.step) for a, axis in turns))]
            phases = (slice(0, length) for length in part.shape[1 : len(self.axes) + 1])
            first, *others = (slice(a, a + axis.tiles) for a, axis in turns)
            rows = slice(first.start + block.start, first.start + block.stop)
            into: Index = (slice(None), *phases, rows, *others)
            pairs.append((total[into], part))
        return pairs

    def _by_places(self, total: Array, block: slice, patches: Array) -> list[tuple[Array, Array]]:
        """One place of the patch after the other."""
        pairs = []
        for place in places(*map(range, self.patch[1:])):
            first, *others = (axis.inputs(q) for axis, q in zip(self.axes, place, strict=True))
            step = first.step
            rows = slice(first.start + block.start * step, first.start + (block.stop - 1) * step + 1, step)
            into: Index = (slice(None), rows, *others)
            part: Index = (slice(None), *place)
            pairs.append((total[into], patches[part]))
        return pairs

    def summing(self, dx: Array, whole_dx: Array, memory: Array | None) -> tuple[Array, Run, Run]:
        """Where the gradient of the map is summed, what zeroes it, and what makes `dx` of it in the end.

        `memory` is of the shape of `sums`, or nothing where that is `()`.
        """
        if memory is None:
            padded = whole_dx if self.layout.margin == self.padding else dx
            return padded, _zeroing(padded), nothing
        if not self.phased:
            return memory, _zeroing(memory), copying(self.padded.inside(memory), dx)
        return memory, _zeroing(memory), in_turn(self._ordering(memory, dx))

    def _ordering(self, sums: Array, dx: Array) -> list[Run]:
        """Lay each phase of the padded map to its place in the map."""
        runs = []
        for phase in places(*(range(axis.step) for axis in self.axes)):
            met = [axis.phase(p) for p, axis in zip(phase, self.axes, strict=True)]
            if all(inputs.start < axis.n for (inputs, _), axis in zip(met, self.axes, strict=True)):
                source: Index = (slice(None), *phase, *(within for _, within in met))
                target: Index = (slice(None), *(inputs for inputs, _ in met))
                runs.append(copying(sums[source], dx[target]))
        return runs


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
