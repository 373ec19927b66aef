"""Kernels of convolution: one matrix product over patches of the map, whatever the kernel's options.

A tile of `th x tw` neighbouring outputs shares one patch of the input. With the patches of all tiles and
images as the columns of a matrix, the outputs are

    Y = T P,    P: (C * ph * pw) x (Ho/th * Wo/tw * N),    T: (th * tw * out) x (C * ph * pw),

where T holds the kernel once for every output of the tile, shifted to its place in the patch, and zeros
elsewhere (a block-Toeplitz matrix). A tile of one output is the usual im2col; a larger one costs arithmetic
on the zeros, saves copying, and gives the product more rows, which it needs where channels are few.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product as places
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import as_strided

from cnnspec.layers import Shape, Weight, product
from cnnspec.layers.convolution import Conv
from cnnspec.numpy_backend.kernels.base import (
    Array,
    Index,
    Kernel,
    Layout,
    Margin,
    Run,
    Scratch,
    Site,
    add_product,
    add_rows,
    computes,
    nothing,
)
from cnnspec.numpy_backend.kernels.windows import TiledAxis


@computes(Conv)
class ConvKernel(Kernel[Conv]):
    """`y_o(p) = sum_(c,i) W_(o,c,i) x_c(p * stride + i * dilation - before) + b_o`."""

    reads_margin = True

    def __init__(
        self, layer: Conv, inputs: tuple[Layout, ...], output: Layout, weights: tuple[Weight, ...]
    ) -> None:
        super().__init__(layer, inputs, output, weights)
        self.axes = tiled_axes(layer, inputs[0].shape, output.tile)
        self.padding = type(self).margin(layer, inputs[0].shape)
        self.direct = not inputs[0].margin and all(_is_point(axis) for axis in self.axes)
        self.keeps_input = self.direct
        self.algorithm, self.why = self._described()

    @classmethod
    def margin(cls, layer: Conv, shape: Shape) -> Margin:
        """The padding, so that patches are cut from one array."""
        margin = tuple((w.before, w.after) for w in layer.window(shape))
        return margin if any(map(sum, margin)) else ()

    @classmethod
    def writes_tiles(cls, layer: Conv, shape: Shape, tile: Shape) -> bool:
        """Whether computing such tiles of outputs at once is estimated to be faster than one at a time."""
        if layer.groups > 1 or not all(axis.spacing for axis in tiled_axes(layer, shape, tile)):
            return False
        return estimate(layer, shape, tile) < estimate(layer, shape, ())

    @property
    def groups(self) -> int:
        """The number of groups."""
        return self.layer.groups

    @property
    def patch(self) -> Shape:
        """The sizes of a patch."""
        return tuple(len(axis.offsets) for axis in self.axes)

    @property
    def tiles(self) -> Shape:
        """The number of tiles along each axis."""
        return tuple(axis.tiles for axis in self.axes)

    @property
    def tile(self) -> Shape:
        """The outputs of a tile along each axis."""
        return tuple(axis.tile for axis in self.axes)

    @property
    def rows(self) -> int:
        """Rows of the matrix of one group."""
        return product(self.tile) * self.layer.channels // self.groups

    @property
    def columns(self) -> int:
        """Columns of the matrix of one group."""
        return self.inputs[0].shape[0] // self.groups * product(self.patch)

    def scratch(self) -> tuple[Scratch, ...]:
        """Patches and their gradient, padded copies where the input has no margin, and room for sums."""
        spares = [Scratch("spare", s, "backward", per_image=False) for s in [self.matrix]]
        if self.layer.bias:
            spares.append(Scratch("spare_rows", (self.groups * self.rows,), "backward", per_image=False))
        if self.direct:
            return tuple(spares)
        channels = self.inputs[0].shape[0]
        patches = (channels, *self.patch, *self.tiles)
        needed = [Scratch("patches", patches, "both"), Scratch("dpatches", patches, "backward")]
        if self.padding and self.inputs[0].margin != self.padding:
            padded = (channels, *(axis.padded for axis in self.axes))
            needed += [Scratch("padded", padded, "forward"), Scratch("dpadded", padded, "backward")]
        return (*needed, *spares)

    @property
    def matrix(self) -> Shape:
        """The shape of T, group by group where there are groups."""
        shape = (self.rows, self.columns)
        return shape if self.groups == 1 else (self.groups, *shape)

    # --- T and its gradient -----------------------------------------------------------------------------
    #
    # Output a of a tile and place i of the kernel meet place a * stride + i * dilation of the patch, so
    #   T_(a,o),(c,q) = sum_i W_(o,c,i) [q = place(a, i)],    dW_(o,c,i) = sum_a dT_(a,o),(c,place(a,i)),
    # and the gradient of the bias, one for each row of T, is summed over the tile likewise.

    def shared(self) -> dict[str, Shape]:
        """T, unless it is the weight itself."""
        return {"matrix": self.matrix} if product(self.tile) > 1 else {}

    def prepare(self, weights: Mapping[str, Array], shared: Mapping[str, Array]) -> Run | None:
        """Fill T from the weights."""
        if "matrix" not in shared:
            return None
        shared["matrix"].fill(0)
        pairs = list(self._spread(shared["matrix"], weights["weight"]))

        def run() -> None:
            for place, weight in pairs:
                np.copyto(place, weight)

        return run

    def sums(self) -> dict[str, Shape]:
        """The gradient of T, and of the bias for each of its rows; of the weights where they are these."""
        if product(self.tile) == 1:
            return super().sums()
        rows = {"rows": (self.rows,)} if self.layer.bias else {}
        return {"matrix": self.matrix, **rows}

    def fold(self, sums: Mapping[str, Array], gradients: Mapping[str, Array]) -> Run | None:
        """Sum the gradient of T over the places where it holds the same weight."""
        if product(self.tile) == 1:
            return None
        weight = gradients["weight"]
        pairs = list(self._spread(sums["matrix"], weight))
        rows = sums["rows"].reshape(-1, self.layer.channels) if self.layer.bias else None

        def run() -> None:
            weight.fill(0)
            for place, total in pairs:
                np.add(total, place, out=total)
            if rows is not None:
                np.add.reduce(rows, axis=0, out=gradients["bias"])

        return run

    def _spread(self, matrix: Array, weight: Array) -> Iterator[tuple[Array, Array]]:
        """Every view of T that holds one place of the kernel for one output of the tile, with that weight."""
        full = matrix.reshape(*self.tile, *weight.shape[:2], *self.patch)
        outputs = list(places(*map(range, self.tile)))
        for place in places(*map(range, weight.shape[2:])):
            source: Index = (slice(None), slice(None), *place)
            for output in outputs:
                at = (axis.place(a, i) for axis, a, i in zip(self.axes, output, place, strict=True))
                target: Index = (*output, slice(None), slice(None), *at)
                yield full[target], weight[source]

    # --- forward ----------------------------------------------------------------------------------------

    def forward(self, at: Site) -> Run:
        """Copy the patches, then `Y = T P + b`."""
        matrix, y = self._matrix(at), self._columns(at.y)
        patches = self._columns(at.x[0] if self.direct else at.scratch["patches"])
        gather = nothing if self.direct else self._gather(at)
        bias = self._row_bias(at) if self.layer.bias else None
        each = at.y.reshape(product(self.tile), self.layer.channels, -1)

        def run() -> None:
            gather()
            np.matmul(matrix, patches, out=y)
            if bias is not None:
                np.add(each, bias, out=each)

        return run

    def _gather(self, at: Site) -> Run:
        """Bind `P_(c,q),(t,n) = x_c,n(t * step + q)`, after zeroing the margin."""
        patches = at.scratch["patches"]
        padded, copy = self._padded(at)
        windows = self._overlapping(padded)
        borders = _borders(padded, self.padding)

        def run() -> None:
            copy()
            for border in borders:
                border.fill(0)
            np.copyto(patches, windows)

        return run

    def _padded(self, at: Site) -> tuple[Array, Run]:
        """The padded input, and what fills its inside where it is a copy."""
        if not self.padding:
            return at.x[0], nothing
        if "padded" not in at.scratch:
            return at.whole_x[0], nothing
        padded, x = at.scratch["padded"], at.x[0]
        inside = Layout(self.inputs[0].shape, margin=self.padding).inside(padded)
        return padded, lambda: np.copyto(inside, x)

    def _overlapping(self, padded: Array) -> Array:
        """The patches as a view: `(C, ph, pw, Ho/th, Wo/tw, N)`."""
        channel, *strides, image = padded.strides
        within = (s * axis.spacing for s, axis in zip(strides, self.axes, strict=True))
        across = (s * axis.step for s, axis in zip(strides, self.axes, strict=True))
        shape = (padded.shape[0], *self.patch, *self.tiles, padded.shape[-1])
        return as_strided(padded, shape, (channel, *within, *across, image), writeable=False)

    def _columns(self, array: Array) -> Array:
        """The array as a matrix whose columns are positions and images, group by group."""
        assert array.flags.c_contiguous, "a view would be a copy"
        columns = product(self.tiles) * array.shape[-1]
        return array.reshape(-1, columns) if self.groups == 1 else array.reshape(self.groups, -1, columns)

    def _matrix(self, at: Site) -> Array:
        return at.shared["matrix"] if at.shared else at.weights["weight"].reshape(self.matrix)

    def _row_bias(self, at: Site) -> Array:
        return at.weights["bias"][:, None]

    # --- backward ---------------------------------------------------------------------------------------
    #
    #   dT = dY P^T    db = sum over positions and images of dY    dP = T^T dY
    #   dx_c(t * step + q) += dP_(c,q),(t)    since neighbouring patches overlap.

    def backward(self, at: Site) -> Run:
        """`dT = dY P^T`, `db = sum dY`, `dP = T^T dY`, and the patches' gradients summed where they meet."""
        dy = self._columns(at.dy)
        patches = self._columns(at.x[0] if self.direct else at.scratch["patches"])
        total = at.sums["matrix" if at.shared else "weight"].reshape(self.matrix)
        steps = [add_product(dy, patches.swapaxes(-1, -2), total, at.scratch["spare"], at.moment)]
        if self.layer.bias:
            rows = at.dy.reshape(self.groups * self.rows, -1)
            sums = at.sums["rows" if at.shared else "bias"]
            steps.append(add_rows(rows, sums, at.scratch["spare_rows"], at.moment))
        if at.dx[0] is not None:
            steps.append(self._input_gradient(at, at.dx[0], dy))

        def run() -> None:
            for step in steps:
                step()

        return run

    def _input_gradient(self, at: Site, dx: Array, dy: Array) -> Run:
        transposed = self._matrix(at).swapaxes(-1, -2)
        if self.direct:
            out = self._columns(dx)
            return lambda: _product(transposed, dy, out)
        dpatches = at.scratch["dpatches"]
        out = self._columns(dpatches)
        scatter = self._scatter(at, dx, dpatches)

        def run() -> None:
            np.matmul(transposed, dy, out=out)
            scatter()

        return run

    def _scatter(self, at: Site, dx: Array, dpatches: Array) -> Run:
        """Bind the sum of overlapping patches into the padded gradient."""
        padded = dx if not self.padding else at.scratch.get("dpadded", at.whole_dx[0])
        assert padded is not None
        pairs = []
        for place in places(*map(range, self.patch)):
            inputs = (axis.inputs(q) for axis, q in zip(self.axes, place, strict=True))
            target: Index = (slice(None), *inputs)
            source: Index = (slice(None), *place)
            pairs.append((padded[target], dpatches[source]))
        inside = Layout(self.inputs[0].shape, margin=self.padding).inside(padded)
        copied = "dpadded" in at.scratch

        def run() -> None:
            padded.fill(0)
            for total, part in pairs:
                np.add(total, part, out=total)
            if copied:
                np.copyto(dx, inside)

        return run

    def _described(self) -> tuple[str, str]:
        if self.direct:
            return "matrix product", "a 1x1 kernel needs no patches"
        if product(self.tile) == 1:
            return "im2col", f"{self.groups} x {self.rows}x{self.columns}" if self.groups > 1 else ""
        gain = estimate(self.layer, self.inputs[0].shape, ()) / estimate(
            self.layer, self.inputs[0].shape, self.tile
        )
        return "tiles", f"estimated {gain:.1f} times as fast as one output at a time"


