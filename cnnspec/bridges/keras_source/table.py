"""What says a layer kind in Keras' words, on maps whose channels come last, and how its weights lie there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from cnnspec.bridges.source.code import Code
from cnnspec.bridges.source.file import WeightName
from cnnspec.bridges.table import Table

if TYPE_CHECKING:
    from numpy.typing import NDArray


NAMED: Final = "{me}({0})"
"""A layer with a name that is called on its input."""


@dataclass(frozen=True)
class KerasCode(Code):
    """A layer, and for each of its weights the name and the layout that it has in Keras."""

    variables: Mapping[str, WeightName] = field(default_factory=dict)


CODES: Final[Table[Callable[..., KerasCode]]] = Table("Keras")
"""Functions of a layer and the shapes of its inputs."""


def around(ends: Sequence[tuple[int, int]]) -> str:
    """Positions before and behind every axis as `ops.pad` takes them, the batch and the channels without."""
    return f"({', '.join(['(0, 0)', *(f'({a}, {b})' for a, b in ends), '(0, 0)'])})"


def zeros_around(ends: Sequence[tuple[int, int]]) -> str:
    """The layer that adds zeros around a map, as its text."""
    pairs = tuple((int(before), int(after)) for before, after in ends)
    if len(set(pairs)) == 1 and pairs[0][0] == pairs[0][1]:
        return f"layers.ZeroPadding{len(pairs)}D({pairs[0][0]})"
    return f"layers.ZeroPadding{len(pairs)}D({pairs[0] if len(pairs) == 1 else pairs})"


def kernel_last(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """`(out, in, kh, kw)` to `(kh, kw, in, out)`."""
    return np.moveaxis(array, (0, 1), (-1, -2))


def channels_last(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """`(C, H, W)` to `(H, W, C)`."""
    return np.moveaxis(array, 0, -1)


def transposed(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """`(out, in)` to `(in, out)`."""
    return array.T


def last_of(axes: int) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """`(C,)` to `(1, 1, C)`, for so many axes."""
    return lambda array: array.reshape(*(1,) * axes, -1)


def as_it_is(**names: str) -> dict[str, WeightName]:
    """Weights that have another name alone."""
    return {own: WeightName(there) for own, there in names.items()}
