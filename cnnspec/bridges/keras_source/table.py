"""What says a layer kind in Keras' words, on maps whose channels come last, and how its weights lie there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cnnspec.bridges.source.code import Arg, Code
from cnnspec.bridges.source.file import WeightName
from cnnspec.bridges.table import NotCovered, Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.layers import Shape

MOST_AXES: Final = 3
NAMED: Final = "{me}({0})"
"""A layer with a name that is called on its input."""


@dataclass(frozen=True)
class KerasCode(Code):
    """A layer, and for each of its weights the name and the layout that it has in Keras."""

    variables: Mapping[str, WeightName] = field(default_factory=dict)


CODES: Final[Table[Callable[..., KerasCode]]] = Table("Keras")
"""Functions of a layer and the shapes of its inputs."""


def axes_of(shape: Shape) -> int:
    """The number of spatial axes, for the name of a class: `Conv2D`.

    Raises:
        NotCovered: there are more than Keras has classes for.
    """
    axes = len(shape) - 1
    if axes > MOST_AXES:
        raise NotCovered(f"it slides windows over 1 to {MOST_AXES} spatial axes, not over {axes}")
    return axes


def one_or_all(sizes: Sequence[int]) -> int | tuple[int, ...]:
    """One number where all axes have it."""
    return sizes[0] if len(set(sizes)) == 1 else tuple(sizes)


def of_windows(windows: Sequence[Any], name: str) -> int | tuple[int, ...]:
    """One property of each axis' window."""
    return one_or_all([getattr(window, name) for window in windows])


def around(ends: Sequence[tuple[int, int]]) -> str:
    """Positions before and behind every axis as `ops.pad` takes them, the batch and the channels without."""
    return f"({', '.join(['(0, 0)', *(f'({a}, {b})' for a, b in ends), '(0, 0)'])})"


def zeros_around(ends: Sequence[tuple[int, int]]) -> str:
    """The layer that adds zeros around a map, as its text."""
    pairs = tuple((int(before), int(after)) for before, after in ends)
    if len(set(pairs)) == 1 and pairs[0][0] == pairs[0][1]:
        return f"layers.ZeroPadding{len(pairs)}D({pairs[0][0]})"
    return f"layers.ZeroPadding{len(pairs)}D({pairs[0] if len(pairs) == 1 else pairs})"


def positional(name: str, value: object) -> Arg:
    """An argument that is written without its name."""
    return Arg(name, value, positional=True)


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
