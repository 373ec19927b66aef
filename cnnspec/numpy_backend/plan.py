"""The plan: every choice that is made before anything is computed, and what it costs in memory.

A plan allocates nothing. It can be printed, and refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from cnnspec.layers import product
from cnnspec.network.table import in_bytes
from cnnspec.numpy_backend.account import standing
from cnnspec.numpy_backend.blas import cores
from cnnspec.numpy_backend.buffers import Buffers, assign_buffers
from cnnspec.numpy_backend.choices import NO_CHOICES, Choices
from cnnspec.numpy_backend.costs import Conditions
from cnnspec.numpy_backend.fusion import Fusion, bind_kernels, find_fusion
from cnnspec.numpy_backend.kernels.base import Kernel, Layout
from cnnspec.numpy_backend.kernels.losses import LossKernel, loss_kernel
from cnnspec.numpy_backend.layouts import choose_layouts, kinds_of
from cnnspec.numpy_backend.memory import aligned, place
from cnnspec.numpy_backend.processes import can_fork
from cnnspec.numpy_backend.selection import Selection, select_kernels
from cnnspec.numpy_backend.teams import in_order

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import DTypeLike

    from cnnspec.layers import Layer
    from cnnspec.network.graph import Facts, Graph
    from cnnspec.recipe.learning import Loss


@dataclass(frozen=True, slots=True)
class Step:
    """How one node is computed."""

    name: str
    layer: str
    algorithm: str
    tile: str
    layout: str
    why: str
    bytes: int


@dataclass(frozen=True)
class Plan:
    """The choices for one network, and for batches of up to `batch` images.

    Attributes:
        workers: how many share a batch.
        processes: whether they are processes; threads otherwise.
        team: whether they compute every layer together, there being fewer images than workers.
        blas_threads: threads that each of them may use within one matrix product.
        micro_batch: images of a piece, which a worker computes at a time.
        in_step: pieces that a worker keeps at work; more than one where layers need numbers of the whole
            batch in training, at which all pieces of the batch must have come so far.
        arena_bytes: activations, gradients and scratch of one piece.
        bytes_by_node: all memory that is there because of each node.
        total_bytes: all memory of the model.
    """

    graph: Graph
    facts: Facts
    batch: int
    training: bool
    loss: Loss | None
    workers: int
    processes: bool
    team: bool
    blas_threads: int
    micro_batch: int
    in_step: int
    dtype: np.dtype[np.float32]
    layouts: tuple[Layout, ...]
    kernels: tuple[Kernel[Layer], ...]
    selected: tuple[Selection, ...]
    buffers: Buffers
    fusion: Fusion
    offsets: tuple[int, ...]
    arena_bytes: int
    bytes_by_node: Mapping[str, int]
    total_bytes: int

    @property
    def logits(self) -> int:
        """The node whose values a loss reads."""
        return logits_of(self.graph, self.loss)

    @property
    def loss_kernel(self) -> LossKernel | None:
        """How the loss is computed, where there is one."""
        return loss_kernel(self.loss, self.facts.shape(self.logits)) if self.loss else None

    @property
    def reaching_weights(self) -> set[int]:
        """The nodes that own weights to learn or follow one that does: others need no gradient."""
        found: set[int] = set()
        for i, (node, layer) in enumerate(zip(self.graph.nodes, self.facts.layers, strict=True)):
            if any(weight.learned for weight in layer.weights) or found.intersection(node.inputs):
                found.add(i)
        return found

    @property
    def arenas(self) -> int:
        """The pieces that are at work at a time, each with memory of its own."""
        return self.workers * self.in_step

    @property
    def in_step_for(self) -> tuple[str, ...]:
        """The layers at which all pieces of a batch meet: they need numbers of the whole in training."""
        names = (n.name for n, k in zip(self.graph.nodes, self.kernels, strict=True) if k.exchanges())
        return tuple(names) if self.training else ()

    @property
    def fewest_images(self) -> tuple[int, str]:
        """The smallest batch that can be trained on, and the layer that needs so many images."""
        needs = [(k.fewest_images, n.name) for n, k in zip(self.graph.nodes, self.kernels, strict=True)]
        return max(needs, key=lambda need: need[0])

    @property
    def choices(self) -> Choices:
        """What the plan chose, so that `make_plan` can choose it again."""
        pairs = zip(self.graph.nodes, self.selected, strict=True)
        algorithms = {node.name: one.kind.name for node, one in pairs if one.rivals}
        return Choices(algorithms, self.workers, self.micro_batch)

    @property
    def steps(self) -> tuple[Step, ...]:
        """One entry a node, in the order in which they run."""
        return tuple(
            Step(
                node.name,
                str(node.layer),
                self._algorithm(i),
                "x".join(map(str, kernel.outputs_at_once)),
                str(layout),
                kernel.why,
                self.bytes_by_node[node.name],
            )
            for i, (node, kernel, layout) in enumerate(
                zip(self.graph.nodes, self.kernels, self.layouts, strict=True)
            )
        )

    def _algorithm(self, i: int) -> str:
        kernel = self.kernels[i]
        parts = [kernel.algorithm]
        if kernel.absorbed:
            parts.append(f"with {kernel.absorbed}")
        if self._in_place(i):
            parts.append("in place")
        return ", ".join(parts)

    def _in_place(self, i: int) -> bool:
        values, inputs = self.buffers.values, self.graph.nodes[i].inputs
        return bool(inputs) and values[i] == values[inputs[0]] and not self.kernels[i].view

    def __str__(self) -> str:
        return _table(self)


def logits_of(graph: Graph, loss: Loss | None) -> int:
    """The node whose values a loss reads: the last one, or that before an activation it has in it."""
    output = graph.nodes[graph.outputs[0]]
    skipped = loss is not None and output.layer.keyword in loss.absorbs
    return output.inputs[0] if skipped else graph.outputs[0]


def make_plan(
    graph: Graph,
    facts: Facts,
    *,
    batch: int,
    training: bool = True,
    loss: Loss | None = None,
    workers: int | None = None,
    processes: bool | None = None,
    micro_batch: int | None = None,
    reuse_memory: bool = True,
    fuse: bool = True,
    dtype: DTypeLike = "float32",
    choices: Choices = NO_CHOICES,
) -> Plan:
    """Choose layouts, algorithms, workers and the size of a piece, and place all buffers.

    Workers are processes where the system can fork, unless `processes` says otherwise. With `fuse=False`
    every layer is computed by itself, with `reuse_memory=False` every buffer memory of its own: for tests.
    What `choices` settle is taken as it is, but for what is given beside them.

    Raises:
        ValueError: a number is below 1, or the network is one that this backend cannot run.
        NotImplementedError: a layer kind has no kernel.
    """
    _check(graph, loss, batch=batch, workers=workers, micro_batch=micro_batch)
    number = cast("np.dtype[np.float32]", np.dtype(dtype))
    if number.kind != "f" or number.itemsize < 4:
        raise ValueError(f"dtype must be float32 or float64, not {number}")
    crew = _hire(facts, batch, workers, choices.workers, processes=processes, training=training)
    asked_piece = micro_batch or choices.micro_batch
    conditions = _conditions(graph, facts, crew, asked_piece, training)
    selected = select_kernels(graph, facts, conditions, choices.algorithms)
    kinds = [one.kind for one in selected]
    layouts = choose_layouts(graph, facts, kinds)
    fusion = find_fusion(graph, facts, kinds, layouts, training) if fuse else Fusion()
    layouts = fusion.laid_out(layouts)
    kernels = bind_kernels(graph, facts, selected, layouts, fusion)
    loss_scratch = loss_kernel(loss, facts.shape(graph.outputs[0])).scratch() if loss else ()
    buffers = assign_buffers(graph, layouts, kernels, loss_scratch, training)
    image = place([b.lifetime(1, number.itemsize) for b in buffers.all if b.grows])[1]
    meeting = training and any(kernel.exchanges() for kernel in kernels)
    piece = min(asked_piece or choose_micro_batch(image, crew.share, together=meeting), batch)
    in_step = math.ceil(crew.share / piece) if meeting else 1
    offsets, arena = place([b.lifetime(piece, number.itemsize) for b in buffers.all], reuse_memory)
    sizes = _bytes_by_node(graph, facts, kernels, buffers, crew, in_step, piece, number.itemsize, training)
    arenas = crew.workers * in_step
    beside = sum(sizes.values()) - _arena_bytes_unshared(buffers, arenas, piece, number.itemsize)
    return Plan(
        graph=graph,
        facts=facts,
        batch=batch,
        training=training,
        loss=loss,
        workers=crew.workers,
        processes=crew.processes,
        team=crew.team,
        blas_threads=crew.blas_threads,
        micro_batch=piece,
        in_step=in_step,
        dtype=number,
        layouts=layouts,
        kernels=kernels,
        selected=selected,
        buffers=buffers,
        fusion=fusion,
        offsets=offsets,
        arena_bytes=arena,
        bytes_by_node=sizes,
        total_bytes=beside + _bytes_of_processes(crew, in_step, len(kernels)) + arenas * arena,
    )


@dataclass(frozen=True, slots=True)
class _Crew:
    """Who computes a batch: `workers` with `blas_threads` each, `share` images for one of them.

    `at_a_product` is how many threads are at work on one matrix product, of whichever worker.
    """

    workers: int
    processes: bool
    team: bool
    share: int
    blas_threads: int
    at_a_product: int


def _hire(
    facts: Facts, batch: int, asked: int | None, chosen: int | None, *, processes: bool | None, training: bool
) -> _Crew:
    """As many workers as are asked for, by the caller or by choices, or as the work is enough for."""
    forks = can_fork() if processes is None else processes
    may_team = forks and not training and in_order()
    workers = asked or chosen or choose_workers(facts, batch, processes=forks, team=may_team)
    team = may_team and workers > batch
    threads = 1 if asked or workers > 1 else cores()
    return _Crew(
        workers=workers,
        processes=forks and workers > 1,
        team=team,
        share=batch if team else math.ceil(batch / workers),
        blas_threads=threads,
        at_a_product=workers if team else threads,
    )


def _conditions(
    graph: Graph, facts: Facts, crew: _Crew, asked_piece: int | None, training: bool
) -> Conditions:
    """Under which kernels are selected: before it is known how much memory an image takes."""
    meets = training and any(kind.exchanges is not Kernel.exchanges for kind in kinds_of(graph, facts))
    likely = asked_piece or choose_micro_batch(
        _likely_bytes(graph, facts, training), crew.share, together=meets
    )
    return Conditions(min(likely, crew.share), training, crew.at_a_product)


def _likely_bytes(graph: Graph, facts: Facts, training: bool) -> int:
    """What an image takes in float32: all values and gradients, or in prediction a layer and its inputs."""
    sizes = [4 * product(facts.shape(i)) for i in range(len(graph.nodes))]
    if training:
        return 2 * sum(sizes)
    return max(
        size + sum(sizes[v] for v in node.inputs) for size, node in zip(sizes, graph.nodes, strict=True)
    )


def _check(graph: Graph, loss: Loss | None, **counts: int | None) -> None:
    for name, count in counts.items():
        if count is not None and count < 1:
            raise ValueError(f"{name} must be at least 1, not {count}")
    if not graph.outputs or not graph.sources():
        raise ValueError("a network to compile has inputs and outputs")
    if loss is not None and len(graph.outputs) > 1:
        names = ", ".join(graph.nodes[i].name for i in graph.outputs)
        raise ValueError(f"a loss needs a network of one output, and this one has {names}")


# --- how a batch is shared ------------------------------------------------------------------------------

PIECE_STEP: Final = 16
"""Pieces are multiples of this many images: a float32 vector register holds 16."""
LARGEST_PIECE: Final = 128
CACHES: Final = 8
"""A worker's arena may be this many times its L2 cache. A kernel touches a small part of it at a time, and
short rows cost more than the next cache: LeNet trains as fast with 48, 64 and 128 images in a piece, 8 %
slower with 32, 25 % slower with 16 (1 MiB of L2, 16 MiB of L3 a core). A piece has fewer than 16 only where
these would take more than a gigabyte."""
LARGEST_ARENA: Final = 1 << 30
WORK_FOR_A_THREAD: Final = 10_000_000
"""Multiply-accumulates of a share below which threads hinder each other more than they help: between short
NumPy calls they wait for Python's lock. One worker with a BLAS of several threads is faster then. (LeNet on
two cores, images a second: 32 in a batch 29,500 with one worker and 27,500 with two, 64 in a batch 34,400
both ways, 256 in a batch 34,900 and 41,700.)"""
WORK_FOR_A_PROCESS: Final = 2_500_000
"""The same for processes, which cost a message each way."""


WORK_FOR_A_MEMBER: Final = 25_000_000
"""The same for a member of a team, which waits for the others some times in every layer. (One image on two
cores, milliseconds of one worker with two BLAS threads, and of a team: LeNet 0.08 and 0.17, ResNet-20 of
41M multiply-accumulates 1.46 and 1.37, SqueezeNet of 349M 7.2 and 5.0, VGG-11 of 7.6G 44.8 and 37.2.)"""


def choose_workers(facts: Facts, batch: int, *, processes: bool, team: bool = False) -> int:
    """A worker for each core, but none with too little to do; more than images where they can be a team."""
    work = batch * max(facts.totals().macs, 1)
    if team and (members := min(cores(), work // WORK_FOR_A_MEMBER)) > batch:
        return members
    return max(1, min(cores(), batch, work // (WORK_FOR_A_PROCESS if processes else WORK_FOR_A_THREAD)))


def choose_micro_batch(bytes_per_image: int, share: int, *, together: bool = False) -> int:
    """Images in a piece: as many as keep a worker's arena near, the pieces of a share alike.

    Where all pieces of a batch are in memory `together`, nothing is near, and the largest pieces are fastest.
    (ResNet-20 on CIFAR, batch 128, images a second: 670 in pieces of 16, 710 of 32, 830 of 64.)
    """
    fitting = CACHES * cache_bytes() // max(bytes_per_image, 1)
    bearable = max(LARGEST_ARENA // max(bytes_per_image, 1), 1)
    most = LARGEST_PIECE if together else min(max(fitting, min(bearable, PIECE_STEP)), LARGEST_PIECE)
    even = math.ceil(share / math.ceil(share / most))
    if even < PIECE_STEP:
        return even
    return math.ceil(even / PIECE_STEP) * PIECE_STEP


def why_workers(plan: Plan) -> str:
    """Why there are so many, in numbers."""
    forks = can_fork()
    may_team = forks and not plan.training and in_order()
    if plan.workers != choose_workers(plan.facts, plan.batch, processes=forks, team=may_team):
        return "as chosen"
    if plan.team:
        return "more than images, so that they compute every layer together"
    work = plan.batch * plan.facts.totals().macs
    if plan.workers == cores():
        share = _millions(work / plan.workers)
        return f"one for each processor, with {share} multiply-accumulates of a batch"
    if plan.workers == plan.batch:
        return "there is one image" if plan.batch == 1 else "one for each image"
    least = WORK_FOR_A_PROCESS if can_fork() else WORK_FOR_A_THREAD
    return f"a batch is {_millions(work)} multiply-accumulates, and a worker is to have {_millions(least)}"


def _millions(count: float) -> str:
    return f"{count / 1e6:,.0f}M" if count >= 1e7 else f"{count / 1e6:.2g}M"


def why_pieces(plan: Plan) -> str:
    """Why they have so many images, in numbers."""
    image = place([b.lifetime(1, plan.dtype.itemsize) for b in plan.buffers.all if b.grows])[1]
    share = math.ceil(plan.batch / plan.workers)
    together = bool(plan.in_step_for)
    if plan.micro_batch != min(choose_micro_batch(image, share, together=together), plan.batch):
        return "as chosen"
    takes = f"an image takes {in_bytes(image)}"
    if plan.micro_batch >= share:
        return f"{takes}, and a worker takes its share at once"
    if CACHES * cache_bytes() // image >= plan.micro_batch:
        return f"{takes}, and a piece stays within {CACHES} times the {in_bytes(cache_bytes())} of cache"
    return f"{takes}, and pieces of fewer than {PIECE_STEP} have short rows"


PROCESS_BYTES: Final = 8_000_000
"""What a forked process takes for itself: mostly pages of Python that it shares until it counts references
there, and the BLAS's own memory."""
BOUND_BYTES: Final = 50_000
"""What the views and functions of a node take that is bound to the memory of a piece: 47 to 90 kB in large
networks, 30 kB in LeNet."""


