"""Patches: the parts of a map that the tiles of a convolution see, copied side by side.

For tiles that are `step` apart and patches of `q` places, from the padded map `x`:

    P_(c,q),(t,n) = x_c,n(t * step + q)        gather: (C, ph, pw, Ho/th, Wo/tw, N)
    dx_c,n(t * step + q) += dP_(c,q),(t,n)     scatter, since neighbouring patches overlap
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product as places
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import as_strided

from cnnspec.layers import Shape
from cnnspec.numpy_backend.kernels.base import Array, Index, Layout, Margin, Run, Scratch, nothing
from cnnspec.numpy_backend.kernels.windows import TiledAxis


@dataclass(frozen=True)
class Patches:
    """The patches of a map that lies in memory as `layout` says.

    Where the layout has the margin that the padding asks for, patches are cut from the map itself;
    otherwise from a padded copy of it.
    """

    layout: Layout
    axes: tuple[TiledAxis, ...]

    @property
    def shape(self) -> Shape:
        """The shape of the patches of one image: `(C, ph, pw, Ho/th, Wo/tw)`."""
        return (
            self.layout.shape[0],
            *(len(axis.offsets) for axis in self.axes),
            *(a.tiles for a in self.axes),
        )

    @property
    def padding(self) -> Margin:
        """The padding of the map, `()` where there is none."""
        return margin_of(self.axes)

    @property
    def padded(self) -> Layout:
        """The padded map."""
        return Layout(self.layout.shape, margin=self.padding)

    def scratch(self, during: Literal["forward", "backward"]) -> tuple[Scratch, ...]:
        """The memory of a padded copy, where one is needed in this pass."""
        if not self.padding or self.layout.margin == self.padding:
            return ()
        return (Scratch(f"padded {during}", self.padded.stored, during),)

    def gather(self, x: Array, whole_x: Array, copy: Array | None, patches: Array) -> Run:
        """Bind the copying of patches; `copy` is memory for a padded copy of `x`."""
        pad = nothing
        source = whole_x if self.layout.margin == self.padding else x
        if copy is not None:
            source = copy
            pad = _copying(x, self.padded.inside(copy))
        windows = self._overlapping(source)
        borders = _borders(source, self.padding)

        def run() -> None:
            pad()
            for border in borders:
                border.fill(0)
            np.copyto(patches, windows)

        return run

    def scatter(self, patches: Array, dx: Array, whole_dx: Array, copy: Array | None) -> Run:
        """Bind the sum of the patches' gradients where they meet; `copy` is memory for a padded `dx`."""
        total = whole_dx if self.layout.margin == self.padding else dx
        unpad = nothing
        if copy is not None:
            total = copy
            unpad = _copying(self.padded.inside(copy), dx)
        pairs = []
        for place in places(*(range(len(axis.offsets)) for axis in self.axes)):
            inputs = (axis.inputs(q) for axis, q in zip(self.axes, place, strict=True))
            target: Index = (slice(None), *inputs)
            source: Index = (slice(None), *place)
            pairs.append((total[target], patches[source]))

        def run() -> None:
            total.fill(0)
            for there, here in pairs:
                np.add(there, here, out=there)
            unpad()

        return run

    def _overlapping(self, padded: Array) -> Array:
        """The patches as a view of the padded map."""
        channel, *strides, image = padded.strides
        within = (s * axis.spacing for s, axis in zip(strides, self.axes, strict=True))
        across = (s * axis.step for s, axis in zip(strides, self.axes, strict=True))
        shape = (*self.shape, padded.shape[-1])
        return as_strided(padded, shape, (channel, *within, *across, image), writeable=False)


def margin_of(axes: tuple[TiledAxis, ...]) -> Margin:
    """The padding before and after each axis, `()` where there is none."""
    margin = tuple((axis.window.before, axis.window.after) for axis in axes)
    return margin if any(map(sum, margin)) else ()


def padded_copy(scratch: Mapping[str, Array], during: Literal["forward", "backward"]) -> Array | None:
    """The memory of a padded copy, where `Patches.scratch` asked for one."""
    return scratch.get(f"padded {during}")


def _copying(source: Array, target: Array) -> Run:
    return lambda: np.copyto(target, source)


def _borders(padded: Array, margin: Margin) -> list[Array]:
    """The slabs of a padded array that lie outside its inside."""
    borders = []
    for axis, (before, after) in enumerate(margin, start=1):
        n = padded.shape[axis]
        for along in (slice(0, before), slice(n - after, n)):
            index: Index = (*(slice(None),) * axis, along)
            borders += [padded[index]] if along.stop > along.start else []
    return borders
