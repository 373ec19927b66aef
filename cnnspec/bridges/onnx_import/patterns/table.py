"""Layers that are several operators in ONNX, which are found from their last operator backwards.

Each function looks at a node and what leads to it, and gives the layer that all of them are together, or
nothing. What leads to it must be read by nobody else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cnnspec.bridges.onnx_import.nodes import OnnxGraph, OnnxNode
from cnnspec.bridges.onnx_import.table import At, Made

Pattern = Callable[[At], Made | None]
PATTERNS: Final[list[tuple[tuple[str, ...], Pattern]]] = []
"""The operators that a pattern ends in, and the pattern."""


def ends_in(*ops: str) -> Callable[[Pattern], Pattern]:
    """Register the decorated pattern for these last operators."""

    def register(pattern: Pattern) -> Pattern:
        PATTERNS.append((ops, pattern))
        return pattern

    return register


def inner_values(graph: OnnxGraph, node: OnnxNode, made: Made) -> set[str]:
    """The values between the inputs of a pattern and its end, which are no layers of their own."""
    found: set[str] = set()
    pending = [name for name in node.inputs if name not in made.inputs]
    while pending:
        name = pending.pop()
        inner = graph.made_by.get(name)
        if name in found or inner is None:
            continue
        found.add(name)
        pending += [one for one in inner.inputs if one not in made.inputs]
    return found
