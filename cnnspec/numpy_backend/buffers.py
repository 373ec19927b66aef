"""Which memory holds every value, gradient and scratch array, and from when to when.

Time counts the kernels as they run: the forward pass of node `i` at `i`, the loss at `K`, the number of
nodes, and the backward pass of node `i` at `2K - i`. Two things may be one buffer: a view and what it views,
and the input and output of a kernel that works in place, where nothing reads the input afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cnnspec.layers import Shape, product
from cnnspec.numpy_backend.kernels.base import Scratch
from cnnspec.numpy_backend.memory import Lifetime

if TYPE_CHECKING:
    from cnnspec.layers import Layer
    from cnnspec.network.graph import Graph
    from cnnspec.numpy_backend.kernels.base import Kernel, Layout


@dataclass(slots=True)
class Buffer:
    """Memory that one node answers for, alive from step `first` to step `last`."""

    node: int
    array: Scratch
    first: int
    last: int

    @property
    def grows(self) -> bool:
        """Whether every image more needs more."""
        return self.array.per_image and self.array.at_most is None

    def size(self, n: int, item: int) -> int:
        """Bytes for `n` images."""
        return product(self.array.stored(n)) * item

    def lifetime(self, n: int, item: int) -> Lifetime:
        """Bytes for `n` images, and when they matter."""
        return Lifetime(self.size(n, item), self.first, self.last)

    def touch(self, time: int) -> None:
        """Keep the buffer alive at this time."""
        self.first = min(self.first, time)
        self.last = max(self.last, time)


@dataclass(frozen=True, slots=True)
class Buffers:
    """All buffers of a program, and by index who uses which.

    `apart` holds, for each input of a node whose gradient another node has written already, the buffer for
    this node's part of it, which is then added.
    """

    all: list[Buffer] = field(default_factory=list)
    values: list[int] = field(default_factory=list)
    gradients: dict[int, int] = field(default_factory=dict)
    apart: dict[tuple[int, int], int] = field(default_factory=dict)
    scratch: list[Mapping[str, int]] = field(default_factory=list)
    loss: dict[str, int] = field(default_factory=dict)

    def new(self, node: int, shape: Shape, time: int) -> int:
        """A buffer for a value that is alive at one time so far."""
        return self.own(node, Scratch("value", shape, "both"), time)

    def own(self, node: int, array: Scratch, time: int) -> int:
        """A buffer of a kernel's own that is alive at one time so far."""
        self.all.append(Buffer(node, array, time, time))
        return len(self.all) - 1


def assign_buffers(
    graph: Graph,
    layouts: Sequence[Layout],
    kernels: Sequence[Kernel[Layer]],
    loss: Sequence[Scratch],
    training: bool,
) -> Buffers:
    """The buffers of the forward pass and, in training, of the backward pass."""
    buffers = Buffers()
    _assign_values(buffers, graph, layouts, kernels, training)
    if training:
        _assign_gradients(buffers, graph, layouts, kernels)
    _assign_scratch(buffers, graph, kernels, training)
    count = len(graph.nodes)
    for scratch in loss:
        buffers.loss[scratch.name] = buffers.own(count - 1, scratch, count)
    return buffers


def _assign_values(
    buffers: Buffers,
    graph: Graph,
    layouts: Sequence[Layout],
    kernels: Sequence[Kernel[Layer]],
    training: bool,
) -> None:
    count, consumers = len(graph.nodes), graph.consumers()
    untouchable: set[int] = set()
    for i, (node, kernel) in enumerate(zip(graph.nodes, kernels, strict=True)):
        source = buffers.values[node.inputs[0]] if node.inputs else -1
        over = kernel.in_place and layouts[i] == layouts[node.inputs[0]] and source not in untouchable
        if training and kernel.keeps_input:
            over = False
        own = source if kernel.view or over else buffers.new(i, layouts[i].stored, _forward_time(graph, i))
        buffers.values.append(own)
        buffers.all[own].touch(i)
        if len(consumers[i]) > 1 or i in graph.outputs or (training and kernel.keeps_output):
            untouchable.add(own)
        for v in node.inputs:
            buffers.all[buffers.values[v]].touch(i)
            if training and kernel.keeps_input:
                buffers.all[buffers.values[v]].touch(2 * count - i)
                untouchable.add(buffers.values[v])
        if training and kernel.keeps_output:
            buffers.all[own].touch(2 * count - i)
    for i in read_by_loss(graph):
        buffers.all[buffers.values[i]].touch(count)


def _forward_time(graph: Graph, i: int) -> int:
    """When a node first writes: the inputs are loaded, all of them, before the first kernel runs."""
    return i if graph.nodes[i].inputs else 0


def read_by_loss(graph: Graph) -> tuple[int, ...]:
    """The outputs, and what they are made from: a loss may read the logits under a final softmax."""
    return tuple({v for i in graph.outputs for v in (i, *graph.nodes[i].inputs)})


def _assign_gradients(
    buffers: Buffers, graph: Graph, layouts: Sequence[Layout], kernels: Sequence[Kernel[Layer]]
) -> None:
    """Walk backward: the last reader of a value is the first to write its gradient, the others add to it."""
    count, gradients = len(graph.nodes), buffers.gradients
    for i in graph.outputs:
        gradients[i] = buffers.new(i, layouts[i].stored, count)
    for i in reversed(range(count)):
        node, kernel, time = graph.nodes[i], kernels[i], 2 * count - i
        if i not in gradients:
            continue
        buffers.all[gradients[i]].touch(time)
        for slot, v in enumerate(node.inputs):
            over = kernel.view or (kernel.in_place and slot == 0 and layouts[i] == layouts[v])
            own = gradients[i] if over else buffers.new(v, layouts[v].stored, time)
            buffers.all[gradients.setdefault(v, own)].touch(time)
            if gradients[v] != own:
                buffers.apart[i, slot] = own
    for i in read_by_loss(graph):
        buffers.all[gradients[i]].touch(count)
    for i in gradients.keys() & graph.sources():
        buffers.all[gradients[i]].touch(2 * count)  # given back in the end


def _assign_scratch(buffers: Buffers, graph: Graph, kernels: Sequence[Kernel[Layer]], training: bool) -> None:
    count = len(kernels)
    for i, kernel in enumerate(kernels):
        mine: dict[str, int] = {}
        for scratch in kernel.scratch():
            if scratch.during in ("backward", "kept") and not training:
                continue
            begin, back = _forward_time(graph, i), 2 * count - i
            first = back if scratch.during == "backward" else begin
            last = i if scratch.during == "forward" else back
            mine[scratch.name] = buffers.own(i, scratch, first)
            buffers.all[mine[scratch.name]].touch(last if training else first)
        buffers.scratch.append(mine)
