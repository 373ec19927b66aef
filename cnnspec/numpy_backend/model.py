"""A compiled network: weights, and the functions that run it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from cnnspec.layers import show
from cnnspec.numpy_backend.blas import blas_threads
from cnnspec.numpy_backend.kernels.base import Array
from cnnspec.numpy_backend.kernels.losses import LossKernel, Tally
from cnnspec.numpy_backend.meetings import Exchanges, Meeting, Pass, in_step
from cnnspec.numpy_backend.memory import allocate
from cnnspec.numpy_backend.parameters import Sums, Weights, of_node, weight_arrays
from cnnspec.numpy_backend.plan import Plan, make_plan
from cnnspec.numpy_backend.ports import Arrays, Given, Ports
from cnnspec.numpy_backend.program import Program, Tables
from cnnspec.numpy_backend.workers import Workers

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
    micro_batch: int | None = None,
    reuse_memory: bool = True,
    dtype: DTypeLike = "float32",
) -> Model:
    """Compile a checked network; its weights are zeros until set. The arguments are `make_plan`'s."""
    plan = make_plan(
        graph,
        facts,
        batch=batch,
        training=training,
        loss=loss,
        workers=workers,
        micro_batch=micro_batch,
        reuse_memory=reuse_memory,
        dtype=dtype,
    )
    return Model(plan)


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The mean loss over `count` images, and how many of them got the right class.

    `weight` is the sum of the images' weights in that mean: `count`, unless the loss weights classes.
    """

    loss: float
    correct: float
    count: int
    weight: float = 0.0


@dataclass(slots=True)
class _Kept:
    """What `backward` needs of the forward pass before it; `fresh` while the activations are still there."""

    x: Arrays
    step: int
    fresh: bool


class _Bench:
    """The memory of one worker's pieces, and its programs by piece and by the number of images they take."""

    def __init__(self, plan: Plan, tables: Tables, worker: int) -> None:
        self._plan, self._tables = plan, tables
        self._first = worker * plan.in_step
        self._arenas: list[NDArray[np.uint8]] = []
        self._programs: dict[tuple[int, int], Program] = {}

    def program(self, piece: int, n: int) -> Program:
        """The program for `n` images in the memory of a piece, made when it is first asked for."""
        while len(self._arenas) <= piece:
            self._arenas.append(allocate(self._plan.arena_bytes))
        if (piece, n) not in self._programs:
            arena, number = self._arenas[piece], self._first + piece
            self._programs[piece, n] = Program(self._plan, n, arena, self._tables, number)
        return self._programs[piece, n]


Piece = Callable[[Program, slice], Pass]
"""What to do with one piece, the images of a slice of the batch."""


