"""What moves, frames, enlarges and looks up values."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from cnnspec.bridges.table import NotCovered
from cnnspec.bridges.torch.table import MODULES, by_axes, declare, edges
from cnnspec.layers import Shape
from cnnspec.layers.channels import Shuffle, Take
from cnnspec.layers.embedding import Embedding
from cnnspec.layers.framing import Crop, Pad
from cnnspec.layers.resampling import PixelShuffle, Upsample
from cnnspec.layers.shapes import Flatten, Reshape

_PAD_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}
_MOST_FRAMED = 3


@MODULES.says(Flatten)
def _flatten(layer: Flatten, shape: Shape) -> nn.Module:
    return nn.Flatten()


@MODULES.says(Reshape)
def _reshape(layer: Reshape, shape: Shape) -> nn.Module:
    return nn.Unflatten(1, layer.shape) if len(shape) == 1 else Reshaped(layer.shape)


@MODULES.says(Take)
def _take(layer: Take, shape: Shape) -> nn.Module:
    return Taken(layer.start, layer.stop)


@MODULES.says(Shuffle)
def _shuffle(layer: Shuffle, shape: Shape) -> nn.Module:
    return Shuffled(layer.groups)


@MODULES.says(Pad)
def _pad(layer: Pad, shape: Shape) -> nn.Module:
    if layer.mode == "constant":
        return Framed(edges(layer.frame(shape)), value=float(layer.value))
    if len(shape) - 1 > _MOST_FRAMED:
        reason = f"it has `{layer.mode}` for up to {_MOST_FRAMED} spatial axes, not for {len(shape) - 1}"
        raise NotCovered(reason, option="mode")
    return Framed(edges(layer.frame(shape)), mode=_PAD_MODES[layer.mode])


@MODULES.says(Crop)
def _crop(layer: Crop, shape: Shape) -> nn.Module:
    return Framed(edges(layer.frame(shape)))


@MODULES.says(Upsample)
def _upsample(layer: Upsample, shape: Shape) -> nn.Module:
    factors = tuple(map(float, layer.factors(shape)))
    linear = by_axes(shape, "linear", "bilinear", "trilinear")
    if layer.mode == "nearest":
        return nn.Upsample(scale_factor=factors)
    return nn.Upsample(scale_factor=factors, mode=linear, align_corners=False)


@MODULES.says(PixelShuffle)
def _pixel_shuffle(layer: PixelShuffle, shape: Shape) -> nn.Module:
    tile = layer.factors(shape)
    return nn.PixelShuffle(tile[0]) if len(tile) == 2 and tile[0] == tile[1] else TileShuffle(tile)


@MODULES.says(Embedding)
def _embedding(layer: Embedding, shape: Shape) -> nn.Module:
    module = TokenVectors()
    declare(module, layer.weights(shape))
    return module


class Reshaped(nn.Module):
    """The same elements in another shape."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`N x ...` to `N x shape`."""
        return x.reshape(-1, *self.shape)


class Taken(nn.Module):
    """A range of the channels."""

    def __init__(self, start: int, stop: int) -> None:
        super().__init__()
        self.start, self.stop = start, stop

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`N x C x ...` to `N x (stop - start) x ...`."""
        return x[:, self.start : self.stop]


class Shuffled(nn.Module):
    """`nn.ChannelShuffle` for any number of axes."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`N x C x ...` to the same."""
        apart = x.reshape(x.shape[0], self.groups, -1, *x.shape[2:])  # (N, groups, C / groups, ...)
        return apart.transpose(1, 2).flatten(1, 2)


class Framed(nn.Module):
    """Positions added to both ends of every axis, or cut from them; the last axis first."""

    def __init__(self, edges: list[int], mode: str = "constant", value: float | None = None) -> None:
        super().__init__()
        self.edges, self.mode, self.value = edges, mode, value

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`N x C x H x W` to `N x C x Ho x Wo`."""
        return functional.pad(x, self.edges, self.mode, self.value)

    def extra_repr(self) -> str:
        """For `print`."""
        return f"edges={self.edges}, mode={self.mode}, value={self.value}"


class TileShuffle(nn.Module):
    """`nn.PixelShuffle` for tiles of any form."""

    def __init__(self, tile: Shape) -> None:
        super().__init__()
        self.tile = tile

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`N x (C * rh * rw) x H x W` to `N x C x (H * rh) x (W * rw)`."""
        axes, maps = len(self.tile), x.shape[2:]
        apart = x.reshape(x.shape[0], -1, *self.tile, *maps)  # (N, C, rh, rw, H, W)
        pairs = [place for axis in range(axes) for place in (2 + axes + axis, 2 + axis)]
        larger = [n * r for n, r in zip(maps, self.tile, strict=True)]
        return apart.permute(0, 1, *pairs).reshape(x.shape[0], -1, *larger)  # (N, C, H, rh, W, rw)


class TokenVectors(nn.Module):
    """`nn.Embedding` whose tokens arrive as floats, and whose vectors stand along the channels."""

    weight: nn.Parameter

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`N x n` to `N x dimension x n`."""
        return functional.embedding(x.long(), self.weight).transpose(1, 2)
