"""Kernels of fully connected layers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cnnspec.layers import Shape
from cnnspec.layers.dense import Dense, Rbf
from cnnspec.numpy_backend.kernels.base import (
    Array,
    Kernel,
    Member,
    Run,
    Scratch,
    Site,
    add_product,
    add_rows,
    computes,
    elements,
    flat,
    in_turn,
    multiplying,
    nothing,
)


@computes(Dense)
class DenseKernel(Kernel[Dense]):
    """`y_un = sum_i W_ui x_in + b_u`: one matrix product, images in the columns."""

    keeps_input = True
    folds = True
    algorithm = "matrix product"

    @classmethod
    def takes_shift(cls, layer: Dense, inputs: tuple[Shape, ...]) -> bool:
        """Every unit sees all of its input."""
        return True

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

    def together(self, at: Site, member: Member) -> list[Run]:
        """Some units."""
        some = member.share(len(at.y))
        if some.start == some.stop:
            return [nothing]
        weights = {name: weight[some] for name, weight in at.weights.items()}
        return [self.forward(replace(at, y=at.y[some], weights=weights))]

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


@computes(Rbf)
class RbfKernel(Kernel[Rbf]):
    """`y_un = sum_i (x_in - w_ui)^2`, unit by unit from the differences, so that no distance is below 0."""

    keeps_input = True
    algorithm = "differences"
    why = "exact where the input is near a centre"

    def scratch(self) -> tuple[Scratch, ...]:
        """The differences to one centre, and in the backward pass sums and room for gradients."""
        n, units = elements(self.inputs[0].shape), self.layer.units
        return (
            Scratch("differences", (n,), "forward"),
            Scratch("pulls", (n,), "backward"),
            Scratch("total", (1,), "backward"),
            Scratch("rows", (units,), "backward", per_image=False),
            Scratch("spare", (units, n), "backward", per_image=False),
        )

    def forward(self, at: Site) -> Run:
        """`y_u = sum_i (x_i - w_ui)^2`."""
        x, centers, differences = flat(at.x[0]), at.weights["centers"], at.scratch["differences"]
        units = [(centers[u][:, None], at.y[u]) for u in range(self.layer.units)]

        def run() -> None:
            for center, y in units:
                np.subtract(x, center, out=differences)
                np.multiply(differences, differences, out=differences)
                np.add.reduce(differences, axis=0, out=y)

        return run

    # dw_ui = sum_n 2 (w_ui - x_in) dy_un = w_ui sum_n 2 dy_un - sum_n 2 dy_un x_in
    # dx_in = sum_u 2 (x_in - w_ui) dy_un = x_in sum_u 2 dy_un - sum_u w_ui 2 dy_un

    def backward(self, at: Site) -> Run:
        """`dw = 2 (w sum_n dy - dy x^T)`, `dx = 2 (x sum_u dy - w^T dy)`."""
        steps = [_doubling(at.dy)]
        if self.layer.trainable:
            steps.append(self._adding_centers(at))
        if at.dx[0] is not None:
            steps.append(self._pulling(at, flat(at.dx[0])))
        return in_turn(steps)

    def _adding_centers(self, at: Site) -> Run:
        x, dy, centers, total, moment = (
            flat(at.x[0]),
            at.dy,
            at.weights["centers"],
            at.sums["centers"],
            at.moment,
        )
        rows, spare = at.scratch["rows"], at.scratch["spare"]

        def run() -> None:
            if moment.first:
                total.fill(0)
            np.add.reduce(dy, axis=1, out=rows)
            np.multiply(centers, rows[:, None], out=spare)
            np.add(total, spare, out=total)
            np.matmul(dy, x.T, out=spare)
            np.subtract(total, spare, out=total)

        return run

    def _pulling(self, at: Site, dx: Array) -> Run:
        x, dy, centers = flat(at.x[0]), at.dy, at.weights["centers"]
        pulls, total = at.scratch["pulls"], at.scratch["total"]

        def run() -> None:
            np.add.reduce(dy, axis=0, out=total, keepdims=True)
            np.multiply(x, total, out=dx)
            np.matmul(centers.T, dy, out=pulls)
            np.subtract(dx, pulls, out=dx)

        return run


def _doubling(array: Array) -> Run:
    def run() -> None:
        np.add(array, array, out=array)

    return run
