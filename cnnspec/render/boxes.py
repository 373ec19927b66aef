"""Which layers share a box: element-wise layers are folded into the box of the layer before them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cnnspec.network.graph import Facts, Graph


@dataclass(frozen=True, slots=True)
class Box:
    """One box of the diagram: a layer, and the element-wise layers that follow it. Node indices."""

    head: int
    strips: tuple[int, ...] = ()

    @property
    def nodes(self) -> tuple[int, ...]:
        """Every node in the box, in order."""
        return (self.head, *self.strips)

    @property
    def last(self) -> int:
        """The node whose output leaves the box."""
        return self.nodes[-1]


def fold(graph: Graph, facts: Facts) -> tuple[Box, ...]:
    """The boxes of a graph, in its order; every node is in exactly one."""
    members: dict[int, list[int]] = {}
    heads: list[int] = []
    foldable = _foldable(graph, facts)
    for index, node in enumerate(graph.nodes):
        head = heads[node.inputs[0]] if foldable[index] else index
        heads.append(head)
        members.setdefault(head, []).append(index)
    return tuple(Box(head, tuple(rest)) for head, *rest in members.values())


def _foldable(graph: Graph, facts: Facts) -> list[bool]:
    """For each node, whether it is element-wise and the only reader of a layer that is no input."""
    readers = graph.consumers()
    outputs = set(graph.outputs)

    def folds(index: int) -> bool:
        node = graph.nodes[index]
        if len(node.inputs) != 1:
            return False
        before = node.inputs[0]
        alone = readers[before] == (index,) and before not in outputs and bool(graph.nodes[before].inputs)
        known = facts.layers[index]
        same = known.shape == facts.layers[before].shape
        return alone and same and node.layer.window(*known.input_shapes) == "pointwise"

    return [folds(index) for index in range(len(graph.nodes))]
