"""What says a layer kind in PyTorch's words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from cnnspec.bridges.source.code import Code
from cnnspec.bridges.table import Table

if TYPE_CHECKING:
    pass

CODES: Final[Table[Callable[..., Code]]] = Table("PyTorch")
"""Functions of a layer and the shapes of its inputs."""


def edges(ends: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """Positions before and after every axis as `F.pad` takes them, the last axis first."""
    return tuple(amount for pair in reversed(ends) for amount in pair)


def symmetric(windows: Sequence[Any]) -> bool:
    """Whether as much is added after every axis as before it."""
    return all(window.before == window.after for window in windows)


def function(form: str, *, nested: bool = True, helpers: tuple[str, ...] = ()) -> Code:
    """A layer that is nothing but an expression."""
    return Code(form, nested=nested, helpers=helpers)
