"""Operators of other opsets, written as opset 17 has them; what leads to no output is left out.

What an operator meant in its own opset is in ONNX's Changelog.md. Where opset 17 cannot say it, the node
becomes one that the reading reports with its place and the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cnnspec.bridges.onnx_import.nodes import Cannot, OnnxGraph, OnnxNode

if TYPE_CHECKING:
    from onnx import ModelProto

    from cnnspec.layers import Shape

REFUSED: Final = "Refused"
"""The operator of a node that no layer says, whatever reads it; the attribute `why` is the reason."""
RULES: Final[dict[str, Callable[[Versions, OnnxNode], OnnxNode]]] = {}
"""By operator, what writes a node as opset 17 has it."""
BROADCASTS: Final = ("Add", "Div", "Mul", "Pow", "Sub")


def of(*ops: str) -> Callable[[Callable[[Versions, OnnxNode], OnnxNode]], Callable[..., OnnxNode]]:
    """Register the decorated rule for these operators."""

    def register(rule: Callable[[Versions, OnnxNode], OnnxNode]) -> Callable[..., OnnxNode]:
        RULES.update(dict.fromkeys(ops, rule))
        return rule

    return register


def opset_of(model: ModelProto) -> int:
    """The version of ONNX's own operators in a model; 1 where it names none."""
    return max((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), default=1)


def in_one_version(graph: OnnxGraph, shapes: Mapping[str, Shape], opset: int) -> OnnxGraph:
    """A graph whose operators mean what they mean in opset 17; `shapes` are those of samples."""
    return Versions(graph, shapes, opset).run()


def alive(graph: OnnxGraph) -> OnnxGraph:
    """A graph without nodes and inputs that lead to no output; one of our own has none."""
    if graph.own:
        return graph
    read = set(graph.outputs)
    nodes: list[OnnxNode] = []
    for node in reversed(graph.nodes):
        if not read.isdisjoint(node.outputs):
            nodes.append(node)
            read.update(node.inputs)
    inputs = [value for value in graph.inputs if value.name in read]
    return OnnxGraph(nodes[::-1], graph.constants, inputs, graph.outputs, None)


class Versions:
    """A graph that is brought to one version, node by node."""

    def __init__(self, graph: OnnxGraph, shapes: Mapping[str, Shape], opset: int) -> None:
        self.graph, self.shapes, self.opset = graph, shapes, opset
        self._constants = dict(graph.constants)

    def run(self) -> OnnxGraph:
        """All nodes in their order."""
        nodes = [self._node(node) for node in self.graph.nodes]
        return self.graph.rewritten(nodes, self._constants, self.graph.outputs)

    def _node(self, node: OnnxNode) -> OnnxNode:
        rule = RULES.get(node.op)
        try:
            return rule(self, node) if rule else node
        except Cannot as reason:
            return replace(node, op=REFUSED, attributes={"of": node.op, "why": str(reason)})

    def rank(self, name: str) -> int:
        """How many axes a value has, the batch among them.

        Raises:
            Cannot: its shape is not known.
        """
        if name in self._constants:
            return int(self._constants[name].ndim)
        if name not in self.shapes:
            raise Cannot(f"its meaning in opset {self.opset} depends on a shape that is not known")
        return len(self.shapes[name]) + 1

    def constant(self, value: Any, node: OnnxNode, kind: type[np.generic] = np.int64) -> str:  # noqa: ANN401
        """A constant of the graph's; an attribute that is not given is none."""
        if value is None:
            return ""
        name = f"{node.output} #{len(self._constants)}"
        self._constants[name] = np.array(value, kind)
        return name


# --- inputs that were attributes ------------------------------------------------------------------------


@of("Clip")
def _clip(to: Versions, node: OnnxNode) -> OnnxNode:
    if to.opset >= 11:
        return node
    ends = [to.constant(node.attributes.get(name), node, np.float32) for name in ("min", "max")]
    return replace(node, inputs=(node.inputs[0], *ends), attributes={})


@of("Pad")
def _pad(to: Versions, node: OnnxNode) -> OnnxNode:
    if to.opset >= 11:
        return node
    amounts = node.attributes.get("pads", node.attributes.get("paddings"))
    value = to.constant(node.attributes.get("value", 0.0), node, np.float32)
    mode = {"mode": node.attributes.get("mode", b"constant")}
    return replace(node, inputs=(node.inputs[0], to.constant(amounts, node), value), attributes=mode)


@of("Reshape")
def _reshape(to: Versions, node: OnnxNode) -> OnnxNode:
    if to.opset < 5:
        sizes = to.constant(node.attributes.get("shape"), node)
        return replace(node, inputs=(node.inputs[0], sizes), attributes={})
    if node.attributes.get("allowzero", 0) and 0 in (to.graph.whole_numbers(node.inputs[1]) or ()):
        raise Cannot("it makes an axis of no positions: `allowzero` is 1")
    return node


@of("Slice")
def _slice(to: Versions, node: OnnxNode) -> OnnxNode:
    if to.opset >= 10:
        return node
    ranges = [to.constant(node.attributes.get(name), node) for name in ("starts", "ends", "axes")]
    return replace(node, inputs=(node.inputs[0], *(name for name in ranges if name)), attributes={})


@of("Concat")
def _concat(to: Versions, node: OnnxNode) -> OnnxNode:
    return replace(node, attributes={"axis": 1, **node.attributes}) if to.opset < 4 else node


# --- other meanings -------------------------------------------------------------------------------------


