"""Activations, joins, and what moves values, as Keras' operations."""

from __future__ import annotations

from cnnspec.bridges.keras_source.table import CODES, NAMED, KerasCode, around, as_it_is, last_of
from cnnspec.bridges.source.code import Arg, literal
from cnnspec.bridges.source.file import WeightName
from cnnspec.bridges.source.windows import axes_of, one_or_all, positional
from cnnspec.bridges.table import NotCovered
from cnnspec.layers import Layer, Shape, product
from cnnspec.layers.activations import HardSigmoid, LogSoftmax, Relu, Sigmoid, Softmax, Tanh
from cnnspec.layers.channels import Shuffle, Take
from cnnspec.layers.embedding import Embedding
from cnnspec.layers.framing import Crop, Pad
from cnnspec.layers.gates import Gelu, HardSwish, Mish, Silu
from cnnspec.layers.merging import Add, Concat, Mean, Multiply
from cnnspec.layers.rectifiers import Elu, LeakyRelu, Prelu, Relu6, Selu, Softplus
from cnnspec.layers.resampling import PixelShuffle, Upsample
from cnnspec.layers.shapes import Flatten, Reshape

_PLAIN: dict[type[Layer], str] = {
    Relu: "ops.relu({0})",
    Sigmoid: "ops.sigmoid({0})",
    HardSigmoid: "ops.hard_sigmoid({0})",
    Relu6: "ops.relu6({0})",
    Selu: "ops.selu({0})",
    Softplus: "ops.softplus({0})",
    Silu: "ops.silu({0})",
    HardSwish: "ops.hard_silu({0})",
    Softmax: "ops.softmax({0})",
    LogSoftmax: "ops.log_softmax({0})",
}


@CODES.says(*_PLAIN)
def _plain(layer: Layer, shape: Shape) -> KerasCode:
    return KerasCode(_PLAIN[type(layer)], nested=True)


@CODES.says(Mish)
def _mish(layer: Mish, shape: Shape) -> KerasCode:
    return KerasCode("{0} * ops.tanh(ops.softplus({0}))")


@CODES.says(Tanh)
def _tanh(layer: Tanh, shape: Shape) -> KerasCode:
    inner = "{0}" if layer.slope == 1 else f"{literal(float(layer.slope))} * {{0}}"
    text = f"ops.tanh({inner})"
    return KerasCode(
        text if layer.amplitude == 1 else f"{literal(float(layer.amplitude))} * {text}", nested=True
    )


@CODES.says(LeakyRelu)
def _leaky_relu(layer: LeakyRelu, shape: Shape) -> KerasCode:
    return KerasCode(f"ops.leaky_relu({{0}}, {literal(float(layer.slope))})", nested=True)


@CODES.says(Elu)
def _elu(layer: Elu, shape: Shape) -> KerasCode:
    alpha = "" if layer.alpha == 1 else f", alpha={literal(float(layer.alpha))}"
    return KerasCode(f"ops.elu({{0}}{alpha})", nested=True)


@CODES.says(Gelu)
def _gelu(layer: Gelu, shape: Shape) -> KerasCode:
    return KerasCode(f"ops.gelu({{0}}, approximate={layer.approximate})", nested=True)


@CODES.says(Prelu)
def _prelu(layer: Prelu, shape: Shape) -> KerasCode:
    axes = list(range(1, len(shape) + (1 if layer.shared else 0)))
    args = (Arg("shared_axes", axes, []),)
    variables = {"slope": WeightName("alpha", last_of(len(shape) - 1))}
    return KerasCode(NAMED, "layers.PReLU", args, nested=True, variables=variables)


# --- joins ----------------------------------------------------------------------------------------------


def _inputs(shapes: tuple[Shape, ...]) -> list[str]:
    return [f"{{{number}}}" for number in range(len(shapes))]


@CODES.says(Add)
def _add(layer: Add, *shapes: Shape) -> KerasCode:
    return KerasCode(" + ".join(_inputs(shapes)))


