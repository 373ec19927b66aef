"""Convolutions, dense layers, poolings and normalizations, as Keras' layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnspec.bridges.keras_source.pointwise import as_vector
from cnnspec.bridges.keras_source.table import (
    CODES,
    NAMED,
    KerasCode,
    around,
    as_it_is,
    channels_last,
    kernel_last,
    transposed,
    zeros_around,
)
from cnnspec.bridges.source.code import Arg, literal
from cnnspec.bridges.source.file import WeightName
from cnnspec.bridges.source.windows import axes_of, of_windows, one_or_all, positional
from cnnspec.bridges.table import NotCovered
from cnnspec.layers import AxisWindow, Shape, product
from cnnspec.layers.adaptive import AdaptiveAvgPool, AdaptiveMaxPool, GlobalAvgPool, GlobalMaxPool
from cnnspec.layers.convolution import Conv
from cnnspec.layers.dense import Dense, Rbf
from cnnspec.layers.depthwise import Depthwise
from cnnspec.layers.normalization import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm
from cnnspec.layers.pooling import AvgPool, L2Pool, MaxPool, Subsample
from cnnspec.layers.regularization import Dropout
from cnnspec.layers.scaling import Scale
from cnnspec.layers.transposed import ConvTranspose
from cnnspec.layers.windows import TransposedWindow

if TYPE_CHECKING:
    from numpy.typing import NDArray

BIAS = WeightName("bias")

# --- convolutions ---------------------------------------------------------------------------------------


def _is_same(windows: Sequence[AxisWindow]) -> bool:
    """Whether the padding is what Keras calls `same`."""
    return all(
        w.stride == 1 and w.before == (w.reach - 1) // 2 and w.before + w.after == w.reach - 1
        for w in windows
    )


def _ends(windows: Sequence[Any]) -> list[tuple[int, int]]:
    return [(window.before, window.after) for window in windows]


def _window(windows: Sequence[AxisWindow]) -> tuple[tuple[Arg, ...], str]:
    """The arguments of a window, and the expression of a layer behind its padding."""
    same = _is_same(windows) and any(map(any, _ends(windows)))
    plain = same or not any(map(any, _ends(windows)))
    args = (
        Arg("strides", of_windows(windows, "stride"), 1),
        Arg("padding", "same" if same else "valid", "valid"),
        Arg("dilation_rate", of_windows(windows, "dilation"), 1),
    )
    return args, NAMED if plain else f"{{me}}({zeros_around(_ends(windows))}({{0}}))"


def _refuse_dilated_strides(windows: Sequence[AxisWindow | TransposedWindow]) -> None:
    """Keras' layers take a stride or a dilation above 1, on whichever axes, not both."""
    if any(w.stride > 1 for w in windows) and any(w.dilation > 1 for w in windows):
        raise NotCovered("it has no stride together with dilation", option="dilation")


@CODES.says(Conv)
def conv(layer: Conv, shape: Shape) -> KerasCode:
    """`Conv2D` and its like, behind `ops.pad` where the padding is not Keras' own."""
    windows = layer.window(shape)
    args, form = _window(windows)
    kernel = positional("kernel_size", of_windows(windows, "kernel"))
    bias = Arg("use_bias", layer.bias, True)
    variables = {"weight": WeightName("kernel", kernel_last), "bias": BIAS}
    if layer.connections is not None:
        first = (positional("filters", layer.channels), positional("connections", layer.connections.lists))
        own = {"weight": WeightName("kernel"), "bias": BIAS}
        size = positional("kernel_size", tuple(w.kernel for w in windows))
        name = "TableConv"
        return KerasCode(form, name, (*first, size, *args, bias), helpers=(name,), variables=own)
    _refuse_dilated_strides(windows)
    more = (positional("filters", layer.channels), kernel, *args, Arg("groups", layer.groups, 1), bias)
    return KerasCode(form, f"layers.Conv{axes_of(shape)}D", more, variables=variables)


@CODES.says(Depthwise)
def _depthwise(layer: Depthwise, shape: Shape) -> KerasCode:
    """Keras' own for signals and images, with one stride for both axes; else a convolution with groups."""
    windows = layer.window(shape)
    alike = len({w.stride for w in windows}) == 1
    if axes_of(shape) > 2 or not alike:
        return conv(layer.conv(shape), shape)
    _refuse_dilated_strides(windows)
    args, form = _window(windows)
    channels = shape[0]

    def laid_out(array: NDArray[np.float32]) -> NDArray[np.float32]:
        """`(C * m, 1, kh, kw)` to `(kh, kw, C, m)`."""
        apart = array.reshape(channels, -1, *array.shape[2:])
        return np.moveaxis(apart, (0, 1), (-2, -1))

    kernel = positional("kernel_size", of_windows(windows, "kernel"))
    more = (Arg("depth_multiplier", layer.multiplier, 1), Arg("use_bias", layer.bias, True))
    variables = {"weight": WeightName("kernel", laid_out), "bias": BIAS}
    name = f"layers.DepthwiseConv{axes_of(shape)}D"
    return KerasCode(form, name, (kernel, *args, *more), variables=variables)