@of("Softmax", "LogSoftmax", "Hardmax")
def _softmax(to: Versions, node: OnnxNode) -> OnnxNode:
    """Before opset 13 it runs over all axes from `axis` on: of which at most one may be long."""
    if to.opset >= 13:
        return node
    rank, axis = to.rank(node.inputs[0]), node.attributes.get("axis", 1)
    first = axis % rank
    if first == 0:
        raise Cannot(f"in opset {to.opset} it is taken over axis {axis} and all behind it, the batch too")
    sizes = to.shapes[node.inputs[0]]
    long = [place for place in range(first, rank) if sizes[place - 1] > 1]
    if len(long) > 1:
        raise Cannot(f"in opset {to.opset} it is taken over axis {axis} and all behind it, not over one")
    return replace(node, attributes={**node.attributes, "axis": long[0] if long else first})


@of(*BROADCASTS)
def _broadcast(to: Versions, node: OnnxNode) -> OnnxNode:
    """Before opset 7 the axes of the second operand begin at `axis` of the first."""
    axis = node.attributes.get("axis")
    if to.opset >= 7 or axis is None or not node.attributes.get("broadcast", 0):
        return replace(node, attributes={})
    first, second = node.inputs
    missing = to.rank(first) - axis % to.rank(first) - to.rank(second)
    if missing == 0:
        return replace(node, attributes={})
    array = to.graph.array(second)
    if array is None or missing < 0:
        raise Cannot(f"in opset {to.opset} its second operand begins at axis {axis} of the first")
    wide = to.constant(array.reshape(*array.shape, *[1] * missing), node, array.dtype.type)
    return replace(node, inputs=(first, wide), attributes={})


@of("PRelu")
def _prelu(to: Versions, node: OnnxNode) -> OnnxNode:
    """Before opset 7 a slope is one, or one for each channel."""
    slope = to.graph.array(node.inputs[1])
    if to.opset >= 7 or slope is None or slope.size == 1:
        return node
    ones = [1] * (to.rank(node.inputs[0]) - 2)
    wide = to.constant(slope.reshape(-1, *ones), node, np.float32)
    return replace(node, inputs=(node.inputs[0], wide))


@of("BatchNormalization")
def _batch_norm(to: Versions, node: OnnxNode) -> OnnxNode:
    """Only that of predictions, with numbers for each channel."""
    given = node.attributes
    training = given.get("training_mode", 0) or (to.opset < 7 and not given.get("is_test", 0))
    if training or (to.opset < 14 and len(node.outputs) > 1):
        raise Cannot("it takes the statistics of the batch: export the model for inference")
    if to.opset < 9 and not given.get("spatial", 1) and to.rank(node.inputs[0]) > 2:
        raise Cannot("`spatial` is 0: it has statistics for each element")
    return node


@of("Dropout")
def _dropout(to: Versions, node: OnnxNode) -> OnnxNode:
    """Only one that drops nothing in predictions."""
    switch = node.inputs[2] if len(node.inputs) > 2 else ""
    drops = to.opset < 7 and not node.attributes.get("is_test", 0)
    if drops or (switch and to.graph.number(switch) != 0):
        raise Cannot("it drops in predictions, too: export the model for inference")
    return node


@of("Upsample", "Resize")
def _resize(to: Versions, node: OnnxNode) -> OnnxNode:
    """Before opset 11 positions are not taken at the middle of elements."""
    if node.op == "Resize" and to.opset >= 11:
        return _resize_now(to, node)
    scales = node.inputs[1] if len(node.inputs) > 1 else ""
    if not scales and "scales" in node.attributes:
        scales = to.constant(node.attributes["scales"], node, np.float32)
    if not scales:
        raise Cannot("its factors are not given as `scales`")
    how = {"coordinate_transformation_mode": b"asymmetric", "nearest_mode": b"floor", "of": node.op}
    attributes = {"mode": node.attributes.get("mode", b"nearest"), **how}
    return replace(node, op="Resize", inputs=(node.inputs[0], "", scales), attributes=attributes)


def _resize_now(to: Versions, node: OnnxNode) -> OnnxNode:
    if list(node.attributes.get("axes", ())) not in ([], list(range(to.rank(node.inputs[0])))):
        raise Cannot("its axes are not all, in their order")
    if node.attributes.get("keep_aspect_ratio_policy", b"stretch") != b"stretch":
        raise Cannot("it keeps the ratio of rows and columns")
    return node


@of("DepthToSpace")
def _depth_to_space(to: Versions, node: OnnxNode) -> OnnxNode:
    """Channels stand behind the positions of a block unless `mode` says other; with one it is the same."""
    x, size = node.inputs[0], node.attributes["blocksize"]
    mode = node.attributes.get("mode", b"DCR")
    if mode == b"DCR" and to.rank(x) == 4 and to.shapes[x][0] == size * size:
        mode = b"CRD"
    return replace(node, attributes={**node.attributes, "mode": mode})


@of("AveragePool", "MaxPool", "LpPool")
def _pool(to: Versions, node: OnnxNode) -> OnnxNode:
    """`ceil_mode` says nothing of windows that are placed by `auto_pad`."""
    auto = node.attributes.get("auto_pad", b"NOTSET") != b"NOTSET"
    if auto and node.attributes.get("ceil_mode", 0):
        raise Cannot("`ceil_mode` is given with `auto_pad`")
    return node


@of("Gemm")
def _gemm(to: Versions, node: OnnxNode) -> OnnxNode:
    """Its summand must be alike for all samples."""
    bias = to.graph.array(node.inputs[2]) if len(node.inputs) > 2 else None
    if bias is not None and bias.ndim == 2 and bias.shape[0] != 1:
        raise Cannot("it adds other numbers to each sample")
    return node
