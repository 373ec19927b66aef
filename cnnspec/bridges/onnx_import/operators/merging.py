"""Joins of values, and scales."""

from __future__ import annotations

import numpy as np

from cnnspec.bridges.onnx_import.nodes import Cannot
from cnnspec.bridges.onnx_import.table import At, Made, per_channel, reads
from cnnspec.layers import Layer
from cnnspec.layers.merging import Add, Concat, Mean, Multiply
from cnnspec.layers.scaling import Scale

JOINS: dict[str, type[Layer]] = {"Add": Add, "Sum": Add, "Mul": Multiply, "Mean": Mean}


@reads("Add", "Sum", "Mul", "Mean")
def _join(at: At) -> Made:
    values, constants = at.graph.split(at.node.inputs)
    if not constants:
        return Made(JOINS[at.node.op](), tuple(values))
    if len(values) != 1 or at.node.op not in ("Mul", "Add"):
        raise Cannot("it joins a value with numbers")
    numbers = per_channel(constants[0], at.shape(values[0]))
    if at.node.op == "Mul":
        return Made(Scale(), (values[0],), {"weight": numbers})
    weights = {"weight": np.ones_like(numbers), "bias": numbers}
    return Made(Scale(bias=True), (values[0],), weights)


@reads("Concat")
def _concat(at: At) -> Made:
    values, constants = at.graph.split(at.node.inputs)
    rank = len(at.shape(values[0])) + 1 if values else 1
    if constants or at.option("axis") % rank != 1:
        raise Cannot("it does not join channels")
    return Made(Concat(), tuple(values))