@cache
def cache_bytes() -> int:
    """The L2 cache of a core, where the system tells it; 1 MiB otherwise."""
    path = Path("/sys/devices/system/cpu/cpu0/cache/index2/size")
    try:
        text = path.read_text().strip()
        return int(text.removesuffix("K")) * 1024
    except (OSError, ValueError):
        return 1 << 20


# --- what it costs --------------------------------------------------------------------------------------


def _bytes_by_node(
    graph: Graph,
    facts: Facts,
    kernels: tuple[Kernel[Layer], ...],
    buffers: Buffers,
    crew: _Crew,
    in_step: int,
    piece: int,
    item: int,
    training: bool,
) -> dict[str, int]:
    """Weights, gradients, what is made of them, and the node's buffers as if none shared memory.

    The rows of the other processes lie in shared memory, beside those of the caller.
    """
    sizes = []
    for layer, kernel in zip(facts.layers, kernels, strict=True):
        sizes.append(standing(layer, kernel, crew.workers, training).total * item)
    for buffer in buffers.all:
        sizes[buffer.node] += crew.workers * in_step * aligned(buffer.size(piece, item))
    for i in graph.sources() if crew.processes else ():
        sizes[i] += (crew.workers - 1) * crew.share * aligned(product(facts.shape(i)) * item)
    return {node.name: size for node, size in zip(graph.nodes, sizes, strict=True)}


def _bytes_of_processes(crew: _Crew, in_step: int, nodes: int) -> int:
    """What worker processes take beside their arenas."""
    if not crew.processes:
        return 0
    return (crew.workers - 1) * PROCESS_BYTES + crew.workers * in_step * nodes * BOUND_BYTES


def _arena_bytes_unshared(buffers: Buffers, arenas: int, piece: int, item: int) -> int:
    return arenas * sum(aligned(b.size(piece, item)) for b in buffers.all)


def _table(plan: Plan) -> str:
    rows = [("layer", "is", "computed by", "output lies as", "bytes", "because")]
    rows += [(s.name, s.layer, s.algorithm, s.layout, f"{s.bytes:,}", s.why) for s in plan.steps]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    head = (
        f"batches of {plan.batch} in pieces of {plan.micro_batch}, {plan.workers} workers, "
        f"{plan.blas_threads} BLAS threads each, {plan.total_bytes:,} bytes"
    )
    if plan.in_step_for:
        head += f"\nall pieces of a batch keep step, for the statistics of {listed(plan.in_step_for)}"
    return "\n".join([head, *lines])


def listed(names: tuple[str, ...], most: int = 3) -> str:
    """The first few of some names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
