"""Operators that are layers by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnspec.bridges.onnx_import.folding import BATCH
from cnnspec.bridges.onnx_import.nodes import Cannot
from cnnspec.bridges.onnx_import.table import At, Made, ends, extent, reads
from cnnspec.layers import Layer, LayerError, product
from cnnspec.layers.activations import HardSigmoid, LogSoftmax, Relu, Sigmoid, Softmax, Tanh
from cnnspec.layers.adaptive import GlobalAvgPool, GlobalMaxPool
from cnnspec.layers.channels import Take
from cnnspec.layers.connections import Connections
from cnnspec.layers.convolution import Conv
from cnnspec.layers.dense import Dense
from cnnspec.layers.depthwise import Depthwise
from cnnspec.layers.framing import Crop, Pad
from cnnspec.layers.gates import Gelu, HardSwish, Mish
from cnnspec.layers.merging import Add, Concat, Mean, Multiply
from cnnspec.layers.normalization import BatchNorm, InstanceNorm, LayerNorm, LocalResponseNorm
from cnnspec.layers.pooling import AvgPool, L2Pool, MaxPool, Subsample
from cnnspec.layers.rectifiers import Elu, LeakyRelu, Prelu, Relu6, Selu, Softplus
from cnnspec.layers.regularization import Dropout
from cnnspec.layers.resampling import PixelShuffle, Upsample
from cnnspec.layers.scaling import Scale
from cnnspec.layers.shapes import Flatten, Reshape
from cnnspec.layers.transposed import ConvTranspose

if TYPE_CHECKING:
    from numpy.typing import NDArray

PLAIN: dict[str, type[Layer]] = {
    "Relu": Relu,
    "Sigmoid": Sigmoid,
    "Tanh": Tanh,
    "Selu": Selu,
    "Softplus": Softplus,
    "HardSwish": HardSwish,
    "Mish": Mish,
    "GlobalAveragePool": GlobalAvgPool,
    "GlobalMaxPool": GlobalMaxPool,
}


def number(value: float) -> float:
    """A float32 as a person writes it: 0.001, not 0.0010000000474974513."""
    short = float(str(np.float32(value)))
    return int(short) if short == int(short) and abs(short) < 1e6 else short


SELU = {"alpha": 1.6732632, "gamma": 1.0507010}


@reads(*PLAIN)
def _plain(at: At) -> Made:
    if at.node.op == "Selu" and any(abs(at.option(k, v) - v) > 1e-5 for k, v in SELU.items()):
        raise Cannot("its constants are not those of `selu`")
    return Made(PLAIN[at.node.op](), (at.x,))


@reads("Softmax", "LogSoftmax")
def _softmax(at: At) -> Made:
    axis = at.option("axis", -1)
    if axis not in (1, -len(at.shape())):
        raise Cannot(f"it is taken over axis {axis}, not over the channels")
    return Made(Softmax() if at.node.op == "Softmax" else LogSoftmax(), (at.x,))


@reads("HardSigmoid")
def _hard_sigmoid(at: At) -> Made:
    if abs(at.option("alpha", 0.2) - 1 / 6) > 1e-4 or at.option("beta", 0.5) != 0.5:
        raise Cannot("its slope is not 1/6")
    return Made(HardSigmoid(), (at.x,))


@reads("LeakyRelu")
def _leaky_relu(at: At) -> Made:
    return Made(LeakyRelu(slope=number(at.option("alpha", 0.01))), (at.x,))


@reads("Elu")
def _elu(at: At) -> Made:
    return Made(Elu(alpha=number(at.option("alpha", 1.0))), (at.x,))


@reads("Gelu")
def _gelu(at: At) -> Made:
    return Made(Gelu(approximate=at.option("approximate", b"none") == b"tanh"), (at.x,))


@reads("Clip")
def _clip(at: At) -> Made:
    least = at.graph.number(at.node.inputs[1]) if at.has(1) else at.option("min")
    most = at.graph.number(at.node.inputs[2]) if at.has(2) else at.option("max")
    if (least, most) != (0, 6):
        raise Cannot(f"it clips to {least} and {most}, not to 0 and 6")
    return Made(Relu6(), (at.x,))


@reads("PRelu")
def _prelu(at: At) -> Made:
    slope = at.constant(1, "slope").reshape(-1)
    if slope.size not in (1, at.shape()[0]):
        raise Cannot("it has a slope for each element")
    return Made(Prelu(shared=bool(slope.size == 1 != at.shape()[0])), (at.x,), {"slope": slope})


@reads("Dropout")
def _dropout(at: At) -> Made:
    ratio = at.graph.number(at.node.inputs[1]) if at.has(1) else at.option("ratio", 0.5)
    return Made(Dropout(drop_probability=number(0.5 if ratio is None else ratio)), (at.x,))


# --- convolutions and dense layers ----------------------------------------------------------------------


def windows(at: At, kernel: Sequence[int]) -> dict[str, Any]:
    """Kernel, stride, dilation and padding of a window."""
    axes = len(kernel)
    auto = at.option("auto_pad", b"NOTSET").decode()
    pads = list(at.option("pads", [0] * 2 * axes)) if auto in ("NOTSET", "VALID") else []
    if auto not in ("NOTSET", "VALID", "SAME_UPPER"):
        raise Cannot(f"`auto_pad` is {auto}")
    dilation = list(at.option("dilations", [1] * axes))
    return {
        "kernel": _kernel(kernel),
        "stride": extent(at.option("strides", [1] * axes)),
        "padding": ends(pads[:axes], pads[axes:]) if pads else "same",
        **({"dilation": extent(dilation)} if set(dilation) != {1} else {}),
    }


def _kernel(sizes: Sequence[int]) -> int | tuple[int, ...]:
    """The size of a kernel, one number an axis as it is usually written: `3x3`."""
    return tuple(map(int, sizes)) if len(sizes) > 1 else int(sizes[0])


@reads("Conv")
def _conv(at: At) -> Made:
    weight = at.constant(1, "kernel")
    bias = {"bias": at.constant(2, "bias")} if at.has(2) else {}
    groups, channels = at.option("group", 1), weight.shape[0]
    options = windows(at, weight.shape[2:]) | ({} if bias else {"bias": False})
    if at.graph.own and at.node.inputs[1].endswith(".coefficient"):
        return _subsample(at, weight, bias["bias"])
    if groups == at.shape()[0] and groups > 1:
        multiplier = channels // groups
        more = {"multiplier": multiplier} if multiplier > 1 else {}
        return Made(Depthwise(**options, **more), (at.x,), {"weight": weight, **bias})
    if groups > 1:
        return Made(Conv(channels=channels, **options, groups=groups), (at.x,), {"weight": weight, **bias})
    if lists := _connections(at, weight):
        kernels = np.concatenate([weight[output, list(seen)] for output, seen in enumerate(lists)])
        layer = Conv(channels=channels, **options, connections=Connections(lists))
        return Made(layer, (at.x,), {"weight": kernels, **bias})
    return Made(Conv(channels=channels, **options), (at.x,), {"weight": weight, **bias})


def _subsample(at: At, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> Made:
    coefficient = weight.reshape(len(weight), -1)[:, 0]
    options = windows(at, weight.shape[2:])
    return Made(Subsample(**options), (at.x,), {"coefficient": coefficient, "bias": bias})


def _connections(at: At, weight: NDArray[np.float32]) -> tuple[tuple[int, ...], ...] | None:
    """The input channels that each output sees, where a model of ours says so."""
    lists, known = at.remark("connections"), range(weight.shape[1])
    if not isinstance(lists, list) or len(lists) != len(weight):
        return None
    whole = all(isinstance(seen, list) and seen and all(one in known for one in seen) for seen in lists)
    return tuple(tuple(map(int, seen)) for seen in lists) if whole else None


@reads("ConvTranspose")
def _conv_transpose(at: At) -> Made:
    return conv_transpose(at, at.constant(2, "bias") if at.has(2) else None, None)


def conv_transpose(at: At, bias: NDArray[np.float32] | None, behind: Sequence[int] | None) -> Made:
    """A transposed convolution, with positions that a padding adds behind it."""
    at.wants("auto_pad", "NOTSET", "VALID")
    if "output_shape" in at.node.attributes:
        raise Cannot("`output_shape` is given")
    weight = at.constant(1, "kernel")
    groups = at.option("group", 1)
    axes = weight.ndim - 2
    pads = list(at.option("pads", [0] * 2 * axes))
    extra = [
        a + b for a, b in zip(at.option("output_padding", [0] * axes), behind or [0] * axes, strict=True)
    ]
    before, after = pads[:axes], pads[axes:]
    options = windows(at, weight.shape[2:])
    if at.graph.own:  # what our own models add behind, they cut off less
        short = [max(b - a, 0) for b, a in zip(before, after, strict=True)]
        if behind is None and any(short):
            extra, after = short, [a + s for a, s in zip(after, short, strict=True)]
    options["padding"] = ends(before, after)
    if any(extra):
        options["output_padding"] = extent(extra)
    more = ({} if groups == 1 else {"groups": groups}) | ({} if bias is not None else {"bias": False})
    layer = ConvTranspose(channels=weight.shape[1] * groups, **options, **more)
    return Made(layer, (at.x,), {"weight": weight, **({} if bias is None else {"bias": bias})})


@reads("Gemm")
def _gemm(at: At) -> Made:
    at.wants("alpha", 1.0)
    at.wants("transA", 0)
    weight = at.constant(1, "weight")
    bias = at.constant(2, "bias").reshape(-1) if at.has(2) else None
    if at.has(2):
        at.wants("beta", 1.0)
    return dense(at, weight if at.option("transB", 0) else weight.T, bias)


@reads("MatMul")
def _matmul(at: At) -> Made:
    weight = at.constant(1, "weight")
    if weight.ndim != 2 or len(at.shape()) != 1:
        raise Cannot("it is no dense layer: its operands are not a batch of vectors and a matrix")
    return dense(at, weight.T, None)


def dense(at: At, weight: NDArray[np.float32], bias: NDArray[np.float32] | None) -> Made:
    """A dense layer."""
    units = len(weight)
    if bias is not None and bias.size == 1 < units:
        bias = np.repeat(bias, units)
    layer = Dense(units=units, bias=bias is not None)
    arrays = {"weight": np.ascontiguousarray(weight)} | ({} if bias is None else {"bias": bias})
    return Made(layer, (at.x,), arrays)


# --- poolings -------------------------------------------------------------------------------------------


def _pool(at: At, *, counts: bool) -> dict[str, Any]:
    """The options of a pooling; `counts` says whether padding counts in what it computes."""
    options = windows(at, at.option("kernel_shape"))
    if at.option("ceil_mode", 0):
        options["ceil"] = True
    elif options["padding"] != "same":
        options |= _simpler(at, options, counts)
    if options["stride"] == extent(at.option("kernel_shape")):
        del options["stride"]
    return options


def _simpler(at: At, options: dict[str, Any], counts: bool) -> dict[str, Any]:
    """Padding alike at both ends, or `ceil`, where the windows are the same with it."""
    axes = len(at.option("kernel_shape"))
    pads = list(at.option("pads", [0] * 2 * axes))
    before, after = pads[:axes], pads[axes:]
    if before == after:
        return {}
    own = {name: value for name, value in options.items() if name != "padding"}
    asked = MaxPool(**options).infer(at.shape())
    if all(a <= b for a, b in zip(after, before, strict=True)):
        even: dict[str, Any] = {"padding": extent(before)}
        return even if MaxPool(**own, **even).infer(at.shape()) == asked else {}
    even = {"padding": extent(before), "ceil": True}
    try:
        same = MaxPool(**own, **even).infer(at.shape()) == asked
    except LayerError:
        return {}
    return even if same and not counts else {}


@reads("MaxPool")
def _max_pool(at: At) -> Made:
    at.wants("storage_order", 0)
    return Made(MaxPool(**_pool(at, counts=False)), (at.x,))


@reads("AveragePool")
def _avg_pool(at: At) -> Made:
    counted = bool(at.option("count_include_pad", 0))
    options = _pool(at, counts=counted)
    if "dilation" in options:
        raise Cannot("it is dilated")
    if options["padding"] and not counted:
        options["count_padding"] = False
    return Made(AvgPool(**options), (at.x,))


@reads("LpPool")
def _lp_pool(at: At) -> Made:
    at.wants("p", 2)
    return Made(L2Pool(**_pool(at, counts=False)), (at.x,))


@reads("ReduceMean", "ReduceMax")
def _reduce(at: At) -> Made:
    """Over all positions of a map it is global pooling."""
    axes = at.graph.whole_numbers(at.node.inputs[1]) if at.has(1) else at.option("axes")
    rank = len(at.shape()) + 1
    if axes is None or sorted(a % rank for a in axes) != list(range(2, rank)) or rank < 3:
        raise Cannot("it is not taken over all positions of a map")
    layer = GlobalAvgPool() if at.node.op == "ReduceMean" else GlobalMaxPool()
    return Made(layer, (at.x,), flat=not at.option("keepdims", 1))


# --- normalizations -------------------------------------------------------------------------------------


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
    return layer_norm(at, at.x, "all")


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


# --- joins and scales -----------------------------------------------------------------------------------

JOINS: dict[str, type[Layer]] = {"Add": Add, "Sum": Add, "Mul": Multiply, "Mean": Mean}


@reads("Add", "Sum", "Mul", "Mean")
def _join(at: At) -> Made:
    values, constants = at.graph.split(at.node.inputs)
    if not constants:
        return Made(JOINS[at.node.op](), tuple(values))
    if len(values) != 1 or at.node.op not in ("Mul", "Add"):
        raise Cannot("it joins a value with numbers")
    numbers = per_channel(constants[0], at.shape(values[0]))
    if at.node.op == "Mul":
        return Made(Scale(), (values[0],), {"weight": numbers})
    weights = {"weight": np.ones_like(numbers), "bias": numbers}
    return Made(Scale(bias=True), (values[0],), weights)


def per_channel(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Numbers, one for each channel of a map.

    Raises:
        Cannot: they differ within a channel.
    """
    axes = (1,) * (len(shape) - 1)
    try:
        wide = np.broadcast_to(array.astype(np.float32), (1, shape[0], *axes))
    except ValueError:
        raise Cannot("its numbers differ within a channel") from None
    return np.ascontiguousarray(wide.reshape(-1))


