"""Writes the nodes, values and initializers of an ONNX graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from cnnspec.bridges.table import Table

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from onnx import NodeProto, ValueInfoProto

    from cnnspec.layers import Shape
    from cnnspec.network.graph import LayerFacts, Node

BATCH: Final = "N"
"""The name of the first axis of every value, whose size is chosen when the model is run."""

Attribute = int | float | str | Sequence[int]


class Writer:
    """The parts of a graph as they come. Values are called as the layers that give them."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []
        self.values: list[ValueInfoProto] = []
        self._named: set[str] = set()

    def value(self, name: str, shape: Shape, kind: int = TensorProto.FLOAT) -> ValueInfoProto:
        """What a value is: the batch, then the shape of one sample."""
        return helper.make_tensor_value_info(name, kind, [BATCH, *shape])

    def constant(self, name: str, array: NDArray[np.float32] | NDArray[np.int64]) -> str:
        """An array that is part of the model, once under each name."""
        if name not in self._named:
            self._named.add(name)
            self.initializers.append(numpy_helper.from_array(np.array(array, order="C"), name))
        return name

    def add(
        self, op: str, inputs: Sequence[str], output: str, shape: Shape, kind: int, **attributes: Attribute
    ) -> str:
        """A node with one output, a sample of which has this shape."""
        self.nodes.append(
            helper.make_node(op, list(inputs), [output], output, None, None, None, **attributes)
        )
        self.values.append(self.value(output, shape, kind))
        return output


class Place:
    """Where one layer is written: its inputs and weights, and the names of what it makes on the way.

    Attributes:
        inputs: the names of the values that it reads.
        shapes: their shapes.
        shape: that of the output.
    """

    def __init__(
        self,
        writer: Writer,
        node: Node,
        facts: LayerFacts,
        inputs: Sequence[str],
        weights: Mapping[str, ArrayLike],
    ) -> None:
        assert facts.shape is not None
        self._writer, self._name, self._weights, self._facts = writer, node.name, weights, facts
        self.inputs, self.shapes, self.shape = tuple(inputs), facts.input_shapes, facts.shape
        self._count = 0

    @property
    def x(self) -> str:
        """The only input."""
        return self.inputs[0]

    def array(self, weight: str) -> NDArray[np.float32]:
        """One of the layer's weights."""
        return np.asarray(self._weights[f"{self._name}.{weight}"], np.float32)

    def has(self, weight: str) -> bool:
        """Whether the layer has such a weight."""
        return any(declared.name == weight for declared in self._facts.weights)

    def weight(self, name: str, shape: Shape | None = None) -> str:
        """The name of a weight in the model, in another shape where one is given."""
        array = self.array(name)
        return self.constant(name, array if shape is None else array.reshape(shape))

    def weights(self, *names: str) -> list[str]:
        """The names of those weights that there are."""
        return [self.weight(name) for name in names if self.has(name)]

    def constant(self, name: str, array: ArrayLike) -> str:
        """Numbers that belong to the layer: `conv1.weight`."""
        return self._writer.constant(f"{self._name}.{name}", np.asarray(array, np.float32))

    def whole_numbers(self, name: str, numbers: Sequence[int]) -> str:
        """Sizes or places that belong to the layer."""
        return self._writer.constant(f"{self._name}.{name}", np.array(numbers, np.int64))

    def on_the_way(
        self,
        op: str,
        inputs: Sequence[str],
        shape: Shape,
        kind: int = TensorProto.FLOAT,
        **attributes: Attribute,
    ) -> str:
        """A value that is not yet the output; its name is the layer's with a number."""
        self._count += 1
        name = f"{self._name}/{self._count}"
        return self._writer.add(op, inputs, name, shape, kind, **attributes)

    def give(self, op: str, *inputs: str, **attributes: Attribute) -> None:
        """The output."""
        self._writer.add(op, inputs, self._name, self.shape, TensorProto.FLOAT, **attributes)

    def reshaped(self, x: str, shape: Shape, label: str) -> str:
        """The elements of a value in another shape, the batch as it is."""
        return self.on_the_way("Reshape", [x, self.whole_numbers(label, [0, *shape])], shape)


OPERATORS: Final[Table[Callable[..., None]]] = Table("ONNX")
"""Functions of a layer and its place, which write what computes it."""
