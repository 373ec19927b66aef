"""Where workers meet: sums over a whole batch, of which each has seen a part.

A pass over one piece is a generator. It runs kernels until one needs numbers of the whole batch, and yields
how these are combined; a worker takes all its pieces so far and meets the others. Then one combines, always
the same parts in the same order, and all go on.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING

from cnnspec.numpy_backend.kernels.base import Array, Council, Moment, Run, Way
from cnnspec.numpy_backend.kernels.losses import Tally, add_up

if TYPE_CHECKING:
    from cnnspec.numpy_backend.memory import Allocator
    from cnnspec.numpy_backend.plan import Plan

Pass = Generator[Run, None, Tally]
"""A pass over one piece: it yields the combination at each meeting, and returns what it adds to the loss."""


class Stopped(Exception):  # noqa: N818 - not an error of its own
    """Another worker failed or was interrupted, and this one need not go on."""


class Meeting:
    """The meetings of `count` workers in one run; worker 0, the caller, presides.

    Made of queues alone, which an interrupt cannot leave half locked.
    """

    def __init__(self, count: int) -> None:
        self.stopped = False
        self._arrived: SimpleQueue[None] = SimpleQueue()
        self._released: list[SimpleQueue[None]] = [SimpleQueue() for _ in range(count - 1)]

    def hold(self, worker: int, combine: Run) -> None:
        """Wait until all workers have come and worker 0 has combined what they brought.

        Raises:
            Stopped: a worker does not come any more.
        """
        if worker == 0:
            for _ in self._released:
                self._arrived.get()
            self.go_on()
            combine()
            for released in self._released:
                released.put(None)
        else:
            self._arrived.put(None)
            self._released[worker - 1].get()
        self.go_on()

    def go_on(self) -> None:
        """Raise `Stopped` once `stop` was called."""
        if self.stopped:
            raise Stopped

    def expect_others(self) -> None:
        """Raise whatever keeps the others from coming; asked while they are waited for."""
        self.go_on()

    def stop(self) -> None:
        """Let all who wait or come later raise `Stopped`."""
        self.stopped = True
        for released in self._released:
            self._arrived.put(None)
            released.put(None)


def in_step(passes: Sequence[Pass], hold: Callable[[Run], None]) -> Tally:
    """Run passes side by side, each up to its next meeting; the sum of their tallies."""
    while True:
        tallies, combine = [], None
        for each in passes:
            try:
                combine = next(each)
            except StopIteration as end:
                tallies.append(end.value)
        if combine is None:
            return add_up(tallies)
        hold(combine)


class Exchanges:
    """The exchanges of all kernels of a plan: for each node the councils' arrays, and how they combine."""

    def __init__(
        self,
        plan: Plan,
        weights: Sequence[Mapping[str, Array]],
        sums: Sequence[Mapping[str, Array]],
        memory: Allocator,
    ) -> None:
        self.moment = Moment()
        self.councils: list[Council] = []
        self.combines: list[Mapping[Way, Run]] = []
        for i, kernel in enumerate(plan.kernels):
            shapes = kernel.exchanges() if plan.training else {}
            parts = {way: memory.zeros((plan.arenas, *part)) for way, (part, _) in shapes.items()}
            whole = {way: memory.zeros(shape) for way, (_, shape) in shapes.items()}
            council = Council(self.moment, parts, whole, weights[i], sums[i])
            self.councils.append(council)
            self.combines.append({way: kernel.combine(way, council) for way in shapes})

    def clear(self) -> None:
        """Forget the parts of the batch before."""
        for council in self.councils:
            for parts in council.parts.values():
                parts.fill(0)
