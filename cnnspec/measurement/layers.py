"""Where the time of a step goes, layer by layer: the kernels of a plan with a clock around each.

Workers share a batch, so the seconds of a layer are those of all workers of this process divided by their
number; other processes have shares of the same size. What is left of the step is taking batches, the loss,
the update, and waiting for one another.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from threading import get_ident
from typing import TYPE_CHECKING, Final, Literal, cast

from cnnspec.measurement.systems.numpy import predicting, step_of, trainable
from cnnspec.numpy_backend.kernels.base import Kernel, Member, Run, Site, nothing

if TYPE_CHECKING:
    from cnnspec.layers import Layer
    from cnnspec.measurement.task import Task
    from cnnspec.numpy_backend.plan import Plan

Pass = Literal["forward", "backward"]
LEAST_STEPS: Final = 3


@dataclass(frozen=True, slots=True)
class LayerTime:
    """One layer in a step: seconds and floating-point operations of both passes."""

    name: str
    layer: str
    forward: float
    backward: float
    forward_flops: int
    backward_flops: int

    @property
    def seconds(self) -> float:
        """Of both passes."""
        return self.forward + self.backward

    @property
    def flops(self) -> int:
        """Of both passes; 0 for a layer that is neither a convolution nor dense."""
        return self.forward_flops + self.backward_flops


@dataclass(frozen=True, slots=True)
class LayerTimes:
    """All layers of a step, and what the whole step took with the clocks."""

    layers: tuple[LayerTime, ...]
    step: float

    @property
    def elsewhere(self) -> float:
        """Seconds outside the layers."""
        return max(self.step - sum(layer.seconds for layer in self.layers), 0.0)


def layer_times(task: Task, seconds: float) -> LayerTimes:
    """Run steps for so many seconds, at least a few, and take the time of every layer."""
    clocks = [Clocks() for _ in task.graph.nodes]
    make = trainable if task.training else predicting
    model = make(task, lambda plan: with_clocks(plan, clocks))
    step = step_of(task, model)
    step()
    for clock in clocks:
        clock.clear()
    start, steps = time.perf_counter(), 0
    while steps < LEAST_STEPS or time.perf_counter() - start < seconds:
        step()
        steps += 1
    passed = (time.perf_counter() - start) / steps
    workers = max(len(set().union(*(clock.threads for clock in clocks))), 1)
    rows = zip(task.graph.nodes, clocks, task.flops_by_node(), strict=True)
    layers = tuple(
        LayerTime(
            node.name,
            node.layer.written(),
            clock.seconds("forward") / steps / workers,
            clock.seconds("backward") / steps / workers,
            *flops,
        )
        for node, clock, flops in rows
        if node.inputs
    )
    model.close()
    return LayerTimes(layers, passed)


class Clocks:
    """The seconds of one layer; every bound piece of work has its own clock, since workers run at once.

    Attributes:
        threads: those that have done any of the work.
    """

    def __init__(self) -> None:
        self._cells: list[tuple[Pass, list[float]]] = []
        self.threads: set[int] = set()

    def around(self, run: Run, of: Pass) -> Run:
        """The same work, timed."""
        if run is nothing:
            return run
        cell = [0.0]
        self._cells.append((of, cell))

        def timed() -> None:
            start = time.perf_counter()
            run()
            cell[0] += time.perf_counter() - start
            self.threads.add(get_ident())

        return timed

    def clear(self) -> None:
        """Begin anew."""
        self.threads.clear()
        for _, cell in self._cells:
            cell[0] = 0.0

    def seconds(self, of: Pass) -> float:
        """Of all workers together."""
        return sum(cell[0] for kind, cell in self._cells if kind == of)


def with_clocks(plan: Plan, clocks: list[Clocks]) -> Plan:
    """The same plan, whose kernels are timed."""
    kernels = tuple(
        cast("Kernel[Layer]", _Timed(kernel, clock))
        for kernel, clock in zip(plan.kernels, clocks, strict=True)
    )
    return replace(plan, kernels=kernels)


class _Timed:
    """A kernel whose work is timed; in all else the kernel itself."""

    def __init__(self, kernel: Kernel[Layer], clock: Clocks) -> None:
        self._kernel, self._clock = kernel, clock

    def __getattr__(self, name: str) -> object:
        return getattr(self._kernel, name)

    def forward(self, at: Site) -> Run:
        return self._clock.around(self._kernel.forward(at), "forward")

    def together(self, at: Site, member: Member) -> list[Run]:
        return [self._clock.around(run, "forward") for run in self._kernel.together(at, member)]

    def backward(self, at: Site) -> Run:
        return self._clock.around(self._kernel.backward(at), "backward")

    def contribute(self, way: Pass, at: Site) -> Run:
        return self._clock.around(self._kernel.contribute(way, at), way)
