"""Kernels of the normalizations but batch norm, which has a file of its own.

With the elements that are normalised together in a row, r = 1 .. R, the first three compute

    c_r = x_r - mean(x),   v = mean(c^2),   s = 1 / sqrt(v + epsilon),   z_r = s c_r,   y_r = w z_r + b,

where each w and b belongs to a channel or to an element. With g_r = w dy_r, and because d mean / dx_r = 1 / R
and dv / dx_r = 2 c_r / R,

    dw = sum dy z,   db = sum dy,   dx_r = s (g_r - mean(g) - z_r mean(g z)).

Sums are products with ones, which BLAS computes several times faster than NumPy's reductions do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from cnnspec.layers import product
from cnnspec.layers.normalization import GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm
from cnnspec.numpy_backend.kernels.base import (
    Array,
    Kernel,
    Run,
    Scratch,
    Site,
    accumulating,
    add_rows,
    computes,
    constant,
    copying,
    in_turn,
    nothing,
)
from cnnspec.numpy_backend.kernels.elementwise import CUT, in_blocks, like, times


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


class _Sets(NamedTuple):
    """Sets that are normalised one after the other, and the blocks in which that is done."""

    sets: slice
    blocks: list[slice]


@computes(LayerNorm, GroupNorm, InstanceNorm)
class SampleNormKernel(Kernel[LayerNorm | GroupNorm | InstanceNorm]):
    """Elements of a sample: arrays are seen as `sets x units x rows x rest`.

    A set is what is normalised together, for each of the rest apart, which are images, or with them
    positions; a unit is what shares a `w` and a `b`. A block, some units of a set or some sets, stays in the
    cache.
    """

    in_place = True
    algorithm = "products with ones, block by block"

    @property
    def _sizes(self) -> tuple[int, int, int]:
        """Sets, units of a set, and rows of a unit."""
        shape, together = self.output.shape, self.layer.together(self.output.shape)
        sets = shape[0] // together[0]
        units = product(self.layer.affine_shape(shape)) // sets
        return sets, units, product(together) // units

    @property
    def _rest(self) -> int:
        """Positions that are normalised apart; there, a block of a few channels would sum up too little."""
        return product(self.output.shape) // product(self._sizes)

    def _split(self, *arrays: Array) -> list[Array]:
        """Contiguous arrays as `sets x units x rows x rest`."""
        assert all(array.flags.c_contiguous for array in arrays), "a view would be a copy"
        return [array.reshape(*self._sizes, -1) for array in arrays]

    def _walk(self, n: int) -> Iterator[_Sets]:
        """All sets, in blocks."""
        sets, units, _ = self._sizes
        unit = product(self.output.shape) // (sets * units) * n
        if units * unit <= CUT:
            for some in in_blocks(CUT // (units * unit), sets):
                yield _Sets(some, [slice(0, units)])
            return
        for one in in_blocks(1, sets):
            together = units if self._rest > 1 else max(CUT // unit, 1)
            yield _Sets(one, list(in_blocks(together, units)))

    def _affine(self, array: Array) -> Array:
        """Weights as `sets x units x 1 x 1`."""
        return array.reshape(*self._sizes[:2], 1, 1)

    # --- forward ----------------------------------------------------------------------------------------

    def forward(self, at: Site) -> Run:
        """`z = (x - mean) s`, `y = w z + b`."""
        return in_turn(self._normalize(at, each) for each in self._walk(at.n))

    def _normalize(self, at: Site, which: _Sets) -> Run:
        x, y, z = (a[which.sets] for a in self._split(at.x[0], at.y, at.scratch.get("normed", at.y)))
        mean, s, part, _ = self._statistics_of(at, which)
        together = x.reshape(len(x), -1, x.shape[-1])
        average = constant(1 / together.shape[1], (1, together.shape[1]), x.dtype)
        epsilon = x.dtype.type(self.layer.epsilon)
        steps = []
        for k in which.blocks:
            square = like(self._memory(at, "block", "unit"), z[:, k])
            steps.append((x[:, k], z[:, k], square, _mean(square, average, part)))
        scale = in_turn([self._scale(at, which, k, z, y, s) for k in which.blocks])

        def run() -> None:
            np.matmul(average, together, out=mean[:, 0])
            s.fill(0)
            for seen, centred, square, find in steps:
                np.subtract(seen, mean, out=centred)
                np.multiply(centred, centred, out=square)
                find()
                np.add(s, part, out=s)
            inverse_root(s, epsilon, s)
            scale()

        return run

    def _scale(self, at: Site, which: _Sets, k: slice, z: Array, y: Array, s: Array) -> Run:
        """`z = c s`, `y = w z + b` for a block, with `c` in the memory of `z`."""
        z, y = z[:, k], y[:, k]
        if not self.layer.affine:
            return in_turn([times(z, s, z), nothing if z is y else copying(z, y)])
        w, b = (self._affine(at.weights[name])[which.sets, k] for name in ("weight", "bias"))

        def run() -> None:
            np.multiply(z, s, out=z)
            np.multiply(z, w, out=y)
            np.add(y, b, out=y)

        return run

    # --- backward ---------------------------------------------------------------------------------------

    def backward(self, at: Site) -> Run:
        """`dw = sum dy z`, `db = sum dy`, and `dx = s (g - mean(g) - z mean(g z))` by `g = w dy`."""
        return in_turn(self._differentiate(at, each) for each in self._walk(at.n))

    def _differentiate(self, at: Site, which: _Sets) -> Run:
        z, dy = (array[which.sets] for array in self._split(at.scratch["normed"], at.dy))
        dx = None if at.dx[0] is None else self._split(at.dx[0])[0][which.sets]
        mean, s, part, slope = self._statistics_of(at, which)
        average = constant(
            1 / product(self.layer.together(self.output.shape)), (1, z[0, ..., 0].size), z.dtype
        )
        first: list[Run] = [] if dx is None else [_zeros(mean, slope)]
        then: list[Run] = []
        for k in which.blocks:
            dyz = like(self._memory(at, "block again", "unit again"), z[:, k])
            first.append(times(dy[:, k], z[:, k], dyz))
            if self.layer.affine:
                first += self._add_weights(at, which, k, dy[:, k], dyz)
            if dx is not None:
                for array, total in ((dy[:, k], mean), (dyz, slope)):
                    first += [_mean(array, average, part), accumulating(np.add, (total, part), total)]
                then.append(_spread(dy[:, k], z[:, k], mean, slope, s, dx[:, k]))
        return in_turn([*first, *then])

    def _add_weights(self, at: Site, which: _Sets, k: slice, dy: Array, dyz: Array) -> list[Run]:
        """Sum up the gradients of the weights of a block, and turn `dy` into `g`, `dy z` into `g z`."""
        units = self._sizes[1]
        some = slice(which.sets.start * units + k.start, (which.sets.stop - 1) * units + k.stop)
        steps = []
        for name, array in (("weight", dyz), ("bias", dy)):
            sums, spare = (arrays[name].reshape(-1)[some] for arrays in (at.sums, at.scratch))
            steps.append(add_rows(array.reshape(len(sums), -1), sums, spare, at.moment))
        w = self._affine(at.weights["weight"])[which.sets, k]
        return [*steps, times(dy, w, dy), times(dyz, w, dyz)]

    # --- memory -----------------------------------------------------------------------------------------

    def _statistics_of(self, at: Site, which: _Sets) -> list[Array]:
        """For each set and each of the rest: mean, `s`, room for a part of a mean and for the other mean."""
        arrays = (at.scratch[name] for name in ("mean", "inverse", "part", "slope"))
        return [array.reshape(self._sizes[0], 1, 1, -1)[which.sets] for array in arrays]

    def _memory(self, at: Site, block: str, unit: str) -> Array:
        """Memory for a block, or for what is not cut any further where that is more."""
        some, one = at.scratch[block], at.scratch[unit].reshape(-1)
        return some if one.size <= some.size else one

    def scratch(self) -> tuple[Scratch, ...]:
        """`z`; statistics of each set; a block; and room for sums of a piece that is not the first."""
        shape, (sets, units, rows_of_unit), rest = self.output.shape, self._sizes, self._rest
        most = rows_of_unit * rest * (units if rest > 1 else 1)
        return (
            Scratch("normed", shape, "kept"),
            *(Scratch(name, (sets, rest), "both") for name in ("mean", "inverse", "part", "slope")),
            Scratch("block", (CUT,), "forward", per_image=False),
            Scratch("unit", (most,), "forward"),
            Scratch("block again", (CUT,), "backward", per_image=False),
            Scratch("unit again", (most,), "backward"),
            *(Scratch(w.name, w.shape, "backward", per_image=False) for w in self.weights),
        )


def _mean(array: Array, average: Array, out: Array) -> Run:
    """Bind `out` as the part of a block of `sets x units x rows x rest` in the mean over units and rows."""
    together = array.reshape(len(array), -1, array.shape[-1])
    share = average[:, : together.shape[1]]

    def run() -> None:
        np.matmul(share, together, out=out[:, 0])

    return run


def _zeros(*arrays: Array) -> Run:
    def run() -> None:
        for array in arrays:
            array.fill(0)

    return run


def _spread(g: Array, z: Array, mean: Array, slope: Array, s: Array, dx: Array) -> Run:
    """Bind `dx = s (g - mean - z slope)`; destroys `g` and `z`."""

    def run() -> None:
        np.multiply(z, slope, out=z)
        np.subtract(g, mean, out=g)
        np.subtract(g, z, out=g)
        np.multiply(g, s, out=dx)

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
