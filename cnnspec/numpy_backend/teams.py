"""Teams: workers that compute every layer together, where a batch has fewer images than there are workers.

Each is a process with memory of its own for what it alone needs. The values of the network lie in memory that
all share, and no member begins a phase of a layer before the others have ended the one before. They tell each
other by a counter each, at which the others look again and again: two wait for one another within a
microsecond, where a message through the system takes ten, and fifty if somebody slept.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cnnspec.numpy_backend.kernels.base import Member
from cnnspec.numpy_backend.memory import aligned, shared_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cnnspec.numpy_backend.plan import Plan

LOOKS: Final = 200
"""How often a member looks for the others before it asks whether they still come, and lets somebody else
have the processor who waits for it: 10 microseconds."""
PATIENCE: Final = 0.02
"""Seconds after which it sleeps between its looks."""
NAP: Final = 1e-3
LINE: Final = 8
"""Counters of 8 bytes in a cache line, of which each has one for itself."""


def in_order() -> bool:
    """Whether plain counters will do: others must see what a processor writes in the order in which it does.

    So it is on x86.
    """
    return platform.machine().lower() in ("x86_64", "amd64")


class Gate:
    """Where the members of a team wait for one another."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._come = shared_bytes(count * LINE * 8).data.cast("q")

    def open(self) -> None:
        """Forget who came where; before the members begin."""
        for member in range(self._count):
            self._come[member * LINE] = 0

    def waiting(self, member: Member, still: Callable[[], None]) -> Callable[[], None]:
        """Bind waiting until all have come; `still` is asked now and then whether they do, or else raises."""
        come, mine = self._come, member.number * LINE
        others = [other * LINE for other in range(self._count) if other != member.number]

        def wait() -> None:
            turn = come[mine] + 1
            come[mine] = turn
            for other in others:
                if come[other] < turn:
                    self._await(other, turn, still)

        return wait

    def _await(self, other: int, turn: int, still: Callable[[], None]) -> None:
        come, begun = self._come, 0.0
        while True:
            for _ in range(LOOKS):
                if come[other] >= turn:
                    return
            still()
            now = time.perf_counter()
            begun = begun or now
            if now - begun > PATIENCE:
                time.sleep(NAP)
            else:
                os.sched_yield()


@dataclass(frozen=True, slots=True)
class Seat:
    """The place of a member: its number, the values that all share, and the gate."""

    member: Member
    values: NDArray[np.uint8]
    gate: Gate


def seats(plan: Plan) -> list[Seat]:
    """A seat for every worker of a plan whose workers are a team."""
    memory = shared_bytes(aligned(plan.arena_bytes))
    gate = Gate(plan.workers)
    return [Seat(Member(number, plan.workers), memory, gate) for number in range(plan.workers)]


def common_buffers(plan: Plan) -> frozenset[int]:
    """The buffers that all members share: the values, and the scratch that is theirs in common."""
    common = set(plan.buffers.values)
    for kernel, mine in zip(plan.kernels, plan.buffers.scratch, strict=True):
        common |= {mine[s.name] for s in kernel.scratch() if s.common and s.name in mine}
    return frozenset(common)
