"""Activations and joins, as PyTorch's functions."""

from __future__ import annotations

from cnnspec.bridges.source.code import Arg, Code, literal
from cnnspec.bridges.torch_source.table import CODES, function
from cnnspec.layers import Layer, Shape
from cnnspec.layers.activations import HardSigmoid, LogSoftmax, Relu, Sigmoid, Softmax, Tanh
from cnnspec.layers.gates import Gelu, HardSwish, Mish, Silu
from cnnspec.layers.merging import Add, Concat, Mean, Multiply
from cnnspec.layers.rectifiers import Elu, LeakyRelu, Prelu, Relu6, Selu, Softplus

_PLAIN: dict[type[Layer], str] = {
    Relu: "F.relu({0})",
    Sigmoid: "torch.sigmoid({0})",
    HardSigmoid: "F.hardsigmoid({0})",
    Relu6: "F.relu6({0})",
    Selu: "F.selu({0})",
    Softplus: "F.softplus({0})",
    Silu: "F.silu({0})",
    Mish: "F.mish({0})",
    HardSwish: "F.hardswish({0})",
    Softmax: "torch.softmax({0}, dim=1)",
    LogSoftmax: "torch.log_softmax({0}, dim=1)",
}


@CODES.says(*_PLAIN)
def _plain(layer: Layer, shape: Shape) -> Code:
    return function(_PLAIN[type(layer)])


@CODES.says(Tanh)
def _tanh(layer: Tanh, shape: Shape) -> Code:
    inner = "{0}" if layer.slope == 1 else f"{literal(float(layer.slope))} * {{0}}"
    if layer.amplitude == 1:
        return function(f"torch.tanh({inner})")
    return function(f"{literal(float(layer.amplitude))} * torch.tanh({inner})")


@CODES.says(LeakyRelu)
def _leaky_relu(layer: LeakyRelu, shape: Shape) -> Code:
    return function(f"F.leaky_relu({{0}}, {literal(float(layer.slope))})")


@CODES.says(Elu)
def _elu(layer: Elu, shape: Shape) -> Code:
    alpha = "" if layer.alpha == 1 else f", alpha={literal(float(layer.alpha))}"
    return function(f"F.elu({{0}}{alpha})")


@CODES.says(Gelu)
def _gelu(layer: Gelu, shape: Shape) -> Code:
    return function('F.gelu({0}, approximate="tanh")' if layer.approximate else "F.gelu({0})")


@CODES.says(Prelu)
def _prelu(layer: Prelu, shape: Shape) -> Code:
    slopes = 1 if layer.shared else shape[0]
    args = (Arg("num_parameters", slopes, 1),)
    return Code("{me}({0})", "nn.PReLU", args, nested=True, weights={"slope": "weight"})


# --- joins ----------------------------------------------------------------------------------------------


def _inputs(shapes: tuple[Shape, ...]) -> list[str]:
    return [f"{{{number}}}" for number in range(len(shapes))]


@CODES.says(Add)
def _add(layer: Add, *shapes: Shape) -> Code:
    return Code(" + ".join(_inputs(shapes)))


@CODES.says(Multiply)
def _multiply(layer: Multiply, *shapes: Shape) -> Code:
    return Code(" * ".join(_inputs(shapes)))


@CODES.says(Mean)
def _mean(layer: Mean, *shapes: Shape) -> Code:
    return Code(f"({' + '.join(_inputs(shapes))}) / {len(shapes)}")


@CODES.says(Concat)
def _concat(layer: Concat, *shapes: Shape) -> Code:
    return Code(f"torch.cat([{', '.join(_inputs(shapes))}], dim=1)")
