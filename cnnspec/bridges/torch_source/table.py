"""What says a layer kind in PyTorch's words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from cnnspec.bridges.source.code import Arg, Code
from cnnspec.bridges.table import NotCovered, Table

if TYPE_CHECKING:
    from cnnspec.layers import Shape

CODES: Final[Table[Callable[..., Code]]] = Table("PyTorch")
"""Functions of a layer and the shapes of its inputs."""

MOST_AXES: Final = 3


def axes_of(shape: Shape) -> int:
    """The number of spatial axes, for the name of a class: `nn.Conv2d`.

    Raises:
        NotCovered: there are more than PyTorch has classes for.
    """
    axes = len(shape) - 1
    if axes > MOST_AXES:
        raise NotCovered(f"it slides windows over 1 to {MOST_AXES} spatial axes, not over {axes}")
    return axes


def one_or_all(sizes: Sequence[int]) -> int | tuple[int, ...]:
    """One number where all axes have it, as a person writes it."""
    return sizes[0] if len(set(sizes)) == 1 else tuple(sizes)


def of_windows(windows: Sequence[Any], name: str) -> int | tuple[int, ...]:
    """One property of each axis' window: `kernel`, `stride`."""
    return one_or_all([getattr(window, name) for window in windows])


def edges(ends: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """Positions before and after every axis as `F.pad` takes them, the last axis first."""
    return tuple(amount for pair in reversed(ends) for amount in pair)


def symmetric(windows: Sequence[Any]) -> bool:
    """Whether as much is added after every axis as before it."""
    return all(window.before == window.after for window in windows)


def positional(name: str, value: object) -> Arg:
    """An argument that is written without its name."""
    return Arg(name, value, positional=True)


def function(form: str, *, nested: bool = True, helpers: tuple[str, ...] = ()) -> Code:
    """A layer that is nothing but an expression."""
    return Code(form, nested=nested, helpers=helpers)
