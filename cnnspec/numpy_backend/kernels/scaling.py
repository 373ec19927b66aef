"""Kernels that scale and shift each channel."""

from __future__ import annotations

import numpy as np

from cnnspec.layers.scaling import Scale
from cnnspec.numpy_backend.kernels.base import Array, Run, Scratch, Site, add_rows, computes, in_turn
from cnnspec.numpy_backend.kernels.elementwise import ElementwiseKernel, times


@computes(Scale)
class ScaleKernel(ElementwiseKernel[Scale]):
    """`y_c = w_c x_c + b_c`."""

    elementwise = False  # the first axis must be the channels
    writes_margin = False  # sums over rows of dy
    algorithm = "product"

    @property
    def keeps_input(self) -> bool:  # type: ignore[override]
        """Where the factors are learned."""
        return self.layer.trainable

    def forward(self, at: Site) -> Run:
        """`y = w x + b`."""
        (x,), y, w = at.x, at.y, self._factors(at)
        b = at.weights["bias"].reshape(w.shape) if self.layer.bias else None

        def run() -> None:
            np.multiply(x, w, out=y)
            if b is not None:
                np.add(y, b, out=y)

        return run

    # dw_c = sum over channel c of dy x;   db_c = sum over channel c of dy;   dx = w dy.

    def backward(self, at: Site) -> Run:
        """`dw = sum dy x`, `db = sum dy`, `dx = w dy`."""
        steps = self._sum_up(at) if self.layer.trainable else []
        if at.dx[0] is not None:
            dx, dy, w = at.dx[0], at.dy, self._factors(at)
            steps.append(times(dy, w, dx))
        return in_turn(steps)

    def _sum_up(self, at: Site) -> list[Run]:
        steps: list[Run] = []
        for block in self.blocks():
            x, dy = at.x[0][block], at.dy[block]
            share = at.scratch["share"][: len(x)]
            steps.append(times(dy, x, share))
            for name, array in (("weight", share), ("bias", dy)):
                if name in at.sums:
                    by_channel = array.reshape(len(x), -1)  # (C, H * W * N)
                    total, spare = at.sums[name][block], at.scratch[name][block]
                    steps.append(add_rows(by_channel, total, spare, at.moment))
        return steps

    def _factors(self, at: Site) -> Array:
        """The factors, to be multiplied with the channels."""
        return at.weights["weight"].reshape(-1, *(1,) * (at.y.ndim - 1))

    def scratch(self) -> tuple[Scratch, ...]:
        """Parts of a block of channels, and room for sums of a piece that is not the first."""
        if not self.layer.trainable:
            return ()
        return (
            Scratch("share", self.block_shape, "backward"),
            *(Scratch(w.name, w.shape, "backward", per_image=False) for w in self.weights),
        )
