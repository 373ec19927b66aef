"""Operators that keep the axes of what they read, or name some of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cnnspec.bridges.onnx_import.layout.orders import (
    Axes,
    Order,
    alike,
    inverse,
    moved_back,
    plain,
    unpicked,
    without,
)
from cnnspec.bridges.onnx_import.layout.walk import RULES, Walk, moves
from cnnspec.bridges.onnx_import.layout.wants import ELEMENTWISE
from cnnspec.layers import product

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.bridges.onnx_import.nodes import OnnxNode

__all__ = ["RULES"]


@moves("Transpose")
def transpose(walk: Walk, node: OnnxNode) -> bool:
    """What it gives is what it reads, in another order."""
    (name,) = node.inputs
    own = walk.axes(name)
    moved = tuple(node.attributes.get("perm", range(len(own))[::-1]))
    if moved[0] != 0:
        return False
    axes = plain(tuple(own[axis] for axis in moved))
    walk.call(node.output, replace(walk.order(name), axes=axes, origin=node))
    return True


# --- all elements alike ---------------------------------------------------------------------------------


@moves(*ELEMENTWISE)
def elementwise(walk: Walk, node: OnnxNode) -> bool:
    """The order of the largest value holds; others may differ in axes of one position."""
    values = walk.values(node)
    if not values:
        return False
    widest = max(values, key=lambda name: product(walk.shapes[name]))
    order, rank = walk.order(widest), len(walk.shapes[widest]) + 1
    if len(walk.shapes[node.output]) + 1 != rank:
        return False
    if any(walk.order(name).picks is not None for name in values):
        return _of_picked(walk, node, order)
    axes = walk.axes(widest)
    if not all(_fits(walk, name, axes) for name in node.inputs if name):
        return False
    inputs = tuple(_turned(walk, name, axes) for name in node.inputs)
    walk.write(node, Order(node.output, plain(axes), origin=order.origin), inputs=inputs)
    return True


def _fits(walk: Walk, name: str, axes: Axes) -> bool:
    array = walk.graph.array(name)
    if array is not None:
        return array.size == 1 or array.ndim <= len(axes)
    own = walk.axes(name)
    return len(own) == len(axes) and (own == axes or alike(walk.shapes[name], own, axes))


def _turned(walk: Walk, name: str, axes: Axes) -> str:
    """A value or a constant in this order."""
    array = walk.graph.array(name) if name else None
    if array is not None:
        still = array.size == 1 or plain(axes) is None
        return name if still else walk.constant(moved_back(array, axes), name)
    order = walk.in_order(name, axes) if name else None
    return order.name if order else name


def _of_picked(walk: Walk, node: OnnxNode, order: Order) -> bool:
    """Vectors whose elements stand in another order; numbers for each element follow."""
    picks, names = order.picks, []
    if picks is None:
        return False
    for name in node.inputs:
        array = walk.graph.array(name)
        if array is not None:
            if array.size != 1 and array.shape[-1] != array.size != len(picks):
                return False
            names.append(name if array.size == 1 else _unpicked(walk, array, picks, name))
        elif name and not walk.order(name).agrees(order):
            return False
        else:
            names.append(walk.order(name).name if name else name)
    walk.write(node, replace(order, name=node.output), inputs=tuple(names))
    return True


def _unpicked(walk: Walk, array: NDArray[np.generic], picks: NDArray[np.intp], name: str) -> str:
    return walk.constant(unpicked(array, picks), name)


@moves("BatchNormalization")
def batch_norm(walk: Walk, node: OnnxNode) -> bool:
    """That of a vector whose elements stand in another order."""
    order = walk.order(node.inputs[0])
    arrays = [walk.graph.array(name) for name in node.inputs[1:]]
    if order.picks is None or any(array is None for array in arrays):
        return False
    names = [
        _unpicked(walk, array, order.picks, name)
        for name, array in zip(node.inputs[1:], arrays, strict=True)
        if array is not None
    ]
    walk.write(node, replace(order, name=node.output), inputs=(order.name, *names))
    return True


# --- one axis -------------------------------------------------------------------------------------------


@moves("Softmax", "LogSoftmax")
def softmax(walk: Walk, node: OnnxNode) -> bool:
    """Over all elements of a vector, or along an axis."""
    return _along_axis(walk, node, -1)


@moves("Split")
def split(walk: Walk, node: OnnxNode) -> bool:
    """Parts of the range of one axis."""
    return walk.order(node.inputs[0]).picks is None and _along_axis(walk, node, 0)


def _along_axis(walk: Walk, node: OnnxNode, default: int) -> bool:
    order = walk.order(node.inputs[0])
    if not order.moved:
        return False
    (axis,) = walk.moved_axes(node.inputs[0], [node.attributes.get("axis", default)])
    inputs = (order.name, *node.inputs[1:])
    written = replace(order, name=node.output)
    walk.write(node, written, inputs=inputs, attributes={**node.attributes, "axis": axis})
    return True


@moves("Concat")
def concat(walk: Walk, node: OnnxNode) -> bool:
    """Values in one order of axes, or vectors, each with its own order of elements."""
    if any(name in walk.graph.constants for name in node.inputs):
        return False
    orders = [walk.order(name) for name in node.inputs]
    if not any(order.moved for order in orders):
        return False
    names = tuple(order.name for order in orders)
    if len(walk.shapes[node.output]) == 1:
        written = Order(node.output, picks=_joined(walk, node), origin=_origin(orders))
        walk.write(node, written, inputs=names)
        return True
    if not all(order.agrees(orders[0]) for order in orders):
        return False
    (axis,) = walk.moved_axes(node.inputs[0], [node.attributes["axis"]])
    written = replace(orders[0], name=node.output)
    walk.write(node, written, inputs=names, attributes={"axis": axis})
    return True


def _joined(walk: Walk, node: OnnxNode) -> NDArray[np.intp]:
    parts, start = [], 0
    for name in node.inputs:
        picks, (size,) = walk.order(name).picks, walk.shapes[name]
        parts.append(start + (np.arange(size) if picks is None else picks))
        start += size
    return np.concatenate(parts)


def _origin(orders: Sequence[Order]) -> OnnxNode | None:
    return next((order.origin for order in orders if order.moved), None)


# --- some axes ------------------------------------------------------------------------------------------


@moves("ReduceMean", "ReduceMax", "ReduceSum", "ReduceMin", "ReduceL2", "Squeeze")
def reduce(walk: Walk, node: OnnxNode) -> bool:
    """Axes that lose their positions, or go."""
    (name, axes), rank = (node.inputs[0], walk.graph.named_axes(node)), len(walk.shapes[node.inputs[0]]) + 1
    order = walk.order(name)
    if order.axes is None or not axes or any(axis % rank == 0 for axis in axes):
        return False
    goes = node.op == "Squeeze" or not node.attributes.get("keepdims", 1)
    left = without(order.axes, [axis % rank for axis in axes]) if goes else order.axes
    attributes = {**node.attributes, "axes": walk.moved_axes(name, axes)}
    written = Order(node.output, plain(left), origin=order.origin)
    walk.write(node, written, inputs=(order.name,), attributes=attributes)
    return True


@moves("Unsqueeze")
def unsqueeze(walk: Walk, node: OnnxNode) -> bool:
    """Axes of one position that come: where they are wanted, or behind the axis before them."""
    name, axes = node.inputs[0], walk.graph.named_axes(node)
    order, rank = walk.order(name), len(walk.shapes[node.output]) + 1
    if axes is None or order.picks is not None:
        return False
    new = sorted(axis % rank for axis in axes)
    places = walk.wants.axes.get(node.output)
    if places is None or without(places, new) != walk.axes(name):
        places = _behind(walk.axes(name), new)
    if plain(places) is None or new[0] == 0:
        return False
    attributes = {"axes": sorted(places[axis] for axis in new)}
    written = Order(node.output, places, origin=node)
    walk.write(node, written, inputs=(order.name,), attributes=attributes)
    return True


def _behind(own: Axes, new: Sequence[int]) -> Axes:
    """An order in which each new axis follows the one before it; behind the batch it comes last."""
    if plain(own) is None:
        return tuple(range(len(own) + len(new)))
    old = [axis for axis in range(len(own) + len(new)) if axis not in new]
    network = [
        old[axis] for axis in inverse(own)
    ]  # the model's axes as they follow each other in the network
    for axis in new:
        network.insert(len(network) if axis == 1 else network.index(axis - 1) + 1, axis)
    return inverse(tuple(network))


@moves("Slice")
def slice_(walk: Walk, node: OnnxNode) -> bool:
    """Ranges of some axes."""
    order = walk.order(node.inputs[0])
    parts = [walk.graph.whole_numbers(name) for name in node.inputs[1:]]
    if order.axes is None or len(parts) < 2 or parts[0] is None:
        return False
    axes = parts[2] if len(parts) > 2 and parts[2] is not None else list(range(len(parts[0])))
    moved = walk.constant(np.array(walk.moved_axes(node.inputs[0], axes), np.int64), node.output)
    inputs = (order.name, *node.inputs[1:3], moved, *node.inputs[4:])
    walk.write(node, replace(order, name=node.output), inputs=inputs)
    return True


@moves("Pad", "Tile", "Expand")
def each_axis(walk: Walk, node: OnnxNode) -> bool:
    """A number for each axis, or one for each of its ends."""
    order = walk.order(node.inputs[0])
    numbers = walk.graph.whole_numbers(node.inputs[1]) if len(node.inputs) > 1 else None
    if order.axes is None or numbers is None or len(numbers) % len(order.axes) or len(node.inputs) > 3:
        return False
    if len(walk.shapes[node.output]) != len(walk.shapes[node.inputs[0]]):
        return False
    table = np.array(numbers, np.int64).reshape(-1, len(order.axes))
    moved = walk.constant(table[:, list(inverse(order.axes))].reshape(-1), node.output)
    walk.write(node, replace(order, name=node.output), inputs=(order.name, moved, *node.inputs[2:]))
    return True
