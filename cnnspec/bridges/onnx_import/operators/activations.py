"""Activations, and dropout."""

from __future__ import annotations

from cnnspec.bridges.onnx_import.nodes import Cannot
from cnnspec.bridges.onnx_import.table import At, Made, number, per_channel, reads
from cnnspec.layers import Layer
from cnnspec.layers.activations import HardSigmoid, LogSoftmax, Relu, Sigmoid, Softmax, Tanh
from cnnspec.layers.adaptive import GlobalAvgPool, GlobalMaxPool
from cnnspec.layers.gates import Gelu, HardSwish, Mish
from cnnspec.layers.rectifiers import Elu, LeakyRelu, Prelu, Relu6, Selu, Softplus
from cnnspec.layers.regularization import Dropout

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
    slope = at.constant(1, "slope")
    slope = slope.reshape(-1) if slope.size == 1 else per_channel(slope, at.shape())
    return Made(Prelu(shared=bool(slope.size == 1 != at.shape()[0])), (at.x,), {"slope": slope})


@reads("Dropout")
def _dropout(at: At) -> Made:
    ratio = at.graph.number(at.node.inputs[1]) if at.has(1) else at.option("ratio", 0.5)
    return Made(Dropout(drop_probability=number(0.5 if ratio is None else ratio)), (at.x,))
