"""Which of the lessons' classes a layer kind is, with its arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from cnnspec.bridges.source.code import literal
from cnnspec.bridges.table import Table
from cnnspec.layers import Layer, Shape, product
from cnnspec.layers.activations import HardSigmoid, LogSoftmax, Relu, Sigmoid, Softmax, Tanh
from cnnspec.layers.adaptive import AdaptiveAvgPool, AdaptiveMaxPool, GlobalAvgPool, GlobalMaxPool
from cnnspec.layers.channels import Shuffle, Take
from cnnspec.layers.convolution import Conv
from cnnspec.layers.dense import Dense, Rbf
from cnnspec.layers.depthwise import Depthwise
from cnnspec.layers.embedding import Embedding
from cnnspec.layers.framing import Crop, Pad
from cnnspec.layers.gates import Gelu, HardSwish, Mish, Silu
from cnnspec.layers.merging import Add, Concat, Mean, Multiply
from cnnspec.layers.normalization import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm
from cnnspec.layers.pooling import AvgPool, L2Pool, MaxPool, Subsample
from cnnspec.layers.rectifiers import Elu, LeakyRelu, Prelu, Relu6, Selu, Softplus
from cnnspec.layers.regularization import Dropout
from cnnspec.layers.resampling import PixelShuffle, Upsample
from cnnspec.layers.scaling import Scale
from cnnspec.layers.shapes import Flatten, Reshape
from cnnspec.layers.transposed import ConvTranspose

if TYPE_CHECKING:
    from cnnspec.layers import AxisWindow

LESSONS: Final[Table[Callable[..., str]]] = Table("NumPy")
"""Functions of a layer and the shapes of its inputs, which give the call that makes it."""

_PLAIN: dict[type[Layer], str] = {
    kind: kind.__name__
    for kind in (
        *(Relu, Relu6, Sigmoid, HardSigmoid, Softmax, LogSoftmax, Silu, Mish, HardSwish, Softplus),
        *(Add, Multiply, Mean, Concat),
    )
}
SELU: Final = (1.6732632423543772, 1.0507009873554805)


def made(name: str, *args: object, **options: object) -> str:
    """The text of a call."""
    named = [f"{option}={literal(value)}" for option, value in options.items()]
    return f"{name}({', '.join([*map(literal, args), *named])})"


@LESSONS.says(*_PLAIN)
def _plain(layer: Layer, *shapes: Shape) -> str:
    return made(_PLAIN[type(layer)])


@LESSONS.says(Tanh)
def _tanh(layer: Tanh, shape: Shape) -> str:
    plain = layer.amplitude == layer.slope == 1
    return made("Tanh") if plain else made("Tanh", float(layer.amplitude), float(layer.slope))


@LESSONS.says(LeakyRelu)
def _leaky_relu(layer: LeakyRelu, shape: Shape) -> str:
    return made("LeakyRelu", float(layer.slope))


@LESSONS.says(Prelu)
def _prelu(layer: Prelu, shape: Shape) -> str:
    return made("Prelu", 1 if layer.shared else shape[0])


@LESSONS.says(Elu)
def _elu(layer: Elu, shape: Shape) -> str:
    return made("Elu", float(layer.alpha))


@LESSONS.says(Selu)
def _selu(layer: Selu, shape: Shape) -> str:
    return made("Elu", *SELU)


@LESSONS.says(Gelu)
def _gelu(layer: Gelu, shape: Shape) -> str:
    return made("Gelu", approximate=True) if layer.approximate else made("Gelu")


# --- convolutions and dense layers ----------------------------------------------------------------------


def _window(windows: Sequence[Any], stride: str = "") -> dict[str, object]:
    """Kernel, stride and dilation; left out is what the class takes unless told otherwise."""
    axes = ("kernel", "stride", "dilation")
    kernel, steps, dilation = (tuple(getattr(window, name) for window in windows) for name in axes)
    usual = kernel if stride == "kernel" else (1,) * len(kernel)
    found: dict[str, object] = {"kernel": kernel}
    found |= {"stride": steps} if steps != usual else {}
    return found | ({"dilation": dilation} if set(dilation) != {1} else {})


def _given(**options: tuple[object, ...]) -> dict[str, object]:
    """Those options that are anything but 0."""
    return {name: value for name, value in options.items() if any(_flat(value))}


def _flat(value: object) -> list[object]:
    return [n for item in value for n in _flat(item)] if isinstance(value, tuple) else [value]


def _ends(windows: Sequence[Any]) -> tuple[tuple[int, int], ...]:
    return tuple((window.before, window.after) for window in windows)


@LESSONS.says(Conv)
def conv(layer: Conv, shape: Shape) -> str:
    """With a table of connections, a class of its own."""
    windows = layer.window(shape)
    options = {**_window(windows), **_given(padding=_ends(windows))}
    bias = {} if layer.bias else {"bias": False}
    if layer.connections is not None:
        return made("TableConv", shape[0], layer.channels, layer.connections.lists, **options, **bias)
    groups = {"groups": layer.groups} if layer.groups > 1 else {}
    return made("Conv", shape[0], layer.channels, **options, **groups, **bias)


@LESSONS.says(Depthwise)
def _depthwise(layer: Depthwise, shape: Shape) -> str:
    return conv(layer.conv(shape), shape)


@LESSONS.says(ConvTranspose)
def _conv_transpose(layer: ConvTranspose, shape: Shape) -> str:
    windows = layer.window(shape)
    extra = tuple(window.extra for window in windows)
    options = {**_window(windows), **_given(cut=_ends(windows), extra=extra)}
    groups = {"groups": layer.groups} if layer.groups > 1 else {}
    bias = {} if layer.bias else {"bias": False}
    return made("ConvTranspose", shape[0], layer.channels, **options, **groups, **bias)


@LESSONS.says(Dense)
def _dense(layer: Dense, shape: Shape) -> str:
    return made("Dense", product(shape), layer.units, **({} if layer.bias else {"bias": False}))


@LESSONS.says(Rbf)
def _rbf(layer: Rbf, shape: Shape) -> str:
    return made("SquaredDistances", product(shape), layer.units)


@LESSONS.says(Embedding)
def _embedding(layer: Embedding, shape: Shape) -> str:
    return made("Embedding", layer.vocabulary, layer.dimension)


# --- poolings -------------------------------------------------------------------------------------------


def _pool(layer: MaxPool | AvgPool | L2Pool | Subsample, shape: Shape) -> dict[str, object]:
    """The window, and what it reaches over both ends of each axis."""
    windows, outputs = layer.window(shape), layer.infer(shape)[1:]
    reach = tuple(map(_reach, shape[1:], outputs, windows))
    return {**_window(windows, "kernel"), **_given(reach=reach)}


def _reach(n: int, outputs: int, window: AxisWindow) -> tuple[int, int]:
    """Positions before an axis, and those behind it up to the end of the last window or of the padding."""
    last = (outputs - 1) * window.stride + window.reach - window.before - n
    return window.before, max(last, window.after)


@LESSONS.says(MaxPool)
def _max_pool(layer: MaxPool, shape: Shape) -> str:
    return made("MaxPool", **_pool(layer, shape))


@LESSONS.says(AvgPool)
def _avg_pool(layer: AvgPool, shape: Shape) -> str:
    windows = layer.window(shape)
    counted = _ends(windows) if layer.count_padding else tuple((0, 0) for _ in windows)
    options, none = _pool(layer, shape), tuple((0, 0) for _ in windows)
    more = {} if counted == options.get("reach", none) else {"counted": counted}
    return made("AvgPool", **options, **more)


@LESSONS.says(L2Pool)
def _l2_pool(layer: L2Pool, shape: Shape) -> str:
    return made("L2Pool", **_pool(layer, shape))


@LESSONS.says(Subsample)
def _subsample(layer: Subsample, shape: Shape) -> str:
    return made("Subsample", shape[0], **_pool(layer, shape))


@LESSONS.says(AdaptiveAvgPool, GlobalAvgPool)
def _bin_mean(layer: AdaptiveAvgPool | GlobalAvgPool, shape: Shape) -> str:
    return made("BinMean", layer.infer(shape)[1:])


@LESSONS.says(AdaptiveMaxPool, GlobalMaxPool)
def _bin_max(layer: AdaptiveMaxPool | GlobalMaxPool, shape: Shape) -> str:
    return made("BinMax", layer.infer(shape)[1:])


# --- normalizations -------------------------------------------------------------------------------------


@LESSONS.says(BatchNorm)
def _batch_norm(layer: BatchNorm, shape: Shape) -> str:
    affine = {} if layer.affine else {"affine": False}
    return made("BatchNorm", shape[0], float(layer.epsilon), float(layer.momentum), **affine)


@LESSONS.says(LayerNorm)
def _layer_norm(layer: LayerNorm, shape: Shape) -> str:
    everything = layer.over == "all"
    axes = tuple(range(1, len(shape) + 1)) if everything else (1,)
    weight = layer.together(shape) if layer.affine else None
    return made("Norm", shape, axes, weight, float(layer.epsilon))


@LESSONS.says(GroupNorm)
def _group_norm(layer: GroupNorm, shape: Shape) -> str:
    apart = (layer.groups, product(shape) // layer.groups)
    return made("Norm", apart, (2,), shape[:1] if layer.affine else None, float(layer.epsilon))


@LESSONS.says(InstanceNorm)
def _instance_norm(layer: InstanceNorm, shape: Shape) -> str:
    apart = (shape[0], product(shape[1:]))
    return made("Norm", apart, (2,), shape[:1] if layer.affine else None, float(layer.epsilon))


@LESSONS.says(LocalResponseNorm)
def _local_response_norm(layer: LocalResponseNorm, shape: Shape) -> str:
    numbers = (float(number) for number in (layer.alpha, layer.beta, layer.k))
    return made("LocalResponseNorm", layer.size, *numbers)


@LESSONS.says(Dropout)
def _dropout(layer: Dropout, shape: Shape) -> str:
    return made("Dropout", float(layer.drop_probability))


@LESSONS.says(Scale)
def _scale(layer: Scale, shape: Shape) -> str:
    return made("Scale", shape[0], float(layer.initial), **({"bias": True} if layer.bias else {}))


# --- shapes ---------------------------------------------------------------------------------------------


@LESSONS.says(Flatten)
def _flatten(layer: Flatten, shape: Shape) -> str:
    return made("Reshape", product(shape))


@LESSONS.says(Reshape)
def _reshape(layer: Reshape, shape: Shape) -> str:
    return made("Reshape", *layer.shape)


@LESSONS.says(Take)
def _take(layer: Take, shape: Shape) -> str:
    return made("Take", layer.start, layer.stop)


@LESSONS.says(Shuffle)
def _shuffle(layer: Shuffle, shape: Shape) -> str:
    return made("Shuffle", layer.groups)


@LESSONS.says(Pad)
def _pad(layer: Pad, shape: Shape) -> str:
    options = {} if layer.mode == "constant" else {"mode": layer.mode}
    return made(
        "Pad", layer.frame(shape), **options, **({"value": float(layer.value)} if layer.value else {})
    )


@LESSONS.says(Crop)
def _crop(layer: Crop, shape: Shape) -> str:
    return made("Crop", tuple((-before, -after) for before, after in layer.frame(shape)))


@LESSONS.says(Upsample)
def _upsample(layer: Upsample, shape: Shape) -> str:
    return made("Enlarge" if layer.mode == "nearest" else "Interpolate", layer.factors(shape))


@LESSONS.says(PixelShuffle)
def _pixel_shuffle(layer: PixelShuffle, shape: Shape) -> str:
    return made("PixelShuffle", layer.factors(shape))
