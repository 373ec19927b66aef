"""The kernel of batch norm: each channel over the positions of all images of a batch.

A channel of a piece is one row of memory of length n. Its sums are taken from a point `o` near the mean, so
that they are exact where the deviation is far below the mean, and what is kept is the distance from there:

    c_r = x_r - o,   mean = o + sum c / n,   M = sum c^2 - (sum c)^2 / n.

The pieces exchange n, mean and M, which give those of the batch of N values (Chan, Golub & LeVeque 1983, "The
American Statistician" 37 (3), for any number of parts p),

    mean = sum_p n_p mean_p / N,   v = (sum_p M_p + sum_p n_p (mean_p - mean)^2) / N,

and every piece goes on with s = 1 / sqrt(v + epsilon) and the distance t = mean - o of its `o`:

    y = w s (c - t) + b.

The way back is as for the other normalizations, with sums over the batch of dy and dy (c - t):

    db = sum dy,   dw = s sum dy (c - t),   dx = w s (dy - db / N - (c - t) s dw / N).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cnnspec.layers import Shape, product
from cnnspec.layers.normalization import BatchNorm
from cnnspec.numpy_backend.kernels.base import (
    Array,
    Council,
    Kernel,
    Run,
    Scratch,
    Site,
    Way,
    computes,
    constant,
    in_turn,
    nothing,
)
from cnnspec.numpy_backend.kernels.elementwise import CUT, cut, in_blocks, like, rectify, rows_in_block
from cnnspec.numpy_backend.kernels.normalization import inverse_root, rows


@computes(BatchNorm)
class BatchNormKernel(Kernel[BatchNorm]):
    """`y = w (x - mean) s + b`, with the batch's statistics in training, with the running ones otherwise."""

    in_place = True
    algorithm = "channel by channel"

    @property
    def channels(self) -> int:
        """The number of channels, rows of every array."""
        return self.output.shape[0]

    @property
    def fewest_images(self) -> int:  # type: ignore[override]
        """Two of a vector: a channel needs two values to vary."""
        return 1 if product(self.output.shape[1:]) > 1 else 2

    def scratch(self) -> tuple[Scratch, ...]:
        """`c`; numbers of each channel, from pass to pass and within one."""
        return (
            Scratch("centred", self.output.shape, "kept"),
            Scratch("origin", (self.channels,), "both", per_image=False),
            Scratch("offset", (self.channels,), "both", per_image=False),
            Scratch("factor", (self.channels,), "both", per_image=False),
            Scratch("sums", (2, self.channels), "both", per_image=False),
        )

    def exchanges(self) -> dict[Way, tuple[Shape, Shape]]:
        """Forward `n`, mean and `M`, for mean, `s` and `1 / N`; backward two sums, for two factors."""
        return {
            "forward": ((3, self.channels), (3, self.channels)),
            "backward": ((2, self.channels), (2, self.channels)),
        }

    def contribute(self, way: Way, at: Site) -> Run:
        """The sums of a piece."""
        return self._moments(at) if way == "forward" else self._slopes(at)

    def combine(self, way: Way, council: Council) -> Run:
        """The sums of a batch."""
        return self._statistics(council) if way == "forward" else self._gradients(council)

    # --- forward ----------------------------------------------------------------------------------------

    def _moments(self, at: Site) -> Run:
        """`n`, mean and `M`."""
        x, c = self._rows(at.x[0]), self._rows(at.scratch["centred"])
        n, origin = x.shape[1], at.scratch["origin"]
        total, squares = at.scratch["sums"]
        ones, share = constant(1, (n,), x.dtype), x.dtype.type(1 / n)
        steps = [(x[k], c[k], origin[k], total[k], squares[k]) for k in self._blocks(x)]
        count, mean, m = at.part["forward"]
        moment = at.moment

        def run() -> None:
            if not moment.training:
                return
            for x, c, near, sum_c, sum_c2 in steps:
                np.matmul(x, ones, out=near)
                np.multiply(near, share, out=near)
                np.subtract(x, near[:, None], out=c)
                np.matmul(c, ones, out=sum_c)
                np.vecdot(c, c, out=sum_c2)
            count.fill(n)
            np.divide(total, n, out=mean, dtype=np.float64)
            np.multiply(total, mean, out=m)
            np.subtract(squares, m, out=m)
            np.maximum(m, 0, out=m)
            np.add(mean, origin, out=mean)

        return run

    def _statistics(self, council: Council) -> Run:
        """Mean, `s` and `1 / N` of the batch, and the running statistics, but where a pass is repeated."""
        counts, means, ms = (council.parts["forward"][:, row] for row in range(3))
        mean, s, share = council.whole["forward"]
        apart, var = np.empty_like(means), np.empty_like(mean)
        update = self._update(council, mean, var)
        epsilon = self.layer.epsilon

        def run() -> None:
            n = counts[:, 0]
            total = float(n.sum())
            np.matmul(n, means, out=mean)
            np.divide(mean, total, out=mean)
            np.subtract(means, mean, out=apart)
            np.multiply(apart, apart, out=apart)
            np.matmul(n, apart, out=var)
            np.add(var, np.add.reduce(ms), out=var)
            np.divide(var, total, out=var)
            np.add(var, epsilon, out=s)
            np.sqrt(s, out=s)
            np.reciprocal(s, out=s)
            share.fill(1 / total)
            update(total)

        return run

    def _update(self, council: Council, mean: Array, var: Array) -> Callable[[float], None]:
        """Bind moving the running statistics; the running variance is unbiased."""
        running = [(council.weights[f"running_{name}"], name == "var") for name in ("mean", "var")]
        new, moment = self.layer.momentum, council.moment

        def run(count: float) -> None:
            if moment.repeats:
                return
            unbiased = count / max(count - 1, 1)
            for (array, is_var), value in zip(running, (mean, var), strict=True):
                array *= array.dtype.type(1 - new)
                array += value * (new * unbiased if is_var else new)

        return run

    def forward(self, at: Site) -> Run:
        """`y = (w s) c + (b - w s t)`."""
        predict = self._by_running_statistics(at)
        if "centred" not in at.scratch:
            return predict
        learn, moment = self._by_batch(at), at.moment

        def run() -> None:
            if moment.training:
                learn()
            else:
                predict()

        return run

    def _by_batch(self, at: Site) -> Run:
        c, y = self._rows(at.scratch["centred"]), self._rows(at.y)
        w, b = self._affine(at)
        mean, s, _ = at.whole["forward"]
        origin, t, ws, shift = (
            *(at.scratch[name] for name in ("origin", "offset", "factor")),
            at.scratch["sums"][0],
        )

        def prepare() -> None:
            np.subtract(mean, origin, out=t, casting="same_kind")
            np.multiply(w, s, out=ws, casting="same_kind")
            np.multiply(ws, t, out=shift)
            np.subtract(b, shift, out=shift)

        return in_turn([prepare, *self._affinely(c, ws, shift, y)])

    def _by_running_statistics(self, at: Site) -> Run:
        """`y = (w s) x + (b - w s mean)`."""
        x, y = self._rows(at.x[0]), self._rows(at.y)
        w, b = self._affine(at)
        mean, var = at.weights["running_mean"], at.weights["running_var"]
        ws, shift = at.scratch["sums"]
        epsilon = x.dtype.type(self.layer.epsilon)

        def prepare() -> None:
            inverse_root(var, epsilon, ws)
            np.multiply(ws, w, out=ws)
            np.multiply(mean, ws, out=shift)
            np.subtract(b, shift, out=shift)

        return in_turn([prepare, *self._affinely(x, ws, shift, y)])

    def _affinely(self, x: Array, factor: Array, summand: Array, y: Array) -> list[Run]:
        """Bind `y = factor x + summand` channel by channel, block by block."""
        runs: list[Run] = []
        for k in self._blocks(x):
            runs += [_affine(x[k], factor[k, None], summand[k, None], y[k]), *self._then(y[k])]
        return runs

    def _then(self, y: Array) -> list[Run]:
        """What is done to some channels of the output at once."""
        return []

    # --- backward ---------------------------------------------------------------------------------------

    def _slopes(self, at: Site) -> Run:
        """`sum dy` and `sum dy (c - t)`."""
        dy, c = self._rows(at.dy), self._rows(at.scratch["centred"])
        t, (db, dw) = at.scratch["offset"], at.scratch["sums"]
        ones = constant(1, dy.shape[1:2], dy.dtype)
        steps = [(self._first(at, k), dy[k], c[k], db[k], dw[k]) for k in self._blocks(dy)]
        sum_dy, sum_dyc = at.part["backward"]

        def run() -> None:
            for first, dy, c, sum_rows, sum_products in steps:
                first()
                np.matmul(dy, ones, out=sum_rows)
                np.vecdot(dy, c, out=sum_products)
            np.copyto(sum_dy, db)
            np.multiply(sum_dy, t, out=sum_dyc)
            np.subtract(dw, sum_dyc, out=sum_dyc)

        return run

    def _first(self, at: Site, channels: slice) -> Run:
        """What is done to the gradients of some channels before they are read."""
        return nothing

    def _gradients(self, council: Council) -> Run:
        """`db` and `dw`, and of them `db / N` and `s dw / N`."""
        parts, whole = council.parts["backward"], council.whole["backward"]
        _, s, share = council.whole["forward"]
        learned = [
            (council.sums[name], whole[row])
            for row, name in enumerate(("bias", "weight"))
            if name in council.sums
        ]

        def run() -> None:
            np.add.reduce(parts, axis=0, out=whole)
            np.multiply(whole[1], s, out=whole[1])
            for gradient, value in learned:
                np.copyto(gradient, value, casting="same_kind")
            np.multiply(whole, share, out=whole)
            np.multiply(whole[1], s, out=whole[1])

        return run

    def backward(self, at: Site) -> Run:
        """`dx = (w s) (dy - (c p + q))` with `p = s dw / N`, `q = db / N - t p`."""
        if at.dx[0] is None:
            return nothing
        dy, dx, c = self._rows(at.dy), self._rows(at.dx[0]), self._rows(at.scratch["centred"])
        q, p = at.scratch["sums"]
        t, ws = at.scratch["offset"], at.scratch["factor"]
        whole = at.whole["backward"]

        def prepare() -> None:
            np.copyto(p, whole[1], casting="same_kind")
            np.multiply(t, p, out=q)
            np.subtract(whole[0], q, out=q, casting="same_kind")

        steps = [_back(dy[k], c[k], p[k, None], q[k, None], ws[k, None], dx[k]) for k in self._blocks(dy)]
        return in_turn([prepare, *steps])

    # --- arrays -----------------------------------------------------------------------------------------

    def _rows(self, array: Array) -> Array:
        """A row for each channel."""
        return rows(array, self.channels)

    def _blocks(self, array: Array) -> list[slice]:
        """Channels whose rows stay in the cache."""
        return list(in_blocks(rows_in_block(array.shape[1], self.channels), self.channels))

    def _affine(self, at: Site) -> tuple[Array, Array]:
        """`w` and `b`; 1 and 0 where none are learned."""
        if self.layer.affine:
            return at.weights["weight"], at.weights["bias"]
        return constant(1, (self.channels,), at.y.dtype), constant(0, (self.channels,), at.y.dtype)


