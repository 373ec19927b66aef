"""Dense layers and convolutions that are several operators."""

from __future__ import annotations

import numpy as np

from cnnspec.bridges.onnx_import.operators.convolution import conv_transpose
from cnnspec.bridges.onnx_import.operators.dense import dense
from cnnspec.bridges.onnx_import.patterns.table import ends_in
from cnnspec.bridges.onnx_import.table import READERS, At, Made, per_channel
from cnnspec.layers.dense import Rbf


@ends_in("Add")
def _dense(at: At) -> Made | None:
    """A product with a matrix, then a bias."""
    values, constants = at.graph.split(at.node.inputs)
    product_ = at.graph.sole(values[0], "MatMul") if len(values) == len(constants) == 1 else None
    weight = at.graph.array(product_.inputs[1]) if product_ else None
    if product_ is None or weight is None or weight.ndim != 2:
        return None
    before = At(at.graph, product_, at.shapes)
    if len(before.shape()) != 1:
        return None
    return dense(before, weight.T.astype(np.float32), constants[0].reshape(-1).astype(np.float32))


@ends_in("ReduceSumSquare")
def _rbf(at: At) -> Made | None:
    difference = at.graph.sole(at.x, "Sub")
    apart = at.graph.sole(difference.inputs[0], "Unsqueeze") if difference else None
    centers = at.graph.array(difference.inputs[1]) if difference else None
    if difference is None or apart is None or centers is None or centers.ndim != 2:
        return None
    return Made(Rbf(units=len(centers)), (apart.inputs[0],), {"centers": centers.astype(np.float32)})


@ends_in("Pad", "Add")
def _longer_transposed(at: At) -> Made | None:
    """A transposed convolution of ours with more added behind than it cuts off."""
    pad, bias = at.node, None
    if not at.graph.own:
        return None
    if at.node.op == "Add":
        values, constants = at.graph.split(at.node.inputs)
        inner = at.graph.sole(values[0], "Pad") if len(values) == len(constants) == 1 else None
        if inner is None:
            return None
        pad, bias = inner, constants[0].reshape(-1).astype(np.float32)
    conv = at.graph.sole(pad.inputs[0], "ConvTranspose")
    amounts = at.graph.whole_numbers(pad.inputs[1])
    if conv is None or amounts is None or "/" not in pad.inputs[0]:
        return None
    behind = amounts[len(amounts) // 2 + 2 :]
    return conv_transpose(At(at.graph, conv, at.shapes), bias, behind)


@ends_in("Add")
def _biased(at: At) -> Made | None:
    """A convolution, then a number for each channel."""
    values, constants = at.graph.split(at.node.inputs)
    if len(values) != 1 or len(constants) != 1:
        return None
    inner = at.graph.sole(values[0], "Conv") or at.graph.sole(values[0], "ConvTranspose")
    if inner is None or len(inner.inputs) > 2 or at.graph.own:
        return None
    made = READERS[inner.op](At(at.graph, inner, at.shapes))
    shape = made.layer.infer(at.shape(inner.inputs[0]))
    layer = type(made.layer)(**{**made.layer.values(), "bias": True})
    return Made(layer, made.inputs, {**made.weights, "bias": per_channel(constants[0], shape)})
