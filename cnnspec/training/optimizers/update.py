"""What every update is: parts of memory that it changes in place, a rate, and a state that can be kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from cnnspec.layers import Shape, product, show

if TYPE_CHECKING:
    from cnnspec.numpy_backend.parameters import Block

Array = NDArray[np.float32]
Arrays = Mapping[str, Array]

CHUNK: Final = 1 << 16
"""Elements that a step takes through all of its operations before it goes on to the next ones: weights,
gradients and state of so many stay in the cache of a core."""


@dataclass(frozen=True, slots=True)
class Part:
    """Weights in one piece of memory and their gradients in another; where each begins, and its shape."""

    weights: Array
    gradients: Array
    places: Mapping[str, tuple[int, Shape]]


def part_of(block: Block) -> Part:
    """All that a model learns, as one part."""
    return Part(block.weights, block.gradients, block.places)


def parts_of(weights: Arrays, gradients: Arrays) -> list[Part]:
    """A part for each array: contiguous ones that lie anywhere."""
    return [
        Part(weights[name].reshape(-1), gradient.reshape(-1), {name: (0, gradient.shape)})
        for name, gradient in gradients.items()
    ]


class Update(ABC):
    """What changes the weights after each batch: a rule that holds for each element by itself.

    Attributes:
        lr: the learning rate of the next step.
    """

    def __init__(self, parts: Sequence[Part], lr: float, slots: Sequence[str], spares: int) -> None:
        """Hold on to the arrays themselves: they must stay the same ones for as long as this is used.

        Args:
            parts: what is changed.
            lr: the learning rate to begin with.
            slots: what is kept of every element from one step to the next, by name, zeros at first.
            spares: arrays of a chunk's size that a step needs for itself.
        """
        self.lr = lr
        self._parts = parts
        self._steps = np.zeros(1, np.int64)
        self._kept = {slot: [np.zeros_like(part.weights) for part in parts] for slot in slots}
        largest = min(max((part.weights.size for part in parts), default=0), CHUNK)
        kind = parts[0].weights.dtype if parts else np.dtype(np.float32)
        self._chunks = list(self._cut([np.empty(largest, kind) for _ in range(spares)]))

    def _cut(self, spares: list[Array]) -> Iterator[tuple[Array, ...]]:
        """For each chunk its weights, gradients, what is kept of it, and spare memory."""
        for number, part in enumerate(self._parts):
            whole = [part.weights, part.gradients, *(kept[number] for kept in self._kept.values())]
            for start in range(0, part.weights.size, CHUNK):
                size = min(CHUNK, part.weights.size - start)
                yield (*(array[start : start + size] for array in whole), *(s[:size] for s in spares))

    @property
    def steps(self) -> int:
        """The steps that were made so far."""
        return int(self._steps[0])

    def set_rate(self, lr: float) -> None:
        """Set the learning rate of the next step."""
        self.lr = lr

    def step(self) -> None:
        """Change every weight once, by its present gradient. The gradients stay as they are."""
        self._steps += 1
        self._begin()
        for chunk in self._chunks:
            self._change(*chunk)

    def _begin(self) -> None:  # noqa: B027 - most have nothing to work out
        """Work out what is the same for all elements of a step."""

    @abstractmethod
    def _change(self, *arrays: Array) -> None:
        """Change a chunk: its weights, gradients, what is kept by the order of the slots, and the spares."""

    def state(self) -> dict[str, NDArray[np.generic]]:
        """All that a step depends on beside weights, gradients and rate: the arrays themselves, by name.

        They are named after what they hold and the weight: `momentum/conv1.weight`, and `step`.
        """
        state: dict[str, NDArray[np.generic]] = {"step": self._steps}
        for slot, arrays in self._kept.items():
            for part, kept in zip(self._parts, arrays, strict=True):
                for name, (start, shape) in part.places.items():
                    state[f"{slot}/{name}"] = kept[start : start + product(shape)].reshape(shape)
        return state

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over a state that was kept, so that training goes on bit for bit.

        Raises:
            ValueError: it is not that of such an update of such a network.
        """
        load_arrays(self.state(), state, "the optimizer")


def load_arrays(
    own: Mapping[str, NDArray[np.generic]], given: Mapping[str, NDArray[np.generic]], owner: str
) -> None:
    """Copy arrays into those of the same names.

    Raises:
        ValueError: one is missing, has another shape, or belongs to something else.
    """
    missing, extra = [name for name in own if name not in given], [name for name in given if name not in own]
    if missing or extra:
        wrong = f"`{missing[0]}` is missing" if missing else f"`{extra[0]}` has no place"
        raise ValueError(f"this is no state of {owner}: {wrong}")
    for name, array in own.items():
        if given[name].shape != array.shape:
            shapes = f"{show(given[name].shape)}, not {show(array.shape)}"
            raise ValueError(f"this is no state of {owner}: `{name}` is {shapes}")
    for name, array in own.items():
        np.copyto(array, given[name], casting="unsafe")
