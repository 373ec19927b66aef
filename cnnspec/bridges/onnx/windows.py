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
    """What is added behind is cut off less; where that is not enough, what lies there is the bias alone.

    ONNX Runtime takes no `output_padding` from the stride on.
    """
    windows = layer.window(*at.shapes)
    options: dict[str, Any] = {**_window(windows), "group": layer.groups}
    options["pads"] = both_ends([(w.before, max(w.after - w.extra, 0)) for w in windows])
    beyond = [(0, max(w.extra - w.after, 0)) for w in windows]
    if not any(map(any, beyond)):
        at.give("ConvTranspose", at.x, at.weight("weight"), *at.weights("bias"), **options)
        return
    short = (at.shape[0], *(n - more for n, (_, more) in zip(at.shape[1:], beyond, strict=True)))
    cut = at.on_the_way("ConvTranspose", [at.x, at.weight("weight")], short, **options)
    pads = at.whole_numbers("pads", both_ends([(0, 0), (0, 0), *beyond]))
    if layer.bias:
        whole = at.on_the_way("Pad", [cut, pads], at.shape)
        at.give("Add", whole, at.weight("bias", (-1, *(1 for _ in windows))))
    else:
        at.give("Pad", cut, pads)


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
