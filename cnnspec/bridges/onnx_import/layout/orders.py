"""In which order the axes of a model's value stand to those of the network's, and what follows from it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.bridges.onnx_import.nodes import OnnxNode
    from cnnspec.layers import Shape

Axes = tuple[int, ...]
"""Axis i of the model's value is axis `axes[i]` of the network's; axis 0 is the batch in both."""


@dataclass(frozen=True, eq=False)
class Order:
    """The network's value behind a value of the model.

    Attributes:
        name: the network's value.
        axes: the order of axes, or nothing where both have the same.
        picks: for a vector, the element of the network's that each of the model's is, or nothing.
        origin: the node of the model that moved the axes, or nothing for an input.
    """

    name: str
    axes: Axes | None = None
    picks: NDArray[np.intp] | None = None
    origin: OnnxNode | None = None

    @property
    def moved(self) -> bool:
        """Whether the model's value is another than the network's."""
        return self.axes is not None or self.picks is not None

    def agrees(self, other: Order) -> bool:
        """Whether both stand in the same order."""
        same = (self.picks is None) == (other.picks is None)
        if self.picks is not None and other.picks is not None:
            same = np.array_equal(self.picks, other.picks)
        return same and self.axes == other.axes


def plain(axes: Axes) -> Axes | None:
    """Nothing where every axis stays in its place."""
    return None if list(axes) == list(range(len(axes))) else axes


def channels_last(rank: int) -> Axes:
    """The order of a value whose channels stand behind its positions: `(0, 2, 3, 1)`."""
    return (0, *range(2, rank), 1)


def inverse(axes: Axes) -> Axes:
    """The order that undoes another."""
    return tuple(axes.index(i) for i in range(len(axes)))


def without(axes: Axes, gone: Collection[int]) -> Axes:
    """The order of what is left of a value when some of the model's axes are gone."""
    left = [place for axis, place in enumerate(axes) if axis not in gone]
    return tuple(sorted(left).index(place) for place in left)


def in_network(sizes: Sequence[int], axes: Axes) -> Shape:
    """The shape of the network's sample, from that of the model's."""
    return tuple(sizes[i - 1] for i in inverse(axes)[1:])


def picked(sizes: Sequence[int], axes: Axes) -> NDArray[np.intp] | None:
    """The order of elements of a flattened value; `sizes` is the model's sample before."""
    shape = in_network(sizes, axes)
    places = np.arange(int(np.prod(shape, dtype=np.int64))).reshape(shape)
    picks = places.transpose([axis - 1 for axis in axes[1:]]).reshape(-1)
    return None if np.array_equal(picks, np.arange(len(picks))) else picks


def moved_back(array: NDArray[Any], axes: Axes) -> NDArray[Any]:
    """An array of the model's, broadcast against a value, as the network's has it."""
    wide = array.reshape((1,) * (len(axes) - array.ndim) + array.shape)
    return np.ascontiguousarray(wide.transpose(inverse(axes)))


def unpicked(array: NDArray[Any], picks: NDArray[np.intp], axis: int = -1) -> NDArray[Any]:
    """An array along the elements of a model's vector, along those of the network's."""
    return np.ascontiguousarray(np.take(array, np.argsort(picks), axis=axis))


def long_axes(sizes: Sequence[int], axes: Axes) -> list[int]:
    """The model's axes that have more than one position, as they follow each other in the network."""
    return [i for i in inverse(axes)[1:] if sizes[i - 1] != 1]


def alike(sizes: Sequence[int], one: Axes, other: Axes) -> bool:
    """Whether two orders are the same but for axes of one position, so that a reshape leads over."""
    return long_axes(sizes, one) == long_axes(sizes, other)


def groups(before: Sequence[int], after: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """The places of two lists of sizes in groups of equal products, each as small as can be.

    Sizes of 1 stand in no group. Both lists have the same product.
    """
    found: list[tuple[list[int], list[int]]] = []
    left = [i for i, n in enumerate(before) if n != 1]
    right = [i for i, n in enumerate(after) if n != 1]
    while left and right:
        ours, theirs = [left.pop(0)], [right.pop(0)]
        n, m = before[ours[0]], after[theirs[0]]
        while n != m:
            if n < m:
                ours.append(left.pop(0))
                n *= before[ours[-1]]
            else:
                theirs.append(right.pop(0))
                m *= after[theirs[-1]]
        found.append((ours, theirs))
    return found
