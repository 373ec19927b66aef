"""Kernels of the normalizations but batch norm, which has a file of its own.

With the elements that are normalised together in a row, r = 1 .. R, the first three compute

    c_r = x_r - mean(x),   v = mean(c^2),   s = 1 / sqrt(v + epsilon),   z_r = s c_r,   y_r = w z_r + b,

where each w and b belongs to a channel or to an element. With g_r = w dy_r, and because d mean / dx_r = 1 / R
and dv / dx_r = 2 c_r / R,

    dw = sum dy z,   db = sum dy,   dx_r = s (g_r - mean(g) - z_r mean(g z)).

Sums are products with ones, which BLAS computes several times faster than NumPy's reductions do.
"""

from __future__ import annotations

import numpy as np

from cnnspec.layers import product
from cnnspec.layers.normalization import GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm
from cnnspec.numpy_backend.kernels.base import (
    Array,
    Kernel,
    Run,
    Scratch,
    Site,
    add_rows,
    computes,
    constant,
    copying,
    in_turn,
    nothing,
)
from cnnspec.numpy_backend.kernels.elementwise import times


def rows(array: Array, count: int) -> Array:
    """A contiguous array as `count` rows."""
    assert array.flags.c_contiguous, "a view would be a copy"
    return array.reshape(count, -1)


def inverse_root(variance: Array, epsilon: np.float32, out: Array) -> None:
    """`out = 1 / sqrt(variance + epsilon)`."""
    np.add(variance, epsilon, out=out)
    np.sqrt(out, out=out)
    np.reciprocal(out, out=out)


# --- over one sample ------------------------------------------------------------------------------------