@CODES.says(ConvTranspose)
def _conv_transpose(layer: ConvTranspose, shape: Shape) -> KerasCode:
    """The whole output, cut; Keras makes `n * stride` positions where kernels lie apart."""
    if layer.groups > 1:
        raise NotCovered("it has no groups", option="groups")
    windows = layer.window(shape)
    _refuse_dilated_strides(windows)
    ends = []
    for window in windows:
        made_more = max(window.stride - window.reach, 0)
        ends.append((window.before, window.after - window.extra + made_more))
    if any(after < 0 for _, after in ends):
        raise NotCovered("it adds nothing behind an axis", option="output_padding")
    args = (
        positional("filters", layer.channels),
        positional("kernel_size", of_windows(windows, "kernel")),
        Arg("strides", of_windows(windows, "stride"), 1),
        Arg("dilation_rate", of_windows(windows, "dilation"), 1),
        Arg("use_bias", layer.bias, True),
    )
    outputs = layer.infer(shape)[1:]
    parts = ", ".join(f"{before}:{before + n}" for (before, _), n in zip(ends, outputs, strict=True))
    form = f"{NAMED}[:, {parts}, :]" if any(map(any, ends)) else NAMED
    variables = {"weight": WeightName("kernel", kernel_last), "bias": BIAS}
    return KerasCode(form, f"layers.Conv{axes_of(shape)}DTranspose", args, variables=variables)


# --- dense ----------------------------------------------------------------------------------------------


@CODES.says(Dense)
def _dense(layer: Dense, shape: Shape) -> KerasCode:
    args = (positional("units", layer.units), Arg("use_bias", layer.bias, True))
    variables = {"weight": WeightName("kernel", transposed), "bias": BIAS}
    return KerasCode(f"{{me}}({as_vector(shape)})", "layers.Dense", args, variables=variables)


@CODES.says(Rbf)
def _rbf(layer: Rbf, shape: Shape) -> KerasCode:
    args = (positional("units", layer.units), Arg("trainable", layer.trainable, True))
    return KerasCode(
        f"{{me}}({as_vector(shape)})",
        "SquaredDistances",
        args,
        helpers=("SquaredDistances",),
        variables=as_it_is(centers="centers"),
    )


# --- poolings -------------------------------------------------------------------------------------------


def _reach(layer: MaxPool | AvgPool | L2Pool | Subsample, shape: Shape) -> list[tuple[int, int]]:
    """What the windows reach over both ends of each axis."""
    sizes = zip(shape[1:], layer.infer(shape)[1:], layer.window(shape), strict=True)
    return [(w.before, max((m - 1) * w.stride + w.reach - w.before - n, w.after)) for n, m, w in sizes]


def _sizes(layer: MaxPool | AvgPool | L2Pool | Subsample, shape: Shape) -> tuple[Arg, ...]:
    windows = layer.window(shape)
    kernel = of_windows(windows, "kernel")
    return positional("pool_size", kernel), Arg("strides", of_windows(windows, "stride"), kernel)


@CODES.says(MaxPool)
def _max_pool(layer: MaxPool, shape: Shape) -> KerasCode:
    if any(window.dilation > 1 for window in layer.window(shape)):
        raise NotCovered("it has no dilated pooling", option="dilation")
    ends, form = _reach(layer, shape), NAMED
    if any(map(any, ends)):
        form = f'{{me}}(ops.pad({{0}}, {around(ends)}, constant_values=float("-inf")))'
    return KerasCode(form, f"layers.MaxPooling{axes_of(shape)}D", _sizes(layer, shape))


@CODES.says(AvgPool)
def _avg_pool(layer: AvgPool, shape: Shape) -> KerasCode:
    """Where some positions do not count, the mean divided by the mean of ones among zeros."""
    ends, windows = _reach(layer, shape), layer.window(shape)
    counted = _ends(windows) if layer.count_padding else [(0, 0)] * len(windows)
    name, args = f"layers.AveragePooling{axes_of(shape)}D", _sizes(layer, shape)
    if counted == ends:
        padded = "{0}" if not any(map(any, ends)) else f"{zeros_around(ends)}({{0}})"
        return KerasCode(f"{{me}}({padded})", name, args)
    rest = [(a - c, b - d) for (a, b), (c, d) in zip(ends, counted, strict=True)]
    ones = f"ops.pad(ops.ones_like({{0}}), {around(counted)}, constant_values=1.0)"
    sizes = f"{literal(args[0].value)}, {literal(args[1].value)}"
    divisor = f"ops.average_pool(ops.pad({ones}, {around(rest)}), {sizes})"
    return KerasCode(f"{{me}}(ops.pad({{0}}, {around(ends)})) / {divisor}", name, args)


@CODES.says(L2Pool)
def _l2_pool(layer: L2Pool, shape: Shape) -> KerasCode:
    windows, args = layer.window(shape), _sizes(layer, shape)
    sizes = f"{literal(args[0].value)}, {literal(args[1].value)}"
    area = product(tuple(w.kernel for w in windows))
    ends = around(_reach(layer, shape))
    axes_of(shape)
    return KerasCode(f"ops.sqrt({area} * ops.average_pool(ops.pad(ops.square({{0}}), {ends}), {sizes}))")


