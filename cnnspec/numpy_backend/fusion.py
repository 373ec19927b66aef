"""What is computed together with layers beside it.

For inference, a layer that is linear in its weight can do more than its own work at no cost, where this is a
matter of its weights alone, made once for all images:

* A batch norm behind it, with the running statistics, multiplies each output channel by
  `f = w / sqrt(var + epsilon)` and adds `b - f mean`. It is then a view of its input.
* An activation behind it may begin with a scale, `tanh(x / 2)`: the linear layer gives `x / 2`.
* An activation before it may end with one, `(1 + t) / 2`, a mean is a sum divided: of `x = s y + t` the
  layer in front computes `y` alone. Layers between that do nothing else to `s y + t` than to `y`, such as
  poolings, may stand in the way.

With all of them, the folded weights are

    weight' = g f s weight,   bias' = g (f (bias + t sum weight - mean) + b),

`g` the scale that the layer behind begins with. The public weights stay as they are.

A rectifier is computed where its numbers are in the cache anyway: in prediction by the linear layer before
it, part by part of its outputs; in training, and where it is not folded, by the batch norm before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnspec.layers.normalization import BatchNorm
from cnnspec.numpy_backend.kernels.activations import ReluKernel
from cnnspec.numpy_backend.kernels.base import Array, Kernel, Run, leave
from cnnspec.numpy_backend.kernels.batchnorm import BatchNormKernel, RectifiedBatchNormKernel
from cnnspec.numpy_backend.kernels.shapes import ViewKernel

if TYPE_CHECKING:
    from cnnspec.layers import Layer
    from cnnspec.network.graph import Facts, Graph
    from cnnspec.numpy_backend.kernels.base import Bare, Layout
    from cnnspec.numpy_backend.memory import Allocator
    from cnnspec.numpy_backend.selection import Selection

    Kinds = Sequence[type[Kernel[Layer]]]


@dataclass(frozen=True, slots=True)
class Folded:
    """What a linear layer's weights take in: it gives `gives * norm(linear(scale * x + shift))`.

    `others` are the nodes, beside the batch norm, whose scales these are.
    """

    norm: int | None = None
    scale: float = 1.0
    shift: float = 0.0
    gives: float = 1.0
    others: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Fusion:
    """Which nodes are computed together with others.

    Attributes:
        folded: by linear node, what its weights take in.
        bare: by node, the kernel that is left of it.
        rectified: by batch norm, the rectifier that it takes in.
        finished: by linear node, the activation that it does to its outputs in passing.
    """

    folded: Mapping[int, Folded] = field(default_factory=dict)
    bare: Mapping[int, type[Kernel[Layer]]] = field(default_factory=dict)
    rectified: Mapping[int, int] = field(default_factory=dict)
    finished: Mapping[int, int] = field(default_factory=dict)

    def laid_out(self, layouts: Sequence[Layout]) -> tuple[Layout, ...]:
        """The layouts of all values: what is done in passing lies where it was."""
        sources = {activation: linear for linear, activation in self.finished.items()}
        return tuple(layouts[sources.get(i, i)] for i in range(len(layouts)))

    @property
    def norms(self) -> dict[int, int]:
        """For a node whose weights take in a batch norm, that batch norm."""
        return {i: folded.norm for i, folded in self.folded.items() if folded.norm is not None}


def find_fusion(
    graph: Graph, facts: Facts, kinds: Kinds, layouts: Sequence[Layout], training: bool
) -> Fusion:
    """What can be fused; in training nothing is folded."""
    found = Fusion() if training else _Search(graph, facts, kinds, layouts).fusion()
    return replace(found, rectified=_rectified(graph, kinds, layouts, set(found.norms.values())))


def _rectified(graph: Graph, kinds: Kinds, layouts: Sequence[Layout], folded: set[int]) -> dict[int, int]:
    """The batch norms that nothing but a rectifier reads, and lays out alike."""
    readers, found = graph.consumers(), {}
    for i, kind in enumerate(kinds):
        if kind is BatchNormKernel and i not in folded and i not in graph.outputs and len(readers[i]) == 1:
            (reader,) = readers[i]
            if kinds[reader] is ReluKernel and layouts[reader] == layouts[i]:
                found[i] = reader
    return found


class _Search:
    """What can be fused: a value that is fused away has one reader, and is no output of the network."""

    def __init__(self, graph: Graph, facts: Facts, kinds: Kinds, layouts: Sequence[Layout]) -> None:
        self._graph, self._kinds, self._layouts = graph, kinds, layouts
        self._shapes = [known.input_shapes for known in facts.layers]
        self._readers = graph.consumers()
        self._folded: dict[int, Folded] = {}
        self._bare: dict[int, type[Kernel[Layer]]] = {}

    def fusion(self) -> Fusion:
        """Batch norms first, so that scales may be taken in across them."""
        for i, node in enumerate(self._graph.nodes):
            giver = self._linear_before(i) if isinstance(node.layer, BatchNorm) else None
            if giver is not None and giver not in self._folded:  # a second batch norm is computed
                self._folded[giver] = Folded(norm=i)
        for i, node in enumerate(self._graph.nodes):
            bare = self._kinds[i].bare(node.layer, self._shapes[i])
            if bare is not None:
                self._strip(i, bare)
        return Fusion(self._folded, self._bare, finished=self._finished())

    def _finished(self) -> dict[int, int]:
        """The activations that the linear layer before them can do in passing, where that saves a pass."""
        found = {}
        for i, node in enumerate(self._graph.nodes):
            giver = self._linear_before(i)
            if giver is None or not self._kinds[giver].finishes or i in self._bare:
                continue
            if self._kinds[i].in_passing(node.layer) is not None and self._may_lie_like(giver, i):
                found[giver] = i
        return found

    def _may_lie_like(self, linear: int, i: int) -> bool:
        """Whether a value may lie as a linear layer gives it: nobody needs the margin it would have."""
        before, behind = self._layouts[linear], self._layouts[i]
        kinds = (self._kinds[reader] for reader in self._readers[i])
        return before.tile == behind.tile and (
            before.margin == behind.margin or all(kind.pads_in_passing for kind in kinds)
        )

    def _strip(self, i: int, bare: Bare) -> None:
        """Leave the scales of a node to the linear layers beside it, if there are such."""
        taker = self._taker(i, shifted=bare.shift != 0)
        giver = self._linear_before(i) if bare.takes != 1 else None
        if taker is None or (bare.takes != 1 and giver is None):
            return
        self._bare[i] = bare.kind
        if giver is not None:
            before = self._before(giver, i)
            self._folded[giver] = replace(before, gives=bare.takes)
        before = self._before(taker, i)
        # what this node is given may be scaled itself, by a node with the same taker
        shift = before.shift + before.scale * bare.shift
        self._folded[taker] = replace(before, scale=before.scale * bare.scale, shift=shift)

    def _before(self, linear: int, other: int) -> Folded:
        """What a linear layer has taken in so far, and one more node beside it."""
        folded = self._folded.get(linear, Folded())
        return replace(folded, others=(*folded.others, other))

    def _linear_before(self, i: int) -> int | None:
        """The linear layer, or its folded batch norm, of which a node alone reads the output."""
        source = self._only_source(i)
        if source is None or self._only_reader(source) is None:
            return None
        if self._kinds[source].folds:
            return source
        folded_away = [giver for giver, folded in self._folded.items() if folded.norm == source]
        return folded_away[0] if folded_away else None

    def _taker(self, i: int, *, shifted: bool) -> int | None:
        """The linear layer that can take in the scale, and the shift, of a node's values."""
        while (reader := self._only_reader(i)) is not None and self._only_source(reader) is not None:
            i, kind, layer = reader, self._kinds[reader], self._graph.nodes[reader].layer
            if kind.folds:
                return i if not shifted or kind.takes_shift(layer, self._shapes[i]) else None
            if not kind.commutes(layer, self._shapes[i]):
                return None
        return None

    def _only_source(self, i: int) -> int | None:
        inputs = self._graph.nodes[i].inputs
        return inputs[0] if len(inputs) == 1 else None

    def _only_reader(self, i: int) -> int | None:
        readers = self._readers[i]
        return readers[0] if len(readers) == 1 and i not in self._graph.outputs else None


