"""Convolutions, dense layers, poolings and normalizations, as PyTorch's modules."""

from __future__ import annotations

from dataclasses import replace

from cnnspec.bridges.source.code import Arg, Code
from cnnspec.bridges.source.windows import axes_of, of_windows, one_or_all, positional
from cnnspec.bridges.torch_source.table import CODES, edges, symmetric
from cnnspec.layers import Shape, product
from cnnspec.layers.adaptive import AdaptiveAvgPool, AdaptiveMaxPool, GlobalAvgPool, GlobalMaxPool
from cnnspec.layers.convolution import Conv
from cnnspec.layers.dense import Dense, Rbf
from cnnspec.layers.depthwise import Depthwise
from cnnspec.layers.normalization import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm
from cnnspec.layers.pooling import AvgPool, L2Pool, MaxPool, Subsample
from cnnspec.layers.regularization import Dropout
from cnnspec.layers.scaling import Scale
from cnnspec.layers.transposed import ConvTranspose

PLAIN = "{me}({0})"

# --- convolutions ---------------------------------------------------------------------------------------


@CODES.says(Conv)
def conv(layer: Conv, shape: Shape) -> Code:
    """`nn.Conv2d` and its like, behind `F.pad` where the ends of an axis differ."""
    windows = layer.window(shape)
    same = symmetric(windows)
    padding = of_windows(windows, "before") if same else 0
    form = PLAIN if same else f"{{me}}(F.pad({{0}}, {edges([(w.before, w.after) for w in windows])}))"
    axes = axes_of(shape)
    args = (
        positional("in_channels", shape[0]),
        positional("out_channels", layer.channels),
        Arg("kernel_size", of_windows(windows, "kernel")),
        Arg("stride", of_windows(windows, "stride"), 1),
        Arg("padding", padding, 0),
        Arg("dilation", of_windows(windows, "dilation"), 1),
        Arg("groups", layer.groups, 1),
        Arg("bias", layer.bias, True),
    )
    if layer.connections is None:
        return Code(form, f"nn.Conv{axes}d", args)
    own = (args[1], positional("connections", layer.connections.lists), args[2], *args[3:6], args[7])
    return Code(form, f"TableConv{axes}d", own, helpers=(f"TableConv{axes}d",))


@CODES.says(Depthwise)
def _depthwise(layer: Depthwise, shape: Shape) -> Code:
    return conv(layer.conv(shape), shape)


@CODES.says(ConvTranspose)
def _conv_transpose(layer: ConvTranspose, shape: Shape) -> Code:
    """PyTorch's own where as much is cut before as after; otherwise the whole output, cut."""
    windows = layer.window(shape)
    same = symmetric(windows)
    around = edges([(-window.before, -window.after) for window in windows])
    args = (
        positional("in_channels", shape[0]),
        positional("out_channels", layer.channels),
        Arg("kernel_size", of_windows(windows, "kernel")),
        Arg("stride", of_windows(windows, "stride"), 1),
        Arg("padding", of_windows(windows, "before") if same else 0, 0),
        Arg("output_padding", of_windows(windows, "extra"), 0),
        Arg("groups", layer.groups, 1),
        Arg("bias", layer.bias, True),
        Arg("dilation", of_windows(windows, "dilation"), 1),
    )
    form = PLAIN if same else f"F.pad({{me}}({{0}}), {around})"
    return Code(form, f"nn.ConvTranspose{axes_of(shape)}d", args)


# --- dense ----------------------------------------------------------------------------------------------


def _vector(shape: Shape) -> str:
    """The first input as a vector."""
    return "{0}" if len(shape) == 1 else "torch.flatten({0}, 1)"


@CODES.says(Dense)
def _dense(layer: Dense, shape: Shape) -> Code:
    args = (
        positional("in_features", product(shape)),
        positional("out_features", layer.units),
        Arg("bias", layer.bias, True),
    )
    return Code(f"{{me}}({_vector(shape)})", "nn.Linear", args)


@CODES.says(Rbf)
def _rbf(layer: Rbf, shape: Shape) -> Code:
    args = (positional("in_features", product(shape)), positional("out_features", layer.units))
    form = f"{{me}}({_vector(shape)})"
    return Code(form, "SquaredDistances", args, helpers=("SquaredDistances",), frozen=not layer.trainable)


# --- poolings -------------------------------------------------------------------------------------------


def _cut(outputs: Shape, ceil: bool) -> str:
    """So many positions of every axis: a last window may have begun in what was added."""
    return f"[:, :, {', '.join(f':{n}' for n in outputs)}]" if ceil else ""


