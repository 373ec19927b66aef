"""What layers with windows have in common in generated code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from cnnspec.bridges.source.code import Arg
from cnnspec.bridges.table import NotCovered

if TYPE_CHECKING:
    from cnnspec.layers import Shape

MOST_AXES: Final = 3
"""Spatial axes for which PyTorch and Keras have classes."""


def axes_of(shape: Shape) -> int:
    """The number of spatial axes, for the name of a class: `nn.Conv2d`.

    Raises:
        NotCovered: there are more than there are classes for in PyTorch and Keras.
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


def positional(name: str, value: object) -> Arg:
    """An argument that is written without its name."""
    return Arg(name, value, positional=True)
