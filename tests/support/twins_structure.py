"""PyTorch counterparts of what joins, moves and resamples values."""

from __future__ import annotations

from functools import reduce

import torch
from torch.nn import functional

from cnnspec.layers import Layer
from cnnspec.layers.channels import Shuffle, Take
from cnnspec.layers.embedding import Embedding
from cnnspec.layers.framing import Crop, Pad
from cnnspec.layers.merging import Add, Concat, Mean, Multiply
from cnnspec.layers.resampling import PixelShuffle, Upsample
from cnnspec.layers.shapes import Reshape

LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
PAD_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}


def merge(layer: Layer, xs: list[torch.Tensor]) -> torch.Tensor:
    match layer:
        case Add():
            return reduce(torch.add, xs)
        case Multiply():
            return reduce(torch.mul, xs)
        case Mean():
            return torch.stack(torch.broadcast_tensors(*xs)).mean(0)
        case Concat():
            return torch.cat(xs, dim=1)
    raise NotImplementedError(layer.keyword)


def apply(layer: Layer, x: torch.Tensor, weights: dict[str, torch.Tensor]) -> torch.Tensor:
    match layer:
        case Reshape():
            return x.reshape(-1, *layer.shape)
        case Take():
            return x[:, layer.start : layer.stop]
        case Shuffle():
            return shuffle(x, layer.groups)
        case Pad():
            return pad(layer, x)
        case Crop():
            return functional.pad(x, ends(layer, x))
        case Upsample():
            return upsample(layer, x)
        case PixelShuffle():
            return pixel_shuffle(layer, x)
        case Embedding():
            return functional.embedding(x.long(), weights["weight"]).transpose(1, 2)
    raise NotImplementedError(layer.keyword)


def shuffle(x: torch.Tensor, groups: int) -> torch.Tensor:
    """PyTorch shuffles maps only, and those of one or two axes."""
    flat = x.flatten(2) if x.ndim > 2 else x[..., None]
    return functional.channel_shuffle(flat[..., None], groups).reshape(x.shape)


def ends(layer: Crop | Pad, x: torch.Tensor) -> list[int]:
    """The last axis first, as PyTorch wants it."""
    frame = layer.frame(tuple(x.shape[1:]))
    return [amount for pair in reversed(frame) for amount in pair]


def pad(layer: Pad, x: torch.Tensor) -> torch.Tensor:
    value = {"value": float(layer.value)} if layer.mode == "constant" else {}
    return functional.pad(x, ends(layer, x), mode=PAD_MODES[layer.mode], **value)


def upsample(layer: Upsample, x: torch.Tensor) -> torch.Tensor:
    factors = tuple(map(float, layer.factors(tuple(x.shape[1:]))))
    if layer.mode == "nearest":
        return functional.interpolate(x, scale_factor=factors)
    return functional.interpolate(x, scale_factor=factors, mode=LINEAR[x.ndim - 2], align_corners=False)


def pixel_shuffle(layer: PixelShuffle, x: torch.Tensor) -> torch.Tensor:
    """PyTorch has it for two axes and one factor; else the equal transposed convolution, by 0 and 1."""
    tile = layer.factors(tuple(x.shape[1:]))
    if len(tile) == 2 and len(set(tile)) == 1:
        return functional.pixel_shuffle(x, tile[0])
    count = int(torch.tensor(tile).prod())
    places = torch.eye(count, dtype=x.dtype).reshape(count, 1, *tile)
    channels = x.shape[1] // count
    convolve = {
        1: functional.conv_transpose1d,
        2: functional.conv_transpose2d,
        3: functional.conv_transpose3d,
    }[len(tile)]
    return convolve(x, places.repeat(channels, *(1 for _ in places.shape[1:])), stride=tile, groups=channels)
