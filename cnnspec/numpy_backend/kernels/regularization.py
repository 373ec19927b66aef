"""Kernels of layers that act in training only."""

from __future__ import annotations

import numpy as np

from cnnspec.layers.regularization import Dropout
from cnnspec.numpy_backend.kernels.base import Kernel, Run, Scratch, Site, computes, nothing


@computes(Dropout)
class DropoutKernel(Kernel[Dropout]):
    """`y = x m / (1 - p)` in training, where each `m` is 0 with probability `p`, else 1; `y = x` otherwise.

    The mask derives from the seed, the step, the layer and the first image of the piece, so that a run
    repeats whichever worker draws it.
    """

    elementwise = True
    in_place = True
    reads_margin = True
    writes_margin = True
    algorithm = "scaled mask"

    def forward(self, at: Site) -> Run:
        """Draw the mask, `0` or `1 / (1 - p)`, and multiply by it."""
        (x,), y, moment, number = at.x, at.y, at.moment, at.number
        whole = at.scratch["mask"]
        mask = whole.reshape(x.shape)
        drop = mask.dtype.type(self.layer.drop_probability)
        scale = mask.dtype.type(1 / (1 - self.layer.drop_probability))
        same = np.shares_memory(x, y)

        def run() -> None:
            if not moment.training:
                if not same:
                    np.copyto(y, x)
                return
            key = (moment.seed, moment.step, number, moment.image)
            np.random.Generator(np.random.SFC64(key)).random(out=whole, dtype=whole.dtype)
            np.greater_equal(mask, drop, out=mask)
            np.multiply(mask, scale, out=mask)
            np.multiply(x, mask, out=y)

        return run

    def backward(self, at: Site) -> Run:
        """`dx = dy m / (1 - p)`, with the mask of the forward pass."""
        (dx,), dy = at.dx, at.dy
        if dx is None:
            return nothing
        mask, moment = at.scratch["mask"].reshape(dy.shape), at.moment
        same = np.shares_memory(dx, dy)

        def run() -> None:
            if moment.training:
                np.multiply(dy, mask, out=dx)
            elif not same:
                np.copyto(dx, dy)

        return run

    def scratch(self) -> tuple[Scratch, ...]:
        """The mask, from forward to backward."""
        return (Scratch("mask", self.output.shape, "both"),)
