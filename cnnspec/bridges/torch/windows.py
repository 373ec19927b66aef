"""Convolutions and dense layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from cnnspec.bridges.torch.table import MODULES, by_axes, declare, edges, sizes
from cnnspec.layers import Shape, product
from cnnspec.layers.convolution import Conv
from cnnspec.layers.dense import Dense, Rbf
from cnnspec.layers.depthwise import Depthwise
from cnnspec.layers.transposed import ConvTranspose

if TYPE_CHECKING:
    from cnnspec.layers.base import AxisWindow

Kind = Callable[..., nn.Module]

# --- convolution ----------------------------------------------------------------------------------------


@MODULES.says(Conv)
def conv(layer: Conv, shape: Shape) -> nn.Module:
    """`nn.Conv2d` and its like, behind a padding of its own where the ends of an axis differ."""
    windows = layer.window(shape)
    options: dict[str, Any] = {
        "kernel_size": sizes(windows, "kernel"),
        "stride": sizes(windows, "stride"),
        "dilation": sizes(windows, "dilation"),
        "groups": layer.groups,
        "bias": layer.bias,
    }
    if layer.connections is not None:
        return TableConv(layer, shape)
    if symmetric(windows):
        kind: Kind = by_axes(shape, nn.Conv1d, nn.Conv2d, nn.Conv3d)
        return kind(shape[0], layer.channels, **options, padding=sizes(windows, "before"))
    padded: Kind = by_axes(shape, PaddedConv1d, PaddedConv2d, PaddedConv3d)
    return padded(shape[0], layer.channels, **options, edges=ends(windows))


@MODULES.says(Depthwise)
def _depthwise(layer: Depthwise, shape: Shape) -> nn.Module:
    return conv(layer.conv(shape), shape)


def symmetric(windows: tuple[AxisWindow, ...]) -> bool:
    """Whether as much is added after every axis as before it."""
    return all(window.before == window.after for window in windows)


def ends(windows: tuple[AxisWindow, ...]) -> list[int]:
    """What the windows add around a map, as `functional.pad` takes it."""
    return edges([(window.before, window.after) for window in windows])


class _Padded(nn.Module):
    """Adds zeros first, whose numbers may differ before and after an axis."""

    def __init__(self, *channels: int, edges: list[int], **options: object) -> None:
        super().__init__(*channels, **options)
        self.edges = edges

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`N x C x H x W` to `N x channels x Ho x Wo`."""
        y: torch.Tensor = super().forward(functional.pad(x, self.edges))
        return y

    def extra_repr(self) -> str:
        """For `print`."""
        return ", ".join([super().extra_repr(), f"edges={self.edges}"])


class PaddedConv1d(_Padded, nn.Conv1d):
    """`nn.Conv1d` behind zeros."""


class PaddedConv2d(_Padded, nn.Conv2d):
    """`nn.Conv2d` behind zeros."""


class PaddedConv3d(_Padded, nn.Conv3d):
    """`nn.Conv3d` behind zeros."""


class TableConv(nn.Module):
    """A convolution whose kernels are those of a table of connections, `weight` of `(pairs, kh, kw)`."""

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(self, layer: Conv, shape: Shape) -> None:
        super().__init__()
        windows = layer.window(shape)
        assert layer.connections is not None
        self.pairs = layer.connections.pairs
        self.full = (layer.channels, shape[0])
        self.edges = ends(windows)
        self.stride, self.dilation = sizes(windows, "stride"), sizes(windows, "dilation")
        self.convolve = by_axes(shape, functional.conv1d, functional.conv2d, functional.conv3d)
        self.register_parameter("bias", None)
        declare(self, layer.weights(shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`N x C x H x W` to `N x channels x Ho x Wo`."""
        places = tuple(torch.tensor(numbers) for numbers in zip(*self.pairs, strict=True))
        empty = self.weight.new_zeros(*self.full, *self.weight.shape[1:])
        weight = empty.index_put(places, self.weight)
        padded = functional.pad(x, self.edges)
        return self.convolve(padded, weight, self.bias, stride=self.stride, dilation=self.dilation)


# --- transposed convolution -----------------------------------------------------------------------------


@MODULES.says(ConvTranspose)
def _conv_transpose(layer: ConvTranspose, shape: Shape) -> nn.Module:
    """PyTorch's own where as much is cut before as after; otherwise the whole output, cut."""
    windows = layer.window(shape)
    options: dict[str, Any] = {
        "kernel_size": sizes(windows, "kernel"),
        "stride": sizes(windows, "stride"),
        "output_padding": sizes(windows, "extra"),
        "dilation": sizes(windows, "dilation"),
        "groups": layer.groups,
        "bias": layer.bias,
    }
    if all(window.before == window.after for window in windows):
        kind: Kind = by_axes(shape, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
        return kind(shape[0], layer.channels, **options, padding=sizes(windows, "before"))
    cut: Kind = by_axes(shape, CutConvTranspose1d, CutConvTranspose2d, CutConvTranspose3d)
    around = edges([(-window.before, -window.after) for window in windows])
    return cut(shape[0], layer.channels, **options, edges=around)


class _Cut(nn.Module):
    """Cuts the output, by numbers that may differ before and after an axis."""

    def __init__(self, *channels: int, edges: list[int], **options: object) -> None:
        super().__init__(*channels, **options)
        self.edges = edges

    def forward(self, x: torch.Tensor, output_size: list[int] | None = None) -> torch.Tensor:
        """`N x C x H x W` to `N x channels x Ho x Wo`."""
        return functional.pad(super().forward(x), self.edges)

    def extra_repr(self) -> str:
        """For `print`."""
        return ", ".join([super().extra_repr(), f"edges={self.edges}"])


class CutConvTranspose1d(_Cut, nn.ConvTranspose1d):
    """`nn.ConvTranspose1d`, cut."""


class CutConvTranspose2d(_Cut, nn.ConvTranspose2d):
    """`nn.ConvTranspose2d`, cut."""


class CutConvTranspose3d(_Cut, nn.ConvTranspose3d):
    """`nn.ConvTranspose3d`, cut."""


# --- dense ----------------------------------------------------------------------------------------------


@MODULES.says(Dense)
def _dense(layer: Dense, shape: Shape) -> nn.Module:
    kind = nn.Linear if len(shape) == 1 else FlatLinear
    return kind(product(shape), layer.units, bias=layer.bias)


@MODULES.says(Rbf)
def _rbf(layer: Rbf, shape: Shape) -> nn.Module:
    module = Distances()
    declare(module, layer.weights(shape))
    return module


class FlatLinear(nn.Linear):
    """`nn.Linear` on all elements of a map."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`N x C x H x W` to `N x units`."""
        return super().forward(x.flatten(1))


class Distances(nn.Module):
    """The squared distance of the input to each of some centres."""

    centers: nn.Parameter

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`N x ...` to `N x units`."""
        return (x.flatten(1)[:, None, :] - self.centers).square().sum(-1)
