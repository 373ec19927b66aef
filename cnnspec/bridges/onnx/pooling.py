"""Poolings.

What `ceil` means differs from system to system, so it is written as padding: behind each axis as many
positions as the last window reaches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnspec.bridges.onnx.windows import both_ends
from cnnspec.bridges.onnx.writer import OPERATORS, Place
from cnnspec.layers import AxisWindow
from cnnspec.layers.adaptive import AdaptiveAvgPool, AdaptiveMaxPool, GlobalAvgPool, GlobalMaxPool
from cnnspec.layers.pooling import AvgPool, L2Pool, MaxPool, Subsample

if TYPE_CHECKING:
    from cnnspec.layers import AxisSight

Ends = list[tuple[int, int]]


def _ends(at: Place, windows: Sequence[AxisWindow]) -> Ends:
    """Positions before each axis, and those behind it that the last window reaches."""
    return [
        (w.before, max((outputs - 1) * w.stride + w.reach - w.before - n, 0))
        for n, outputs, w in zip(at.shapes[0][1:], at.shape[1:], windows, strict=True)
    ]


def _options(windows: Sequence[AxisWindow], ends: Ends) -> dict[str, Any]:
    return {
        "kernel_shape": [window.kernel for window in windows],
        "strides": [window.stride for window in windows],
        "pads": both_ends(ends),
    }


def _padded(at: Place, ends: Ends, value: float) -> str:
    """The input between positions that hold a value."""
    (shape,) = at.shapes
    if not any(map(any, ends)):
        return at.x
    larger = (shape[0], *(n + sum(pair) for n, pair in zip(shape[1:], ends, strict=True)))
    pads = at.whole_numbers("pads", both_ends([(0, 0), (0, 0), *ends]))
    return at.on_the_way("Pad", [at.x, pads, at.constant("padding", value)], larger)


def _none(ends: Ends) -> Ends:
    return [(0, 0) for _ in ends]


@OPERATORS.says(MaxPool)
def _max_pool(layer: MaxPool, at: Place) -> None:
    """ONNX Runtime wants less padding than the window has elements, which a dilated one may have more of."""
    windows = layer.window(*at.shapes)
    ends, x = _ends(at, windows), at.x
    if any(max(pair) >= window.kernel for pair, window in zip(ends, windows, strict=True)):
        x, ends = _padded(at, ends, -np.inf), _none(ends)
    dilations = [window.dilation for window in windows]
    at.give("MaxPool", x, dilations=dilations, **_options(windows, ends))


@OPERATORS.says(AvgPool)
def _avg_pool(layer: AvgPool, at: Place) -> None:
    """Padding may count; positions that `ceil` adds never do."""
    windows = layer.window(*at.shapes)
    ends, x, counted = _ends(at, windows), at.x, layer.count_padding
    beyond = [(0, max(end - window.after, 0)) for (_, end), window in zip(ends, windows, strict=True)]
    if counted and any(map(any, beyond)):
        x, ends, counted = _padded(at, [(w.before, w.after) for w in windows], 0), beyond, False
    at.give("AveragePool", x, count_include_pad=int(counted), **_options(windows, ends))


@OPERATORS.says(L2Pool)
def _l2_pool(layer: L2Pool, at: Place) -> None:
    windows = layer.window(*at.shapes)
    at.give("LpPool", at.x, p=2, **_options(windows, _ends(at, windows)))


@OPERATORS.says(Subsample)
def _subsample(layer: Subsample, at: Place) -> None:
    """A convolution of each channel, all elements of whose kernel are the coefficient."""
    windows = layer.window(*at.shapes)
    options = _options(windows, _ends(at, windows))
    shape = (-1, 1, *options["kernel_shape"])
    ones = np.ones(options["kernel_shape"], np.float32)
    kernels = at.array("coefficient").reshape(-1, *(1 for _ in ones.shape)) * ones
    weight = at.constant("coefficient", kernels.reshape(shape))
    at.give("Conv", at.x, weight, at.weight("bias"), group=at.shape[0], **options)


@OPERATORS.says(GlobalAvgPool)
def _global_avg_pool(layer: GlobalAvgPool, at: Place) -> None:
    at.give("GlobalAveragePool", at.x)


@OPERATORS.says(GlobalMaxPool)
def _global_max_pool(layer: GlobalMaxPool, at: Place) -> None:
    at.give("GlobalMaxPool", at.x)


@OPERATORS.says(AdaptiveAvgPool)
def _adaptive_avg_pool(layer: AdaptiveAvgPool, at: Place) -> None:
    """Bins that are alike are windows; otherwise the mean of each bin is a matrix product along each axis."""
    bins = layer.bins(*at.shapes)
    if set(at.shape[1:]) == {1}:
        at.give("GlobalAveragePool", at.x)
        return
    if windows := _windows(bins):
        at.give("AveragePool", at.x, **_options(windows, [(0, 0)] * len(windows)))
        return
    x, shape = at.x, at.shapes[0]
    for axis, (sight, outputs) in enumerate(zip(bins, at.shape[1:], strict=True), start=1):
        x, shape = _means(at, x, shape, axis, sight, outputs)
    at.give("Identity", x)


@OPERATORS.says(AdaptiveMaxPool)
def _adaptive_max_pool(layer: AdaptiveMaxPool, at: Place) -> None:
    """Bins that are alike are windows; otherwise each bin is cut out, along one axis after the other."""
    bins = layer.bins(*at.shapes)
    if set(at.shape[1:]) == {1}:
        at.give("GlobalMaxPool", at.x)
        return
    if windows := _windows(bins):
        at.give("MaxPool", at.x, **_options(windows, [(0, 0)] * len(windows)))
        return
    x, shape = at.x, at.shapes[0]
    for axis, (sight, outputs) in enumerate(zip(bins, at.shape[1:], strict=True), start=1):
        x, shape = _maxima(at, x, shape, axis, sight, outputs)
    at.give("Identity", x)


def _windows(bins: Sequence[AxisSight]) -> list[AxisWindow]:
    """The bins as windows, where all of them are."""
    windows = [sight for sight in bins if isinstance(sight, AxisWindow)]
    return windows if len(windows) == len(bins) else []


def _resized(shape: tuple[int, ...], axis: int, size: int) -> tuple[int, ...]:
    return (*shape[:axis], size, *shape[axis + 1 :])


def _means(
    at: Place, x: str, shape: tuple[int, ...], axis: int, sight: AxisSight, outputs: int
) -> tuple[str, tuple[int, ...]]:
    """The mean of each bin of one axis: the axis moved behind all others, times a matrix, and back."""
    n = shape[axis]
    matrix = np.zeros((n, outputs), np.float32)
    for output in range(outputs):
        seen = sight.seen(output)
        matrix[seen.start : seen.stop, output] = 1 / len(seen)
    there = [i for i in range(len(shape) + 1) if i != axis + 1] + [axis + 1]
    moved = tuple(shape[i - 1] for i in there[1:])
    last = at.on_the_way("Transpose", [x], moved, perm=there)
    summed = at.on_the_way("MatMul", [last, at.constant(f"bins{axis}", matrix)], (*moved[:-1], outputs))
    result = _resized(shape, axis, outputs)
    back = [there.index(i) for i in range(len(there))]
    return at.on_the_way("Transpose", [summed], result, perm=back), result


def _maxima(
    at: Place, x: str, shape: tuple[int, ...], axis: int, sight: AxisSight, outputs: int
) -> tuple[str, tuple[int, ...]]:
    """The largest of each bin of one axis."""
    parts = []
    for output in range(outputs):
        seen = sight.seen(output)
        ends = [at.whole_numbers(f"place{place}", [place]) for place in (seen.start, seen.stop)]
        where = at.whole_numbers(f"axis{axis + 1}", [axis + 1])
        part = at.on_the_way("Slice", [x, *ends, where], _resized(shape, axis, len(seen)))
        parts.append(at.on_the_way("ReduceMax", [part], _resized(shape, axis, 1), axes=[axis + 1]))
    result = _resized(shape, axis, outputs)
    return at.on_the_way("Concat", parts, result, axis=axis + 1), result