@reads("Concat")
def _concat(at: At) -> Made:
    values, constants = at.graph.split(at.node.inputs)
    rank = len(at.shape(values[0])) + 1 if values else 1
    if constants or at.option("axis") % rank != 1:
        raise Cannot("it does not join channels")
    return Made(Concat(), tuple(values))


# --- shapes ---------------------------------------------------------------------------------------------


@reads("Flatten")
def _flatten(at: At) -> Made:
    at.wants("axis", 1)
    return Made(Flatten(), (at.x,))


@reads("Reshape")
def _reshape(at: At) -> Made:
    """The first number must be the batch: 0, -1, or 1 of a model for one sample; or computed."""
    numbers = at.graph.whole_numbers(at.node.inputs[1])
    if numbers is None:
        raise Cannot("its shape is computed")
    shape, size = numbers[1:], product(at.shape())
    if not shape or numbers[0] not in (0, -1, 1, BATCH):
        raise Cannot(f"it mixes the samples of a batch: {numbers}")
    own = [at.shape()[i] if n == 0 and i < len(at.shape()) else n for i, n in enumerate(shape)]
    if -1 in own:
        known = product(tuple(n for n in own if n != -1))
        own[own.index(-1)] = size // known if known else 0
    if product(tuple(own)) != size:
        raise Cannot(f"it mixes the samples of a batch: {numbers}")
    return Made(Flatten() if len(own) == 1 else Reshape(shape=tuple(own)), (at.x,))


