"""The weights of a model under their public names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING

import numpy as np

from cnnspec.layers import show

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from cnnspec.network.graph import Facts, Graph
    from cnnspec.numpy_backend.kernels.base import Array


class Weights(MutableMapping[str, "Array"]):
    """Arrays by name, `conv1.weight`; assignment copies into the array that is there. The names are fixed."""

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self._arrays = dict(arrays)

    def __getitem__(self, name: str) -> Array:
        return self._arrays[name]

    def __setitem__(self, name: str, value: ArrayLike) -> None:
        """Copy a value in.

        Raises:
            ValueError: there is no such weight, or the value has another shape or is not made of numbers.
        """
        if name not in self._arrays:
            raise ValueError(f"there is no weight {name!r}; there are {', '.join(self._arrays) or 'none'}")
        target, given = self._arrays[name], np.asarray(value)
        if given.shape != target.shape:
            shapes = f"{show(target.shape)}, not {show(given.shape) or 'a number'}"
            raise ValueError(f"weight {name!r} has shape {shapes}")
        if not (np.issubdtype(given.dtype, np.floating) or np.issubdtype(given.dtype, np.integer)):
            raise ValueError(f"weight {name!r} takes real numbers, not {given.dtype}")
        np.copyto(target, given, casting="unsafe")

    def __delitem__(self, name: str) -> None:
        raise ValueError(f"weight {name!r} belongs to the network and cannot be deleted")

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        return f"Weights({', '.join(f'{n}: {show(a.shape)}' for n, a in self._arrays.items())})"


def zeros(graph: Graph, facts: Facts, dtype: np.dtype[np.float32]) -> dict[str, Array]:
    """An array of zeros for every weight, by its public name."""
    return {
        f"{node.name}.{weight.name}": np.zeros(weight.shape, dtype)
        for node, layer in zip(graph.nodes, facts.layers, strict=True)
        for weight in layer.weights
    }


def of_node(arrays: Mapping[str, Array], node: str, names: tuple[str, ...]) -> dict[str, Array]:
    """The arrays of one node under the names that its layer gives them."""
    return {name: arrays[f"{node}.{name}"] for name in names}
