"""Poolings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from cnnspec.bridges.torch.table import MODULES, by_axes, declare, edges, sizes
from cnnspec.bridges.torch.windows import ends
from cnnspec.layers import Shape, product
from cnnspec.layers.adaptive import AdaptiveAvgPool, AdaptiveMaxPool, GlobalAvgPool, GlobalMaxPool
from cnnspec.layers.pooling import AvgPool, L2Pool, MaxPool, Subsample

if TYPE_CHECKING:
    from cnnspec.layers.base import AxisWindow


@MODULES.says(MaxPool)
def _max_pool(layer: MaxPool, shape: Shape) -> nn.Module:
    windows = layer.window(shape)
    options = (sizes(windows, "dilation"), False, layer.ceil)
    kind = by_axes(shape, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
    kernel, stride = sizes(windows, "kernel"), sizes(windows, "stride")
    if _native(windows):
        return kind(kernel, stride, sizes(windows, "before"), *options)
    pool = kind(kernel, stride, 0, *options)
    return PaddedPool(pool, ends(windows), -torch.inf, layer.infer(shape)[1:])


@MODULES.says(AvgPool)
def _avg_pool(layer: AvgPool, shape: Shape) -> nn.Module:
    windows = layer.window(shape)
    kind: Callable[..., nn.Module] = by_axes(shape, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
    kernel, stride = sizes(windows, "kernel"), sizes(windows, "stride")
    if _native(windows):
        return kind(kernel, stride, sizes(windows, "before"), layer.ceil, layer.count_padding)
    padded = PaddedPool(kind(kernel, stride, 0, layer.ceil), ends(windows), 0.0, layer.infer(shape)[1:])
    return padded if layer.count_padding else MeanOfInside(padded)


@MODULES.says(L2Pool)
def _l2_pool(layer: L2Pool, shape: Shape) -> nn.Module:
    return RootOfSquares(layer, shape)


@MODULES.says(Subsample)
def _subsample(layer: Subsample, shape: Shape) -> nn.Module:
    return ScaledSums(layer, shape)


@MODULES.says(AdaptiveAvgPool, GlobalAvgPool)
def _adaptive_avg_pool(layer: AdaptiveAvgPool, shape: Shape) -> nn.Module:
    kind = by_axes(shape, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
    return kind(layer.infer(shape)[1:])


@MODULES.says(AdaptiveMaxPool, GlobalMaxPool)
def _adaptive_max_pool(layer: AdaptiveMaxPool, shape: Shape) -> nn.Module:
    kind = by_axes(shape, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)
    return kind(layer.infer(shape)[1:])


def _native(windows: tuple[AxisWindow, ...]) -> bool:
    """Whether PyTorch's own padding says it: alike at both ends, at most half of a window."""
    return all(window.before == window.after <= window.kernel // 2 for window in windows)


def _first(x: torch.Tensor, outputs: Shape) -> torch.Tensor:
    """So many positions of every axis; a last window may have begun in what was added."""
    return x[(slice(None), slice(None), *map(slice, outputs))]


class PaddedPool(nn.Module):
    """A pooling behind a padding that PyTorch's own does not know."""

    def __init__(self, pool: nn.Module, ends: list[int], value: float, outputs: Shape) -> None:
        super().__init__()
        self.pool, self.ends, self.value, self.outputs = pool, ends, value, outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`N x C x H x W` to `N x C x Ho x Wo`."""
        return _first(self.pool(functional.pad(x, self.ends, value=self.value)), self.outputs)


class MeanOfInside(nn.Module):
    """An average pooling that divides by the positions of the map alone."""

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`N x C x H x W` to `N x C x Ho x Wo`."""
        mean: torch.Tensor = self.pool(x)
        inside: torch.Tensor = self.pool(torch.ones_like(x[:1, :1]))
        return mean / inside


class _Sums(nn.Module):
    """The sum of each window; what `ceil` adds is zeros."""

    def __init__(self, layer: L2Pool | Subsample, shape: Shape) -> None:
        super().__init__()
        windows = layer.window(shape)
        self.outputs = layer.infer(shape)[1:]
        self.kernel, self.stride = sizes(windows, "kernel"), sizes(windows, "stride")
        reached = zip(shape[1:], windows, self.outputs, strict=True)
        self.ends = edges([(w.before, max(w.after, _missing(n, w, outputs))) for n, w, outputs in reached])
        self.pool = by_axes(shape, functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)

    def sums(self, x: torch.Tensor) -> torch.Tensor:
        """`N x C x H x W` to `N x C x Ho x Wo`."""
        means = self.pool(functional.pad(x, self.ends), self.kernel, self.stride)
        return _first(means, self.outputs) * product(self.kernel)


def _missing(n: int, window: AxisWindow, outputs: int) -> int:
    """Positions behind an axis that its last window reaches."""
    return (outputs - 1) * window.stride + window.kernel - window.before - n


class RootOfSquares(_Sums):
    """The square root of the sum of squares of each window, with gradient 0 where that is 0."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`N x C x H x W` to `N x C x Ho x Wo`."""
        squares = self.sums(x.square())
        some = squares > 0
        return torch.where(some, squares, 1).sqrt() * some


class ScaledSums(_Sums):
    """The sum of each window times the channel's `coefficient`, plus its `bias`."""

    coefficient: nn.Parameter
    bias: nn.Parameter

    def __init__(self, layer: Subsample, shape: Shape) -> None:
        super().__init__(layer, shape)
        declare(self, layer.weights(shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`N x C x H x W` to `N x C x Ho x Wo`."""
        axes = (-1, *(1,) * (x.ndim - 2))
        return self.sums(x) * self.coefficient.reshape(axes) + self.bias.reshape(axes)
