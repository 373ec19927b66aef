"""The weights of a model under their public names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from cnnspec.layers import Shape, product, show

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from cnnspec.network.graph import Facts, Graph
    from cnnspec.numpy_backend.kernels.base import Array
    from cnnspec.numpy_backend.memory import Allocator
    from cnnspec.numpy_backend.plan import Plan


class Weights(MutableMapping[str, "Array"]):
    """Arrays by name, `conv1.weight`; assignment copies into the array that is there. The names are fixed.

    `fresh` is true until the model has prepared its kernels for the values. A model that only predicts does
    so once: its arrays are for reading, so that no value changes but by assignment.
    """

    def __init__(self, arrays: Mapping[str, Array], writeable: bool = True) -> None:
        self._arrays = dict(arrays)
        self._shown = {name: array.view() for name, array in arrays.items()}
        for view in self._shown.values():
            view.flags.writeable = writeable
        self.fresh = True

    def __getitem__(self, name: str) -> Array:
        return self._shown[name]

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
        self.fresh = True

    def __delitem__(self, name: str) -> None:
        raise ValueError(f"weight {name!r} belongs to the network and cannot be deleted")

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        return f"Weights({', '.join(f'{n}: {show(a.shape)}' for n, a in self._arrays.items())})"


@dataclass(frozen=True, slots=True)
class Block:
    """All weights that are learned, one behind the other, and their gradients in the same order.

    What changes each element by itself, such as the step of an optimizer, is done to all at once: LeNet has
    ten weights, most of them small. `places` says where each begins, and its shape.
    """

    weights: Array
    gradients: Array
    places: Mapping[str, tuple[int, Shape]]

    def named(self, whole: Array) -> dict[str, Array]:
        """The parts of an array like the block by the names of the weights."""
        return {
            name: whole[start : start + product(shape)].reshape(shape)
            for name, (start, shape) in self.places.items()
        }


def weight_arrays(
    graph: Graph, facts: Facts, dtype: np.dtype[np.float32], learned: Block | None, memory: Allocator
) -> dict[str, Array]:
    """An array of zeros for every weight by its public name; those that are learned lie in a block."""
    within = learned.named(learned.weights) if learned else {}
    shapes = {
        f"{node.name}.{weight.name}": weight.shape
        for node, layer in zip(graph.nodes, facts.layers, strict=True)
        for weight in layer.weights
    }
    return {
        name: within[name] if name in within else memory.zeros(shape, dtype) for name, shape in shapes.items()
    }


class Sums:
    """The sums of gradients of each worker, in one block each.

    The first worker's sums are the gradients themselves where they can be. Its block begins with the
    gradients that are made of other sums in the end, then come those that are sums, and last the sums that
    are something else: so all gradients lie together, and all sums of every worker in the same order.
    """

    def __init__(self, plan: Plan, workers: int, memory: Allocator) -> None:
        apart: dict[str, Shape] = {}
        direct: dict[tuple[int, str], Shape] = {}
        others: dict[tuple[int, str], Shape] = {}
        for i, (node, kernel) in enumerate(zip(plan.graph.nodes, plan.kernels, strict=True)):
            sums = kernel.sums() if plan.training else {}
            for weight in kernel.weights if plan.training else ():
                if weight.learned and weight.name not in sums:
                    apart[f"{node.name}.{weight.name}"] = weight.shape
            learned = {weight.name for weight in kernel.weights if weight.learned}
            for name, shape in sums.items():
                (direct if name in learned else others)[i, name] = shape
        named = {f"{plan.graph.nodes[i].name}.{name}": shape for (i, name), shape in direct.items()}
        self.gradients = {**apart, **named}
        self._made = _size(apart)
        self._places = _in_a_row({**direct, **others})
        self._nodes = len(plan.kernels)
        size = _size({**direct, **others})
        self._memory = memory
        self._whole = memory.zeros((self._made + size,), plan.dtype)
        self.blocks = [
            self._whole[self._made :],
            *(memory.zeros((size,), plan.dtype) for _ in range(workers - 1)),
        ]

    def block(self) -> Block:
        """Weights of zeros, with the gradients that the sums become."""
        size = _size(self.gradients)
        return Block(
            self._memory.zeros((size,), self._whole.dtype), self._whole[:size], _in_a_row(self.gradients)
        )

    def tables(self, worker: int) -> list[dict[str, Array]]:
        """The arrays in the block of a worker, node by node."""
        tables: list[dict[str, Array]] = [{} for _ in range(self._nodes)]
        for (i, name), (start, shape) in self._places.items():
            tables[i][name] = self.blocks[worker][start : start + product(shape)].reshape(shape)
        return tables


K = TypeVar("K")


def _size(shapes: Mapping[K, Shape]) -> int:
    return sum(map(product, shapes.values()))


def _in_a_row(shapes: Mapping[K, Shape]) -> dict[K, tuple[int, Shape]]:
    """Where each of some arrays begins, one behind the other."""
    places, start = {}, 0
    for key, shape in shapes.items():
        places[key] = (start, shape)
        start += product(shape)
    return places


def of_node(arrays: Mapping[str, Array], node: str, names: tuple[str, ...]) -> dict[str, Array]:
    """The arrays of one node under the names that its layer gives them."""
    return {name: arrays[f"{node}.{name}"] for name in names}
