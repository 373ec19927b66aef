"""Kernels of transposed convolution: the passes of a convolution, in the opposite direction.

Seen from the output, it is the backward pass of a convolution that reads the output in patches, one patch for
each input position:

    P = W^T X,    P: (out * kh * kw) x (H * W * N),    W: C x (out * kh * kw)

and the patches, which overlap, are added up. Its own backward pass cuts patches from the gradient.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cnnspec.layers import AxisWindow, Shape, Weight, product
from cnnspec.layers.transposed import ConvTranspose
from cnnspec.numpy_backend.kernels.base import (
    Array,
    Kernel,
    Layout,
    Run,
    Scratch,
    Site,
    add_product,
    add_rows,
    computes,
    in_turn,
    multiplying,
)
from cnnspec.numpy_backend.kernels.patches import Patches
from cnnspec.numpy_backend.kernels.windows import TiledAxis


@computes(ConvTranspose)
class ConvTransposeKernel(Kernel[ConvTranspose]):
    """`y_o(p * stride + i * dilation - before) += W_(c,o,i) x_c(p)`, then `y_o += b_o`."""

    keeps_input = True
    folds = True

    def __init__(
        self, layer: ConvTranspose, inputs: tuple[Layout, ...], output: Layout, weights: tuple[Weight, ...]
    ) -> None:
        super().__init__(layer, inputs, output, weights)
        shape, out = inputs[0].shape, output.shape
        windows = [AxisWindow(w.kernel, w.stride, w.dilation, w.before, w.after) for w in layer.window(shape)]
        self.patches = Patches(output, tuple(map(TiledAxis, out[1:], shape[1:], windows)))
        self.rows, self.columns = shape[0] // layer.groups, product(weights[0].shape[1:])
        groups = f"{layer.groups} times " if layer.groups > 1 else ""
        self.algorithm = f"col2im {groups}{self.columns}x{self.rows}"

    def scratch(self) -> tuple[Scratch, ...]:
        """Patches of the output and of its gradient, both padded where the layer cuts, and room for sums."""
        shape, padded = self.patches.shape, self.patches.padded.stored
        needed = [Scratch("patches", shape, "forward"), Scratch("dpatches", shape, "backward")]
        if self.patches.copies:
            needed.append(Scratch("dpadded", padded, "backward"))
        if self.patches.sums:
            needed.append(Scratch("summed", self.patches.sums, "forward"))
        needed.append(Scratch("spare", self._matrix_shape, "backward", per_image=False))
        if self.layer.bias:
            needed.append(Scratch("spare bias", (self.layer.channels,), "backward", per_image=False))
        return tuple(needed)

    def beside_weight(self, factor: NDArray[np.float64]) -> NDArray[np.float64]:
        """The weight is `(C, out/groups, kh, kw)`: the channels of a group have factors of their own."""
        groups = factor.reshape(self.layer.groups, -1)
        rows = np.repeat(groups, self.rows, axis=0)
        return rows.reshape(*rows.shape, *(1,) * len(self.patches.axes))

    # --- forward ----------------------------------------------------------------------------------------

    def forward(self, at: Site) -> Run:
        """Block by block multiply, `P = W^T X`, and add the patches up; then add the bias."""
        cut, matrix, x = self.patches, self._matrix(at.weights["weight"]), self._columns(at.x[0])
        total, begin, end = cut.summing(at.y, at.y, at.scratch.get("summed"))
        runs = [begin]
        for block in cut.blocks:
            patches = cut.within(at.scratch["patches"], block, at.n)
            columns = x[..., cut.columns(block, at.n)]
            runs.append(multiplying(matrix.swapaxes(-1, -2), columns, self._columns(patches)))
            runs.append(cut.scatter(total, block, patches))
        runs.append(end)
        return in_turn([*runs, _adding_bias(at)] if self.layer.bias else runs)

    # --- backward ---------------------------------------------------------------------------------------
    #
    #   With the patches dP of dy:    dX = W dP    dW = X dP^T    db_o = sum over positions and images of dy_o

    def backward(self, at: Site) -> Run:
        """`dX = W dP`, `dW = X dP^T`, `db = sum dy`."""
        cut, matrix, x = self.patches, self._matrix(at.weights["weight"]), self._columns(at.x[0])
        padded, pad = cut.pad(at.dy, at.dy, at.scratch.get("dpadded"))
        total = at.sums["weight"].reshape(self._matrix_shape)
        dx = None if at.dx[0] is None else self._columns(at.dx[0])
        runs = [pad]
        for block in cut.blocks:
            patches, along = cut.within(at.scratch["dpatches"], block, at.n), cut.columns(block, at.n)
            runs.append(cut.gather(padded, block, patches))
            columns = self._columns(patches)
            moment = at.moment if block.start == 0 else None
            transposed = columns.swapaxes(-1, -2)
            runs.append(add_product(x[..., along], transposed, total, at.scratch["spare"], moment))
            if dx is not None:
                runs.append(multiplying(matrix, columns, dx[..., along]))
        if self.layer.bias:
            rows = at.dy.reshape(self.layer.channels, -1)
            runs.append(add_rows(rows, at.sums["bias"], at.scratch["spare bias"], at.moment))
        return in_turn(runs)

    # --- arrays -----------------------------------------------------------------------------------------

    @property
    def _matrix_shape(self) -> Shape:
        groups = self.layer.groups
        return (self.rows, self.columns) if groups == 1 else (groups, self.rows, self.columns)

    def _matrix(self, weight: Array) -> Array:
        """The weight as `C x (out * kh * kw)`, group by group."""
        return weight.reshape(self._matrix_shape)

    def _columns(self, array: Array) -> Array:
        """The array as a matrix whose columns are input positions and images, group by group."""
        assert array.flags.c_contiguous, "a view would be a copy"
        groups, columns = self.layer.groups, product(array.shape[-len(self.patches.axes) - 1 :])
        return array.reshape(-1, columns) if groups == 1 else array.reshape(groups, -1, columns)


def _adding_bias(at: Site) -> Run:
    bias = at.weights["bias"][:, None]
    outputs = at.y.reshape(len(at.y), -1)

    def run() -> None:
        np.add(outputs, bias, out=outputs)

    return run
