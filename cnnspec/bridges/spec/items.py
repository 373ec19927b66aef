"""The layers of a network from elsewhere, before they are a spec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cnnspec.layers import Layer, Shape


@dataclass(frozen=True)
class Item:
    """One layer: the numbers of the items that it reads, the shape that it gives, and its weights."""

    layer: Layer
    inputs: tuple[int, ...]
    shape: Shape
    weights: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    name: str = ""


@dataclass(frozen=True)
class Items:
    """A network: its items, each behind its inputs, and those that are outputs.

    `notes` are sentences on what is otherwise than where it came from.
    """

    name: str
    items: tuple[Item, ...]
    outputs: tuple[int, ...]
    notes: tuple[str, ...] = ()

    def readers(self) -> tuple[tuple[int, ...], ...]:
        """For each item those that read it."""
        found: list[list[int]] = [[] for _ in self.items]
        for number, item in enumerate(self.items):
            for v in item.inputs:
                found[v].append(number)
        return tuple(map(tuple, found))