@reads("Squeeze", "Unsqueeze")
def _squeeze(at: At) -> Made:
    """Axes of one position that go or come; the channels stay first."""
    axes = at.graph.whole_numbers(at.node.inputs[1]) if at.has(1) else at.option("axes")
    if axes is None:
        raise Cannot("its axes are not given")
    sizes = [0, *at.shape()]
    if at.node.op == "Squeeze":
        gone = {axis % len(sizes) for axis in axes}
        sizes = [size for axis, size in enumerate(sizes) if axis not in gone]
    else:
        for axis in sorted(axis % (len(sizes) + len(axes)) for axis in axes):
            sizes.insert(axis, 1)
    shape = tuple(sizes[1:])
    if sizes[:1] != [0] or product(shape) != product(at.shape()) or shape[:1] != at.shape()[:1]:
        raise Cannot("it moves the samples or the channels")
    return Made(Flatten() if len(shape) == 1 else Reshape(shape=shape), (at.x,))


@reads("Pad")
def _pad(at: At) -> Made:
    amounts = at.graph.whole_numbers(at.node.inputs[1]) if at.has(1) else at.option("pads")
    if amounts is None or at.has(3):
        raise Cannot("its amounts are computed")
    half = len(amounts) // 2
    if any(amounts[:2]) or any(amounts[half : half + 2]):
        raise Cannot("it pads samples or channels")
    mode = at.option("mode", b"constant").decode()
    if mode not in ("constant", "reflect", "edge"):
        raise Cannot(f"`mode` is {mode}")
    value = at.graph.number(at.node.inputs[2]) if at.has(2) and mode == "constant" else 0
    options = {"mode": mode} | ({"value": number(value)} if value else {})
    return Made(Pad(amounts=ends(amounts[2:half], amounts[half + 2 :]), **options), (at.x,))


