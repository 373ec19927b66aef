"""The walk over a model's nodes that writes the network's, whose values all have their channels first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cnnspec.bridges.onnx_import.layout.orders import (
    Axes,
    Order,
    alike,
    channels_last,
    in_network,
    inverse,
    plain,
)
from cnnspec.bridges.onnx_import.layout.wants import wants_of
from cnnspec.bridges.onnx_import.nodes import OnnxGraph, OnnxNode
from cnnspec.bridges.onnx_import.table import READERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.layers import Shape

Rule = Callable[["Walk", OnnxNode], bool]
RULES: Final[dict[str, Rule]] = {}
"""By operator, what writes its node where the order of axes matters, and says whether it has."""


def moves(*ops: str) -> Callable[[Rule], Rule]:
    """Register the decorated rule for these operators."""

    def register(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(ops, rule))
        return rule

    return register


@dataclass(frozen=True)
class Straight:
    """A graph whose values have their channels first, their shapes, and what is otherwise in the model.

    Attributes:
        turned: the inputs and outputs whose channels stand last in the model.
    """

    graph: OnnxGraph
    shapes: Mapping[str, Shape]
    turned: tuple[str, ...] = ()


class Walk:
    """The nodes that have been written, and the order of each of the model's values."""

    def __init__(self, graph: OnnxGraph, shapes: Mapping[str, Shape]) -> None:
        self.graph, self.shapes, self.wants = graph, shapes, wants_of(graph, shapes)
        self.orders: dict[str, Order] = {}
        self.nodes: list[OnnxNode] = []
        self.constants: dict[str, NDArray[Any]] = dict(graph.constants)
        self._found: dict[str, Shape] = dict(shapes)
        self._turned: list[str] = []

    def run(self) -> Straight:
        """All nodes in their order."""
        for value in self.graph.inputs:
            self._input(value.name)
        for node in self.graph.nodes:
            rule = RULES.get(node.op)
            if rule is None or not self._ready(node) or not rule(self, node):
                self.as_it_is(node)
        outputs = [self._output(name) for name in self.graph.outputs]
        graph = self.graph.rewritten(self.nodes, self.constants, outputs)
        return Straight(graph, self._found, tuple(dict.fromkeys(self._turned)))

    def _ready(self, node: OnnxNode) -> bool:
        """Whether the shapes of all that a node reads and gives are known."""
        return node.output in self.shapes and all(name in self.shapes for name in self.values(node))

    # --- ends -------------------------------------------------------------------------------------------

    def _input(self, name: str) -> None:
        axes = self.wants.axes.get(name)
        if axes is None or axes != channels_last(len(axes)):
            self.orders[name] = Order(name)
            return
        self.orders[name] = Order(name, axes)
        self._found[name] = in_network(self.shapes[name], axes)
        self._turned.append(name)

    def _output(self, name: str) -> str:
        order = self.order(name)
        if order.axes is not None and order.axes == channels_last(len(order.axes)):
            self._turned.append(name)
            return order.name
        return self.straight(name, f"the output `{name}`")

    # --- what rules ask ---------------------------------------------------------------------------------

    def values(self, node: OnnxNode) -> list[str]:
        """The inputs of a node that are no constants."""
        return [name for name in node.inputs if name and name not in self.graph.constants]

    def order(self, name: str) -> Order:
        """The order of a value; that of what the network does not know is its own."""
        return self.orders.get(name) or Order(name)

    def axes(self, name: str) -> Axes:
        """The order of the axes of a value, in full."""
        return self.order(name).axes or tuple(range(len(self.shapes[name]) + 1))

    # --- what rules do ----------------------------------------------------------------------------------

    def write(self, node: OnnxNode, order: Order, shape: Shape | None = None, **changes: Any) -> None:  # noqa: ANN401
        """Write a node, changed, whose output stands in this order to the model's.

        Its inputs must be the network's. `shape` is that of the network's value where no order says it.
        """
        self.nodes.append(replace(node, **changes, outputs=(order.name, *node.outputs[1:])))
        self.orders[node.output] = order
        self._tell(node.output, order, shape)

    def call(self, name: str, order: Order) -> None:
        """A value of the model is one that the network has already."""
        self.orders[name] = order

    def _tell(self, name: str, order: Order, shape: Shape | None) -> None:
        sizes = self.shapes.get(name)
        if shape is not None:
            self._found[order.name] = shape
        elif sizes is not None:
            self._found[order.name] = in_network(sizes, order.axes) if order.axes else sizes

    def as_it_is(self, node: OnnxNode) -> None:
        """Write a node with its inputs in the model's order, or in any if no layer is known for it."""
        reader = f"`{node.said}` ({node.place()})"
        names = {name: self.order(name).name for name in node.inputs}
        if node.op in READERS or node.op in RULES:
            names |= {name: self.straight(name, reader) for name in self.values(node)}
        self.nodes.append(replace(node, inputs=tuple(names[name] for name in node.inputs)))
        for name in node.outputs:
            self.orders[name] = Order(name)

    def straight(self, name: str, reader: str) -> str:
        """The network's value in the order of the model's, for this reader."""
        order = self.order(name)
        if not order.moved:
            return order.name
        if order.axes is not None:
            plainly = tuple(range(len(order.axes)))
            same = self.in_order(name, plainly)
            return same.name if same else self.transposed(order, order.axes, reader)
        assert order.origin is not None
        attributes = {"of": order.origin.op, "reader": reader}
        return self._extra("Reordered", order.name, attributes, order.origin, self.shapes[name])

    def in_order(self, name: str, axes: Axes) -> Order | None:
        """A value in another order of axes, where at most axes of one position stand otherwise."""
        own, sizes = self.axes(name), self.shapes[name]
        if own == axes:
            return self.order(name)
        if not alike(sizes, own, axes):
            return None
        order = self.order(name)
        shape = in_network(sizes, axes)
        node = order.origin or next(iter(self.graph.nodes))
        return replace(order, name=self.reshaped(order.name, shape, node), axes=plain(axes))

    def transposed(self, order: Order, axes: Axes, reader: str) -> str:
        """The network's value with its axes in another order, by a node that no layer says."""
        sizes = self._found[order.name]
        shape = tuple(sizes[axis - 1] for axis in axes[1:])
        origin = order.origin or OnnxNode("Input", (), (order.name,), {}, 0, order.name)
        attributes = {"perm": list(axes), "of": origin.op, "reader": reader}
        return self._extra("Transpose", order.name, attributes, origin, shape)

    def reshaped(self, name: str, shape: Shape, node: OnnxNode) -> str:
        """The network's value in another shape."""
        if self._found.get(name) == shape:
            return name
        sizes = self.constant(np.array([0, *shape], np.int64), f"{name}:{shape}")
        return self._extra("Reshape", name, {}, node, shape, sizes)

    def _extra(
        self, op: str, name: str, attributes: dict[str, Any], node: OnnxNode, shape: Shape, *more: str
    ) -> str:
        output = f"{name} @{len(self.nodes)}"
        label = node.name or node.output
        self.nodes.append(OnnxNode(op, (name, *more), (output,), attributes, node.number, label))
        self._found[output] = shape
        return output

    def constant(self, array: NDArray[Any], name: str) -> str:
        """A constant of the network's; the name tells it from others."""
        free = f"{name} #{len(self.constants)}"
        self.constants[free] = array
        return free

    def moved_axes(self, name: str, axes: Sequence[int]) -> list[int]:
        """The network's axes that are these of a value of the model."""
        own = self.axes(name)
        return [own[axis % len(own)] for axis in axes]


__all__ = ["RULES", "Straight", "Walk", "inverse", "moves"]
