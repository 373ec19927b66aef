"""Layers that are several operators in ONNX: found from their last operator backwards.

Each function looks at a node and what leads to it, and gives the layer that all of them are together, or
nothing. What leads to it must be read by nobody else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cnnspec.bridges.onnx_import.nodes import Cannot, OnnxGraph, OnnxNode
from cnnspec.bridges.onnx_import.operators import (
    affine,
    conv_transpose,
    dense,
    layer_norm,
    number,
    per_channel,
)
from cnnspec.bridges.onnx_import.table import At, Made, extent
from cnnspec.layers.activations import Tanh
from cnnspec.layers.adaptive import AdaptiveAvgPool, AdaptiveMaxPool
from cnnspec.layers.channels import Shuffle
from cnnspec.layers.dense import Rbf
from cnnspec.layers.embedding import Embedding
from cnnspec.layers.gates import Gelu, HardSwish, Mish, Silu
from cnnspec.layers.merging import Multiply
from cnnspec.layers.normalization import GroupNorm, LocalResponseNorm
from cnnspec.layers.pooling import AvgPool, MaxPool
from cnnspec.layers.resampling import PixelShuffle
from cnnspec.layers.scaling import Scale

if TYPE_CHECKING:
    from numpy.typing import NDArray

Pattern = Callable[[At], Made | None]
PATTERNS: Final[list[tuple[tuple[str, ...], Pattern]]] = []
"""The operators that a pattern ends in, and the pattern."""


def ends_in(*ops: str) -> Callable[[Pattern], Pattern]:
    """Register the decorated pattern for these last operators."""

    def register(pattern: Pattern) -> Pattern:
        PATTERNS.append((ops, pattern))
        return pattern

    return register


def _constant_of(graph: OnnxGraph, node: OnnxNode) -> tuple[str, float] | None:
    """The value and the number of a node that joins these two."""
    values, constants = graph.split(node.inputs)
    if len(values) == 1 and len(constants) == 1 and constants[0].size == 1:
        return values[0], float(constants[0].reshape(-1)[0])
    return None


def _by(graph: OnnxGraph, name: str, op: str) -> tuple[str, float] | None:
    """The value and the number that a node of this operator joins to give a value."""
    node = graph.sole(name, op)
    return _constant_of(graph, node) if node else None


def _near(one: float, other: float) -> bool:
    return abs(one - other) <= 1e-5 * abs(other)


# --- activations ----------------------------------------------------------------------------------------


@ends_in("Mul")
def _gate(at: At) -> Made | None:
    """`x sigmoid(x)`, `x tanh(softplus(x))` and `x hard_sigmoid(x)`."""
    if len(at.node.inputs) != 2:
        return None
    for x, gate in (at.node.inputs, at.node.inputs[::-1]):
        if (node := at.graph.sole(gate, "Sigmoid")) and node.inputs[0] == x:
            return Made(Silu(), (x,))
        hard = at.graph.sole(gate, "HardSigmoid")
        if hard and hard.inputs[0] == x and _near(hard.attributes.get("alpha", 0.2), 1 / 6):
            return Made(HardSwish(), (x,))
        tanh = at.graph.sole(gate, "Tanh")
        inner = at.graph.sole(tanh.inputs[0], "Softplus") if tanh else None
        if inner and inner.inputs[0] == x:
            return Made(Mish(), (x,))
    return None


@ends_in("Mul", "Tanh")
def _scaled_tanh(at: At) -> Made | None:
    """`amplitude tanh(slope x)`."""
    amplitude, tanh = 1.0, at.node
    if at.node.op == "Mul":
        found = _constant_of(at.graph, at.node)
        inner = at.graph.sole(found[0], "Tanh") if found else None
        if found is None or inner is None or found[1] <= 0:
            return None
        amplitude, tanh = found[1], inner
    slope = _by(at.graph, tanh.inputs[0], "Mul")
    if slope is not None and slope[1] <= 0:
        return None
    x = slope[0] if slope else tanh.inputs[0]
    if not slope and amplitude == 1:
        return None
    return Made(Tanh(amplitude=number(amplitude), slope=number(slope[1] if slope else 1)), (x,))


@ends_in("Mul")
def _gelu(at: At) -> Made | None:
    """`x (1 + s) / 2` in any order, where `s` is `erf(x / sqrt(2))` or its likeness by `tanh`."""
    factors, scale = _factors(at.graph, at.node), 1.0
    names = [name for name, _ in factors if name]
    for _, constant in factors:
        scale *= constant
    if len(names) != 2 or not _near(scale, 0.5):
        return None
    for x, gate in (names, names[::-1]):
        one = _by(at.graph, gate, "Add")
        if one is None or one[1] != 1:
            continue
        if (erf := at.graph.sole(one[0], "Erf")) and _is_scaled(at.graph, erf.inputs[0], x, math.sqrt(0.5)):
            return Made(Gelu(), (x,))
        if (tanh := at.graph.sole(one[0], "Tanh")) and _is_cubic(at.graph, tanh.inputs[0], x):
            return Made(Gelu(approximate=True), (x,))
    return None


def _factors(graph: OnnxGraph, node: OnnxNode) -> list[tuple[str, float]]:
    """The values and numbers that are multiplied, one product within another taken apart."""
    found: list[tuple[str, float]] = []
    for name in node.inputs:
        constant = graph.number(name)
        inner = graph.sole(name, "Mul")
        if constant is not None:
            found.append(("", constant))
        elif inner is not None and len(found) < 4:
            found += _factors(graph, inner)
        else:
            found.append((name, 1.0))
    return found


def _is_scaled(graph: OnnxGraph, name: str, x: str, factor: float) -> bool:
    by = _by(graph, name, "Mul")
    over = graph.sole(name, "Div")
    if over is not None and over.inputs[0] == x:
        divisor = graph.number(over.inputs[1])
        return divisor is not None and _near(1 / divisor, factor)
    return by is not None and by[0] == x and _near(by[1], factor)


def _is_cubic(graph: OnnxGraph, name: str, x: str) -> bool:
    """`sqrt(2 / pi) (x + 0.044715 x^3)`."""
    outer = _by(graph, name, "Mul")
    if outer is None or not _near(outer[1], math.sqrt(2 / math.pi)):
        return False
    total = graph.sole(outer[0], "Add")
    if total is None or x not in total.inputs:
        return False
    part = _by(graph, next((n for n in total.inputs if n != x), ""), "Mul")
    if part is None or not _near(part[1], 0.044715):
        return False
    cube = graph.made_by.get(part[0])
    if cube is None:
        return False
    if cube.op == "Pow":
        return cube.inputs[0] == x and graph.number(cube.inputs[1]) == 3
    return cube.op == "Mul" and [n for n, _ in _factors(graph, cube)] == [x, x, x]


@ends_in("Mul")
def _product(at: At) -> Made | None:
    """A product of three values and more, which ONNX multiplies two by two."""
    values = list(at.node.inputs)
    while at.graph.own and "/" in values[0] and (inner := at.graph.sole(values[0], "Mul")):
        values = [*inner.inputs, *values[1:]]
    known = all(name not in at.graph.constants for name in values)
    return Made(Multiply(), tuple(values)) if len(values) > 2 and known else None


# --- normalizations and scales --------------------------------------------------------------------------


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


@ends_in("Add")
def _scale_and_shift(at: At) -> Made | None:
    scaled = _scaled(at)
    if scaled is None:
        return None
    x, weight, bias = scaled
    try:
        shape = at.shape(x)
        arrays = {"weight": per_channel(weight, shape), "bias": per_channel(bias, shape)}
    except (Cannot, KeyError):
        return None
    return Made(Scale(bias=True), (x,), arrays)


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


# --- shapes ---------------------------------------------------------------------------------------------


@ends_in("Reshape")
def _regrouped(at: At) -> Made | None:
    """Axes taken apart, moved, and put together: a channel shuffle or a pixel shuffle."""
    moved = at.graph.sole(at.x, "Transpose")
    apart = at.graph.sole(moved.inputs[0], "Reshape") if moved else None
    sizes = at.graph.whole_numbers(apart.inputs[1]) if apart else None
    if moved is None or apart is None or sizes is None:
        return None
    x = apart.inputs[0]
    shape, perm = at.shape(x), list(moved.attributes["perm"])
    if perm == [0, 2, 1, *range(3, len(perm))] and tuple(sizes[3:]) == shape[1:] and sizes[1] > 0:
        return Made(Shuffle(groups=sizes[1]), (x,))
    axes = len(shape) - 1
    pairs = [place for axis in range(axes) for place in (2 + axes + axis, 2 + axis)]
    if perm == [0, 1, *pairs]:
        return Made(PixelShuffle(factor=extent(sizes[2 : 2 + axes])), (x,))
    return None


@ends_in("Transpose")
def _embedding(at: At) -> Made | None:
    """Vectors that are looked up, then moved to stand along the channels."""
    found = at.graph.sole(at.x, "Gather")
    if found is None or list(at.option("perm", ())) != [0, 2, 1] or found.attributes.get("axis", 0) != 0:
        return None
    table = at.graph.array(found.inputs[0])
    if table is None or table.ndim != 2:
        return None
    cast = at.graph.sole(found.inputs[1], "Cast")
    x = cast.inputs[0] if cast else found.inputs[1]
    layer = Embedding(vocabulary=table.shape[0], dimension=table.shape[1])
    return Made(layer, (x,), {"weight": table.astype(np.float32)})


# --- dense layers and convolutions ----------------------------------------------------------------------


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


# --- poolings -------------------------------------------------------------------------------------------


@ends_in("MaxPool", "AveragePool")
def _padded_pool(at: At) -> Made | None:
    """A pooling of ours behind a padding of its own."""
    pad = at.graph.sole(at.x, "Pad")
    amounts = at.graph.whole_numbers(pad.inputs[1]) if pad else None
    if pad is None or amounts is None or not at.graph.own or "/" not in at.x:
        return None
    half = len(amounts) // 2
    kernel, stride = at.option("kernel_shape"), at.option("strides")
    before, after = amounts[2:half], amounts[half + 2 :]
    options: dict[str, Any] = {"kernel": tuple(kernel), "stride": tuple(stride)}
    options["padding"] = tuple(end for pair in zip(before, after, strict=True) for end in pair)
    if at.node.op == "AveragePool":
        return Made(AvgPool(**options, ceil=True), (pad.inputs[0],))
    return Made(MaxPool(**options, dilation=tuple(at.option("dilations"))), (pad.inputs[0],))


@ends_in("Transpose")
def _bin_means(at: At) -> Made | None:
    """Our own adaptive average pooling: a matrix along each axis in turn."""
    sizes: dict[int, int] = {}
    node: OnnxNode | None = at.node
    x = at.node.output
    while node is not None and node.op == "Transpose":
        product_ = at.graph.sole(node.inputs[0], "MatMul")
        first = at.graph.sole(product_.inputs[0], "Transpose") if product_ else None
        matrix = at.graph.array(product_.inputs[1]) if product_ else None
        if first is None or matrix is None or not at.graph.own:
            break
        perm = list(first.attributes["perm"])
        sizes[perm[-1] - 2] = matrix.shape[1]
        x = first.inputs[0]
        node = at.graph.sole(x, "Transpose")
    if not sizes or sorted(sizes) != list(range(len(sizes))):
        return None
    return Made(AdaptiveAvgPool(size=extent([sizes[i] for i in sorted(sizes)])), (x,))


@ends_in("Concat")
def _bin_maxima(at: At) -> Made | None:
    """Our own adaptive maximum pooling: each bin cut out along each axis in turn."""
    sizes: dict[int, int] = {}
    node: OnnxNode | None = at.node
    x = at.node.output
    while node is not None and node.op == "Concat" and at.graph.own:
        slices = [_bin(at.graph, name) for name in node.inputs]
        sources = {one.inputs[0] for one in slices if one}
        if None in slices or len(sources) != 1:
            break
        sizes[node.attributes["axis"] - 2] = len(slices)
        x = sources.pop()
        node = at.graph.made_by.get(x) if "/" in x else None
    if not sizes or sorted(sizes) != list(range(len(sizes))):
        return None
    return Made(AdaptiveMaxPool(size=extent([sizes[i] for i in sorted(sizes)])), (x,))


def _bin(graph: OnnxGraph, name: str) -> OnnxNode | None:
    largest = graph.sole(name, "ReduceMax")
    return graph.sole(largest.inputs[0], "Slice") if largest else None


def inner_values(graph: OnnxGraph, node: OnnxNode, made: Made) -> set[str]:
    """The values between the inputs of a pattern and its end, which are no layers of their own."""
    found: set[str] = set()
    pending = [name for name in node.inputs if name not in made.inputs]
    while pending:
        name = pending.pop()
        inner = graph.made_by.get(name)
        if name in found or inner is None:
            continue
        found.add(name)
        pending += [one for one in inner.inputs if one not in made.inputs]
    return found
