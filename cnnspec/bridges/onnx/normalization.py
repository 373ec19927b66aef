"""Normalizations, dropout and scales."""

from __future__ import annotations

import numpy as np

from cnnspec.bridges.onnx.writer import OPERATORS, Place
from cnnspec.layers import product
from cnnspec.layers.normalization import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm
from cnnspec.layers.regularization import Dropout
from cnnspec.layers.scaling import Scale


def _affine(at: Place, shape: tuple[int, ...], affine: bool) -> list[str]:
    """The names of scale and shift; 1 and 0 where none are learned."""
    if affine:
        return at.weights("weight", "bias")
    return [at.constant("ones", np.ones(shape)), at.constant("zeros", np.zeros(shape))]


@OPERATORS.says(BatchNorm)
def _batch_norm(layer: BatchNorm, at: Place) -> None:
    arrays = [*_affine(at, at.shape[:1], layer.affine), at.weight("running_mean"), at.weight("running_var")]
    options = {"epsilon": float(layer.epsilon), "momentum": 1 - layer.momentum}
    at.give("BatchNormalization", at.x, *arrays, **options)


@OPERATORS.says(LayerNorm)
def _layer_norm(layer: LayerNorm, at: Place) -> None:
    (shape,) = at.shapes
    arrays, epsilon = _affine(at, layer.together(shape), layer.affine), float(layer.epsilon)
    if layer.over == "all" or len(shape) == 1:
        at.give("LayerNormalization", at.x, *arrays, axis=1, epsilon=epsilon)
        return
    axes = len(shape)
    last = (*shape[1:], shape[0])
    moved = at.on_the_way("Transpose", [at.x], last, perm=[0, *range(2, axes + 1), 1])
    normal = at.on_the_way("LayerNormalization", [moved, *arrays], last, axis=-1, epsilon=epsilon)
    at.give("Transpose", normal, perm=[0, axes, *range(1, axes)])


@OPERATORS.says(GroupNorm)
def _group_norm(layer: GroupNorm, at: Place) -> None:
    """Every group as a channel of an instance normalization."""
    groups, epsilon = layer.groups, float(layer.epsilon)
    apart = at.reshaped(at.x, (groups, product(at.shape) // groups), "groups")
    ones = [at.constant("ones", np.ones(groups)), at.constant("zeros", np.zeros(groups))]
    shape = (groups, product(at.shape) // groups)
    normal = at.on_the_way("InstanceNormalization", [apart, *ones], shape, epsilon=epsilon)
    whole = at.whole_numbers("shape", [0, *at.shape])
    if not layer.affine:
        at.give("Reshape", normal, whole)
        return
    scaled = at.on_the_way("Reshape", [normal, whole], at.shape)
    _scale_and_shift(at, scaled)


@OPERATORS.says(InstanceNorm)
def _instance_norm(layer: InstanceNorm, at: Place) -> None:
    arrays = _affine(at, at.shape[:1], layer.affine)
    at.give("InstanceNormalization", at.x, *arrays, epsilon=float(layer.epsilon))


@OPERATORS.says(LocalResponseNorm)
def _local_response_norm(layer: LocalResponseNorm, at: Place) -> None:
    """ONNX's own where the window is odd and the map an image; its even windows lie one further on."""
    if layer.size % 2 and len(at.shape) == 3:
        options = {"alpha": float(layer.alpha), "beta": float(layer.beta), "bias": float(layer.k)}
        at.give("LRN", at.x, size=layer.size, **options)
        return
    flat = (1, at.shape[0], product(at.shape[1:]))
    squares = at.reshaped(at.on_the_way("Mul", [at.x, at.x], at.shape), flat, "flat")
    pads = [layer.size // 2, 0, (layer.size - 1) // 2, 0]
    window = [layer.size, 1]
    means = at.on_the_way("AveragePool", [squares], flat, kernel_shape=window, pads=pads, count_include_pad=1)
    part = at.on_the_way("Mul", [means, at.constant("alpha", layer.alpha)], flat)
    total = at.on_the_way("Add", [part, at.constant("k", layer.k)], flat)
    divisor = at.on_the_way("Pow", [total, at.constant("beta", layer.beta)], flat)
    at.give("Div", at.x, at.reshaped(divisor, at.shape, "shape"))


@OPERATORS.says(Dropout)
def _dropout(layer: Dropout, at: Place) -> None:
    """Drops nothing in prediction."""
    at.give("Dropout", at.x, at.constant("drop_probability", layer.drop_probability))


@OPERATORS.says(Scale)
def _scale(layer: Scale, at: Place) -> None:
    _scale_and_shift(at, at.x)


def _scale_and_shift(at: Place, x: str) -> None:
    """`weight` times each channel, plus `bias` where there is one."""
    axes = (-1, *(1 for _ in at.shape[1:]))
    weight = at.weight("weight", axes)
    if at.has("bias"):
        at.give("Add", at.on_the_way("Mul", [x, weight], at.shape), at.weight("bias", axes))
    else:
        at.give("Mul", x, weight)
