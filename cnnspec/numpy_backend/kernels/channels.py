"""Kernels that choose and order channels: copies, since the channels are the outermost axis."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from cnnspec.layers.channels import Shuffle, Take
from cnnspec.numpy_backend.kernels.base import Array, Kernel, Run, Site, computes, copying, nothing

C = TypeVar("C", bound=Shuffle | Take)


class _ChannelKernel(Kernel[C]):
    """What these share: they read and write views, so that margins are no matter."""

    reads_margin = True
    writes_margin = True
    algorithm = "copy"


@computes(Take)
class TakeKernel(_ChannelKernel[Take]):
    """`y_c = x_(start + c)`."""

    def forward(self, at: Site) -> Run:
        """Copy the channels that are taken."""
        return copying(at.x[0][self.layer.start : self.layer.stop], at.y)

    def backward(self, at: Site) -> Run:
        """`dx_(start + c) = dy_c`, nothing for the others."""
        dx, dy, start, stop = at.dx[0], at.dy, self.layer.start, self.layer.stop
        if dx is None:
            return nothing
        before, taken, behind = dx[:start], dx[start:stop], dx[stop:]

        def run() -> None:
            before.fill(0)
            np.copyto(taken, dy)
            behind.fill(0)

        return run


@computes(Shuffle)
class ShuffleKernel(_ChannelKernel[Shuffle]):
    """`y_(i * groups + g) = x_(g * k + i)`, with `k` channels in a group."""

    def forward(self, at: Site) -> Run:
        """Copy with groups and channels exchanged."""
        return copying(self._by_group(at.x[0]), self._by_place(at.y))

    def backward(self, at: Site) -> Run:
        """`dx_(g * k + i) = dy_(i * groups + g)`."""
        dx = at.dx[0]
        return nothing if dx is None else copying(self._by_place(at.dy), self._by_group(dx))

    def _by_group(self, x: Array) -> Array:
        """`(C, H, W, N)` seen as `(groups, k, H, W, N)`."""
        return x.reshape(self.layer.groups, -1, *x.shape[1:])

    def _by_place(self, y: Array) -> Array:
        """`(C, H, W, N)`, mixed, seen as `(groups, k, H, W, N)`."""
        return y.reshape(-1, self.layer.groups, *y.shape[1:]).swapaxes(0, 1)
