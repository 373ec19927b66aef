"""Larger maps."""

from __future__ import annotations

from cnnspec.bridges.onnx_import.nodes import Cannot
from cnnspec.bridges.onnx_import.table import At, Made, extent, reads
from cnnspec.layers.resampling import PixelShuffle, Upsample


@reads("Resize")
def _resize(at: At) -> Made:
    at.wants("antialias", 0)
    factors = _factors(at, at.node.inputs[2] if at.has(2) else "")
    if factors[0] != 1 or any(f != int(f) or f < 1 for f in factors):
        raise Cannot("its factors are not whole numbers")
    mode = at.option("mode", b"nearest").decode()
    how = at.option("coordinate_transformation_mode", b"half_pixel").decode()
    rounds = at.option("nearest_mode", b"round_prefer_floor").decode()
    factor = extent([int(f) for f in factors[1:]])
    if mode == "nearest" and (how, rounds) in NEAREST:
        return Made(Upsample(factor=factor), (at.x,))
    if mode == "linear" and how in ("half_pixel", "pytorch_half_pixel"):
        return Made(Upsample(factor=factor, mode="linear"), (at.x,))
    raise Cannot(f"`mode` is {mode} with {how} and {rounds}")


def _factors(at: At, name: str) -> list[float]:
    """How many times larger the channels and each axis become, by factors or by sizes."""
    scales, rank = at.graph.array(name), len(at.shape()) + 1
    if scales is not None and scales.size == rank and scales.reshape(-1)[0] != 1:
        raise Cannot("it repeats samples")
    if scales is not None and scales.size == rank:
        return [float(f) for f in scales.reshape(-1)[1:]]
    sizes = at.graph.whole_numbers(at.node.inputs[3]) if at.has(3) else None
    if sizes is None or len(sizes) != rank:
        raise Cannot("its factors are computed")
    return [size / n for size, n in zip(sizes[1:], at.shape(), strict=True)]


NEAREST = (
    ("asymmetric", "floor"),
    ("half_pixel", "round_prefer_floor"),
    ("half_pixel", "round_prefer_ceil"),
    ("pytorch_half_pixel", "round_prefer_floor"),
)
"""Ways of taking the nearest position that are the same for whole factors."""


@reads("DepthToSpace")
def _depth_to_space(at: At) -> Made:
    at.wants("mode", "CRD")
    return Made(PixelShuffle(factor=at.option("blocksize")), (at.x,))