class Model:
    """An executable network. Arrays are `N x C x H x W`; weights have the layouts that the layers declare.

    A model is for one caller at a time. Two runs give the same bits on the same machine with the same NumPy,
    number of workers and sizes of batches.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.step = 0
        self._seed = 0
        self._crew = Workers(plan.workers)
        self._benches: list[_Bench] = []
        self._kept: _Kept | None = None
        self.inputs = Ports.inputs(plan.graph, plan.facts)
        self.outputs = Ports.outputs(plan.graph, plan.facts)
        self._loss = plan.loss_kernel
        self._build_tables()

    # --- weights ----------------------------------------------------------------------------------------

    @property
    def weights(self) -> Weights:
        """The weights by name, `conv1.weight`; assigning copies into place."""
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
        sums = Sums(plan, workers)
        self._sum_blocks, self.block = sums.blocks, sums.block()
        learned = self.block if plan.training else None
        arrays = weight_arrays(plan.graph, plan.facts, plan.dtype, learned)
        gradients = self.block.named(self.block.gradients)
        shared = [_arrays(kernel.shared(), plan.dtype) for kernel in plan.kernels]
        tables = [sums.tables(worker) for worker in range(workers)]
        weights = []
        self._prepare, self._fold = [], []
        for i, (node, kernel) in enumerate(zip(plan.graph.nodes, plan.kernels, strict=True)):
            weights.append(of_node(arrays, node.name, tuple(weight.name for weight in kernel.weights)))
            if (run := kernel.prepare(weights[i], shared[i])) is not None:
                self._prepare.append(run)
            names = tuple(w.name for w in kernel.weights if f"{node.name}.{w.name}" in gradients)
            mine = of_node(gradients, node.name, names)
            if mine and (run := kernel.fold(tables[0][i], mine)) is not None:
                self._fold.append(run)
        self._weights = Weights(arrays)
        self._gradients = MappingProxyType({name: gradients[name] for name in arrays if name in gradients})
        self._exchanges = Exchanges(plan, weights, tables[0])
        self._tables = [Tables(weights, shared, own, self._exchanges) for own in tables]

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
            alone = len(self._pieces(count)[0]) <= self.plan.in_step
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

        def piece(program: Program, images: slice) -> Pass:
            if not kept.fresh:
                program.load(_rows(kept.x, images))
                yield from program.forward()
            return (yield from program.backward(_rows(gradients, images), _rows(out, images)))

        self._run(count, piece, training=True, step=kept.step, again=True)
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
        weight = loss.weight(targets if indices is None else targets[indices]) or 1.0

        def piece(program: Program, images: slice) -> Pass:
            if indices is None:
                program.load(_rows(arrays, images))
                return (yield from program.loss_and_gradients(targets[images], weight))
            rows = indices[images]
            program.load(arrays, rows)
            return (yield from program.loss_and_gradients(targets[rows], weight))

        tally = self._run(count, piece, training=True, step=self.step)
        self._sum_up(count)
        return BatchResult(tally.loss / weight, tally.correct, count, weight)

    def evaluate(self, x: Given, labels: NDArray[np.number]) -> BatchResult:
        """The mean loss over any number of images, without gradients.

        Raises:
            ValueError: shapes do not fit, or a label is no class.
        """
        loss = self._need_loss()
        arrays = self.inputs.samples(x, "x")
        count = len(arrays[0])
        targets = loss.targets(labels, count)
        weight = loss.weight(targets) or 1.0

        def piece(program: Program, images: slice) -> Pass:
            program.load(_rows(arrays, images))
            return (yield from program.loss(targets[images]))

        tally = self._run(count, piece, training=False, step=self.step)
        return BatchResult(tally.loss / weight, tally.correct, count, weight)

    def close(self) -> None:
        """Stop the worker threads; a later call starts them again."""
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

        def piece(program: Program, images: slice) -> Pass:
            program.load(_rows(x, images))
            return (yield from program.forward(_rows(out, images)))

        self._run(len(x[0]), piece, training=training, step=self.step)
        return out

    def _run(self, count: int, piece: Piece, *, training: bool, step: int, again: bool = False) -> Tally:
        """Let every worker do its pieces; the sum of their tallies, worker by worker.

        `again` says that this belongs to a forward pass before it, so that none of it changes state.
        """
        prepare = not (again and self._kept is not None and self._kept.fresh)
        shares = self._pieces(count)
        active = len(shares)
        while len(self._benches) < active:
            number = len(self._benches)
            self._benches.append(_Bench(self.plan, self._tables[number % len(self._tables)], number))
        if self._kept is not None and prepare:
            self._kept.fresh = False
        tallies = [Tally()] * active
        together = training and bool(self.plan.in_step_for)
        meeting = Meeting(active)
        self._exchanges.moment.repeats = again
        if together:
            self._exchanges.clear()

        def begin(worker: int, number: int) -> Pass:
            images = shares[worker][number]
            program = self._benches[worker].program(number if together else 0, images.stop - images.start)
            program.meeting, moment = meeting, program.moment
            moment.training, moment.seed, moment.step, moment.repeats = training, self._seed, step, again
            moment.first, moment.image = number == 0, images.start
            return piece(program, images)

        def job(worker: int) -> None:
            numbers = range(len(shares[worker]))
            for group in [numbers] if together else ((number,) for number in numbers):
                passes = [begin(worker, number) for number in group]
                tallies[worker] += in_step(passes, partial(meeting.hold, worker))

        with blas_threads(self.plan.blas_threads):
            if prepare:
                for run in self._prepare:
                    run()
            self._crew.run(job, active, meeting.stop)
        return sum(tallies, Tally())

    def _sum_up(self, count: int) -> None:
        """Add the workers' sums, in the order of the workers, and turn them into gradients."""
        total, *others = self._sum_blocks[: self._active(count)]
        for other in others:
            np.add(total, other, out=total)
        for run in self._fold:
            run()

    def _active(self, count: int) -> int:
        return max(1, min(self.plan.workers, count))

    def _pieces(self, count: int) -> list[list[slice]]:
        """For each worker that has something to do the images of its pieces."""
        active, size = self._active(count), self.plan.micro_batch
        bounds = [(count * w // active, count * (w + 1) // active) for w in range(active)]
        return [[slice(i, min(i + size, stop)) for i in range(start, stop, size)] for start, stop in bounds]

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


def _rows(arrays: Arrays, rows: slice) -> Arrays:
    """The same rows of every array."""
    return tuple(array[rows] for array in arrays)


def _arrays(shapes: Mapping[str, tuple[int, ...]], dtype: np.dtype[np.float32]) -> dict[str, Array]:
    return {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
