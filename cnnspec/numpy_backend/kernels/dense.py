"""Kernels of fully connected layers."""

from __future__ import annotations

import numpy as np

from cnnspec.layers.dense import Dense
from cnnspec.numpy_backend.kernels.base import (
    Kernel,
    Run,
    Scratch,
    Site,
    add_product,
    add_rows,
    computes,
    flat,
    in_turn,
    multiplying,
)


@computes(Dense)
class DenseKernel(Kernel[Dense]):
    """`y_un = sum_i W_ui x_in + b_u`: one matrix product, images in the columns."""

    keeps_input = True
    algorithm = "matrix product"

    def forward(self, at: Site) -> Run:
        """`y = W x + b`."""
        y, product = at.y, multiplying(at.weights["weight"], flat(at.x[0]), at.y)
        if "bias" not in at.weights:
            return product
        bias = at.weights["bias"][:, None]

        def run() -> None:
            product()
            np.add(y, bias, out=y)

        return run

    # dW_ui = sum_n dy_un x_in    db_u = sum_n dy_un    dx_in = sum_u W_ui dy_un

    def backward(self, at: Site) -> Run:
        """`dW = dy x^T`, `db = sum_n dy`, `dx = W^T dy`."""
        x, dy, scratch = flat(at.x[0]), at.dy, at.scratch
        steps = [add_product(dy, x.T, at.sums["weight"], scratch["weight"], at.moment)]
        if "bias" in at.sums:
            steps.append(add_rows(dy, at.sums["bias"], scratch["bias"], at.moment))
        if at.dx[0] is not None:
            steps.append(multiplying(at.weights["weight"].T, dy, flat(at.dx[0])))
        return in_turn(steps)

    def scratch(self) -> tuple[Scratch, ...]:
        """Room for the weights' gradients from a piece that is not the first."""
        return tuple(Scratch(w.name, w.shape, "backward", per_image=False) for w in self.weights)
