"""Joins that are several operators."""

from __future__ import annotations

from cnnspec.bridges.onnx_import.patterns.table import ends_in
from cnnspec.bridges.onnx_import.table import At, Made
from cnnspec.layers.merging import Multiply


@ends_in("Mul")
def _product(at: At) -> Made | None:
    """A product of three values and more, which ONNX multiplies two by two."""
    values = list(at.node.inputs)
    while at.graph.own and "/" in values[0] and (inner := at.graph.sole(values[0], "Mul")):
        values = [*inner.inputs, *values[1:]]
    known = all(name not in at.graph.constants for name in values)
    return Made(Multiply(), tuple(values)) if len(values) > 2 and known else None
