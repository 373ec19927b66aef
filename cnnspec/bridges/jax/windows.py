"""Convolutions, dense layers and poolings."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import reduce
from math import prod
from typing import TYPE_CHECKING

import jax.numpy as jnp
from jax import lax

from cnnspec.bridges.jax.table import FUNCTIONS, Array, Call, per_channel
from cnnspec.layers.adaptive import GlobalAvgPool, GlobalMaxPool
from cnnspec.layers.convolution import Conv
from cnnspec.layers.dense import Dense
from cnnspec.layers.depthwise import Depthwise
from cnnspec.layers.pooling import AvgPool, MaxPool

if TYPE_CHECKING:
    from cnnspec.layers import AxisWindow, Shape


@FUNCTIONS.says(Conv)
def _conv(layer: Conv, call: Call) -> Array:
    """Cross-correlation, channels first."""
    windows = layer.window(call.x.shape[1:])
    weight = call.weights["weight"]
    if layer.connections is not None:
        full = jnp.zeros((layer.channels, call.x.shape[1], *weight.shape[1:]), weight.dtype)
        weight = full.at[tuple(map(jnp.array, zip(*layer.connections.pairs, strict=True)))].set(weight)
    y = lax.conv_general_dilated(
        call.x,
        weight,
        window_strides=[window.stride for window in windows],
        padding=[(window.before, window.after) for window in windows],
        rhs_dilation=[window.dilation for window in windows],
        feature_group_count=layer.groups,
    )
    return y + per_channel(call.weights["bias"], y.ndim) if layer.bias else y


@FUNCTIONS.says(Depthwise)
def _depthwise(layer: Depthwise, call: Call) -> Array:
    return _conv(layer.conv(call.x.shape[1:]), call)


@FUNCTIONS.says(Dense)
def _dense(layer: Dense, call: Call) -> Array:
    y = call.x.reshape(len(call.x), -1) @ call.weights["weight"].T
    return y + call.weights["bias"] if layer.bias else y


# --- poolings -------------------------------------------------------------------------------------------


def _ends(layer: MaxPool | AvgPool, shape: Shape) -> list[tuple[int, int]]:
    """Positions before each axis, and those behind it that the last window reaches."""
    pairs = zip(shape[1:], layer.infer(shape)[1:], layer.window(shape), strict=True)
    return [(w.before, max((outputs - 1) * w.stride + w.reach - w.before - n, 0)) for n, outputs, w in pairs]


reduce_window: Callable[..., Array] = lax.reduce_window


def _sums(x: Array, windows: Sequence[AxisWindow], ends: Sequence[tuple[int, int]]) -> Array:
    sizes, strides = (1, 1, *(w.kernel for w in windows)), (1, 1, *(w.stride for w in windows))
    return reduce_window(x, 0.0, lax.add, sizes, strides, ((0, 0), (0, 0), *ends))


@FUNCTIONS.says(MaxPool)
def _max_pool(layer: MaxPool, call: Call) -> Array:
    """Where the window is dilated, XLA has no gradient: there the maximum over maps moved by each element."""
    shape = call.x.shape[1:]
    windows, ends = layer.window(shape), ((0, 0), (0, 0), *_ends(layer, shape))
    if all(window.dilation == 1 for window in windows):
        sizes, strides = (1, 1, *(w.kernel for w in windows)), (1, 1, *(w.stride for w in windows))
        return reduce_window(call.x, -jnp.inf, lax.max, sizes, strides, ends)
    padded, outputs = jnp.pad(call.x, ends, constant_values=-jnp.inf), layer.infer(shape)[1:]
    parts = []
    for place in itertools.product(*(range(w.kernel) for w in windows)):
        starts = [k * w.dilation for k, w in zip(place, windows, strict=True)]
        spans = [
            slice(first, first + (n - 1) * w.stride + 1, w.stride)
            for first, n, w in zip(starts, outputs, windows, strict=True)
        ]
        parts.append(padded[(slice(None), slice(None), *spans)])
    return reduce(jnp.maximum, parts)


@FUNCTIONS.says(AvgPool)
def _avg_pool(layer: AvgPool, call: Call) -> Array:
    """Padding may count; positions that `ceil` adds never do."""
    shape = call.x.shape[1:]
    windows, ends = layer.window(shape), _ends(layer, shape)
    total = _sums(call.x, windows, ends)
    counted = [(w.before, w.after) if layer.count_padding else (0, 0) for w in windows]
    if all(end <= after for (_, end), (_, after) in zip(ends, counted, strict=True)) and layer.count_padding:
        return total / prod(w.kernel for w in windows)
    inside = jnp.pad(jnp.ones((1, 1, *shape[1:])), ((0, 0), (0, 0), *counted), constant_values=1.0)
    beyond = [(before - own, end - after) for (before, end), (own, after) in zip(ends, counted, strict=True)]
    return total / _sums(inside, windows, beyond)


@FUNCTIONS.says(GlobalAvgPool)
def _global_avg_pool(layer: GlobalAvgPool, call: Call) -> Array:
    return call.x.mean(tuple(range(2, call.x.ndim)), keepdims=True)


@FUNCTIONS.says(GlobalMaxPool)
def _global_max_pool(layer: GlobalMaxPool, call: Call) -> Array:
    return call.x.max(tuple(range(2, call.x.ndim)), keepdims=True)