class RectifiedBatchNormKernel(BatchNormKernel):
    """`y = max(bn(x), 0)`: a batch norm and the rectifier behind it, in blocks that stay in the cache."""

    keeps_output = True
    algorithm = "channel by channel, rectified"

    def scratch(self) -> tuple[Scratch, ...]:
        """`[y > 0]` as numbers, for a block."""
        return (*super().scratch(), Scratch("positive", (CUT,), "backward", per_image=False))

    def _then(self, y: Array) -> list[Run]:
        return [rectify(y)]

    # dy of the batch norm is that of the rectifier where y > 0, nothing elsewhere; at 0 as PyTorch has it.

    def _first(self, at: Site, channels: slice) -> Run:
        y, dy = self._rows(at.y)[channels], self._rows(at.dy)[channels]
        return in_turn(
            _masking(part, given, like(at.scratch["positive"], part)) for part, given in cut(y, dy)
        )


def _masking(y: Array, dy: Array, positive: Array) -> Run:
    """Bind `dy = dy [y > 0]`."""
    zero = y.dtype.type(0)

    def run() -> None:
        np.greater(y, zero, out=positive)
        np.multiply(dy, positive, out=dy)

    return run


def _affine(x: Array, factor: Array, summand: Array, y: Array) -> Run:
    def run() -> None:
        np.multiply(x, factor, out=y)
        np.add(y, summand, out=y)

    return run


def _back(dy: Array, c: Array, p: Array, q: Array, ws: Array, dx: Array) -> Run:
    """Bind `dx = ws (dy - (c p + q))`; destroys `c`."""

    def run() -> None:
        np.multiply(c, p, out=c)
        np.add(c, q, out=c)
        np.subtract(dy, c, out=dx)
        np.multiply(dx, ws, out=dx)

    return run