@CODES.says(Multiply)
def _multiply(layer: Multiply, *shapes: Shape) -> KerasCode:
    return KerasCode(" * ".join(_inputs(shapes)))


@CODES.says(Mean)
def _mean(layer: Mean, *shapes: Shape) -> KerasCode:
    return KerasCode(f"({' + '.join(_inputs(shapes))}) / {len(shapes)}")


@CODES.says(Concat)
def _concat(layer: Concat, *shapes: Shape) -> KerasCode:
    return KerasCode(f"ops.concatenate([{', '.join(_inputs(shapes))}], axis=-1)")


# --- shapes ---------------------------------------------------------------------------------------------


def as_vector(shape: Shape) -> str:
    """The first input as a vector, its elements channel by channel as PyTorch has them."""
    if len(shape) == 1:
        return "{0}"
    first = "{0}" if product(shape[1:]) == 1 else "ops.moveaxis({0}, -1, 1)"
    return f"ops.reshape({first}, (-1, {product(shape)}))"


@CODES.says(Flatten)
def _flatten(layer: Flatten, shape: Shape) -> KerasCode:
    return KerasCode(as_vector(shape))


@CODES.says(Reshape)
def _reshape(layer: Reshape, shape: Shape) -> KerasCode:
    first = "{0}" if len(shape) == 1 else "ops.moveaxis({0}, -1, 1)"
    made = f"ops.reshape({first}, (-1, {', '.join(map(str, layer.shape))}))"
    return KerasCode(made if len(layer.shape) == 1 else f"ops.moveaxis({made}, 1, -1)")


@CODES.says(Take)
def _take(layer: Take, shape: Shape) -> KerasCode:
    return KerasCode(f"{{0}}[..., {layer.start}:{layer.stop}]")


@CODES.says(Shuffle)
def _shuffle(layer: Shuffle, shape: Shape) -> KerasCode:
    return KerasCode(f"shuffled({{0}}, {layer.groups})", helpers=("shuffled",))


@CODES.says(Pad)
def _pad(layer: Pad, shape: Shape) -> KerasCode:
    if layer.mode == "edge":
        raise NotCovered("it cannot repeat the edge of a map", option="mode")
    ends = around(layer.frame(shape))
    if layer.mode == "reflect":
        return KerasCode(f'ops.pad({{0}}, {ends}, mode="reflect")')
    value = f", constant_values={literal(float(layer.value))}" if layer.value else ""
    return KerasCode(f"ops.pad({{0}}, {ends}{value})")


@CODES.says(Crop)
def _crop(layer: Crop, shape: Shape) -> KerasCode:
    ends = zip(layer.frame(shape), shape[1:], strict=True)
    parts = ", ".join(f"{-before}:{n + after}" for (before, after), n in ends)
    return KerasCode(f"{{0}}[:, {parts}, :]")


@CODES.says(Upsample)
def _upsample(layer: Upsample, shape: Shape) -> KerasCode:
    axes = axes_of(shape)
    if layer.mode == "linear" and axes != 2:
        raise NotCovered("it interpolates images alone", option="mode")
    args = (
        positional("size", one_or_all(layer.factors(shape))),
        Arg("interpolation", "bilinear" if layer.mode == "linear" else "nearest", "nearest"),
    )
    return KerasCode(NAMED, f"layers.UpSampling{axes}D", args)


@CODES.says(PixelShuffle)
def _pixel_shuffle(layer: PixelShuffle, shape: Shape) -> KerasCode:
    return KerasCode(f"pixel_shuffled({{0}}, {literal(layer.factors(shape))})", helpers=("pixel_shuffled",))


@CODES.says(Embedding)
def _embedding(layer: Embedding, shape: Shape) -> KerasCode:
    args = (positional("input_dim", layer.vocabulary), positional("output_dim", layer.dimension))
    return KerasCode(NAMED, "layers.Embedding", args, variables=as_it_is(weight="embeddings"))
