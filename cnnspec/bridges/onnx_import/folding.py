"""What a model computes from the sizes of its values alone, computed: it becomes constants.

Exporters write `x.flatten(1)` or a crop to the size of another map as a dozen operators on shapes. A `.cnn`
file knows all sizes, so that these operators have results before any sample is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from onnx import TypeProto, defs, helper, numpy_helper, shape_inference

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto

    from cnnspec.layers import Shape

BATCH: Final = 7919
"""The number of samples in what is computed: a prime, so that no size of a sample is a multiple of it."""
MOST_NUMBERS: Final = 1000
"""Numbers that an operator may read to be computed here; sizes and places are few."""
_OF_FEW: Final = """Add And Cast Ceil Concat Constant ConstantOfShape Div Equal Floor Gather Greater
    GreaterOrEqual Less LessOrEqual Max Min Mod Mul Neg Not Or ReduceMax ReduceMin ReduceProd ReduceSum
    Round Slice Sub Where"""
OF_FEW: Final = frozenset(_OF_FEW.split())
"""Operators that are computed where they read few numbers: none makes much of little."""
OF_ANY: Final = frozenset(("Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"))
"""Operators that only say how numbers lie, and are computed for whole weights."""
ALIKE: Final = ("Erfc",)
"""Operators that tf2onnx writes although ONNX has none such; they give the shape that they read."""


@dataclass(frozen=True)
class Folded:
    """What follows from the sizes of a sample.

    Attributes:
        constants: arrays by name.
        shapes: the shapes of samples where known.
        kinds: the types of elements where known, as ONNX counts them.
    """

    constants: Mapping[str, NDArray[Any]]
    shapes: Mapping[str, Shape]
    kinds: Mapping[str, int]


def folded(model: ModelProto, inputs: Mapping[str, Sequence[int]]) -> Folded:
    """What follows from the shapes of the samples that the inputs take."""
    return _Folding(model, inputs).run()


class _Folding:
    def __init__(self, model: ModelProto, inputs: Mapping[str, Sequence[int]]) -> None:
        self._nodes, self._opsets = model.graph.node, {one.domain: one.version for one in model.opset_import}
        self._arrays = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
        self._given = set(self._arrays)
        self._types = {value.name: value.type for value in (*model.graph.value_info, *model.graph.output)}
        for value in model.graph.input:
            if value.name in inputs:
                kind, shape = value.type.tensor_type.elem_type, inputs[value.name]
                self._types[value.name] = helper.make_tensor_type_proto(kind, [BATCH, *shape])
        for one in model.graph.initializer:
            self._types[one.name] = helper.make_tensor_type_proto(one.data_type, list(one.dims))

    def run(self) -> Folded:
        for node in self._nodes:
            if not self._compute(node):
                self._infer(node)
        constants = {name: array for name, array in self._arrays.items() if name not in self._given}
        sizes = {name: _sizes(one)[1:] for name, one in self._types.items()}
        kinds = {name: one.tensor_type.elem_type for name, one in self._types.items()}
        shapes = {name: shape for name, shape in sizes.items() if shape and all(shape)}
        return Folded(constants, shapes, kinds)

    def _compute(self, node: NodeProto) -> bool:
        """Whether what a node gives is known without samples, and now is."""
        if node.op_type == "Shape" and node.input[0] in self._types:
            sizes = _sizes(self._types[node.input[0]])
            if not sizes or not all(sizes):
                return False
            ends = {one.name: one.i for one in node.attribute}
            own = sizes[ends.get("start", 0) : ends.get("end", len(sizes))]
            self._know(node.output[0], np.array(own, np.int64))
            return True
        if node.domain not in ("", "ai.onnx") or not all(name in self._arrays for name in node.input if name):
            return False
        read = sum(self._arrays[name].size for name in node.input if name)
        if node.op_type not in OF_ANY and (node.op_type not in OF_FEW or read > MOST_NUMBERS):
            return False
        if node.op_type == "ConstantOfShape" and self._arrays[node.input[0]].prod() > MOST_NUMBERS:
            return False
        return self._evaluate(node)

    def _evaluate(self, node: NodeProto) -> bool:
        from onnx.reference import ReferenceEvaluator

        try:
            evaluator = ReferenceEvaluator(node, opsets=self._opsets)
            found = evaluator.run(None, {name: self._arrays[name] for name in node.input if name})
        except Exception:  # a node that its definition refuses: it is reported where it is read
            return False
        for name, array in zip(node.output, found, strict=True):
            self._know(name, np.asarray(array))
        return True

    def _know(self, name: str, array: NDArray[Any]) -> None:
        self._arrays[name] = array
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        self._types[name] = helper.make_tensor_type_proto(kind, array.shape)

    def _infer(self, node: NodeProto) -> None:
        """The shapes that a node gives, where its definition says them."""
        names = [name for name in node.input if name]
        if not all(name in self._types for name in names):
            return
        few = {name: self._arrays[name] for name in names if name in self._arrays}
        data = {n: numpy_helper.from_array(a, n) for n, a in few.items() if a.size <= MOST_NUMBERS}
        try:
            schema = defs.get_schema(node.op_type, self._opsets.get(node.domain, 1), node.domain)
            types = {name: self._types[name] for name in names}
            opsets = [helper.make_opsetid(domain, version) for domain, version in self._opsets.items()]
            found = shape_inference.infer_node_outputs(schema, node, types, data, None, opsets)
        except Exception:  # an operator that ONNX does not know, or one that it refuses
            if node.op_type in ALIKE:
                self._types[node.output[0]] = self._types[names[0]]
            return
        self._types |= {name: one for name, one in found.items() if _sizes(one) or name not in self._types}


def _sizes(one: TypeProto) -> tuple[int, ...]:
    """All sizes of a value; 0 where one is not known."""
    return tuple(axis.dim_value for axis in one.tensor_type.shape.dim)
