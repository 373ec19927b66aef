"""Kernels of pooling to a given size. Bins that repeat are walked over as the places of a window are."""

from __future__ import annotations

import numpy as np

from cnnspec.layers import AxisSight, Shape
from cnnspec.layers.adaptive import AdaptiveAvgPool, AdaptiveMaxPool, GlobalAvgPool, GlobalMaxPool
from cnnspec.numpy_backend.kernels.base import Run, Scratch, Site, computes, nothing
from cnnspec.numpy_backend.kernels.pooling import MaxPoolKernel, MeanKernel


@computes(AdaptiveAvgPool)
class AdaptiveAvgPoolKernel(MeanKernel[AdaptiveAvgPool]):
    """The mean of each bin."""

    @classmethod
    def sights(cls, layer: AdaptiveAvgPool, shape: Shape) -> tuple[AxisSight, ...]:
        """The bins along every axis."""
        return layer.bins(shape)


@computes(AdaptiveMaxPool)
class AdaptiveMaxPoolKernel(MaxPoolKernel[AdaptiveMaxPool]):
    """The largest of each bin."""

    @classmethod
    def sights(cls, layer: AdaptiveMaxPool, shape: Shape) -> tuple[AxisSight, ...]:
        """The bins along every axis."""
        return layer.bins(shape)


@computes(GlobalAvgPool)
class GlobalAvgPoolKernel(MeanKernel[GlobalAvgPool]):
    """The mean of the whole map: one sum over all its positions."""

    algorithm = "one sum"

    @classmethod
    def sights(cls, layer: GlobalAvgPool, shape: Shape) -> tuple[AxisSight, ...]:
        """The whole of every axis."""
        return layer.bins(shape)

    @classmethod
    def reads_tiles(cls, layer: GlobalAvgPool, shape: Shape) -> Shape:
        """A tile as large as the map would save nothing."""
        return ()

    def forward(self, at: Site) -> Run:
        """`y_c = r sum_p x_c(p)`, with `r` one over the number of positions."""
        (x,), y, share = at.x, at.y, self.shares(at.y)
        axes = tuple(range(1, x.ndim - 1))

        def run() -> None:
            np.add.reduce(x, axis=axes, out=y, keepdims=True)
            np.multiply(y, share, out=y)

        return run

    def backward(self, at: Site) -> Run:
        """`dx_c(p) = r dy_c`."""
        (dx,), dy, share = at.dx, at.dy, self.shares(at.dy)
        if dx is None:
            return nothing

        def run() -> None:
            np.multiply(dy, share, out=dy)
            np.copyto(dx, dy)

        return run


@computes(GlobalMaxPool)
class GlobalMaxPoolKernel(MaxPoolKernel[GlobalMaxPool]):
    """The largest of the whole map; its gradient goes to the first place that holds it."""

    algorithm = "one maximum"

    @classmethod
    def sights(cls, layer: GlobalMaxPool, shape: Shape) -> tuple[AxisSight, ...]:
        """The whole of every axis."""
        return layer.bins(shape)

    @classmethod
    def reads_tiles(cls, layer: GlobalMaxPool, shape: Shape) -> Shape:
        """A tile as large as the map would save nothing."""
        return ()

    def forward(self, at: Site) -> Run:
        """`y_c = max_p x_c(p)`."""
        (x,), y = at.x, at.y
        axes = tuple(range(1, x.ndim - 1))

        def run() -> None:
            np.maximum.reduce(x, axis=axes, out=y, keepdims=True)

        return run

    def backward(self, at: Site) -> Run:
        """`dx_c(p) = dy_c` where `p` is the first place of the largest."""
        dx, dy, x = at.dx[0], at.dy, at.x[0]
        if dx is None:
            return nothing
        sizes, numbers = self.inputs[0].shape[1:], (dy.shape[0], dy.shape[-1])
        places = np.empty(numbers, np.intp)
        channels, images = np.indices(numbers, sparse=True)
        gradients = dy.reshape(numbers)

        def run() -> None:
            np.argmax(x.reshape(len(x), -1, x.shape[-1]), axis=1, out=places)
            dx.fill(0)
            dx[channels, *np.unravel_index(places, sizes), images] = gradients

        return run

    def scratch(self) -> tuple[Scratch, ...]:
        """None: the places are few."""
        return ()