@computes(LayerNorm, GroupNorm, InstanceNorm)
class SampleNormKernel(Kernel[LayerNorm | GroupNorm | InstanceNorm]):
    """Elements of a sample: arrays are seen as `sets x R x rest`, and means are over the middle axis."""

    in_place = True
    algorithm = "products with ones"

    def _sets(self, array: Array) -> Array:
        """An array as `sets x R x rest`: the rest are images, or with them the positions of each set."""
        shape = self.output.shape
        together = self.layer.together(shape)
        return array.reshape(shape[0] // together[0], product(together), -1)

    def _affine_rows(self, *arrays: Array) -> list[Array]:
        """Arrays with a row for each `w` and `b`."""
        return [rows(array, product(self.layer.affine_shape(self.output.shape))) for array in arrays]

    def forward(self, at: Site) -> Run:
        """`z = (x - mean) s`, `y = w z + b`."""
        x, y, z = (self._sets(array) for array in (at.x[0], at.y, at.scratch["normed"]))
        mean, s = self._sets_of_one(at)
        average = constant(1 / x.shape[1], (1, x.shape[1]), x.dtype)
        epsilon = x.dtype.type(self.layer.epsilon)

        def normalize() -> None:
            np.matmul(average, x, out=mean)
            np.subtract(x, mean, out=z)
            np.multiply(z, z, out=y)  # x is not read again
            np.matmul(average, y, out=mean)
            inverse_root(mean, epsilon, s)
            np.multiply(z, s, out=z)

        return in_turn([normalize, self._scale(at)])

    def _scale(self, at: Site) -> Run:
        """`y = w z + b`, row by row."""
        y, z = self._affine_rows(at.y, at.scratch["normed"])
        if not self.layer.affine:
            return copying(z, y)
        w, b = (at.weights[name].reshape(-1, 1) for name in ("weight", "bias"))

        def run() -> None:
            np.multiply(z, w, out=y)
            np.add(y, b, out=y)

        return run

    def backward(self, at: Site) -> Run:
        """`dw = sum dy z`, `db = sum dy`, and `dx` by `g = w dy`."""
        dy, z, dyz = self._affine_rows(at.dy, at.scratch["normed"], at.scratch["product"])
        steps = [times(dy, z, dyz)]
        if self.layer.affine:
            for name, array in (("weight", dyz), ("bias", dy)):
                sums, spare = (arrays[name].reshape(-1) for arrays in (at.sums, at.scratch))
                steps.append(add_rows(array, sums, spare, at.moment))
            steps.append(_multiplying_both(dy, dyz, at.weights["weight"].reshape(-1, 1)))
        if at.dx[0] is not None:
            steps.append(self._spread(at, at.dx[0]))
        return in_turn(steps)

    def _spread(self, at: Site, dx: Array) -> Run:
        """`dx = s (g - mean(g) - z mean(g z))`, with `g` in the memory of `dy`."""
        g, z, gz, dx = (
            self._sets(array) for array in (at.dy, at.scratch["normed"], at.scratch["product"], dx)
        )
        mean, s = self._sets_of_one(at)
        average = constant(1 / g.shape[1], (1, g.shape[1]), g.dtype)

        def run() -> None:
            np.matmul(average, gz, out=mean)
            np.multiply(z, mean, out=z)
            np.matmul(average, g, out=mean)
            np.subtract(g, mean, out=g)
            np.subtract(g, z, out=g)
            np.multiply(g, s, out=dx)

        return run

    def _sets_of_one(self, at: Site) -> tuple[Array, Array]:
        """The arrays for a mean and an `s` of each set."""
        mean, s = (
            array.reshape(self._statistics[0], 1, -1) for array in (at.scratch["mean"], at.scratch["inverse"])
        )
        return mean, s

    @property
    def _statistics(self) -> tuple[int, int]:
        """Sets, and how many positions each has that are normalised apart."""
        shape = self.output.shape
        together = self.layer.together(shape)
        sets = shape[0] // together[0]
        return sets, product(shape) // (sets * product(together))

    def scratch(self) -> tuple[Scratch, ...]:
        """`z`, a mean and `s` of each set; `dy z`, and room for sums of a piece that is not the first."""
        shape = self.output.shape
        return (
            Scratch("normed", shape, "both"),
            Scratch("mean", self._statistics, "both"),
            Scratch("inverse", self._statistics, "both"),
            Scratch("product", shape, "backward"),
            *(Scratch(w.name, w.shape, "backward", per_image=False) for w in self.weights),
        )


def _multiplying_both(a: Array, b: Array, by: Array) -> Run:
    def run() -> None:
        np.multiply(a, by, out=a)
        np.multiply(b, by, out=b)

    return run


# --- over neighbouring channels -------------------------------------------------------------------------


# With d_c = k + (alpha / size) sum over the window of c of x_j^2, and y_c = x_c d_c^-beta:
#   dy_j/dx_c = [j = c] d_c^-beta - 2 beta (alpha / size) x_c y_j / d_j [c is in the window of j],
# and c is in the window of j where j is in that of c with its ends exchanged. So with g = dy d^-beta
#   dx_c = g_c - 2 beta (alpha / size) x_c  sum over the exchanged window of c of g_j x_j / d_j.


@computes(LocalResponseNorm)
class LocalResponseNormKernel(Kernel[LocalResponseNorm]):
    """`y_c = x_c d_c^-beta`, with `d_c = k + alpha / size * sum_j x_j^2` over the window of channels."""

    in_place = True
    keeps_input = True
    algorithm = "a sum over shifted channels"

    def forward(self, at: Site) -> Run:
        """`d`, then `y = x d^-beta`."""
        channels = self.output.shape[0]
        x, y, d, spare = (
            rows(a, channels) for a in (at.x[0], at.y, at.scratch["divisor"], at.scratch["squares"])
        )
        share, k, exponent = map(x.dtype.type, (self._share, self.layer.k, -self.layer.beta))
        gather = _window_sum(spare, d, self.layer.size // 2, (self.layer.size - 1) // 2)

        def run() -> None:
            np.multiply(x, x, out=spare)
            gather()
            np.multiply(d, share, out=d)
            np.add(d, k, out=d)
            np.power(d, exponent, out=spare)
            np.multiply(x, spare, out=y)

        return run

    def backward(self, at: Site) -> Run:
        """`g = dy d^-beta`, then `dx = g - 2 beta alpha / size * x * (sum of g x / d)`."""
        if at.dx[0] is None:
            return nothing
        channels = self.output.shape[0]
        x, dx, dy = (rows(array, channels) for array in (at.x[0], at.dx[0], at.dy))
        d, spare = (rows(at.scratch[name], channels) for name in ("divisor", "shares"))
        factor, exponent = map(x.dtype.type, (2 * self.layer.beta * self._share, -self.layer.beta))
        gather = _window_sum(spare, d, (self.layer.size - 1) // 2, self.layer.size // 2)

        def run() -> None:
            np.power(d, exponent, out=spare)
            np.multiply(dy, spare, out=dy)
            np.multiply(dy, x, out=spare)
            np.divide(spare, d, out=spare)
            gather()  # d is not read again
            np.multiply(d, x, out=d)
            np.multiply(d, factor, out=d)
            np.subtract(dy, d, out=dx)

        return run

    @property
    def _share(self) -> float:
        return self.layer.alpha / self.layer.size

    def scratch(self) -> tuple[Scratch, ...]:
        """`d`; squares, and parts of the gradient."""
        shape = self.output.shape
        return (
            Scratch("divisor", shape, "both"),
            Scratch("squares", shape, "forward"),
            Scratch("shares", shape, "backward"),
        )


def _window_sum(a: Array, out: Array, before: int, after: int) -> Run:
    """Bind `out_c = a_(c - before) + ... + a_(c + after)` along the first axis, 0 beyond its ends."""
    n = len(a)
    shifts = [d for d in range(-before, after + 1) if d and abs(d) < n]
    parts = [(out[max(-d, 0) : n - max(d, 0)], a[max(d, 0) : n - max(-d, 0)]) for d in shifts]

    def run() -> None:
        np.copyto(out, a)
        for total, part in parts:
            np.add(total, part, out=total)

    return run
