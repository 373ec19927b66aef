"""The kernel of batch norm: as those in normalization.py, over the batch."""

from __future__ import annotations

import numpy as np

from cnnspec.layers import product
from cnnspec.layers.normalization import BatchNorm
from cnnspec.numpy_backend.kernels.base import (
    Array,
    Kernel,
    Run,
    Scratch,
    Site,
    computes,
    constant,
    in_turn,
)
from cnnspec.numpy_backend.kernels.elementwise import in_blocks, rows_in_block
from cnnspec.numpy_backend.kernels.normalization import inverse_root, rows


@computes(BatchNorm)
class BatchNormKernel(Kernel[BatchNorm]):
    """Each channel over the positions and images of the whole batch: one row of memory of length R.

    As w and s are one number for all of the row, `c` is kept in place of `z`, and each way needs a pass less:

        y = (w s) c + b,   dw = s sum dy c,   dx = (w s) (dy - db / R - c s dw / R).
    """

    in_place = True
    whole_batch = True
    algorithm = "channel by channel"

    @property
    def fewest_images(self) -> int:  # type: ignore[override]
        """Two of a vector: a channel needs two values to vary."""
        return 1 if product(self.output.shape[1:]) > 1 else 2

    def forward(self, at: Site) -> Run:
        """Normalise with the batch's statistics in training, with the running ones otherwise."""
        channels = self.output.shape[0]
        x, y = rows(at.x[0], channels), rows(at.y, channels)
        blocks = list(in_blocks(rows_in_block(x.shape[1], channels), channels))
        predict = self._by_running_statistics(at, x, y, blocks)
        if "centred" not in at.scratch:
            return predict
        c = rows(at.scratch["centred"], channels)
        learn = in_turn([*(self._by_batch(at, x, y, c, k) for k in blocks), self._update(at, x.shape[1])])
        moment = at.moment

        def run() -> None:
            if moment.training:
                learn()
            else:
                predict()

        return run

    def _by_batch(self, at: Site, x: Array, y: Array, c: Array, k: slice) -> Run:
        """`y = (w s) c + b` for a block of channels."""
        x, y, c = x[k], y[k], c[k]
        w, b = self._affine(at, k)
        mean, var, s, ws = at.scratch["statistics"][:, k]
        ones, share = constant(1, x.shape[1:2], x.dtype), x.dtype.type(1 / x.shape[1])
        epsilon = x.dtype.type(self.layer.epsilon)

        def run() -> None:
            np.matmul(x, ones, out=mean)
            np.multiply(mean, share, out=mean)
            np.subtract(x, mean[:, None], out=c)
            np.vecdot(c, c, out=var)
            np.multiply(var, share, out=var)
            inverse_root(var, epsilon, s)
            np.multiply(s, w, out=ws)
            np.multiply(c, ws[:, None], out=y)
            np.add(y, b[:, None], out=y)

        return run

    def _update(self, at: Site, count: int) -> Run:
        """Move the running statistics, but not where the pass repeats one before it."""
        running, moment = (at.weights["running_mean"], at.weights["running_var"]), at.moment
        kind = running[0].dtype.type
        old, new = kind(1 - self.layer.momentum), self.layer.momentum
        shares = kind(new), kind(new * count / max(count - 1, 1))  # the running variance is unbiased
        found = at.scratch["statistics"][:2]

        def run() -> None:
            if moment.repeats:
                return
            for array, value, share in zip(running, found, shares, strict=True):
                np.multiply(array, old, out=array)
                np.multiply(value, share, out=value)  # not read again
                np.add(array, value, out=array)

        return run

    def _by_running_statistics(self, at: Site, x: Array, y: Array, blocks: list[slice]) -> Run:
        """`y = (w s) x + (b - w s mean)`."""
        w, b = self._affine(at, slice(None))
        mean, var = at.weights["running_mean"], at.weights["running_var"]
        _, shift, s, ws = at.scratch["statistics"]
        epsilon = x.dtype.type(self.layer.epsilon)
        steps = [(x[k], y[k], ws[k, None], shift[k, None]) for k in blocks]

        def run() -> None:
            inverse_root(var, epsilon, s)
            np.multiply(s, w, out=ws)
            np.multiply(mean, ws, out=shift)
            np.subtract(b, shift, out=shift)
            for x, y, factor, summand in steps:
                np.multiply(x, factor, out=y)
                np.add(y, summand, out=y)

        return run

    def backward(self, at: Site) -> Run:
        """`dw = s sum dy c`, `db = sum dy`, `dx = (w s) (dy - db / R - c s dw / R)`."""
        channels, dx = self.output.shape[0], at.dx[0]
        dy, c = rows(at.dy, channels), rows(at.scratch["centred"], channels)
        whole = None if dx is None else rows(dx, channels)
        blocks = in_blocks(rows_in_block(dy.shape[1], channels), channels)
        return in_turn(self._differentiate(at, dy, c, whole, k) for k in blocks)

    def _differentiate(self, at: Site, dy: Array, c: Array, dx: Array | None, k: slice) -> Run:
        """The gradients of a block of channels. The batch is one piece, so there is nothing to add to."""
        dy, c = dy[k], c[k]
        to = None if dx is None else dx[k]
        dw, db = (at.sums.get(name, at.scratch[name])[k] for name in ("weight", "bias"))
        mean, slope, s, ws = at.scratch["statistics"][:, k]
        ones, share = constant(1, dy.shape[1:2], dy.dtype), dy.dtype.type(1 / dy.shape[1])

        def run() -> None:
            np.matmul(dy, ones, out=db)
            np.vecdot(dy, c, out=dw)
            np.multiply(dw, s, out=dw)
            if to is None:
                return
            np.multiply(db, share, out=mean)
            np.multiply(dw, s, out=slope)
            np.multiply(slope, share, out=slope)
            np.multiply(c, slope[:, None], out=c)
            np.add(c, mean[:, None], out=c)
            np.subtract(dy, c, out=to)
            np.multiply(to, ws[:, None], out=to)

        return run

    def _affine(self, at: Site, k: slice) -> tuple[Array, Array]:
        """`w` and `b` of some channels; 1 and 0 where none are learned."""
        if self.layer.affine:
            return at.weights["weight"][k], at.weights["bias"][k]
        ones = np.ones(self.output.shape[0], at.y.dtype)[k]
        return ones, 0 * ones

    def scratch(self) -> tuple[Scratch, ...]:
        """`c`; mean, `v`, `s` and `w s` of each channel; gradients that nobody asks for."""
        channels = self.output.shape[0]
        return (
            Scratch("centred", self.output.shape, "kept"),
            Scratch("statistics", (4, channels), "both", per_image=False),
            Scratch("weight", (channels,), "backward", per_image=False),
            Scratch("bias", (channels,), "backward", per_image=False),
        )
