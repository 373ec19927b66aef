"""A program: the kernels of a plan bound to one worker's memory, for pieces of `n` images."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cnnspec.layers import product
from cnnspec.numpy_backend.kernels.base import Array, Layout, Moment, Run, Site, Way, nothing
from cnnspec.numpy_backend.kernels.losses import NO_TALLY
from cnnspec.numpy_backend.meetings import Exchanges, Meeting, Pass
from cnnspec.numpy_backend.teams import Seat, common_buffers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.numpy_backend.kernels.losses import Targets
    from cnnspec.numpy_backend.plan import Plan
    from cnnspec.numpy_backend.ports import Arrays


@dataclass(frozen=True, slots=True)
class Tables:
    """For every node the public weights, what workers share of them, and one worker's sums of gradients.

    And the exchanges of all pieces.
    """

    weights: Sequence[Mapping[str, Array]]
    shared: Sequence[Mapping[str, Array]]
    sums: Sequence[Mapping[str, Array]]
    exchanges: Exchanges


@dataclass(frozen=True, slots=True)
class _Exchange:
    """A step at which all pieces of a batch must have come so far."""

    combine: Run


class Program:
    """Forward and backward passes over `n` images in the memory of one piece.

    `piece` is its number among the pieces that are at work at a time. With a `seat` in a team it is that
    member's part of them; `arena` is then memory of its own, beside what all share.
    """

    def __init__(
        self,
        plan: Plan,
        n: int,
        arena: NDArray[np.uint8],
        tables: Tables,
        piece: int,
        seat: Seat | None = None,
    ) -> None:
        self._plan, self._n, self._arena, self._tables, self._piece = plan, n, arena, tables, piece
        self._seat = seat
        self._common = common_buffers(plan) if seat else frozenset()
        self.moment = Moment()
        self.meeting = Meeting(1)
        nodes = range(len(plan.kernels))
        sources, outputs = plan.graph.sources(), plan.graph.outputs
        self._inputs = [_images_first(self._value(i)[1]) for i in sources]
        self._outputs = [_images_first(self._value(i)[1]) for i in outputs]
        self._staging = [self._scratch(i)["staging"].reshape(n, *plan.facts.shape(i)) for i in sources]
        self._forward = self._bind_forward(nodes)
        self._straight = [step for step in self._forward if not isinstance(step, _Exchange)]
        if plan.training:
            self._gradients_out = [self._gradient_images_first(i) for i in outputs]
            self._gradients_in = [self._gradient_images_first(i) for i in sources]
            self._backward = self._bind_backward(nodes, set(nodes))
        if plan.loss is not None:
            self._bind_loss(plan.logits)

    def load(self, images: Arrays, indices: NDArray[np.integer] | None = None) -> None:
        """Take in `n` images for every input, or the rows `indices` of a data set."""
        for value, staging, given in zip(self._inputs, self._staging, images, strict=True):
            if indices is None:
                np.copyto(value, given)
            else:
                np.take(given, indices, axis=0, out=staging, mode="clip")  # any other mode copies
                np.copyto(value, staging)

    def forward(self, out: Arrays | None = None) -> Pass:
        """Run the network, and give its outputs, images first."""
        yield from self._run(self._forward)
        if out is not None:
            _copy_all(self._outputs, out)
        return NO_TALLY

    def predict(self, images: Arrays, out: Arrays) -> None:
        """A pass of a plan for prediction from end to end: it meets nobody on its way."""
        self.load(images)
        for step in self._straight:
            step()
        _copy_all(self._outputs, out)

    def assist(self, *, judged: bool) -> Pass:
        """Do a member's part of a prediction, or of what is judged by a loss."""
        yield from self._run(self._to_logits if judged else self._forward)
        return NO_TALLY

    def backward(self, gradients: Arrays, out: Arrays) -> Pass:
        """From the gradients of the outputs to those of the inputs, adding up those of the weights."""
        _copy_all(gradients, self._gradients_out)
        yield from self._run(self._backward)
        _copy_all(self._gradients_in, out)
        return NO_TALLY

    def loss(self, targets: Targets) -> Pass:
        """Run the network up to its logits, and tally the loss."""
        yield from self._run(self._to_logits)
        return self._judge(targets)

    def loss_and_gradients(self, targets: Targets, weight: float) -> Pass:
        """As `loss`, and add up the weights' gradients of the loss of a batch of this weight."""
        yield from self._run(self._to_logits)
        tally = self._differentiate(targets, weight)
        yield from self._run(self._from_logits)
        return tally

    def _run(self, steps: list[Run | _Exchange]) -> Generator[Run, None, None]:
        """Run the steps, and yield at each exchange of training.

        Raises:
            Stopped: another worker failed.
        """
        go_on, training = self.meeting.go_on, self.moment.training
        for step in steps:
            go_on()
            if not isinstance(step, _Exchange):
                step()
            elif training:
                yield step.combine

    # --- binding ----------------------------------------------------------------------------------------

    def _bind_loss(self, logits: int) -> None:
        plan = self._plan
        kernel = plan.loss_kernel
        assert kernel is not None, "there is a loss to bind"
        scratch = {name: self._buffer(b) for name, b in plan.buffers.loss.items()}
        z = self._value(logits)[1]
        self._judge = kernel.bind(z, None, scratch).tally
        self._to_logits = self._bind_forward(range(logits + 1))
        if plan.training:
            dz = self._gradient(plan.buffers.gradients[logits], logits)[1]
            self._differentiate = kernel.bind(z, dz, scratch).differentiate
            self._from_logits = self._bind_backward(range(logits + 1), plan.reaching_weights)

    def _bind_forward(self, nodes: range) -> list[Run | _Exchange]:
        steps: list[Run | _Exchange] = []
        if self._seat is not None:
            return self._bind_together(nodes, self._seat)
        for i in nodes:
            site = self._site(i, set())
            steps += [*self._exchange(i, "forward", site), self._plan.kernels[i].forward(site)]
        return _only_work(steps)

    def _bind_together(self, nodes: range, seat: Seat) -> list[Run | _Exchange]:
        """A member's part of every layer; it meets the others before the first phase and after each."""
        wait = seat.gate.waiting(seat.member, lambda: self.meeting.expect_others())
        steps: list[Run | _Exchange] = [wait]
        for i in nodes:
            for run in self._plan.kernels[i].together(self._site(i, set()), seat.member):
                steps += [run, wait]
        return _only_work(steps)

    def _exchange(self, i: int, way: Way, site: Site) -> list[Run | _Exchange]:
        """A kernel's contribution to an exchange, and the exchange; nothing where it has none."""
        combines = self._tables.exchanges.combines[i]
        if way not in combines:
            return []
        return [self._plan.kernels[i].contribute(way, site), _Exchange(combines[way])]

    def _bind_backward(self, nodes: range, wanted: set[int]) -> list[Run | _Exchange]:
        """The backward passes that lead to the gradients of `wanted` values, last node first."""
        gradients = self._plan.buffers.gradients
        steps: list[Run | _Exchange] = []
        for i in (i for i in reversed(nodes) if i in wanted and i in gradients):
            site = self._site(i, wanted)
            steps += [*self._exchange(i, "backward", site), self._plan.kernels[i].backward(site)]
            steps += self._additions(i, wanted)
        return _only_work(steps)

    def _additions(self, i: int, wanted: set[int]) -> list[Run]:
        """Add this node's part of a gradient that another node has begun."""
        runs = []
        for slot, v in enumerate(self._plan.graph.nodes[i].inputs):
            if (i, slot) in self._plan.buffers.apart and v in wanted:
                part = self._gradient(self._plan.buffers.apart[i, slot], v)[1]
                total = self._gradient(self._plan.buffers.gradients[v], v)[1]
                runs.append(_adding(total, part))
        return runs

    def _site(self, i: int, wanted: set[int]) -> Site:
        plan, tables = self._plan, self._tables
        values = [self._value(v) for v in plan.graph.nodes[i].inputs]
        y = self._value(i)[1]
        dx = [self._input_gradients(i, slot, wanted) for slot in range(len(values))]
        dy = self._gradient(plan.buffers.gradients[i], i)[1] if i in plan.buffers.gradients else y
        return Site(
            n=self._n,
            number=i,
            moment=self.moment,
            x=tuple(inside for _, inside in values),
            whole_x=tuple(whole for whole, _ in values),
            y=y,
            dx=tuple(pair[1] if pair else None for pair in dx),
            whole_dx=tuple(pair[0] if pair else None for pair in dx),
            dy=dy,
            weights=tables.weights[i],
            shared=tables.shared[i],
            sums=tables.sums[i],
            scratch=self._scratch(i),
            part={way: rows[self._piece] for way, rows in tables.exchanges.councils[i].parts.items()},
            whole=tables.exchanges.councils[i].whole,
        )

    def _input_gradients(self, i: int, slot: int, wanted: set[int]) -> tuple[Array, Array] | None:
        v = self._plan.graph.nodes[i].inputs[slot]
        if v not in wanted:
            return None
        buffers = self._plan.buffers
        return self._gradient(buffers.apart.get((i, slot), buffers.gradients[v]), v)

    # --- arrays -----------------------------------------------------------------------------------------

    def _value(self, i: int) -> tuple[Array, Array]:
        return self._laid_out(self._plan.buffers.values[i], self._plan.layouts[i])

    def _gradient(self, buffer: int, i: int) -> tuple[Array, Array]:
        return self._laid_out(buffer, self._plan.layouts[i])

    def _gradient_images_first(self, i: int) -> Array:
        """The gradient of a node's output; a zero where no output of the network depends on it."""
        if i not in self._plan.buffers.gradients:
            return np.zeros((), self._plan.dtype)
        return _images_first(self._gradient(self._plan.buffers.gradients[i], i)[1])

    def _laid_out(self, buffer: int, layout: Layout) -> tuple[Array, Array]:
        """A value with its margin and without."""
        whole = self._buffer(buffer).reshape(*layout.stored, self._n)
        return whole, layout.inside(whole)

    def _scratch(self, i: int) -> dict[str, Array]:
        return {name: self._buffer(b) for name, b in self._plan.buffers.scratch[i].items()}

    def _buffer(self, index: int) -> Array:
        """The array of a buffer in the arena."""
        buffer, plan = self._plan.buffers.all[index], self._plan
        shape = buffer.array.stored(self._n)
        start = plan.offsets[index]
        arena = self._seat.values if self._seat and index in self._common else self._arena
        memory = arena[start : start + product(shape) * plan.dtype.itemsize]
        return memory.view(plan.dtype).reshape(shape)


def _only_work(steps: list[Run | _Exchange]) -> list[Run | _Exchange]:
    return [step for step in steps if step is not nothing]


def _adding(total: Array, part: Array) -> Run:
    def run() -> None:
        np.add(total, part, out=total)

    return run


def _copy_all(sources: Sequence[Array], targets: Sequence[Array]) -> None:
    for source, target in zip(sources, targets, strict=True):
        np.copyto(target, source)


def _images_first(array: Array) -> Array:
    """`C x H x W x N` seen as `N x C x H x W`."""
    return np.moveaxis(array, -1, 0)