@CODES.says(Subsample)
def _subsample(layer: Subsample, shape: Shape) -> KerasCode:
    windows = layer.window(shape)
    args = (
        positional("pool_size", tuple(w.kernel for w in windows)),
        positional("strides", tuple(w.stride for w in windows)),
        positional("edges", tuple(_reach(layer, shape))),
    )
    axes_of(shape)
    names = as_it_is(coefficient="coefficient", bias="bias")
    return KerasCode(NAMED, "Subsample", args, helpers=("Subsample",), variables=names)


@CODES.says(GlobalAvgPool, GlobalMaxPool)
def _global_pool(layer: GlobalAvgPool | GlobalMaxPool, shape: Shape) -> KerasCode:
    kind = "Average" if isinstance(layer, GlobalAvgPool) else "Max"
    return KerasCode(NAMED, f"layers.Global{kind}Pooling{axes_of(shape)}D", (Arg("keepdims", True),))


@CODES.says(AdaptiveAvgPool, AdaptiveMaxPool)
def _adaptive(layer: AdaptiveAvgPool | AdaptiveMaxPool, shape: Shape) -> KerasCode:
    """A sliding window, where all bins are alike."""
    bins = [sight for sight in layer.bins(shape) if isinstance(sight, AxisWindow)]
    if len(bins) < axes_of(shape):
        raise NotCovered(
            "it has no bins of different sizes", option="size", help="choose a size that divides the map"
        )
    kind = "Average" if isinstance(layer, AdaptiveAvgPool) else "Max"
    size = positional("pool_size", one_or_all([w.kernel for w in bins]))
    return KerasCode(NAMED, f"layers.{kind}Pooling{axes_of(shape)}D", (size,))


# --- normalizations -------------------------------------------------------------------------------------

AFFINE = as_it_is(weight="gamma", bias="beta")


@CODES.says(BatchNorm)
def _batch_norm(layer: BatchNorm, shape: Shape) -> KerasCode:
    args = (
        Arg("momentum", round(1 - float(layer.momentum), 12), 0.99),
        Arg("epsilon", float(layer.epsilon), 0.001),
        *_affine(layer.affine),
    )
    variables = AFFINE | as_it_is(running_mean="moving_mean", running_var="moving_variance")
    return KerasCode(NAMED, "layers.BatchNormalization", args, nested=True, variables=variables)


def _affine(affine: bool) -> tuple[Arg, ...]:
    return Arg("center", affine, True), Arg("scale", affine, True)


@CODES.says(LayerNorm)
def _layer_norm(layer: LayerNorm, shape: Shape) -> KerasCode:
    everything = layer.over == "all" and len(shape) > 1
    axis = Arg("axis", list(range(1, len(shape) + 1)) if everything else -1, -1)
    args = (axis, Arg("epsilon", float(layer.epsilon), 0.001), *_affine(layer.affine))
    variables = AFFINE
    if everything:
        names = (("weight", "gamma"), ("bias", "beta"))
        variables = {own: WeightName(there, channels_last) for own, there in names}
    return KerasCode(NAMED, "layers.LayerNormalization", args, nested=True, variables=variables)


@CODES.says(GroupNorm, InstanceNorm)
def _group_norm(layer: GroupNorm | InstanceNorm, shape: Shape) -> KerasCode:
    """A layer of the file's own: Keras' GroupNormalization loses digits where means are large."""
    groups = layer.groups if isinstance(layer, GroupNorm) else shape[0]
    args = (
        positional("groups", groups),
        positional("epsilon", float(layer.epsilon)),
        Arg("use_affine", layer.affine, True),
    )
    return KerasCode(NAMED, "GroupNorm", args, nested=True, helpers=("GroupNorm",), variables=AFFINE)


@CODES.says(LocalResponseNorm)
def _local_response_norm(layer: LocalResponseNorm, shape: Shape) -> KerasCode:
    numbers = ", ".join(literal(float(n)) for n in (layer.alpha, layer.beta, layer.k))
    text = f"local_response_norm({{0}}, {layer.size}, {numbers})"
    return KerasCode(text, nested=True, helpers=("local_response_norm",))


@CODES.says(Dropout)
def _dropout(layer: Dropout, shape: Shape) -> KerasCode:
    return KerasCode(
        NAMED, "layers.Dropout", (positional("rate", float(layer.drop_probability)),), nested=True
    )


@CODES.says(Scale)
def _scale(layer: Scale, shape: Shape) -> KerasCode:
    args = (
        Arg("initial", float(layer.initial), 1.0),
        Arg("use_bias", layer.bias, False),
        Arg("trainable", layer.trainable, True),
    )
    names = as_it_is(weight="factor", bias="bias")
    return KerasCode(NAMED, "ChannelScale", args, nested=True, helpers=("ChannelScale",), variables=names)
