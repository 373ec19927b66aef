"""The processes that train one network together; mostly there is one."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol, TypeVar

from cnnspec.training.errors import TrainingError

T = TypeVar("T")
Wish = Callable[[], bool]


class WorkerLost(TrainingError):  # noqa: N818 - an outcome, not a mistake
    """Another process of this run is gone, so that no further step can be made."""


class Crew(Protocol):
    """Processes that each compute a share of every batch. All of them call everything, in the same order.

    Attributes:
        rank: the number of this process, from 0; process 0 alone writes and speaks.
        size: how many there are.
        wish: asked before figures are added up, whether this process would like the run to stop.
    """

    wish: Wish

    @property
    def rank(self) -> int: ...  # noqa: D102 - see above
    @property
    def size(self) -> int: ...  # noqa: D102 - see above

    def stops(self) -> bool:
        """Whether one of them wished to stop when figures were last added up."""

    def total(self, figures: T) -> T:
        """A dataclass of numbers, each added up over all processes.

        Raises:
            WorkerLost: one of them is gone.
        """

    def from_first(self, value: T) -> T:
        """What process 0 gives.

        Raises:
            WorkerLost: one of them is gone.
        """

    def in_turn(self) -> AbstractContextManager[None]:
        """Around what one process of each machine is to do first, such as a download.

        Raises:
            WorkerLost: one of them is gone.
        """


@dataclass(frozen=True, slots=True)
class Place:
    """What torchrun tells a process of itself.

    Attributes:
        rank: its number, from 0.
        size: the number of processes.
        local_rank: its number on its machine.
        restarts: how often all of them have been started again.
    """

    rank: int
    size: int
    local_rank: int
    restarts: int = 0


def launched() -> Place | None:
    """The place of this process among those that torchrun has started; nothing without torchrun."""
    numbers = [_number(name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")]
    rank, size, local_rank = numbers
    if rank is None or size is None or local_rank is None:
        return None
    return Place(rank, size, local_rank, _number("TORCHELASTIC_RESTART_COUNT") or 0)


def _number(name: str) -> int | None:
    text = os.environ.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else None


def never() -> bool:
    """No wish to stop."""
    return False


class Alone:
    """The only process."""

    rank, size = 0, 1

    def __init__(self) -> None:
        self.wish: Wish = never

    def stops(self) -> bool:
        """Its own wish."""
        return self.wish()

    def total(self, figures: T) -> T:
        """The figures themselves."""
        return figures

    def from_first(self, value: T) -> T:
        """The value itself."""
        return value

    def in_turn(self) -> AbstractContextManager[None]:
        """At once."""
        return nullcontext()
