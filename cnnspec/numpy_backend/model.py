"""A compiled network: weights, and the functions that run it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from cnnspec.layers import product, show
from cnnspec.layers.normalization import BatchNorm
from cnnspec.numpy_backend.bench import Bench, Call, Share
from cnnspec.numpy_backend.blas import blas_threads
from cnnspec.numpy_backend.choices import NO_CHOICES, Choices
from cnnspec.numpy_backend.fusion import fold
from cnnspec.numpy_backend.kernels.base import Array
from cnnspec.numpy_backend.kernels.losses import LossKernel, Tally, add_up
from cnnspec.numpy_backend.looping import short_buffer
from cnnspec.numpy_backend.meetings import Exchanges
from cnnspec.numpy_backend.memory import ALIGNMENT, Allocator
from cnnspec.numpy_backend.parameters import Sums, Weights, of_node, weight_arrays
from cnnspec.numpy_backend.plan import Plan, make_plan
from cnnspec.numpy_backend.ports import Arrays, Given, Ports
from cnnspec.numpy_backend.processes import Processes, bytes_of_a_row
from cnnspec.numpy_backend.program import Tables
from cnnspec.numpy_backend.tasks import Backward, Forward, Judge, Learn, Task
from cnnspec.numpy_backend.teams import seats
from cnnspec.numpy_backend.workers import Threads

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from cnnspec.network.graph import Facts, Graph
    from cnnspec.recipe.learning import Loss


def compile_graph(
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
) -> Model:
    """Compile a checked network; its weights are zeros until set. The arguments are `make_plan`'s."""
    plan = make_plan(
        graph,
        facts,
        batch=batch,
        training=training,
        loss=loss,
        workers=workers,
        processes=processes,
        micro_batch=micro_batch,
        reuse_memory=reuse_memory,
        fuse=fuse,
        dtype=dtype,
        choices=choices,
    )
    return Model(plan)


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The mean loss over `count` images, and how many of them got the right class.

    `weight` is the sum of the images' weights in that mean: `count`, unless the loss weights classes. The
    others are the sums of a `Tally`, where nothing is learned.
    """

    loss: float
    correct: float
    count: int
    weight: float = 0.0
    top5: float = 0.0
    absolute: float = 0.0
    squared: float = 0.0


@dataclass(slots=True)
class _Kept:
    """What `backward` needs of the forward pass before it; `fresh` while the activations are still there."""

    x: Arrays
    step: int
    fresh: bool


class Model:
    """An executable network. Arrays are `N x C x H x W`; weights have the layouts that the layers declare.

    A model is for one caller at a time. Two runs give the same bits on the same machine with the same NumPy,
    number of workers and sizes of batches.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.step = 0
        self._seed = 0
        self._crew: Threads | Processes | None = None
        self._kept: _Kept | None = None
        self._last_shared: tuple[int, int] | None = None
        self._last_shares: list[Share] = []
        self.inputs = Ports.inputs(plan.graph, plan.facts)
        self.outputs = Ports.outputs(plan.graph, plan.facts)
        self._loss = plan.loss_kernel
        self._build_tables()

    # --- weights ----------------------------------------------------------------------------------------

    @property
    def weights(self) -> Weights:
        """The weights by name, `conv1.weight`; assigning copies into place.

        Where the plan is for prediction alone, the arrays themselves are read-only.
        """
        return self._weights

    @property
    def gradients(self) -> Mapping[str, Array]:
        """The gradients of the weights under the same names, as the last backward pass left them."""
        return self._gradients

    def seed(self, seed: int) -> None:
        """Begin the random numbers of training anew: what dropout drops derives from seed and step."""
        self._seed, self.step = seed, 0

    def _build_tables(self) -> None:
        """Allocate weights and gradients."""
        plan = self.plan
        workers = plan.workers if plan.training else 1
        # what prediction never changes is inherited: memory of one's own may have large pages, shared may not
        memory = Allocator(shared=plan.processes and plan.training)
        sums = Sums(plan, workers, memory)
        self._sum_blocks, self.block = sums.blocks, sums.block()
        learned = self.block if plan.training else None
        arrays = weight_arrays(plan.graph, plan.facts, plan.dtype, learned, memory)
        gradients = self.block.named(self.block.gradients)
        shared = [
            {name: memory.zeros(shape, plan.dtype) for name, shape in kernel.shared().items()}
            for kernel in plan.kernels
        ]
        tables = [sums.tables(worker) for worker in range(workers)]
        weights = []
        self._prepare, self._fold = [], []
        for i, (node, kernel) in enumerate(zip(plan.graph.nodes, plan.kernels, strict=True)):
            weights.append(self._weights_of(arrays, i, memory))
            if (run := kernel.prepare(weights[i], shared[i])) is not None:
                self._prepare.append(run)
            names = tuple(w.name for w in kernel.weights if f"{node.name}.{w.name}" in gradients)
            mine = of_node(gradients, node.name, names)
            if mine and (run := kernel.fold(tables[0][i], mine)) is not None:
                self._fold.append(run)
        self._weights = Weights(arrays, writeable=plan.training)
        self._gradients = MappingProxyType({name: gradients[name] for name in arrays if name in gradients})
        self._exchanges = Exchanges(plan, weights, tables[0], memory)
        self._tables = [Tables(weights, shared, own, self._exchanges) for own in tables]
        self._stopped = Allocator(shared=plan.processes).zeros((1,), np.uint8)

    def _weights_of(self, arrays: Mapping[str, Array], i: int, memory: Allocator) -> dict[str, Array]:
        """The arrays that a node computes with: the public ones, or copies with other layers folded in."""
        graph, facts = self.plan.graph, self.plan.facts
        own = of_node(arrays, graph.nodes[i].name, tuple(w.name for w in facts.layers[i].weights))
        folded = self.plan.fusion.folded.get(i)
        if folded is None:
            return own
        norm = None
        if folded.norm is not None:
            layer = graph.nodes[folded.norm].layer
            assert isinstance(layer, BatchNorm)
            names = tuple(w.name for w in facts.layers[folded.norm].weights)
            norm = layer, of_node(arrays, graph.nodes[folded.norm].name, names)
        new, run = fold(self.plan.kernels[i], own, folded, norm, memory)
        self._prepare.append(run)
        return new

    # --- running ----------------------------------------------------------------------------------------

    def forward(self, x: Given, training: bool = False) -> Array | Arrays:
        """The output for `N x C x H x W` images, up to as many as the plan's batch.

        Of a network with several inputs, `x` is a tuple of arrays in their order, or a dictionary by name;
        the output of one with several is a tuple. With `training`, dropout drops, and `backward` may follow;
        `x` must not be changed before it.

        Raises:
            ValueError: `x` has another shape, or too few images for training.
        """
        images = self.inputs.samples(x, "x")
        count = len(images[0])
        self._check_count(count)
        if training:
            self._need_training("forward with training")
            self._check_enough(count)
            self.step += 1
        out = self._run_forward(images, training)
        if training:
            alone = all(len(share.pieces) <= self.plan.in_step for share in self._shares(0, count))
            self._kept = _Kept(images, self.step, fresh=alone)
        return self.outputs.given_back(out)

    def predict(self, x: Given) -> Array | Arrays:
        """The output for any number of images."""
        return self.outputs.given_back(self._run_forward(self.inputs.samples(x, "x"), training=False))

    def backward(self, dy: Given) -> Array | Arrays:
        """The gradient of the input, from that of the output of the last `forward` with `training`.

        Several are given and given back as `forward` does. Fills `gradients`. Where a worker had several
        pieces, their activations are computed again.

        Raises:
            ValueError: no such `forward` came before, or `dy` has another shape.
        """
        if self._kept is None:
            raise ValueError("backward needs a forward(x, training=True) before it")
        kept, count = self._kept, len(self._kept.x[0])
        gradients = self.outputs.exactly(count, dy, "dy")
        out = self.inputs.empty(count, self.plan.dtype)

        task = Backward((*kept.x, *gradients), out, len(kept.x), again=not kept.fresh)
        self._run(task, count, training=True, step=kept.step, again=True)
        self._sum_up(count)
        kept.fresh = False
        return self.inputs.given_back(out)

    def loss_and_gradients(
        self, x: Given, labels: NDArray[np.number], indices: NDArray[np.integer] | None = None
    ) -> BatchResult:
        """The mean loss of a batch; fills `gradients` with those of this mean.

        With `indices`, the batch is these rows of `x` and `labels`, gathered by the workers. Labels are class
        numbers, or targets like the outputs, as the loss takes them. With a final softmax or without,
        cross-entropy is computed from the logits, and likewise the binary one with a sigmoid.

        Raises:
            ValueError: shapes do not fit, an index is out of range, a label is no class, or there are too few
                images.
        """
        self._need_training("loss_and_gradients")
        loss = self._need_loss()
        arrays = self.inputs.samples(x, "x")
        targets = loss.targets(labels, len(arrays[0]))
        count = len(targets) if indices is None else self._check_indices(indices, arrays)
        self._check_count(count)
        self._check_enough(count)
        self.step += 1
        weight = loss.weight(targets if indices is None else targets[indices])

        task = Learn((*arrays, targets), (), len(arrays), indices, weight or 1.0)
        tally = self._run(task, count, training=True, step=self.step)
        self._sum_up(count)
        return BatchResult(tally.loss / (weight or 1.0), tally.correct, count, weight)

    def evaluate(self, x: Given, labels: NDArray[np.number]) -> BatchResult:
        """The mean loss over any number of images, without gradients.

        Raises:
            ValueError: shapes do not fit, or a label is no class.
        """
        loss = self._need_loss()
        arrays = self.inputs.samples(x, "x")
        count = len(arrays[0])
        targets = loss.targets(labels, count)
        weight = loss.weight(targets)

        task = Judge((*arrays, targets), (), len(arrays))
        tally = self._run(task, count, training=False, step=self.step)
        further = (tally.top5, tally.absolute, tally.squared)
        return BatchResult(tally.loss / (weight or 1.0), tally.correct, count, weight, *further)

    def close(self) -> None:
        """End the workers; a later call starts them again."""
        if self._crew is not None:
            self._crew.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- sharing a batch --------------------------------------------------------------------------------

    def _run_forward(self, x: Arrays, training: bool) -> Arrays:
        out = self.outputs.empty(len(x[0]), self.plan.dtype)
        self._run(Forward(x, out, len(x)), len(x[0]), training=training, step=self.step)
        return out

    def _run(self, task: Task, count: int, *, training: bool, step: int, again: bool = False) -> Tally:
        """Let every worker do its share of a task; the sum of their tallies, worker by worker.

        `again` says that this belongs to a forward pass before it, so that none of it changes state.
        """
        prepare = not (again and self._kept is not None and self._kept.fresh)
        if self._kept is not None and prepare:
            self._kept.fresh = False
        call = Call(training, self._seed, step, again, together=training and bool(self.plan.in_step_for))
        self._exchanges.moment.repeats = again
        if call.together:
            self._exchanges.clear()
        crew = self._hired()
        with blas_threads(self.plan.blas_threads), short_buffer(self.plan.arena_bytes):
            if prepare and (self._weights.fresh or self.plan.training):
                self._prepare_kernels(crew)
            tallies = [crew.run(task, shares, call) for shares in self._rounds(task, count)]
        return add_up(tallies)

    def _prepare_kernels(self, crew: Threads | Processes) -> None:
        """Make of the weights what kernels compute with; workers that inherited older ones end."""
        if not self.plan.training:
            crew.close()
        for run in self._prepare:
            run()
        self._weights.fresh = False

    def _hired(self) -> Threads | Processes:
        """The crew, whose workers begin to live when there is work for them."""
        if self._crew is None:
            plan, tables = self.plan, self._tables
            team = seats(plan) if plan.team else [None] * plan.workers
            benches = [Bench(plan, tables[w % len(tables)], w, seat) for w, seat in enumerate(team)]
            if plan.processes:
                gate = team[0].gate if team[0] is not None else None
                self._crew = Processes(benches, self._capacity(), self._stopped, gate)
            else:
                self._crew = Threads(benches)
        return self._crew

    def _sum_up(self, count: int) -> None:
        """Add the workers' sums, in the order of the workers, and turn them into gradients."""
        total, *others = self._sum_blocks[: self._active(count)]
        for other in others:
            np.add(total, other, out=total)
        for run in self._fold:
            run()

    def _active(self, count: int) -> int:
        if self.plan.team:
            return self.plan.workers
        return max(1, min(self.plan.workers, count))

    def _shares(self, first: int, count: int) -> list[Share]:
        """The shares of the workers that have something to do with so many images from the first on."""
        if (first, count) != self._last_shared:
            self._last_shared, self._last_shares = (first, count), self._share_out(first, count)
        return self._last_shares

    def _share_out(self, first: int, count: int) -> list[Share]:
        active, size = self._active(count), self.plan.micro_batch
        if self.plan.team:
            return [Share(first, first + count, size)] * active
        bounds = [(count * w // active, count * (w + 1) // active) for w in range(active)]
        return [Share(first + start, first + stop, size) for start, stop in bounds]

    def _rounds(self, task: Task, count: int) -> list[list[Share]]:
        """The shares, round by round: processes have room for so many images at a time."""
        if not self.plan.processes or self.plan.team or count <= self.plan.batch:
            return [self._shares(0, count)]
        arrays = (*task.reads, *task.writes)
        room = self._capacity() - len(arrays) * ALIGNMENT
        most = max(room // bytes_of_a_row(arrays), 1) * self.plan.workers
        return [self._shares(first, min(most, count - first)) for first in range(0, count, most)]

    def _capacity(self) -> int:
        """Bytes that the rows of a worker's share take, of the widest numbers that are given."""
        plan = self.plan
        sizes = [*map(product, self.inputs.shapes), *map(product, self.outputs.shapes)]
        arrays = 2 * len(sizes) + 1
        images = -(-plan.batch // plan.workers)
        return images * (2 * sum(sizes) + max(sizes)) * 8 + arrays * ALIGNMENT

    # --- checking ---------------------------------------------------------------------------------------

    def _check_indices(self, indices: NDArray[np.integer], arrays: Arrays) -> int:
        for x in arrays:
            if x.dtype != self.plan.dtype:
                raise ValueError(f"with indices, x must be {self.plan.dtype}, not {x.dtype}")
        if indices.ndim != 1 or not len(indices):
            raise ValueError(f"indices must be one row of numbers, not {show(indices.shape)}")
        if indices.min() < 0 or indices.max() >= len(arrays[0]):
            raise ValueError(f"indices must be from 0 to {len(arrays[0]) - 1}")
        return len(indices)

    def _check_count(self, count: int) -> None:
        if count > self.plan.batch:
            raise ValueError(f"{count} images are more than the batch of {self.plan.batch} compiled for")

    def _check_enough(self, count: int) -> None:
        fewest, layer = self.plan.fewest_images
        if count < fewest:
            images = "1 image" if count == 1 else f"{count} images"
            raise ValueError(f"a batch of {images} is too small: `{layer}` needs {fewest} in training")

    def _need_training(self, what: str) -> None:
        if not self.plan.training:
            raise ValueError(f"{what} needs a model compiled with training=True")

    def _need_loss(self) -> LossKernel:
        if self._loss is None:
            needed = "a loss needs one output, and the network gives"
            raise ValueError(f"the model was compiled without a loss; {needed} {self.outputs}")
        return self._loss
