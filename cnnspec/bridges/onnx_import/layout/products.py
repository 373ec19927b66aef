"""Products with a matrix, and layer normalization: they run along the model's last axes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cnnspec.bridges.onnx_import.layout.orders import Order, moved_back, plain, unpicked
from cnnspec.bridges.onnx_import.layout.walk import RULES, Walk, moves

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.bridges.onnx_import.nodes import OnnxNode

__all__ = ["RULES"]


@moves("MatMul", "Gemm")
def product_(walk: Walk, node: OnnxNode) -> bool:
    """A dense layer of vectors; of maps, along the channels, a 1x1 convolution."""
    weight = walk.graph.array(node.inputs[1])
    if weight is None or weight.ndim != 2 or node.inputs[0] in walk.graph.constants:
        return False
    if node.attributes.get("transA", 0) or node.attributes.get("alpha", 1.0) != 1:
        return False
    many = len(walk.shapes[node.inputs[0]]) > 1
    return _convolution(walk, node, weight) if many else _dense(walk, node, weight)


def _convolution(walk: Walk, node: OnnxNode, weight: NDArray[np.generic]) -> bool:
    x = node.inputs[0]
    order, positions = walk.order(x), len(walk.shapes[x]) - 1
    if node.op == "Gemm" or walk.axes(x)[-1] != 1:
        return False
    kernel = weight.T.reshape(*weight.T.shape, *[1] * positions)
    inputs = (order.name, walk.constant(np.ascontiguousarray(kernel), node.inputs[1]))
    written = replace(order, name=node.output)
    walk.write(node, written, op="Conv", inputs=inputs, attributes={"kernel_shape": [1] * positions})
    return True


def _dense(walk: Walk, node: OnnxNode, weight: NDArray[np.generic]) -> bool:
    """What the order of its elements is, the rows of the matrix take up, and its columns what is wanted."""
    order, wanted = walk.order(node.inputs[0]), walk.wants.picks.get(node.output)
    if order.picks is None and wanted is None:
        return False
    rows = 1 if node.attributes.get("transB", 0) else 0
    if order.picks is not None:
        weight = unpicked(weight, order.picks, rows)
    more = list(node.inputs[2:])
    if wanted is not None:
        weight = unpicked(weight, wanted, 1 - rows)
        bias = walk.graph.array(more[0]) if more else None
        if bias is not None and bias.size > 1:
            more = [walk.constant(unpicked(bias.reshape(-1), wanted), more[0])]
    inputs = (order.name, walk.constant(weight, node.inputs[1]), *more)
    written = Order(node.output, picks=wanted, origin=None if wanted is None else node)
    walk.write(node, written, inputs=inputs)
    return True


@moves("LayerNormalization")
def layer_norm(walk: Walk, node: OnnxNode) -> bool:
    """Over the channels, or over all elements, whose scales and shifts are turned."""
    x = node.inputs[0]
    order, axes = walk.order(x), walk.axes(x)
    first = node.attributes.get("axis", -1) % len(axes)
    if order.picks is not None:
        return _of_vector(walk, node, order)
    if axes[first:] == (1,) and len(axes) > 2:
        attributes = {**node.attributes, "axis": 1, "over": "channels"}
        walk.write(
            node,
            replace(order, name=node.output),
            inputs=(order.name, *node.inputs[1:]),
            attributes=attributes,
        )
        return True
    if order.axes is None or first != 1:
        return False
    arrays = [(name, walk.graph.array(name)) for name in node.inputs[1:] if name]
    if any(array is None or array.ndim != len(axes) - 1 for _, array in arrays):
        return False
    names = [walk.constant(moved_back(array, axes)[0], name) for name, array in arrays if array is not None]
    written = Order(node.output, plain(axes), origin=order.origin)
    attributes = {**node.attributes, "axis": 1}
    walk.write(node, written, inputs=(order.name, *names), attributes=attributes)
    return True


def _of_vector(walk: Walk, node: OnnxNode, order: Order) -> bool:
    arrays = [(name, walk.graph.array(name)) for name in node.inputs[1:] if name]
    if order.picks is None or any(array is None for _, array in arrays):
        return False
    names = [walk.constant(unpicked(array, order.picks), name) for name, array in arrays if array is not None]
    walk.write(node, replace(order, name=node.output), inputs=(order.name, *names))
    return True


@moves("Gather")
def embedding(walk: Walk, node: OnnxNode) -> bool:
    """Vectors that are looked up stand along the channels, which come first."""
    table, x = node.inputs
    array = walk.graph.array(table)
    if array is None or array.ndim != 2 or node.attributes.get("axis", 0) != 0:
        return False
    if x in walk.graph.constants or len(walk.shapes[x]) != 1 or walk.order(x).moved:
        return False
    order = Order(node.output, (0, 2, 1), origin=node)
    walk.write(node, order, op="Embedding", inputs=(table, walk.order(x).name))
    return True
