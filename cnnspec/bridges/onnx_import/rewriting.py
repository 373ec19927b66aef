"""Detours of exporters, written as what they come to, before operators become layers.

Each function looks at a graph and gives one without the detour. What is taken out is read by nobody else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from onnx import TensorProto, helper

from cnnspec.bridges.onnx_import.nodes import OnnxGraph, OnnxNode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.layers import Shape

_OF_TOKENS: Final = "Add Cast Equal Greater GreaterOrEqual Less LessOrEqual Mul Not Sub Where"
OF_TOKENS: Final = frozenset(_OF_TOKENS.split())
"""Operators by which exporters make places in a table of numbers that may be negative."""
WIDE: Final = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT32, TensorProto.INT64)
"""Types that hold every token of a vocabulary."""
ON_ROWS: Final = ("AveragePool", "Conv", "ConvTranspose", "MaxPool")
PER_AXIS: Final = ("dilations", "kernel_shape", "output_padding", "strides")
"""Attributes with a number for each axis of a map; `pads` has two."""


def direct(graph: OnnxGraph, shapes: Mapping[str, Shape]) -> OnnxGraph:
    """Without detours that any order of axes may have."""
    return _products_of_maps(_tables(graph), shapes)


def _without(graph: OnnxGraph, gone: Sequence[OnnxNode], instead: Mapping[str, OnnxNode]) -> OnnxGraph:
    """A graph without some nodes, and with other ones that give the same values."""
    left = [instead.get(node.output, node) for node in graph.nodes if node not in gone]
    return graph.rewritten(left, graph.constants, graph.outputs)


# --- products of maps -----------------------------------------------------------------------------------


def _products_of_maps(graph: OnnxGraph, shapes: Mapping[str, Shape]) -> OnnxGraph:
    """A map is made a table of all positions of all samples, multiplied, and made a map again."""
    gone: list[OnnxNode] = []
    instead: dict[str, OnnxNode] = {}
    for node in graph.nodes:
        product = graph.sole(node.inputs[0], "MatMul") if node.op == "Reshape" else None
        weight = graph.array(product.inputs[1]) if product else None
        table = graph.sole(product.inputs[0], "Reshape") if product else None
        if product is None or table is None or weight is None or weight.ndim != 2:
            continue
        before, after = shapes.get(table.inputs[0], ()), shapes.get(node.output, ())
        rows, columns = weight.shape
        if len(before) > 1 and before[-1] == rows and after == (*before[:-1], columns):
            gone += [product, table]
            inputs = (table.inputs[0], *product.inputs[1:])
            instead[node.output] = replace(product, inputs=inputs, outputs=node.outputs)
    return _without(graph, gone, instead)


# --- tokens ---------------------------------------------------------------------------------------------


def _tables(graph: OnnxGraph) -> OnnxGraph:
    """Places in a table that are computed of tokens, where each token comes to its own place."""
    gone: list[OnnxNode] = []
    instead: dict[str, OnnxNode] = {}
    for node in graph.nodes:
        table = graph.array(node.inputs[0]) if node.op == "Gather" else None
        if table is None or table.ndim != 2 or node.attributes.get("axis", 0) != 0:
            continue
        between, sources = _between(graph, node.inputs[1])
        if between and len(sources) == 1 and _stays(graph, between, sources[0], node.inputs[1], len(table)):
            gone += between
            instead[node.output] = replace(node, inputs=(node.inputs[0], sources[0]))
    return _without(graph, gone, instead)


def _between(graph: OnnxGraph, name: str) -> tuple[list[OnnxNode], list[str]]:
    """The operators on tokens that lead to a value, in the order of the file, and the values before them."""
    found: list[OnnxNode] = []
    sources: list[str] = []
    pending = [name]
    while pending:
        name = pending.pop()
        node = graph.made_by.get(name)
        if node in found or name in sources or name in graph.constants:
            continue
        if node is None or node.op not in OF_TOKENS:
            sources.append(name)
            continue
        found.append(node)
        pending += node.inputs
    return sorted(found, key=graph.nodes.index), sources


def _stays(graph: OnnxGraph, nodes: Sequence[OnnxNode], source: str, end: str, count: int) -> bool:
    """Whether operators leave every token of a vocabulary as it is: all of them are tried."""
    from onnx.reference import ReferenceEvaluator

    tokens = np.arange(count)
    values: dict[str, NDArray[Any]] = {source: tokens}
    for node in nodes:
        given = {
            name: _whole(values[name] if name in values else graph.constants[name]) for name in node.inputs
        }
        if node.op == "Cast" and node.attributes["to"] in WIDE:
            values[node.output] = given[node.inputs[0]].astype(np.int64)
            continue
        proto = helper.make_node(node.op, list(node.inputs), [node.output], **node.attributes)
        try:
            found = list(ReferenceEvaluator(proto).run(None, given))
        except Exception:  # types that its definition refuses
            return False
        values[node.output] = np.asarray(found[0])
    return np.array_equal(values[end], tokens)


def _whole(array: NDArray[Any]) -> NDArray[Any]:
    """Numbers as int64, truths as they are."""
    return array if array.dtype == bool or (array != np.floor(array)).any() else array.astype(np.int64)


# --- maps of one row ------------------------------------------------------------------------------------


def signals(graph: OnnxGraph) -> OnnxGraph:
    """A signal is made a map of one row, read by a window of one row, and made a signal again."""
    gone: list[OnnxNode] = []
    instead: dict[str, OnnxNode] = {}
    constants = dict(graph.constants)
    for node in graph.nodes:
        inner = next((one for op in ON_ROWS if (one := graph.sole(node.inputs[0], op))), None)
        row = graph.sole(inner.inputs[0], "Unsqueeze") if node.op == "Squeeze" and inner else None
        if inner is None or row is None or graph.named_axes(node) != [2] or graph.named_axes(row) != [2]:
            continue
        weight = graph.array(inner.inputs[1]) if len(inner.inputs) > 1 else None
        if not _is_row(inner) or (weight is None) == (len(inner.inputs) > 1):
            continue
        inputs = (row.inputs[0], *inner.inputs[1:])
        if weight is not None:
            constants[f"{node.output}:weight"] = weight[:, :, 0]
            inputs = (row.inputs[0], f"{node.output}:weight", *inner.inputs[2:])
        gone += [inner, row]
        attributes = {name: _of_signal(name, value) for name, value in inner.attributes.items()}
        instead[node.output] = replace(inner, inputs=inputs, outputs=node.outputs, attributes=attributes)
    found = _without(graph, gone, instead)
    return found.rewritten(found.nodes, constants, found.outputs)


def _is_row(node: OnnxNode) -> bool:
    """Whether a window on a map is of one row, and adds none."""
    kernel, pads = node.attributes.get("kernel_shape", ()), node.attributes.get("pads", (0, 0, 0, 0))
    strides, more = node.attributes.get("strides", (1,)), node.attributes.get("output_padding", (0,))
    return len(kernel) == 2 and (kernel[0], pads[0], pads[2], more[0], strides[0]) == (1, 0, 0, 0, 1)


def _of_signal(name: str, value: Any) -> Any:  # noqa: ANN401 - any attribute's value
    if name == "pads":
        return [value[1], value[3]]
    return list(value)[1:] if name in PER_AXIS else value
