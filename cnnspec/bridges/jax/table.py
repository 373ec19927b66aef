"""What makes the function of a layer kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import jax

from cnnspec.bridges.table import Table

Array = jax.Array


@dataclass(slots=True)
class Call:
    """One use of a layer while a network is computed.

    Attributes:
        inputs: `N x C x H x W` each.
        weights: those of the layer, under their own names.
        training: whether layers that act in training only do so.
        key: what random numbers follow from; nothing where none are drawn.
        state: what the layer keeps from now on, under the names of its weights.
    """

    inputs: tuple[Array, ...]
    weights: dict[str, Array]
    training: bool
    key: Array | None
    state: dict[str, Array] = field(default_factory=dict)

    @property
    def x(self) -> Array:
        """The only input."""
        return self.inputs[0]


Compute = Callable[[Any, Call], Array]
FUNCTIONS: Final[Table[Compute]] = Table("JAX")
"""Functions of a layer and a call, which give the output."""


def per_channel(vector: Array, axes: int) -> Array:
    """A number for each channel, so that it repeats over `N` and all positions of a value of `axes` axes."""
    return vector.reshape(-1, *(1,) * (axes - 2))
