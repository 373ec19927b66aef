"""Normalizations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cnnspec.bridges.onnx_import.nodes import Cannot
from cnnspec.bridges.onnx_import.table import At, Made, number, reads
from cnnspec.layers.normalization import BatchNorm, InstanceNorm, LayerNorm, LocalResponseNorm

if TYPE_CHECKING:
    from numpy.typing import NDArray


def affine(weight: NDArray[np.float32], bias: NDArray[np.float32]) -> bool:
    """Whether a scale and a shift are anything but 1 and 0 everywhere."""
    return not (bool((weight == 1).all()) and bool((bias == 0).all()))


@reads("BatchNormalization")
def _batch_norm(at: At) -> Made:
    names = ("weight", "bias", "running_mean", "running_var")
    arrays = {name: at.constant(i, name) for i, name in enumerate(names, 1)}
    learned = not fixed(at)
    if not learned:
        del arrays["weight"], arrays["bias"]
    options: dict[str, Any] = {"epsilon": number(at.option("epsilon", 1e-5))}
    options["momentum"] = number(round(1 - at.option("momentum", 0.9), 6))
    return Made(BatchNorm(**options, affine=learned), (at.x,), arrays)


def fixed(at: At) -> bool:
    """Whether scale and shift are the ones and zeros that our own models have where none are learned."""
    return at.graph.own and at.node.inputs[1].endswith(".ones")


@reads("InstanceNormalization")
def _instance_norm(at: At) -> Made:
    weight, bias = at.constant(1, "weight"), at.constant(2, "bias")
    learned = not fixed(at) if at.graph.own else affine(weight, bias)
    layer = InstanceNorm(epsilon=number(at.option("epsilon", 1e-5)), affine=learned)
    return Made(layer, (at.x,), {"weight": weight, "bias": bias} if learned else {})


@reads("LayerNormalization")
def _layer_norm(at: At) -> Made:
    rank = len(at.shape()) + 1
    if at.option("axis", -1) % rank != 1:
        raise Cannot("it is taken over some of the axes")
    return layer_norm(at, at.x, at.option("over", "all"))


def layer_norm(at: At, x: str, over: str) -> Made:
    """Layer normalization of a value over all elements or over the channels."""
    weight = at.constant(1, "weight")
    bias = at.constant(2, "bias") if at.has(2) else np.zeros_like(weight)
    learned = not fixed(at)
    options: dict[str, Any] = {"epsilon": number(at.option("epsilon", 1e-5)), "affine": learned}
    return Made(LayerNorm(over=over, **options), (x,), {"weight": weight, "bias": bias} if learned else {})


@reads("LRN")
def _lrn(at: At) -> Made:
    options = {
        "alpha": number(at.option("alpha", 1e-4)),
        "beta": number(at.option("beta", 0.75)),
        "k": number(at.option("bias", 1.0)),
    }
    return Made(LocalResponseNorm(size=at.option("size"), **options), (at.x,))
