"""In which order the axes of a value are wanted by what reads it.

An input of the model, a vector that becomes a map, or an axis that is added has no order of its own: it takes
the one in which a convolution, behind all transpositions, finds its channels first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cnnspec.bridges.onnx_import.layout.orders import (
    Axes,
    channels_last,
    in_network,
    picked,
    without,
)
from cnnspec.bridges.onnx_import.nodes import OnnxGraph, OnnxNode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cnnspec.layers import Shape

_UNARY: Final = """Abs Cast Ceil Clip Dropout Elu Erf Erfc Exp Floor Gelu HardSigmoid HardSwish LeakyRelu Log
    Mish Neg Reciprocal Relu Selu Sigmoid Sign Softplus Softsign Sqrt Tanh ThresholdedRelu"""
_NARY: Final = "Add Div Max Mean Min Mul PRelu Pow Sub Sum"
ELEMENTWISE: Final = frozenset((*_UNARY.split(), *_NARY.split()))
"""Operators that treat all elements alike, whatever the order of axes."""
_SPATIAL: Final = """AveragePool BatchNormalization Conv ConvTranspose DepthToSpace GlobalAveragePool
    GlobalMaxPool InstanceNormalization LRN LpPool MaxPool Resize SpaceToDepth Upsample"""
SPATIAL: Final = frozenset(_SPATIAL.split())
"""Operators whose input has its channels first."""
_OF_AXES: Final = """Concat Expand LogSoftmax Pad ReduceMax ReduceMean ReduceMin ReduceSum Slice Softmax
    Split Tile"""
THROUGH: Final = ELEMENTWISE | frozenset(_OF_AXES.split())
"""Operators that give the axes that they read."""


@dataclass
class Wants:
    """The orders in which maps and the elements of vectors are wanted, where somebody does."""

    axes: dict[str, Axes] = field(default_factory=dict)
    picks: dict[str, NDArray[np.intp]] = field(default_factory=dict)


def wants_of(graph: OnnxGraph, shapes: Mapping[str, Shape]) -> Wants:
    """What is wanted of each value; of several readers the first has its way."""
    found = Wants()
    for node in reversed(graph.nodes):
        for name in node.inputs:
            if name in shapes and name not in graph.constants:
                _ask(graph, shapes, node, name, found)
    return found


def _ask(graph: OnnxGraph, shapes: Mapping[str, Shape], node: OnnxNode, name: str, found: Wants) -> None:
    if len(shapes[name]) > 1:
        axes = _axes(graph, shapes, node, name, found)
        if axes is not None:
            found.axes[name] = axes
        return
    picks = _picks(shapes, node, found)
    if picks is not None:
        found.picks[name] = picks


def _axes(
    graph: OnnxGraph, shapes: Mapping[str, Shape], node: OnnxNode, name: str, found: Wants
) -> Axes | None:
    rank = len(shapes[name]) + 1
    behind = found.axes.get(node.output)
    if node.op in SPATIAL and name == node.inputs[0]:
        return tuple(range(rank))
    if node.op == "MatMul" and name == node.inputs[0] and node.inputs[1] in graph.constants:
        return channels_last(rank)
    if node.op == "LayerNormalization" and node.attributes.get("axis", -1) in (-1, rank - 1):
        return channels_last(rank) if name == node.inputs[0] else None
    if behind is None:
        return None
    if node.op == "Transpose":
        places = dict(zip(node.attributes.get("perm", range(rank)[::-1]), behind, strict=True))
        return tuple(places[axis] for axis in range(rank))
    if node.op == "Unsqueeze" and (new := graph.named_axes(node)):
        return without(behind, [axis % len(behind) for axis in new])
    if node.op == "Reshape" and len(behind) == rank:
        last = channels_last(rank)
        same = in_network(shapes[name], last) == in_network(shapes[node.output], behind)
        return last if same else None
    return behind if node.op in THROUGH and len(behind) == rank else None


def _picks(shapes: Mapping[str, Shape], node: OnnxNode, found: Wants) -> NDArray[np.intp] | None:
    """The order in which the elements of a vector are wanted that becomes a map."""
    axes = found.axes.get(node.output)
    if node.op == "Reshape" and axes is not None and axes[0] == 0:
        return picked(shapes[node.output], axes)
    if node.op in ELEMENTWISE or node.op == "BatchNormalization":
        return found.picks.get(node.output)
    return None
