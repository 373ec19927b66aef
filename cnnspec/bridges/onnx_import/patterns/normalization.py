"""Normalizations and scales that are several operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cnnspec.bridges.onnx_import.nodes import OnnxNode
from cnnspec.bridges.onnx_import.operators.normalization import affine, layer_norm
from cnnspec.bridges.onnx_import.patterns.table import ends_in
from cnnspec.bridges.onnx_import.table import At, Made, number, per_channel
from cnnspec.layers.normalization import GroupNorm, LocalResponseNorm

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _group_norm(at: At, name: str) -> tuple[str, int, float] | None:
    """The input, the groups and the epsilon of `reshape, instance normalization, reshape`."""
    node = at.graph.made_by.get(name)
    reshaped = node is not None and node.op == "Reshape"
    inner = at.graph.sole(node.inputs[0], "InstanceNormalization") if node and reshaped else None
    if inner is None:
        return None
    first = at.graph.sole(inner.inputs[0], "Reshape")
    shape = at.graph.whole_numbers(first.inputs[1]) if first else None
    plain = [at.graph.array(name) for name in inner.inputs[1:]]
    if first is None or shape is None or any(array is None for array in plain):
        return None
    weight, bias = (np.asarray(array, np.float32) for array in plain)
    if affine(weight, bias) or len(shape) != 3 or shape[1] != len(weight):
        return None
    return first.inputs[0], len(weight), inner.attributes.get("epsilon", 1e-5)


@ends_in("Add")
def _affine_group_norm(at: At) -> Made | None:
    scaled = _scaled(at)
    if scaled is None:
        return None
    name, weight, bias = scaled
    alone = len(at.graph.readers.get(name, [])) == 1 and name not in at.graph.outputs
    found = _group_norm(at, name) if alone else None
    if found is None:
        return None
    x, groups, epsilon = found
    shape = at.shape(x)
    arrays = {"weight": per_channel(weight, shape), "bias": per_channel(bias, shape)}
    return Made(GroupNorm(groups=groups, epsilon=number(epsilon)), (x,), arrays)


def _scaled(at: At) -> tuple[str, NDArray[Any], NDArray[Any]] | None:
    """The value, factor and summand of `x * weight + bias`."""
    values, biases = at.graph.split(at.node.inputs)
    product_ = at.graph.sole(values[0], "Mul") if len(values) == len(biases) == 1 else None
    if product_ is None:
        return None
    inner, weights = at.graph.split(product_.inputs)
    return (inner[0], weights[0], biases[0]) if len(inner) == len(weights) == 1 else None


@ends_in("Reshape")
def _plain_group_norm(at: At) -> Made | None:
    found = _group_norm(at, at.node.output)
    if found is None:
        return None
    x, groups, epsilon = found
    return Made(GroupNorm(groups=groups, epsilon=number(epsilon), affine=False), (x,))


@ends_in("Transpose")
def _channel_norm(at: At) -> Made | None:
    """Channels moved last, normalised, and moved back."""
    inner = at.graph.sole(at.x, "LayerNormalization")
    first = at.graph.sole(inner.inputs[0], "Transpose") if inner else None
    if inner is None or first is None:
        return None
    rank = len(at.node.attributes.get("perm", ()))
    if list(first.attributes.get("perm", ())) != [0, *range(2, rank), 1]:
        return None
    if inner.attributes.get("axis", -1) not in (-1, rank - 1):
        return None
    return layer_norm(At(at.graph, inner, {}), first.inputs[0], "channels")


@ends_in("Div")
def _response_norm(at: At) -> Made | None:
    """Our own way of saying a local response normalization that ONNX's operator cannot say."""
    x = at.x
    names = ("Reshape", "Pow", "Add", "Mul", "AveragePool", "Reshape", "Mul")
    chain: list[OnnxNode] = []
    name = at.node.inputs[1]
    for op in names:
        node = at.graph.sole(name, op)
        if node is None:
            return None
        chain.append(node)
        name = node.inputs[0]
    if chain[-1].inputs != (x, x) or not at.graph.own:
        return None
    beta, k, alpha = (at.graph.number(chain[i].inputs[1]) for i in (1, 2, 3))
    if beta is None or k is None or alpha is None:
        return None
    size = chain[4].attributes["kernel_shape"][0]
    options = {"alpha": number(alpha), "beta": number(beta), "k": number(k)}
    return Made(LocalResponseNorm(size=size, **options), (x,))