@reads("Split")
def _split(at: At) -> Made:
    """One of the parts into which channels are split; the last may be smaller."""
    channels, part, parts = at.shape()[0], at.option("part"), at.option("parts")
    if at.option("axis", 0) % (len(at.shape()) + 1) != 1:
        raise Cannot("it does not split channels")
    sizes = at.graph.whole_numbers(at.node.inputs[1]) if at.has(1) else at.option("split")
    if at.has(1) and sizes is None:
        raise Cannot("the sizes of its parts are computed")
    stops = list(accumulate(sizes or [-(-channels // parts)] * parts))
    return Made(Take(start=(0, *stops)[part], stop=min(stops[part], channels)), (at.x,))


@reads("Slice")
def _slice(at: At) -> Made:
    """A range of the channels, or a smaller map."""
    parts = [at.graph.whole_numbers(name) for name in at.node.inputs[1:]]
    if any(part is None for part in parts) or not parts:
        raise Cannot("its places are computed")
    starts, stops = parts[0] or [], parts[1] or []
    axes = parts[2] if len(parts) > 2 and parts[2] is not None else list(range(len(starts)))
    steps = parts[3] if len(parts) > 3 and parts[3] is not None else [1] * len(starts)
    if set(steps) != {1}:
        raise Cannot("it takes steps")
    shape = at.shape()
    ranges = {i: (0, n) for i, n in enumerate(shape, 1)}
    for axis, start, stop in zip(axes, starts, stops, strict=True):
        place = axis % (len(shape) + 1)
        if place == 0:
            raise Cannot("it cuts the batch")
        ranges[place] = slice(start, stop).indices(shape[place - 1])[:2]
    cut = {axis for axis, found in ranges.items() if found != (0, shape[axis - 1])}
    if cut <= {1}:
        return Made(Take(start=ranges[1][0], stop=ranges[1][1]), (at.x,))
    if 1 in cut:
        raise Cannot("it cuts channels and positions at once")
    before = [ranges[axis][0] for axis in range(2, len(shape) + 1)]
    after = [shape[axis - 1] - ranges[axis][1] for axis in range(2, len(shape) + 1)]
    return Made(Crop(amounts=ends(before, after)), (at.x,))


@reads("Resize", "Upsample")
def _resize(at: At) -> Made:
    at.wants("antialias", 0)
    name = at.node.inputs[2] if at.has(2) else at.node.inputs[1] if at.node.op == "Upsample" else ""
    factors = _factors(at, name)
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
