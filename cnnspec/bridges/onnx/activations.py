"""Activations, as ONNX has them or made of what it has."""

from __future__ import annotations

import math

from cnnspec.bridges.onnx.writer import OPERATORS, Place
from cnnspec.layers import Layer
from cnnspec.layers.activations import HardSigmoid, LogSoftmax, Relu, Sigmoid, Softmax, Tanh
from cnnspec.layers.gates import Gelu, HardSwish, Mish, Silu
from cnnspec.layers.rectifiers import Elu, LeakyRelu, Prelu, Relu6, Selu, Softplus

_PLAIN: dict[type[Layer], str] = {
    Relu: "Relu",
    Sigmoid: "Sigmoid",
    Selu: "Selu",
    Softplus: "Softplus",
    HardSwish: "HardSwish",
}


@OPERATORS.says(*_PLAIN)
def _plain(layer: Layer, at: Place) -> None:
    at.give(_PLAIN[type(layer)], at.x)


@OPERATORS.says(HardSigmoid)
def _hard_sigmoid(layer: HardSigmoid, at: Place) -> None:
    at.give("HardSigmoid", at.x, alpha=1 / 6, beta=0.5)


@OPERATORS.says(Softmax)
def _softmax(layer: Softmax, at: Place) -> None:
    at.give("Softmax", at.x, axis=1)


@OPERATORS.says(LogSoftmax)
def _log_softmax(layer: LogSoftmax, at: Place) -> None:
    at.give("LogSoftmax", at.x, axis=1)


@OPERATORS.says(LeakyRelu)
def _leaky_relu(layer: LeakyRelu, at: Place) -> None:
    at.give("LeakyRelu", at.x, alpha=float(layer.slope))


@OPERATORS.says(Elu)
def _elu(layer: Elu, at: Place) -> None:
    at.give("Elu", at.x, alpha=float(layer.alpha))


@OPERATORS.says(Relu6)
def _relu6(layer: Relu6, at: Place) -> None:
    at.give("Clip", at.x, at.constant("least", 0), at.constant("most", 6))


@OPERATORS.says(Prelu)
def _prelu(layer: Prelu, at: Place) -> None:
    at.give("PRelu", at.x, at.weight("slope", (-1, *(1 for _ in at.shape[1:]))))


@OPERATORS.says(Tanh)
def _tanh(layer: Tanh, at: Place) -> None:
    x = at.x
    if layer.slope != 1:
        x = at.on_the_way("Mul", [x, at.constant("slope", layer.slope)], at.shape)
    if layer.amplitude == 1:
        at.give("Tanh", x)
    else:
        at.give("Mul", at.on_the_way("Tanh", [x], at.shape), at.constant("amplitude", layer.amplitude))


@OPERATORS.says(Silu)
def _silu(layer: Silu, at: Place) -> None:
    at.give("Mul", at.x, at.on_the_way("Sigmoid", [at.x], at.shape))


@OPERATORS.says(Mish)
def _mish(layer: Mish, at: Place) -> None:
    softplus = at.on_the_way("Softplus", [at.x], at.shape)
    at.give("Mul", at.x, at.on_the_way("Tanh", [softplus], at.shape))


@OPERATORS.says(Gelu)
def _gelu(layer: Gelu, at: Place) -> None:
    """`x (1 + s) / 2`, with `s = erf(x / sqrt(2))` or `s = tanh(sqrt(2 / pi) (x + 0.044715 x^3))`."""
    if layer.approximate:
        cube = at.on_the_way("Mul", [at.on_the_way("Mul", [at.x, at.x], at.shape), at.x], at.shape)
        part = at.on_the_way("Mul", [cube, at.constant("cubic", 0.044715)], at.shape)
        total = at.on_the_way("Add", [at.x, part], at.shape)
        inner = at.on_the_way("Mul", [total, at.constant("factor", math.sqrt(2 / math.pi))], at.shape)
        s = at.on_the_way("Tanh", [inner], at.shape)
    else:
        inner = at.on_the_way("Mul", [at.x, at.constant("factor", math.sqrt(1 / 2))], at.shape)
        s = at.on_the_way("Erf", [inner], at.shape)
    gate = at.on_the_way("Add", [s, at.constant("one", 1)], at.shape)
    half = at.on_the_way("Mul", [at.x, at.constant("half", 0.5)], at.shape)
    at.give("Mul", half, gate)