def _pool(layer: MaxPool | AvgPool | L2Pool | Subsample, shape: Shape, name: str, fill: str) -> Code:
    windows = layer.window(shape)
    native = all(w.before == w.after <= w.kernel // 2 for w in windows)
    kernel, stride = of_windows(windows, "kernel"), of_windows(windows, "stride")
    args = (
        positional("kernel_size", kernel),
        Arg("stride", stride, kernel),
        Arg("padding", of_windows(windows, "before") if native else 0, 0),
        Arg("dilation", of_windows(windows, "dilation"), 1),
        Arg("ceil_mode", layer.ceil, False),
    )
    form = PLAIN
    if not native:
        around = edges([(w.before, w.after) for w in windows])
        form = f"{{me}}(F.pad({{0}}, {around}{fill})){_cut(layer.infer(shape)[1:], layer.ceil)}"
    return Code(form, f"{name}{axes_of(shape)}d", args)


@CODES.says(MaxPool)
def _max_pool(layer: MaxPool, shape: Shape) -> Code:
    return _pool(layer, shape, "nn.MaxPool", ", value=-torch.inf")


@CODES.says(AvgPool)
def _avg_pool(layer: AvgPool, shape: Shape) -> Code:
    made = _pool(layer, shape, "nn.AvgPool", "")
    args = tuple(arg for arg in made.args if arg.name != "dilation")
    if made.form == PLAIN:
        return replace(made, args=(*args, Arg("count_include_pad", layer.count_padding, True)))
    if layer.count_padding:
        return replace(made, args=args)
    inside = made.form.replace("{0}", "torch.ones_like({0}[:1, :1])")
    return replace(made, args=args, form=f"{made.form} / {inside}")


def _sums(layer: L2Pool | Subsample, shape: Shape) -> tuple[Arg, ...]:
    """The windows, and what is added around a map so that every window lies within."""
    windows, outputs = layer.window(shape), layer.infer(shape)[1:]
    behind = [
        (m - 1) * w.stride + w.kernel - w.before - n
        for n, m, w in zip(shape[1:], outputs, windows, strict=True)
    ]
    ends = [(w.before, more) for w, more in zip(windows, behind, strict=True)]
    return (
        positional("kernel_size", of_windows(windows, "kernel")),
        positional("stride", of_windows(windows, "stride")),
        positional("edges", edges(ends)),
    )


@CODES.says(L2Pool)
def _l2_pool(layer: L2Pool, shape: Shape) -> Code:
    name = f"RootOfSquares{axes_of(shape)}d"
    return Code(PLAIN, name, _sums(layer, shape), helpers=(name,))


@CODES.says(Subsample)
def _subsample(layer: Subsample, shape: Shape) -> Code:
    name = f"Subsample{axes_of(shape)}d"
    return Code(PLAIN, name, (positional("channels", shape[0]), *_sums(layer, shape)), helpers=(name,))


@CODES.says(AdaptiveAvgPool, AdaptiveMaxPool, GlobalAvgPool, GlobalMaxPool)
def _adaptive(layer: AdaptiveAvgPool, shape: Shape) -> Code:
    kind = "Max" if isinstance(layer, AdaptiveMaxPool | GlobalMaxPool) else "Avg"
    size = positional("output_size", one_or_all(layer.infer(shape)[1:]))
    return Code(PLAIN, f"nn.Adaptive{kind}Pool{axes_of(shape)}d", (size,))


# --- normalizations -------------------------------------------------------------------------------------


@CODES.says(BatchNorm)
def _batch_norm(layer: BatchNorm, shape: Shape) -> Code:
    args = (
        positional("num_features", shape[0]),
        Arg("eps", float(layer.epsilon), 1e-5),
        Arg("momentum", float(layer.momentum), 0.1),
        Arg("affine", layer.affine, True),
    )
    return Code(PLAIN, f"nn.BatchNorm{axes_of(shape) or 1}d", args, nested=True)


@CODES.says(LayerNorm)
def _layer_norm(layer: LayerNorm, shape: Shape) -> Code:
    together = layer.together(shape)
    size = together[0] if len(together) == 1 else together
    args = (
        positional("normalized_shape", size),
        Arg("eps", float(layer.epsilon), 1e-5),
        Arg("elementwise_affine", layer.affine, True),
    )
    across = layer.over == "channels" and len(shape) > 1
    form = "{me}({0}.movedim(1, -1)).movedim(-1, 1)" if across else PLAIN
    return Code(form, "nn.LayerNorm", args, nested=not across)


@CODES.says(GroupNorm)
def _group_norm(layer: GroupNorm, shape: Shape) -> Code:
    args = (
        positional("num_groups", layer.groups),
        positional("num_channels", shape[0]),
        Arg("eps", float(layer.epsilon), 1e-5),
        Arg("affine", layer.affine, True),
    )
    return Code(PLAIN, "nn.GroupNorm", args, nested=True)


@CODES.says(InstanceNorm)
def _instance_norm(layer: InstanceNorm, shape: Shape) -> Code:
    args = (
        positional("num_features", shape[0]),
        Arg("eps", float(layer.epsilon), 1e-5),
        Arg("affine", layer.affine, False),
    )
    return Code(PLAIN, f"nn.InstanceNorm{axes_of(shape)}d", args, nested=True)


@CODES.says(LocalResponseNorm)
def _local_response_norm(layer: LocalResponseNorm, shape: Shape) -> Code:
    args = (
        positional("size", layer.size),
        Arg("alpha", float(layer.alpha), 1e-4),
        Arg("beta", float(layer.beta), 0.75),
        Arg("k", float(layer.k), 1.0),
    )
    form = PLAIN if len(shape) > 1 else "{me}({0}.unsqueeze(2)).squeeze(2)"
    return Code(form, "nn.LocalResponseNorm", args, nested=len(shape) > 1)


@CODES.says(Dropout)
def _dropout(layer: Dropout, shape: Shape) -> Code:
    return Code(PLAIN, "nn.Dropout", (positional("p", float(layer.drop_probability)),), nested=True)


@CODES.says(Scale)
def _scale(layer: Scale, shape: Shape) -> Code:
    args = (
        positional("channels", shape[0]),
        Arg("initial", float(layer.initial), 1.0),
        Arg("bias", layer.bias, False),
    )
    return Code(
        PLAIN, "ChannelScale", args, nested=True, helpers=("ChannelScale",), frozen=not layer.trainable
    )
