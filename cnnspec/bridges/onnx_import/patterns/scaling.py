"""Sums and products with numbers of each channel: together they are one scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cnnspec.bridges.onnx_import.nodes import Cannot, OnnxGraph, OnnxNode
from cnnspec.bridges.onnx_import.patterns.table import ends_in
from cnnspec.bridges.onnx_import.table import At, Made, per_channel
from cnnspec.layers.scaling import Scale

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.layers import Shape

    Line = tuple[NDArray[np.float64], NDArray[np.float64]]
    """The factor and the summand of each channel."""

AFFINE = ("Add", "Sub", "Mul", "Div", "Neg")
TAKES_BIAS = ("MatMul", "Conv", "ConvTranspose")


@ends_in(*AFFINE)
def _line(at: At) -> Made | None:
    """`weight x + bias` by one operator after another; one that multiplies or adds is left to its reader."""
    node: OnnxNode | None = at.node
    steps: list[OnnxNode] = []
    x = at.node.output
    while node is not None and not _is_bias(at.graph, node) and (inner := _value(at.graph, node)):
        steps.append(node)
        x = inner
        ends = at.graph.own and "/" not in x  # of our own models that is what another layer gives
        node = None if ends else next((one for op in AFFINE if (one := at.graph.sole(x, op))), None)
    if not steps or (len(steps) == 1 and at.node.op in ("Add", "Mul")) or x not in at.shapes:
        return None
    shape = at.shape(x)
    weight, bias = np.ones(shape[0]), np.zeros(shape[0])
    try:
        for step in reversed(steps):
            weight, bias = _after(at.graph, step, (weight, bias), shape)
    except Cannot:
        return None
    arrays = {"weight": weight.astype(np.float32), "bias": bias.astype(np.float32)}
    if not bias.any():
        return Made(Scale(), (x,), {"weight": arrays["weight"]})
    return Made(Scale(bias=True), (x,), arrays)


def _value(graph: OnnxGraph, node: OnnxNode) -> str | None:
    """What a node joins with numbers, or nothing where that is not all it does."""
    values, constants = graph.split(node.inputs)
    if len(values) != 1 or len(constants) != len(node.inputs) - 1:
        return None
    return None if node.op == "Div" and node.inputs[0] != values[0] else values[0]


def _is_bias(graph: OnnxGraph, node: OnnxNode) -> bool:
    """Whether a node adds the bias of a layer before it."""
    values, _ = graph.split(node.inputs)
    before = [one for op in TAKES_BIAS if values and (one := graph.sole(values[0], op))]
    return node.op == "Add" and len(values) == 1 and any(len(one.inputs) == 2 for one in before)


def _after(graph: OnnxGraph, node: OnnxNode, line: Line, shape: Shape) -> Line:
    """A line after one operator more.

    Raises:
        Cannot: its numbers differ within a channel.
    """
    weight, bias = line
    if node.op == "Neg":
        return -weight, -bias
    (array,) = graph.split(node.inputs)[1]
    numbers = per_channel(array, shape).astype(np.float64)
    if node.op == "Add":
        return weight, bias + numbers
    if node.op == "Sub":
        first = node.inputs[0] in graph.constants
        return (-weight, numbers - bias) if first else (weight, bias - numbers)
    factor = numbers if node.op == "Mul" else 1 / numbers
    return weight * factor, bias * factor