def tiled_axes(layer: Conv, shape: Shape, tile: Shape) -> tuple[TiledAxis, ...]:
    """The axes of a convolution that computes such tiles; `()` stands for single outputs."""
    windows = layer.window(shape)
    outputs = layer.infer(shape)[1:]
    sizes = zip(shape[1:], outputs, windows, tile or (1,) * len(windows), strict=True)
    return tuple(TiledAxis(n, out, window, t) for n, out, window, t in sizes)


COPY_COST: Final = 40
"""Copying one number into a patch and out of it takes as long as this many multiply-accumulates."""
EDGE_COST: Final = 8
"""A product of `r` rows and `c` columns runs as slowly as one of `r + 8` and `c + 8` that wastes nothing."""


def estimate(layer: Conv, shape: Shape, tile: Shape) -> float:
    """The time of one image, in multiply-accumulates at full speed."""
    axes = tiled_axes(layer, shape, tile)
    positions = product(tuple(axis.tiles for axis in axes))
    rows = product(tuple(axis.tile for axis in axes)) * layer.channels // layer.groups
    columns = shape[0] // layer.groups * product(tuple(len(axis.offsets) for axis in axes))
    one = (rows + EDGE_COST) * (columns + EDGE_COST) + COPY_COST * columns
    return float(positions * layer.groups * one)


def _is_point(axis: TiledAxis) -> bool:
    w = axis.window
    return (w.kernel, w.stride, w.before, w.after, axis.tile) == (1, 1, 0, 0, 1)


def _borders(padded: Array, margin: Margin) -> list[Array]:
    """The slabs of a padded array that lie outside its inside."""
    borders = []
    for axis, (before, after) in enumerate(margin, start=1):
        along = (slice(None),) * axis
        n = padded.shape[axis]
        borders += [padded[(*along, s)] for s in (slice(0, before), slice(n - after, n)) if s.stop > s.start]
    return borders


def _product(a: Array, b: Array, out: Array) -> None:
    np.matmul(a, b, out=out)
