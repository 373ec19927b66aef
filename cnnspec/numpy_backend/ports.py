"""What goes into a network and what comes out of it: an array for each input, and one for each output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from cnnspec.layers import Shape, show
from cnnspec.numpy_backend.kernels.base import Array

if TYPE_CHECKING:
    from cnnspec.network.graph import Facts, Graph

Given = Array | Sequence[Array] | Mapping[str, Array]
"""The array of the only input or output; of several, a tuple or list in their order, or one by name."""
Arrays = tuple[Array, ...]
"""An array for each input or output, in their order."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The inputs of a network, or its outputs, in the order of the file. `shapes` are those of a sample."""

    what: Literal["input", "output"]
    names: tuple[str, ...]
    shapes: tuple[Shape, ...]

    @classmethod
    def inputs(cls, graph: Graph, facts: Facts) -> Ports:
        """The inputs of a network."""
        return cls._at(graph.sources(), "input", graph, facts)

    @classmethod
    def outputs(cls, graph: Graph, facts: Facts) -> Ports:
        """The outputs of a network."""
        return cls._at(graph.outputs, "output", graph, facts)

    @classmethod
    def _at(
        cls, nodes: tuple[int, ...], what: Literal["input", "output"], graph: Graph, facts: Facts
    ) -> Ports:
        return cls(what, tuple(graph.nodes[i].name for i in nodes), tuple(map(facts.shape, nodes)))

    def samples(self, given: Given, name: str) -> Arrays:
        """Arrays of any number of samples, as many of each; `name` is the argument's.

        Raises:
            ValueError: there are too few or too many arrays, or one has another shape.
        """
        arrays = self._arrays(given, name)
        for i, (shape, array) in enumerate(zip(self.shapes, arrays, strict=True)):
            if array.shape[1:] != shape or array.ndim != len(shape) + 1:
                raise ValueError(f"{self._named(name)[i]} must be Nx{show(shape)}, not {show(array.shape)}")
            if not len(array):
                raise ValueError(f"{self._named(name)[i]} has no images")
        if len(arrays) > 1:
            self._check_counts([len(array) for array in arrays])
        return self._numbers(arrays, name)

    def exactly(self, count: int, given: Given, name: str) -> Arrays:
        """Arrays of `count` samples.

        Raises:
            ValueError: there are too few or too many arrays, or one has another shape.
        """
        arrays = self._arrays(given, name)
        for port, shape, array in zip(self._named(name), self.shapes, arrays, strict=True):
            if array.shape != (count, *shape):
                expected = f"{show((count, *shape))} like the {self.what}"
                raise ValueError(f"{port} must be {expected}, not {show(array.shape)}")
        return self._numbers(arrays, name)

    def _numbers(self, arrays: Arrays, name: str) -> Arrays:
        """The arrays, of at most 8 bytes a number."""
        for i, array in enumerate(arrays):
            if array.dtype.kind not in "biuf":
                raise ValueError(f"{self._named(name)[i]} must be of real numbers, not {array.dtype}")
        if any(array.itemsize > 8 for array in arrays):
            return tuple(a if a.itemsize <= 8 else a.astype(np.float64) for a in arrays)
        return arrays

    def empty(self, count: int, dtype: np.dtype[np.float32]) -> Arrays:
        """Arrays to be filled with `count` samples."""
        return tuple(np.empty((count, *shape), dtype) for shape in self.shapes)

    def given_back(self, arrays: Arrays) -> Array | Arrays:
        """The array of the only port, or a tuple of those of all."""
        return arrays[0] if len(self.names) == 1 else arrays

    def __str__(self) -> str:
        return ", ".join(
            f"`{name}` of {show(shape)}" for name, shape in zip(self.names, self.shapes, strict=True)
        )

    def _arrays(self, given: Given, name: str) -> Arrays:
        if isinstance(given, Mapping):
            if set(given) != set(self.names):
                raise ValueError(f"{name} must name {self._list()}, not {', '.join(map(str, given))}")
            return tuple(np.asarray(given[port]) for port in self.names)
        if len(self.names) == 1:
            return (np.asarray(given),)
        if not isinstance(given, Sequence) or len(given) != len(self.names):
            count = len(given) if isinstance(given, Sequence) else 1
            raise ValueError(f"{name} must be {len(self.names)} arrays, for {self._list()}, not {count}")
        return tuple(map(np.asarray, given))

    def _check_counts(self, counts: list[int]) -> None:
        if len(set(counts)) > 1:
            each = ", ".join(f"{n} of {name}" for n, name in zip(counts, self.names, strict=True))
            raise ValueError(f"every input needs as many images, not {each}")

    def _named(self, name: str) -> tuple[str, ...]:
        """How messages call each array: `x`, or `x of left` where there are several."""
        if len(self.names) == 1:
            return (name,)
        return tuple(f"{name} of {port}" for port in self.names)

    def _list(self) -> str:
        *most, last = self.names
        return f"{', '.join(most)} and {last}" if most else last
