"""What makes the module of a layer kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from torch import nn

from cnnspec.bridges.table import NotCovered, Table

if TYPE_CHECKING:
    from cnnspec.layers import Shape, Weight

MODULES: Final[Table[Callable[..., nn.Module]]] = Table("PyTorch")
"""Functions of a layer and the shapes of its inputs. The module's parameters have the names of the layer's
weights; what they hold is set later."""

M = TypeVar("M")
MOST_AXES: Final = 3


def by_axes(shape: Shape, *choices: M) -> M:
    """The choice for one, two or three spatial axes; PyTorch has the same thing under a name for each.

    Raises:
        NotCovered: there are more.
    """
    axes = len(shape) - 1
    if axes > MOST_AXES:
        raise NotCovered(f"it slides windows over 1 to {MOST_AXES} spatial axes, not over {axes}")
    return choices[axes - 1]


def sizes(windows: Sequence[Any], name: str) -> tuple[int, ...]:
    """One number of each axis' window: `kernel`, `stride`."""
    return tuple(getattr(window, name) for window in windows)


def edges(ends: Sequence[tuple[int, int]]) -> list[int]:
    """Positions before and after every axis as `functional.pad` takes them, the last axis first."""
    return [amount for pair in reversed(ends) for amount in pair]


def declare(module: nn.Module, weights: Sequence[Weight]) -> None:
    """Give a module of our own a parameter for each weight."""
    import torch

    for weight in weights:
        module.register_parameter(weight.name, nn.Parameter(torch.empty(weight.shape)))
