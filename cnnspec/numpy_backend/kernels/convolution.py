"""Kernels of convolution: one matrix product over patches of the map, whatever the layer's options.

A tile of `th x tw` neighbouring outputs shares one patch of the input. With the patches of all tiles and
images as the columns of a matrix, the outputs are

    Y = T P,    P: (C * ph * pw) x (Ho/th * Wo/tw * N),    T: (th * tw * out) x (C * ph * pw)

A tile of one output is the usual im2col, and T the weight. A larger one spends arithmetic on the zeros of T,
saves copying, and gives the product more rows, which it needs where channels are few.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import numpy as np

from cnnspec.layers import Shape, Weight, product
from cnnspec.layers.convolution import Conv
from cnnspec.numpy_backend.kernels.base import (
    Array,
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
from cnnspec.numpy_backend.kernels.patches import Patches, margin_of, padded_copy
from cnnspec.numpy_backend.kernels.toeplitz import Toeplitz
from cnnspec.numpy_backend.kernels.windows import TiledAxis


@computes(Conv)
class ConvKernel(Kernel[Conv]):
    """`y_o(p) = sum_(c,i) W_(o,c,i) x_c(p * stride + i * dilation - before) + b_o`."""

    reads_margin = True

    def __init__(
        self, layer: Conv, inputs: tuple[Layout, ...], output: Layout, weights: tuple[Weight, ...]
    ) -> None:
        super().__init__(layer, inputs, output, weights)
        shape = inputs[0].shape
        axes = tiled_axes(layer, shape, output.tile)
        self.patches = Patches(inputs[0], axes)
        self.matrix = Toeplitz(layer.channels, shape[0] // layer.groups, layer.groups, axes)
        self.direct = not inputs[0].margin and all(map(_is_point, axes))
        self.keeps_patches = not self.direct and product(self.patches.shape) <= LARGEST_KEPT
        self.keeps_input = not self.keeps_patches
        self.algorithm, self.why = self._described()

    @classmethod
    def margin(cls, layer: Conv, shape: Shape) -> Margin:
        """The padding, so that patches are cut from one array."""
        return margin_of(tiled_axes(layer, shape, ()))

    @classmethod
    def writes_tiles(cls, layer: Conv, shape: Shape, tile: Shape) -> bool:
        """Whether computing such tiles of outputs at once is estimated to be faster than one at a time."""
        if layer.groups > 1 or not all(axis.spacing for axis in tiled_axes(layer, shape, tile)):
            return False
        return estimate(layer, shape, tile) < estimate(layer, shape, ())

    def scratch(self) -> tuple[Scratch, ...]:
        """Patches, which give way to their own gradient, and room for sums."""
        spares = [Scratch("spare", self._sum_shape, "backward", per_image=False)]
        if self.layer.bias:
            rows = self.layer.groups * self.matrix.rows
            spares.append(Scratch("spare rows", (rows,), "backward", per_image=False))
        if self.direct:
            return tuple(spares)
        shape = self.patches.shape
        kept = (Scratch("patches", shape, "both"),)
        again = (Scratch("patches", shape, "forward"), Scratch("patches again", shape, "backward"))
        padded = (*self.patches.scratch("forward"), *self.patches.scratch("backward"))
        return (*(kept if self.keeps_patches else again), *padded, *spares)

    # --- the matrix -------------------------------------------------------------------------------------

    def shared(self) -> dict[str, Shape]:
        """T, unless it is the weight itself."""
        return {} if self.matrix.is_weight else {"matrix": self.matrix.shape}

    def prepare(self, weights: Mapping[str, Array], shared: Mapping[str, Array]) -> Run | None:
        """Fill T from the weight."""
        return self.matrix.spread(weights["weight"], shared["matrix"]) if shared else None

    def sums(self) -> dict[str, Shape]:
        """The gradients of T, transposed, and of the bias for each of its rows."""
        if self.direct:
            return super().sums()
        rows = {"rows": (self.layer.groups * self.matrix.rows,)} if self.layer.bias else {}
        return {"transposed": self.matrix.transposed, **rows}

    def fold(self, sums: Mapping[str, Array], gradients: Mapping[str, Array]) -> Run | None:
        """Sum the gradients of T and of its rows over the outputs of a tile."""
        if self.direct:
            return None
        fold = self.matrix.fold(sums["transposed"], gradients["weight"])
        if not self.layer.bias:
            return fold
        rows, bias = sums["rows"].reshape(-1, self.layer.channels), gradients["bias"]

        def run() -> None:
            fold()
            np.add.reduce(rows, axis=0, out=bias)

        return run

    # --- forward ----------------------------------------------------------------------------------------

    def forward(self, at: Site) -> Run:
        """Copy the patches, then `Y = T P + b`."""
        matrix, y = self._matrix(at), self._columns(at.y)
        gather = nothing if self.direct else self._gather(at, "forward", at.scratch["patches"])
        patches = self._columns(at.x[0] if self.direct else at.scratch["patches"])
        bias = at.weights["bias"][:, None] if self.layer.bias else None
        outputs = at.y.reshape(product(self.matrix.tile), self.layer.channels, -1)

        def run() -> None:
            gather()
            np.matmul(matrix, patches, out=y)
            if bias is not None:
                np.add(outputs, bias, out=outputs)

        return run

    # --- backward ---------------------------------------------------------------------------------------
    #
    #   dT = dY P^T    db = sum over positions and images of dY    dP = T^T dY

    def backward(self, at: Site) -> Run:
        """`dT = dY P^T`, `db = sum dY`, `dP = T^T dY`, and `dx` summed from overlapping `dP`."""
        dy, moment = self._columns(at.dy), at.moment
        patches = self._columns(at.x[0] if self.direct else self._patches_again(at))
        steps = []
        if not (self.direct or self.keeps_patches):
            steps.append(self._gather(at, "backward", self._patches_again(at)))
        spare = at.scratch["spare"]
        if self.direct:
            total = at.sums["weight"].reshape(self.matrix.shape)
            steps.append(add_product(dy, patches.swapaxes(-1, -2), total, spare, moment))
        else:
            steps.append(add_product(patches, dy.swapaxes(-1, -2), at.sums["transposed"], spare, moment))
        if self.layer.bias:
            rows = at.dy.reshape(self.layer.groups * self.matrix.rows, -1)
            sums = at.sums["bias" if self.direct else "rows"]
            steps.append(add_rows(rows, sums, at.scratch["spare rows"], moment))
        if at.dx[0] is not None:
            steps.append(self._input_gradient(at, at.dx[0], dy))

        def run() -> None:
            for step in steps:
                step()

        return run

    def _input_gradient(self, at: Site, dx: Array, dy: Array) -> Run:
        """Bind `dP = T^T dY`, in the memory of P, and the sum into `dx`."""
        transposed = self._matrix(at).swapaxes(-1, -2)
        whole_dx, patches, scatter = at.whole_dx[0], dx, nothing
        if not self.direct:
            assert whole_dx is not None
            patches = self._patches_again(at)
            scatter = self.patches.scatter(patches, dx, whole_dx, padded_copy(at.scratch, "backward"))
        out = self._columns(patches)

        def run() -> None:
            np.matmul(transposed, dy, out=out)
            scatter()

        return run

    # --- arrays -----------------------------------------------------------------------------------------

    @property
    def _sum_shape(self) -> Shape:
        return self.matrix.shape if self.direct else self.matrix.transposed

    def _gather(self, at: Site, during: Literal["forward", "backward"], patches: Array) -> Run:
        return self.patches.gather(at.x[0], at.whole_x[0], padded_copy(at.scratch, during), patches)

    def _patches_again(self, at: Site) -> Array:
        return at.scratch["patches" if self.keeps_patches else "patches again"]

    def _columns(self, array: Array) -> Array:
        """The array as a matrix whose columns are positions and images, group by group."""
        assert array.flags.c_contiguous, "a view would be a copy"
        groups = self.layer.groups
        columns = product(tuple(axis.tiles for axis in self.patches.axes)) * array.shape[-1]
        return array.reshape(-1, columns) if groups == 1 else array.reshape(groups, -1, columns)

    def _matrix(self, at: Site) -> Array:
        return at.shared["matrix"] if at.shared else at.weights["weight"].reshape(self.matrix.shape)

    def _described(self) -> tuple[str, str]:
        groups = f"{self.layer.groups} times " if self.layer.groups > 1 else ""
        size = f"{groups}{self.matrix.rows}x{self.matrix.columns}"
        if self.direct:
            return f"matrix product {size}", "a 1x1 kernel needs no patches"
        if self.matrix.is_weight:
            return f"im2col {size}", "" if self.keeps_patches else "patches are too large to keep"
        shape = self.inputs[0].shape
        gain = estimate(self.layer, shape, ()) / estimate(self.layer, shape, self.output.tile)
        return f"tiles {size}", f"estimated {gain:.1f} times as fast as one output at a time"


LARGEST_KEPT: Final = 1 << 18
"""Elements of one image's patches up to which they are kept for the backward pass; above, copying them
again costs less than the memory."""
COPY_COST: Final = 40
"""Copying one number into a patch and out of it takes as long as this many multiply-accumulates."""
EDGE_COST: Final = 8
"""A product of `r` rows and `c` columns runs as slowly as one of `r + 8` and `c + 8` that wastes nothing."""


def estimate(layer: Conv, shape: Shape, tile: Shape) -> float:
    """The time of one image, in multiply-accumulates at full speed."""
    axes = tiled_axes(layer, shape, tile)
    matrix = Toeplitz(layer.channels, shape[0] // layer.groups, layer.groups, axes)
    positions = product(tuple(axis.tiles for axis in axes))
    one = (matrix.rows + EDGE_COST) * (matrix.columns + EDGE_COST) + COPY_COST * matrix.columns
    return float(positions * layer.groups * one)


def tiled_axes(layer: Conv, shape: Shape, tile: Shape) -> tuple[TiledAxis, ...]:
    """The axes of a convolution that computes such tiles; `()` stands for single outputs."""
    windows = layer.window(shape)
    outputs = layer.infer(shape)[1:]
    sizes = zip(shape[1:], outputs, windows, tile or (1,) * len(windows), strict=True)
    return tuple(TiledAxis(n, out, window, t) for n, out, window, t in sizes)


def _is_point(axis: TiledAxis) -> bool:
    w = axis.window
    return (w.kernel, w.stride, w.before, w.after, axis.tile) == (1, 1, 0, 0, 1)
