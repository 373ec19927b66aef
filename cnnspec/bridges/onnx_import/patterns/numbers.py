"""Values joined with a number."""

from __future__ import annotations

from cnnspec.bridges.onnx_import.nodes import OnnxGraph, OnnxNode


def constant_of(graph: OnnxGraph, node: OnnxNode) -> tuple[str, float] | None:
    """The value and the number of a node that joins these two."""
    values, constants = graph.split(node.inputs)
    if len(values) == 1 and len(constants) == 1 and constants[0].size == 1:
        return values[0], float(constants[0].reshape(-1)[0])
    return None


def joined_by(graph: OnnxGraph, name: str, op: str) -> tuple[str, float] | None:
    """The value and the number that a node of this operator joins to give a value."""
    node = graph.sole(name, op)
    return constant_of(graph, node) if node else None


def near(one: float, other: float) -> bool:
    """Whether two numbers are the same but for the rounding of float32."""
    return abs(one - other) <= 1e-5 * abs(other)
