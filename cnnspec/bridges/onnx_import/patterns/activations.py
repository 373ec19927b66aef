"""Activations that are several operators."""

from __future__ import annotations

import math

from cnnspec.bridges.onnx_import.nodes import OnnxGraph, OnnxNode
from cnnspec.bridges.onnx_import.patterns.numbers import constant_of, joined_by, near
from cnnspec.bridges.onnx_import.patterns.table import ends_in
from cnnspec.bridges.onnx_import.table import At, Made, number, per_channel
from cnnspec.layers.activations import HardSigmoid, Tanh
from cnnspec.layers.gates import Gelu, HardSwish, Mish, Silu
from cnnspec.layers.rectifiers import Prelu


@ends_in("Mul")
def _gate(at: At) -> Made | None:
    """`x sigmoid(x)`, `x tanh(softplus(x))` and `x hard_sigmoid(x)`."""
    if len(at.node.inputs) != 2:
        return None
    for x, gate in (at.node.inputs, at.node.inputs[::-1]):
        if (node := at.graph.sole(gate, "Sigmoid")) and node.inputs[0] == x:
            return Made(Silu(), (x,))
        if _hard_sigmoid_of(at.graph, gate) == x:
            return Made(HardSwish(), (x,))
        tanh = at.graph.sole(gate, "Tanh")
        inner = at.graph.sole(tanh.inputs[0], "Softplus") if tanh else None
        if inner and inner.inputs[0] == x:
            return Made(Mish(), (x,))
    return None


def _hard_sigmoid_of(graph: OnnxGraph, name: str) -> str | None:
    """What a hard sigmoid is taken of, by one operator or as `relu6(x + 3) / 6`."""
    hard = graph.sole(name, "HardSigmoid")
    if hard is not None:
        return hard.inputs[0] if near(hard.attributes.get("alpha", 0.2), 1 / 6) else None
    return _of_parts(graph, graph.sole(name, "Mul") or graph.sole(name, "Div"))


def _of_parts(graph: OnnxGraph, node: OnnxNode | None) -> str | None:
    sixth = constant_of(graph, node) if node else None
    if node is None or sixth is None or (node.inputs[0] != sixth[0] and node.op == "Div"):
        return None
    clip = graph.sole(sixth[0], "Clip")
    if not near(sixth[1], 6 if node.op == "Div" else 1 / 6) or clip is None or len(clip.inputs) != 3:
        return None
    moved = joined_by(graph, clip.inputs[0], "Add")
    ends = [graph.number(name) for name in clip.inputs[1:]]
    return moved[0] if moved and moved[1] == 3 and ends == [0, 6] else None


@ends_in("Mul", "Div")
def _hard_sigmoid(at: At) -> Made | None:
    x = _of_parts(at.graph, at.node)
    return Made(HardSigmoid(), (x,)) if x else None


@ends_in("Mul")
def _hard_swish(at: At) -> Made | None:
    """`x relu6(x + 3) / 6`, the sixth last."""
    sixth = constant_of(at.graph, at.node)
    inner = at.graph.sole(sixth[0], "Mul") if sixth and near(sixth[1], 1 / 6) else None
    if inner is None:
        return None
    for x, gate in (inner.inputs, inner.inputs[::-1]):
        moved = joined_by(at.graph, clip.inputs[0], "Add") if (clip := at.graph.sole(gate, "Clip")) else None
        if clip and moved == (x, 3.0) and [at.graph.number(name) for name in clip.inputs[1:]] == [0, 6]:
            return Made(HardSwish(), (x,))
    return None


@ends_in("Add")
def _prelu(at: At) -> Made | None:
    """`relu(x) + c relu(-x)`: its slope is `-c`."""
    for positive, scaled in (at.node.inputs, at.node.inputs[::-1]):
        over, by = at.graph.sole(positive, "Relu"), at.graph.sole(scaled, "Mul")
        values, constants = at.graph.split(by.inputs) if by else ([], [])
        under = at.graph.sole(values[0], "Relu") if len(values) == len(constants) == 1 else None
        negative = at.graph.sole(under.inputs[0], "Neg") if under else None
        if over is None or negative is None or negative.inputs[0] != over.inputs[0]:
            continue
        slope = -per_channel(constants[0], at.shape(negative.inputs[0]))
        return Made(Prelu(), negative.inputs, {"slope": slope})
    return None


