"""What is computed together with the layer before it.

For inference, a batch norm behind a layer that is linear in its weight is *folded* into it: with the running
statistics it multiplies each output channel by f = w / sqrt(var + epsilon) and adds b - f mean, which may as
well be done to weight and bias, once for all images:

    weight' = f weight,   bias' = f (bias - mean) + b.

The public weights stay as they are. The batch norm is then a view of its input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from cnnspec.layers.normalization import BatchNorm
from cnnspec.numpy_backend.kernels.base import Array, Kernel, Run
from cnnspec.numpy_backend.kernels.shapes import ViewKernel

if TYPE_CHECKING:
    from cnnspec.layers import Layer
    from cnnspec.network.graph import Facts, Graph
    from cnnspec.numpy_backend.kernels.base import Layout
    from cnnspec.numpy_backend.memory import Allocator
    from cnnspec.numpy_backend.selection import Selection


@dataclass(frozen=True, slots=True)
class Fusion:
    """Which nodes are computed together with others.

    Attributes:
        norms: for a node whose weights take in a batch norm, that batch norm.
    """

    norms: Mapping[int, int] = field(default_factory=dict)


def find_fusion(graph: Graph, kinds: Sequence[type[Kernel[Layer]]], training: bool) -> Fusion:
    """What can be fused: a value that is fused away has one reader, and is no output of the network."""
    consumers = graph.consumers()
    norms: dict[int, int] = {}
    for i, node in enumerate(graph.nodes):
        if len(node.inputs) != 1 or len(consumers[node.inputs[0]]) > 1 or node.inputs[0] in graph.outputs:
            continue
        (source,) = node.inputs
        if isinstance(node.layer, BatchNorm) and kinds[source].folds and not training:
            norms[source] = i
    return Fusion(norms)


def bind_kernels(
    graph: Graph, facts: Facts, selected: Sequence[Selection], layouts: tuple[Layout, ...], fusion: Fusion
) -> tuple[Kernel[Layer], ...]:
    """The kernel of every node."""
    views = set(fusion.norms.values())
    kernels = []
    for i, (node, known) in enumerate(zip(graph.nodes, facts.layers, strict=True)):
        layer, weights = node.layer, known.weights
        kind = ViewKernel if i in views else selected[i].kind
        if i in fusion.norms:
            layer = layer.replaced(bias=True)
            weights = layer.weights(*known.input_shapes)
        kernel = kind(layer, tuple(layouts[v] for v in node.inputs), layouts[i], weights)
        if selected[i].why and i not in views:
            kernel.why = selected[i].why
        if i in fusion.norms:
            kernel.absorbed = graph.nodes[fusion.norms[i]].name
        if i in views:
            kernel.algorithm = f"folded into {graph.nodes[node.inputs[0]].name}"
        kernels.append(kernel)
    return tuple(kernels)


def fold(
    kernel: Kernel[Layer],
    own: Mapping[str, Array],
    norm: BatchNorm,
    state: Mapping[str, Array],
    memory: Allocator,
) -> tuple[dict[str, Array], Run]:
    """Weight and bias of a layer that takes in a batch norm with these weights, and what makes them."""
    dtype = own["weight"].dtype
    folded = {weight.name: memory.zeros(weight.shape, dtype) for weight in kernel.weights}

    def run() -> None:
        factor = 1 / np.sqrt(state["running_var"].astype(np.float64) + norm.epsilon)
        if norm.affine:
            factor = factor * state["weight"]
        shift = -state["running_mean"].astype(np.float64)
        if "bias" in own:
            shift = shift + own["bias"]
        folded["weight"][...] = own["weight"] * kernel.beside_weight(factor)
        folded["bias"][...] = shift * factor + (state["bias"] if norm.affine else 0)

    return folded, run
