"""Products with a matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cnnspec.bridges.onnx_import.nodes import Cannot
from cnnspec.bridges.onnx_import.table import At, Made, reads
from cnnspec.layers.dense import Dense
from cnnspec.layers.embedding import Embedding

if TYPE_CHECKING:
    from numpy.typing import NDArray


@reads("Gemm")
def _gemm(at: At) -> Made:
    at.wants("alpha", 1.0)
    at.wants("transA", 0)
    weight = at.constant(1, "weight")
    bias = at.constant(2, "bias").reshape(-1) if at.has(2) else None
    if at.has(2):
        at.wants("beta", 1.0)
    return dense(at, weight if at.option("transB", 0) else weight.T, bias)


@reads("MatMul")
def _matmul(at: At) -> Made:
    weight = at.constant(1, "weight")
    if weight.ndim != 2 or len(at.shape()) != 1:
        raise Cannot("it is no dense layer: its operands are not a batch of vectors and a matrix")
    return dense(at, weight.T, None)


def dense(at: At, weight: NDArray[np.float32], bias: NDArray[np.float32] | None) -> Made:
    """A dense layer."""
    units = len(weight)
    if bias is not None and bias.size == 1 < units:
        bias = np.repeat(bias, units)
    if bias is not None and bias.size != units:
        raise Cannot("it adds other numbers to each sample")
    layer = Dense(units=units, bias=bias is not None)
    arrays = {"weight": np.ascontiguousarray(weight)} | ({} if bias is None else {"bias": bias})
    return Made(layer, (at.x,), arrays)


@reads("Embedding")
def _embedding(at: At) -> Made:
    """Vectors along the channels, as the layout has moved them."""
    table = at.constant(0, "table")
    layer = Embedding(vocabulary=table.shape[0], dimension=table.shape[1])
    return Made(layer, (at.node.inputs[1],), {"weight": table})