@ends_in("Mul", "Tanh")
def _scaled_tanh(at: At) -> Made | None:
    """`amplitude tanh(slope x)`."""
    amplitude, tanh = 1.0, at.node
    if at.node.op == "Mul":
        found = constant_of(at.graph, at.node)
        inner = at.graph.sole(found[0], "Tanh") if found else None
        if found is None or inner is None or found[1] <= 0:
            return None
        amplitude, tanh = found[1], inner
    slope = joined_by(at.graph, tanh.inputs[0], "Mul")
    if slope is not None and slope[1] <= 0:
        return None
    x = slope[0] if slope else tanh.inputs[0]
    if not slope and amplitude == 1:
        return None
    return Made(Tanh(amplitude=number(amplitude), slope=number(slope[1] if slope else 1)), (x,))


@ends_in("Mul")
def _gelu(at: At) -> Made | None:
    """`x (1 + s) / 2` in any order, where `s` is `erf(x / sqrt(2))` or its likeness by `tanh`."""
    factors, scale = _factors(at.graph, at.node), 1.0
    names = [name for name, _ in factors if name]
    for _, constant in factors:
        scale *= constant
    if len(names) != 2 or not near(scale, 0.5):
        return None
    for x, gate in (names, names[::-1]):
        one = joined_by(at.graph, gate, "Add")
        if one is None or one[1] != 1:
            continue
        if (erf := at.graph.sole(one[0], "Erf")) and _is_scaled(at.graph, erf.inputs[0], x, math.sqrt(0.5)):
            return Made(Gelu(), (x,))
        if (tanh := at.graph.sole(one[0], "Tanh")) and _is_cubic(at.graph, tanh.inputs[0], x):
            return Made(Gelu(approximate=True), (x,))
    return None


@ends_in("Mul")
def _gelu_by_erfc(at: At) -> Made | None:
    """`x erfc(-x / sqrt(2)) / 2`."""
    factors = _factors(at.graph, at.node)
    names = [name for name, _ in factors if name]
    if len(names) != 2 or not near(math.prod(constant for _, constant in factors), 0.5):
        return None
    for x, gate in (names, names[::-1]):
        erfc = at.graph.sole(gate, "Erfc")
        found = joined_by(at.graph, erfc.inputs[0], "Mul") if erfc else None
        negative = at.graph.sole(found[0], "Neg") if found else None
        if found and negative and negative.inputs[0] == x and near(found[1], math.sqrt(0.5)):
            return Made(Gelu(), (x,))
    return None


def _factors(graph: OnnxGraph, node: OnnxNode) -> list[tuple[str, float]]:
    """The values and numbers that are multiplied, one product within another taken apart."""
    found: list[tuple[str, float]] = []
    for name in node.inputs:
        constant = graph.number(name)
        inner = graph.sole(name, "Mul")
        if constant is not None:
            found.append(("", constant))
        elif inner is not None and len(found) < 4:
            found += _factors(graph, inner)
        else:
            found.append((name, 1.0))
    return found


def _is_scaled(graph: OnnxGraph, name: str, x: str, factor: float) -> bool:
    by = joined_by(graph, name, "Mul")
    over = graph.sole(name, "Div")
    if over is not None and over.inputs[0] == x:
        divisor = graph.number(over.inputs[1])
        return divisor is not None and near(1 / divisor, factor)
    return by is not None and by[0] == x and near(by[1], factor)


def _is_cubic(graph: OnnxGraph, name: str, x: str) -> bool:
    """`sqrt(2 / pi) (x + 0.044715 x^3)`."""
    outer = joined_by(graph, name, "Mul")
    if outer is None or not near(outer[1], math.sqrt(2 / math.pi)):
        return False
    total = graph.sole(outer[0], "Add")
    if total is None or x not in total.inputs:
        return False
    part = joined_by(graph, next((n for n in total.inputs if n != x), ""), "Mul")
    if part is None or not near(part[1], 0.044715):
        return False
    cube = graph.made_by.get(part[0])
    if cube is None:
        return False
    if cube.op == "Pow":
        return cube.inputs[0] == x and graph.number(cube.inputs[1]) == 3
    return cube.op == "Mul" and [n for n, _ in _factors(graph, cube)] == [x, x, x]
