"""The nodes of an ONNX graph, their constants and attributes, and who reads what."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto, ValueInfoProto

    from cnnspec.bridges.onnx_import.folding import Folded


JOINS: Final = ("Concat", "Mean", "Sum")
"""Operators that leave a single value as it is."""
FLOATS: Final = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)
"""Types of numbers that are float32 here."""


@dataclass(frozen=True, eq=False)
class OnnxNode:
    """One node: its operator, the names of its inputs, its outputs and attributes.

    `number` is its place in the file, counted from 1.
    """

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    number: int
    name: str

    @property
    def output(self) -> str:
        """Its first output."""
        return self.outputs[0]

    @property
    def said(self) -> str:
        """The operator that messages name: that of the model's node."""
        return str(self.attributes.get("of", self.op))

    def place(self) -> str:
        """How messages name it: ``node 5, `Conv_4` ``."""
        label = self.name or self.output
        return f"node {self.number}" + (f", `{label[:60]}`" if label else "")


class OnnxGraph:
    """A model's graph, as `read_graph` has read it.

    Attributes:
        own: whether cnnspec has written it.
        nodes: the nodes, each behind those that it reads.
        constants: the arrays by name.
        inputs, outputs: its ends.
        made_by: the node that gives a value.
        readers: the nodes that read a value.
        remarks: what a model of our own says of layers, by name, that its operators do not.
    """

    def __init__(
        self,
        nodes: Sequence[OnnxNode],
        constants: dict[str, NDArray[Any]],
        inputs: Sequence[ValueInfoProto],
        outputs: Sequence[str],
        remarks: Mapping[str, dict[str, Any]] | None,
    ) -> None:
        self.nodes, self.constants, self.inputs, self.outputs = nodes, constants, inputs, outputs
        self.own, self.remarks = remarks is not None, remarks or {}
        self.made_by = {name: node for node in nodes for name in node.outputs}
        self.readers: dict[str, list[OnnxNode]] = {}
        for node in nodes:
            for name in dict.fromkeys(node.inputs):
                self.readers.setdefault(name, []).append(node)

    def rewritten(
        self, nodes: Sequence[OnnxNode], constants: dict[str, NDArray[Any]], outputs: Sequence[str]
    ) -> OnnxGraph:
        """The same graph with other nodes, constants and outputs."""
        return OnnxGraph(nodes, constants, self.inputs, outputs, self.remarks if self.own else None)

    def array(self, name: str) -> NDArray[Any] | None:
        """A constant, or nothing."""
        return self.constants.get(name)

    def sole(self, name: str, op: str) -> OnnxNode | None:
        """The node of this operator that gives a value which one node alone reads, or nothing."""
        node = self.made_by.get(name)
        alone = len(self.readers.get(name, [])) == 1 and name not in self.outputs
        return node if node is not None and node.op == op and alone else None

    def number(self, name: str) -> float | None:
        """A constant of one number, or nothing."""
        array = self.constants.get(name)
        return float(array.reshape(-1)[0]) if array is not None and array.size == 1 else None

    def whole_numbers(self, name: str) -> list[int] | None:
        """A constant of whole numbers, or nothing."""
        array = self.constants.get(name)
        return None if array is None else [int(number) for number in array.reshape(-1)]

    def named_axes(self, node: OnnxNode) -> list[int] | None:
        """The axes that a node names, by its second input or as an attribute, or nothing."""
        if len(node.inputs) > 1 and node.inputs[1]:
            return self.whole_numbers(node.inputs[1])
        axes = node.attributes.get("axes")
        return None if axes is None else [int(axis) for axis in axes]

    def split(self, names: Sequence[str]) -> tuple[list[str], list[NDArray[Any]]]:
        """The values among some inputs, and the constants."""
        values = [name for name in names if name not in self.constants]
        return values, [self.constants[name] for name in names if name in self.constants]


def read_graph(model: ModelProto, folded: Folded) -> OnnxGraph:
    """A model's graph: identities are taken out, constants are arrays, a split is a node for each part."""
    return _Reader(model, folded).run()


class _Reader:
    def __init__(self, model: ModelProto, folded: Folded) -> None:
        self._model, self._kinds = model, folded.kinds
        self._own = model.producer_name == "cnnspec"
        self._constants = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
        self._constants |= folded.constants
        self._inputs = [value for value in model.graph.input if value.name not in self._constants]
        self._same: dict[str, str] = {}
        self._nodes: list[OnnxNode] = []

    def run(self) -> OnnxGraph:
        for number, proto in enumerate(self._model.graph.node, 1):
            if not all(name in self._constants for name in proto.output):
                self._take(proto, number)
        outputs = [self._real(value.name) for value in self._model.graph.output]
        remarks = _remarks(self._model) if self._own else None
        return OnnxGraph(self._nodes, self._constants, self._inputs, outputs, remarks)

    def _take(self, proto: NodeProto, number: int) -> None:
        inputs = tuple(self._real(name) for name in proto.input)
        attributes = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
        if self._leaves(proto, inputs, attributes):
            self._same[proto.output[0]] = inputs[0]
        elif proto.op_type == "Split":
            for part, output in enumerate(proto.output):
                of_part = {**attributes, "part": part, "parts": len(proto.output)}
                self._nodes.append(OnnxNode("Split", inputs, (output,), of_part, number, proto.name))
        else:
            op = proto.op_type if proto.domain in ("", "ai.onnx") else f"{proto.domain}.{proto.op_type}"
            outputs = tuple(name for name in proto.output if name) or ("",)
            self._nodes.append(OnnxNode(op, inputs, outputs, attributes, number, proto.name))

    def _leaves(self, proto: NodeProto, inputs: tuple[str, ...], attributes: Mapping[str, Any]) -> bool:
        """Whether a node leaves its first input as it is: all our numbers are float32."""
        if proto.op_type in JOINS:
            return len(inputs) == 1 and not self._own
        if proto.op_type in ("Cast", "CastLike") and not self._own:
            to = attributes.get("to", self._kinds.get(proto.output[0]))
            whole = any(inputs[0] == value.name for value in self._inputs)
            return to in FLOATS and (whole or self._kinds.get(proto.input[0]) in FLOATS)
        return proto.op_type == "Identity"

    def _real(self, name: str) -> str:
        """The value that a name stands for, behind identities."""
        return self._same.get(name, name)


def _remarks(model: ModelProto) -> dict[str, dict[str, Any]]:
    """What cnnspec has written of its layers, as `bridges.onnx.model` has it; nothing if it is damaged."""
    texts = {one.key: one.value for one in model.metadata_props}
    try:
        found = json.loads(texts.get("cnnspec.layers", "{}"))
    except ValueError:
        return {}
    whole = isinstance(found, dict) and all(isinstance(one, dict) for one in found.values())
    return found if whole else {}


class Cannot(Exception):  # noqa: N818 - no error of ours
    """A node says something that no layer says; the text is what."""