def bind_kernels(
    graph: Graph, facts: Facts, selected: Sequence[Selection], layouts: tuple[Layout, ...], fusion: Fusion
) -> tuple[Kernel[Layer], ...]:
    """The kernel of every node."""
    views = {norm: linear for linear, norm in fusion.norms.items()}
    done = {**fusion.rectified, **fusion.finished}
    views |= {rectifier: before for before, rectifier in done.items()}
    kernels = []
    for i, (node, known) in enumerate(zip(graph.nodes, facts.layers, strict=True)):
        layer, weights = node.layer, known.weights
        kind = _kind(i, selected[i], fusion, views)
        folded = fusion.folded.get(i, Folded())
        if folded.norm is not None or folded.shift:
            layer = layer.replaced(bias=True)
            weights = layer.weights(*known.input_shapes)
        kernel = kind(layer, tuple(layouts[v] for v in node.inputs), layouts[i], weights)
        if selected[i].why and i not in views:
            kernel.why = selected[i].why
        kernel.absorbed = _names(graph, folded, fusion.finished.get(i))
        if i in fusion.finished:
            activation = fusion.finished[i]
            kernel.finish = selected[activation].kind.in_passing(graph.nodes[activation].layer) or leave
        if i in views:
            how = "done with" if i in done.values() else "folded into"
            kernel.algorithm = f"{how} {graph.nodes[views[i]].name}"
        kernels.append(kernel)
    return tuple(kernels)


