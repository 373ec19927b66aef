"""Convolutions and dense layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnspec.bridges.onnx.writer import OPERATORS, Place
from cnnspec.layers import product
from cnnspec.layers.convolution import Conv
from cnnspec.layers.dense import Dense, Rbf
from cnnspec.layers.depthwise import Depthwise
from cnnspec.layers.transposed import ConvTranspose

if TYPE_CHECKING:
    from cnnspec.layers.base import AxisWindow
    from cnnspec.layers.windows import TransposedWindow


def both_ends(ends: Sequence[tuple[int, int]]) -> list[int]:
    """Positions before every axis, then those after every axis, as ONNX wants them."""
    return [before for before, _ in ends] + [after for _, after in ends]


def _window(windows: Sequence[AxisWindow | TransposedWindow]) -> dict[str, list[int]]:
    return {
        "kernel_shape": [window.kernel for window in windows],
        "strides": [window.stride for window in windows],
        "dilations": [window.dilation for window in windows],
        "pads": both_ends([(window.before, window.after) for window in windows]),
    }


@OPERATORS.says(Conv)
def _conv(layer: Conv, at: Place) -> None:
    weight = at.weight("weight") if layer.connections is None else _full_weight(layer, at)
    options = _window(layer.window(*at.shapes))
    at.give("Conv", at.x, weight, *at.weights("bias"), group=layer.groups, **options)


def _full_weight(layer: Conv, at: Place) -> str:
    """The kernels of a table of connections among zeros."""
    assert layer.connections is not None
    kernels = at.array("weight")
    full = np.zeros((layer.channels, at.shapes[0][0], *kernels.shape[1:]), np.float32)
    full[tuple(map(list, zip(*layer.connections.pairs, strict=True)))] = kernels
    return at.constant("weight", full)


@OPERATORS.says(Depthwise)
def _depthwise(layer: Depthwise, at: Place) -> None:
    _conv(layer.conv(at.shapes[0]), at)


@OPERATORS.says(ConvTranspose)
def _conv_transpose(layer: ConvTranspose, at: Place) -> None:
    windows = layer.window(*at.shapes)
    options: dict[str, Any] = {**_window(windows), "output_padding": [window.extra for window in windows]}
    at.give("ConvTranspose", at.x, at.weight("weight"), *at.weights("bias"), group=layer.groups, **options)


def _flat(at: Place) -> str:
    """The input as a vector."""
    if len(at.shapes[0]) == 1:
        return at.x
    return at.on_the_way("Flatten", [at.x], (product(at.shapes[0]),), axis=1)


@OPERATORS.says(Dense)
def _dense(layer: Dense, at: Place) -> None:
    at.give("Gemm", _flat(at), *at.weights("weight", "bias"), transB=1)


@OPERATORS.says(Rbf)
def _rbf(layer: Rbf, at: Place) -> None:
    n = product(at.shapes[0])
    apart = at.on_the_way("Unsqueeze", [_flat(at), at.whole_numbers("axis", [1])], (1, n))
    distances = at.on_the_way("Sub", [apart, at.weight("centers")], (layer.units, n))
    at.give("ReduceSumSquare", distances, axes=[2], keepdims=0)
