"""Reshapes: maps that become vectors, vectors that become maps, axes taken apart and put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnnspec.bridges.onnx_import.layout.orders import (
    Axes,
    Order,
    channels_last,
    groups,
    in_network,
    inverse,
    long_axes,
    picked,
    plain,
)
from cnnspec.bridges.onnx_import.layout.walk import RULES, Walk, moves
from cnnspec.layers import product

if TYPE_CHECKING:
    from cnnspec.bridges.onnx_import.nodes import OnnxNode
    from cnnspec.layers import Shape

__all__ = ["RULES"]


@moves("Reshape", "Flatten")
def reshape(walk: Walk, node: OnnxNode) -> bool:
    """What the elements of a sample are read as; the batch stays."""
    x = node.inputs[0]
    if x in walk.graph.constants or (node.op == "Flatten" and node.attributes.get("axis", 1) != 1):
        return False
    before, after = walk.shapes[x], walk.shapes[node.output]
    if product(before) != product(after):
        return False
    if before == after:
        walk.call(node.output, walk.order(x))
        return True
    if walk.order(x).picks is not None:
        return _map_of_picked(walk, node, after)
    if len(after) == 1:
        return _flattened(walk, node, before)
    return _regrouped(walk, node, before, after)


def _written(walk: Walk, node: OnnxNode, name: str, axes: Axes) -> None:
    """What a node gives, as a map of the network's whose axes the model has in this order."""
    shape = in_network(walk.shapes[node.output], axes)
    sizes = walk.constant(np.array([0, *shape], np.int64), node.output)
    written = Order(node.output, plain(axes), origin=node)
    walk.write(node, written, op="Reshape", inputs=(name, sizes), attributes={})


def _flattened(walk: Walk, node: OnnxNode, before: Shape) -> bool:
    order = walk.order(node.inputs[0])
    if order.axes is None:
        return False
    sizes = walk.constant(np.array([0, -1], np.int64), node.output)
    written = Order(node.output, picks=picked(before, order.axes), origin=node)
    walk.write(node, written, op="Reshape", inputs=(order.name, sizes), attributes={})
    return True


def _map_of_picked(walk: Walk, node: OnnxNode, after: Shape) -> bool:
    """A vector whose elements stand as those of a map do, channels last."""
    order = walk.order(node.inputs[0])
    assert order.picks is not None
    for axes in (walk.wants.axes.get(node.output), channels_last(len(after) + 1)):
        picks = picked(after, axes) if axes else None
        if axes and picks is not None and np.array_equal(picks, order.picks):
            _written(walk, node, order.name, axes)
            return True
    return False


def _regrouped(walk: Walk, node: OnnxNode, before: Shape, after: Shape) -> bool:
    """Groups of axes, each of which becomes a group; the groups stand as they did in the network."""
    x = node.inputs[0]
    order, own = walk.order(x), walk.axes(x)
    places = {axis: own[axis + 1] for axis in range(len(before))}
    pairs = sorted(groups(before, after), key=lambda pair: min(places[axis] for axis in pair[0]))
    ours = [axis + 1 for pair in pairs for axis in pair[0]]
    theirs = [axis + 1 for pair in pairs for axis in pair[1]]
    stays = ours == long_axes(before, own)
    axes = _order_of(walk, node, after, theirs, in_network(before, own) if stays else None)
    if stays and in_network(after, axes) == in_network(before, own):
        walk.call(node.output, Order(order.name, plain(axes), origin=node))
        return True
    if not order.moved and plain(axes) is None:
        return False
    name = order.name
    if not stays:
        ones = [place for place in range(1, len(own)) if place not in [own[axis] for axis in ours]]
        name = walk.transposed(
            order, (0, *(own[axis] for axis in ours), *ones), f"`{node.op}` ({node.place()})"
        )
    _written(walk, node, name, axes)
    return True


def _order_of(walk: Walk, node: OnnxNode, after: Shape, theirs: Sequence[int], same: Shape | None) -> Axes:
    """The order of what is given, whose longer axes follow each other so: best one that changes nothing."""
    rank = len(after) + 1
    usual = (walk.wants.axes.get(node.output), tuple(range(rank)), channels_last(rank))
    fitting = [axes for axes in usual if axes and long_axes(after, axes) == list(theirs)]
    ones = [axis for axis in range(1, rank) if axis not in theirs]
    fitting.append(inverse((0, *theirs, *ones)))
    unchanged = [axes for axes in fitting if in_network(after, axes) == same]
    return (unchanged or fitting)[0]
