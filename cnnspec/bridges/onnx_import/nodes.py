"""The nodes of an ONNX graph, their constants and attributes, and who reads what."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from onnx import helper, numpy_helper

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto


JOINS: Final = ("Concat", "Mean", "Sum")
"""Operators that leave a single value as it is."""


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

    def place(self) -> str:
        """How messages name it: ``node 5, `Conv_4` ``."""
        label = self.name or self.output
        return f"node {self.number}" + (f", `{label[:60]}`" if label else "")


class OnnxGraph:
    """A model's graph: identities are taken out, constants are arrays, a split is a node for each part.

    `folded` are the arrays that its nodes compute from constants.

    Attributes:
        own: whether cnnspec has written it.
        nodes: the nodes in the order of the file.
        constants: the arrays by name.
        made_by: the node that gives a value.
        remarks: what a model of our own says of layers, by name, that its operators do not.
    """

    def __init__(self, model: ModelProto, folded: Mapping[str, NDArray[Any]]) -> None:
        graph = model.graph
        self.own = model.producer_name == "cnnspec"
        self.remarks = _remarks(model) if self.own else {}
        self.constants: dict[str, NDArray[Any]] = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer
        }
        self.constants |= folded
        self._same: dict[str, str] = {}
        self.nodes: list[OnnxNode] = []
        for number, proto in enumerate(graph.node, 1):
            self._take(proto, number)
        self.inputs = [value for value in graph.input if value.name not in self.constants]
        self.outputs = [self.real(value.name) for value in graph.output]
        self.made_by = {name: node for node in self.nodes for name in node.outputs}
        self.readers: dict[str, list[OnnxNode]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                self.readers.setdefault(name, []).append(node)

    def _take(self, proto: NodeProto, number: int) -> None:
        if all(name in self.constants for name in proto.output):
            return
        inputs = tuple(self.real(name) for name in proto.input)
        attributes = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
        alone = proto.op_type in JOINS and len(inputs) == 1 and not self.own
        if alone or proto.op_type == "Identity":
            self._same[proto.output[0]] = inputs[0]
        elif proto.op_type == "Split":
            for part, output in enumerate(proto.output):
                of_part = {**attributes, "part": part, "parts": len(proto.output)}
                self.nodes.append(OnnxNode("Split", inputs, (output,), of_part, number, proto.name))
        else:
            op = proto.op_type if proto.domain in ("", "ai.onnx") else f"{proto.domain}.{proto.op_type}"
            outputs = tuple(name for name in proto.output if name) or ("",)
            self.nodes.append(OnnxNode(op, inputs, outputs, attributes, number, proto.name))

    def real(self, name: str) -> str:
        """The value that a name stands for, behind identities."""
        return self._same.get(name, name)

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

    def split(self, names: Sequence[str]) -> tuple[list[str], list[NDArray[Any]]]:
        """The values among some inputs, and the constants."""
        values = [name for name in names if name not in self.constants]
        return values, [self.constants[name] for name in names if name in self.constants]


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
