"""What moves, frames, enlarges and looks up values, as PyTorch's functions."""

from __future__ import annotations

from cnnspec.bridges.source.code import Code, literal
from cnnspec.bridges.source.windows import axes_of, positional
from cnnspec.bridges.table import NotCovered
from cnnspec.bridges.torch_source.table import CODES, edges
from cnnspec.layers import Shape
from cnnspec.layers.channels import Shuffle, Take
from cnnspec.layers.embedding import Embedding
from cnnspec.layers.framing import Crop, Pad
from cnnspec.layers.resampling import PixelShuffle, Upsample
from cnnspec.layers.shapes import Flatten, Reshape

_PAD_MODES = {"reflect": "reflect", "edge": "replicate"}
_LINEAR = ("linear", "bilinear", "trilinear")
_MOST_FRAMED = 3


@CODES.says(Flatten)
def _flatten(layer: Flatten, shape: Shape) -> Code:
    return Code("torch.flatten({0}, 1)")


@CODES.says(Reshape)
def _reshape(layer: Reshape, shape: Shape) -> Code:
    return Code(f"{{0}}.reshape(-1, {', '.join(map(str, layer.shape))})")


@CODES.says(Take)
def _take(layer: Take, shape: Shape) -> Code:
    return Code(f"{{0}}[:, {layer.start}:{layer.stop}]")


@CODES.says(Shuffle)
def _shuffle(layer: Shuffle, shape: Shape) -> Code:
    return Code(f"{{0}}.unflatten(1, ({layer.groups}, -1)).transpose(1, 2).flatten(1, 2)")


@CODES.says(Pad)
def _pad(layer: Pad, shape: Shape) -> Code:
    around = edges(layer.frame(shape))
    if layer.mode == "constant":
        value = f", value={literal(float(layer.value))}" if layer.value else ""
        return Code(f"F.pad({{0}}, {around}{value})")
    if len(shape) - 1 > _MOST_FRAMED:
        reason = f"it has `{layer.mode}` for up to {_MOST_FRAMED} spatial axes, not for {len(shape) - 1}"
        raise NotCovered(reason, option="mode")
    return Code(f'F.pad({{0}}, {around}, mode="{_PAD_MODES[layer.mode]}")')


@CODES.says(Crop)
def _crop(layer: Crop, shape: Shape) -> Code:
    ends = zip(layer.frame(shape), shape[1:], strict=True)
    parts = (f"{-before}:{n + after}" for (before, after), n in ends)
    return Code(f"{{0}}[:, :, {', '.join(parts)}]")


@CODES.says(Upsample)
def _upsample(layer: Upsample, shape: Shape) -> Code:
    axes, factors = axes_of(shape), layer.factors(shape)
    scale = literal(float(factors[0]) if len(set(factors)) == 1 else tuple(map(float, factors)))
    if layer.mode == "nearest":
        return Code(f"F.interpolate({{0}}, scale_factor={scale})")
    return Code(f'F.interpolate({{0}}, scale_factor={scale}, mode="{_LINEAR[axes - 1]}")')


@CODES.says(PixelShuffle)
def _pixel_shuffle(layer: PixelShuffle, shape: Shape) -> Code:
    """PyTorch's own for square tiles of an image; others are spread out step by step."""
    tile = layer.factors(shape)
    if len(tile) == 2 and tile[0] == tile[1]:
        return Code(f"F.pixel_shuffle({{0}}, {tile[0]})")
    axes = len(tile)
    order = [0, 1, *(place for axis in range(axes) for place in (2 + axes + axis, 2 + axis))]
    sizes = ", ".join(str(n * r) for n, r in zip(shape[1:], tile, strict=True))
    apart = f"{{0}}.unflatten(1, (-1, {', '.join(map(str, tile))}))"  # (N, C, rh, rw, H, W)
    channels = layer.infer(shape)[0]
    return Code(f"{apart}.permute({', '.join(map(str, order))}).reshape(-1, {channels}, {sizes})")


@CODES.says(Embedding)
def _embedding(layer: Embedding, shape: Shape) -> Code:
    args = (positional("num_embeddings", layer.vocabulary), positional("embedding_dim", layer.dimension))
    return Code("{me}({0}.long()).transpose(1, 2)", "nn.Embedding", args)
