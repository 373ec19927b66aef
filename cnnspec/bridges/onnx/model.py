"""The model of a whole network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import onnx
from onnx import TensorProto, helper

from cnnspec.bridges.onnx import (  # noqa: F401 - importing them fills the table
    activations,
    merging,
    normalization,
    pooling,
    structure,
    windows,
)
from cnnspec.bridges.onnx.writer import OPERATORS, Place, Writer
from cnnspec.bridges.table import each_node
from cnnspec.language.diagnostics import Diagnostic
from cnnspec.language.errors import SpecError
from cnnspec.layers.connections import Connections

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from cnnspec.network.graph import Facts, Graph, Node

OPSET: Final = 17
IR_VERSION: Final = 8
"""The format that came with this set of operators."""
REMARKS: Final = "cnnspec.layers"
"""The key of a model's metadata that says of layers what operators do not, for reading it again."""
LARGEST_MODEL: Final = (1 << 31) - 1
"""Bytes that one protobuf message may have."""


def to_onnx(graph: Graph, facts: Facts, weights: Mapping[str, ArrayLike]) -> onnx.ModelProto:
    """A checked network as an ONNX model for prediction: opset 17, float32, batches of any size.

    Values are called as the layers that give them, weights as in cnnspec (`conv1.weight`); what a layer makes
    on the way is `conv1/1`. An input or output of the network has its name; an input that is an output too is
    `NAME/output` there. A kernel with a table of connections has zeros where there is none.

    Raises:
        SpecError: ONNX cannot say some of the layers, or the weights take more than 2 GiB.
        KeyError: a weight is missing.
    """
    _check_size(graph, facts)
    writer = Writer()

    def say(index: int, node: Node) -> None:
        if node.inputs:
            inputs = [graph.nodes[v].name for v in node.inputs]
            OPERATORS.of(node.layer)(node.layer, Place(writer, node, facts.layers[index], inputs, weights))

    each_node(graph, "ONNX", say)
    inputs = [writer.value(graph.nodes[i].name, facts.shape(i)) for i in graph.sources()]
    outputs = [writer.value(_output(writer, graph, facts, i), facts.shape(i)) for i in graph.outputs]
    ends = {output.name for output in outputs}
    between = [value for value in writer.values if value.name not in ends]
    made = helper.make_graph(
        writer.nodes, graph.name, inputs, outputs, writer.initializers, value_info=between
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(made, opset_imports=opset, producer_name="cnnspec", ir_version=IR_VERSION)
    if remarks := _remarks(graph):
        helper.set_model_props(model, {REMARKS: json.dumps(remarks)})
    return model


def _remarks(graph: Graph) -> dict[str, dict[str, object]]:
    """What ONNX's operators do not say of layers, by their names: whether they are trained, connections."""
    found: dict[str, dict[str, object]] = {}
    for node in graph.nodes:
        values = {option: getattr(node.layer, option, None) for option in ("trainable", "connections")}
        if values["trainable"] is not None:
            found[node.name] = {"trainable": values["trainable"]}
        if isinstance(values["connections"], Connections):
            found[node.name] = {"connections": values["connections"].lists}
    return found


def _output(writer: Writer, graph: Graph, facts: Facts, node: int) -> str:
    """The name of an output; ONNX wants another one than an input's."""
    name = graph.nodes[node].name
    if graph.nodes[node].inputs:
        return name
    return writer.add("Identity", [name], f"{name}/output", facts.shape(node), TensorProto.FLOAT)


def _check_size(graph: Graph, facts: Facts) -> None:
    size = facts.totals().weight_bytes
    if size <= LARGEST_MODEL:
        return
    message = f"the weights take {size:,} bytes, and one ONNX file holds {LARGEST_MODEL:,}"
    heaviest = max(range(len(graph.nodes)), key=lambda i: facts.layers[i].params)
    note = f"most of them are in `{graph.nodes[heaviest].name}`"
    raise SpecError([Diagnostic("not-covered", message, graph.span, notes=(note,))])
