"""What moves, frames, enlarges and looks up values."""

from __future__ import annotations

from onnx import TensorProto

from cnnspec.bridges.onnx.windows import both_ends
from cnnspec.bridges.onnx.writer import OPERATORS, Place
from cnnspec.layers.channels import Shuffle, Take
from cnnspec.layers.embedding import Embedding
from cnnspec.layers.framing import Crop, Pad
from cnnspec.layers.resampling import PixelShuffle, Upsample
from cnnspec.layers.shapes import Flatten, Reshape


@OPERATORS.says(Flatten)
def _flatten(layer: Flatten, at: Place) -> None:
    at.give("Flatten", at.x, axis=1)


@OPERATORS.says(Reshape)
def _reshape(layer: Reshape, at: Place) -> None:
    at.give("Reshape", at.x, at.whole_numbers("shape", [0, *at.shape]))


@OPERATORS.says(Take)
def _take(layer: Take, at: Place) -> None:
    ends = [at.whole_numbers("start", [layer.start]), at.whole_numbers("stop", [layer.stop])]
    at.give("Slice", at.x, *ends, at.whole_numbers("axes", [1]))


@OPERATORS.says(Shuffle)
def _shuffle(layer: Shuffle, at: Place) -> None:
    channels, *maps = at.shape
    apart = (layer.groups, channels // layer.groups, *maps)
    groups = at.reshaped(at.x, apart, "groups")
    order = [0, 2, 1, *range(3, 3 + len(maps))]
    mixed = at.on_the_way("Transpose", [groups], (apart[1], apart[0], *maps), perm=order)
    at.give("Reshape", mixed, at.whole_numbers("shape", [0, *at.shape]))


@OPERATORS.says(Pad)
def _pad(layer: Pad, at: Place) -> None:
    ends = [(0, 0), (0, 0), *layer.frame(*at.shapes)]
    pads = at.whole_numbers("amounts", both_ends(ends))
    value = [at.constant("value", layer.value)] if layer.mode == "constant" else []
    at.give("Pad", at.x, pads, *value, mode=layer.mode)


@OPERATORS.says(Crop)
def _crop(layer: Crop, at: Place) -> None:
    """A slice of every spatial axis; what is cut is negative in the frame."""
    frame = layer.frame(*at.shapes)
    starts = [-before for before, _ in frame]
    stops = [n + after for n, (_, after) in zip(at.shapes[0][1:], frame, strict=True)]
    axes = list(range(2, 2 + len(frame)))
    parts = zip(("starts", "stops", "axes"), (starts, stops, axes), strict=True)
    at.give("Slice", at.x, *(at.whole_numbers(name, numbers) for name, numbers in parts))


@OPERATORS.says(Upsample)
def _upsample(layer: Upsample, at: Place) -> None:
    scales = at.constant("factors", (1, 1, *layer.factors(*at.shapes)))
    options = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    if layer.mode == "nearest":
        options = {
            "mode": "nearest",
            "coordinate_transformation_mode": "asymmetric",
            "nearest_mode": "floor",
        }
    at.give("Resize", at.x, "", scales, **options)


@OPERATORS.says(PixelShuffle)
def _pixel_shuffle(layer: PixelShuffle, at: Place) -> None:
    (shape,) = at.shapes
    tile, maps = layer.factors(shape), shape[1:]
    if len(tile) == 2 and tile[0] == tile[1]:
        at.give("DepthToSpace", at.x, blocksize=tile[0], mode="CRD")
        return
    axes, channels = len(tile), at.shape[0]
    apart = at.reshaped(at.x, (channels, *tile, *maps), "tiles")
    pairs = [place for axis in range(axes) for place in (2 + axes + axis, 2 + axis)]
    sizes = (channels, *(size for pair in zip(maps, tile, strict=True) for size in pair))
    mixed = at.on_the_way("Transpose", [apart], sizes, perm=[0, 1, *pairs])
    at.give("Reshape", mixed, at.whole_numbers("shape", [0, *at.shape]))


@OPERATORS.says(Embedding)
def _embedding(layer: Embedding, at: Place) -> None:
    (shape,) = at.shapes
    tokens = at.on_the_way("Cast", [at.x], shape, TensorProto.INT64, to=TensorProto.INT64)
    vectors = at.on_the_way("Gather", [at.weight("weight"), tokens], (*shape, layer.dimension))
    at.give("Transpose", vectors, perm=[0, 2, 1])
