"""What a system offers to be measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cnnspec.measurement.task import Task
    from cnnspec.measurement.turns import Step


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run a network in a system.

    Attributes:
        name: what the mode is called, empty for the only one.
        make: builds the step, compiled and warmed up; may raise whatever the system raises.
    """

    name: str
    make: Callable[[Task], Step]


@dataclass(frozen=True, slots=True)
class System:
    """A system and the ways to run a network in it.

    Attributes:
        title: how tables call it.
        packages: what must be installed, and the extra that brings it.
        trains: whether it can train.
        ways: the modes for a task, the plainest first.
        threads: tells it how many threads it may use; before anything else.
    """

    title: str
    packages: tuple[str, ...]
    install: str
    trains: bool
    ways: Callable[[Task], Iterator[Way]]
    threads: Callable[[int], None]


SYSTEMS: Final[dict[str, System]] = {}
"""By the name of the command line."""


def available(system: System) -> bool:
    """Whether its packages are installed."""
    return all(find_spec(package) is not None for package in system.packages)
