"""Systems take turns, a short while each, and what others use of the machine meanwhile is watched.

Ratios are those of neighbouring turns, so that a machine that slows down slows both. PyTorch's OpenMP threads
wait for each other by spinning for a while; a rest before each turn lets them stop.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cnnspec.measurement.processes import used_by_others
from cnnspec.numpy_backend.blas import cores

Step = Callable[[], object]

REST: Final = 0.2
"""Seconds before each turn."""
TOLERATED: Final = 0.1
"""Processors that others may take of those that are measured."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some figures, and their quartiles."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> Spread:
        """Of at least one figure."""
        if len(figures) < 2:
            return cls(figures[0], figures[0], figures[0])
        low, middle, high = statistics.quantiles(figures, n=4, method="inclusive")
        return cls(middle, low, high)

    def __str__(self) -> str:
        return f"{self.middle:.2f} ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True, slots=True)
class Rounds:
    """Seconds a step of each system, round by round, and the share of the machine that others used."""

    seconds: Mapping[str, tuple[float, ...]]
    busy: float

    def spread(self, system: str) -> Spread:
        """Seconds a step."""
        return Spread.of(self.seconds[system])

    def ratio(self, system: str, other: str) -> Spread:
        """How many times as fast a system is as another, of each round."""
        pairs = zip(self.seconds[system], self.seconds[other], strict=True)
        return Spread.of([theirs / ours for ours, theirs in pairs])

    def disturbed(self, threads: int) -> bool:
        """Whether others left too few processors."""
        return (1 - self.busy) * cores() < threads - TOLERATED


def take_turns(steps: Mapping[str, Step], *, rounds: int, seconds: float, rest: float = REST) -> Rounds:
    """Let each take a turn of so many seconds in every round, after one that does not count."""
    for step in steps.values():
        turn(step, seconds, rest)
    found: dict[str, list[float]] = {name: [] for name in steps}
    start, others = time.perf_counter(), used_by_others()
    for _ in range(rounds):
        for name, step in steps.items():
            found[name].append(turn(step, seconds, rest))
    busy = (used_by_others() - others) / (time.perf_counter() - start) / cores()
    return Rounds({name: tuple(times) for name, times in found.items()}, max(busy, 0.0))


def turn(step: Step, seconds: float, rest: float = REST) -> float:
    """Seconds a step takes, the mean over a while, after a rest and a step that does not count."""
    time.sleep(rest)
    step()
    start, count = time.perf_counter(), 0
    while True:
        step()
        count += 1
        if (passed := time.perf_counter() - start) >= seconds:
            return passed / count