def _kind(i: int, selected: Selection, fusion: Fusion, views: Mapping[int, int]) -> type[Kernel[Any]]:
    """The kernel that computes a node after all."""
    if i in views:
        return ViewKernel
    return RectifiedBatchNormKernel if i in fusion.rectified else fusion.bare.get(i, selected.kind)


def _names(graph: Graph, folded: Folded, finished: int | None) -> str:
    """What a linear layer takes in: `bn1 and relu1`, `the scales of sigmoid1, avgpool1`."""
    scales = ", ".join(graph.nodes[i].name for i in sorted(folded.others))
    parts = [graph.nodes[i].name for i in (folded.norm, finished) if i is not None]
    return " and ".join([*parts, f"the scales of {scales}"] if scales else parts)


def fold(
    kernel: Kernel[Layer],
    own: Mapping[str, Array],
    folded: Folded,
    norm: tuple[BatchNorm, Mapping[str, Array]] | None,
    memory: Allocator,
) -> tuple[dict[str, Array], Run]:
    """Weight and bias of a layer with what it takes in, and what makes them.

    `own` are the layer's public weights, `norm` the batch norm and its weights.
    """
    dtype = own["weight"].dtype
    new = {weight.name: memory.zeros(weight.shape, dtype) for weight in kernel.weights}
    channels = len(new["bias"]) if "bias" in new else 1

    def run() -> None:
        factor, bias = np.ones(channels), np.zeros(channels)
        if "bias" in own:
            bias += own["bias"]
        if folded.shift:  # only of weights whose first axis are the outputs
            bias += folded.shift * own["weight"].reshape(channels, -1).sum(axis=1, dtype=np.float64)
        if norm is not None:
            layer, state = norm
            factor /= np.sqrt(state["running_var"].astype(np.float64) + layer.epsilon)
            if layer.affine:
                factor *= state["weight"]
            bias = factor * (bias - state["running_mean"]) + (state["bias"] if layer.affine else 0)
        factor *= folded.gives * folded.scale
        new["weight"][...] = own["weight"] * (kernel.beside_weight(factor) if "bias" in new else factor)
        if "bias" in new:
            new["bias"][...] = bias * folded.gives

    return new, run
