"""Poolings that are several operators."""

from __future__ import annotations

from typing import Any

from cnnspec.bridges.onnx_import.nodes import OnnxGraph, OnnxNode
from cnnspec.bridges.onnx_import.patterns.table import ends_in
from cnnspec.bridges.onnx_import.table import At, Made, extent
from cnnspec.layers.adaptive import AdaptiveAvgPool, AdaptiveMaxPool
from cnnspec.layers.pooling import AvgPool, MaxPool


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
