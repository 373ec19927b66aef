"""What makes a layer of an operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cnnspec.bridges.onnx_import.nodes import Cannot, OnnxGraph, OnnxNode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.layers import Layer, Shape


@dataclass(frozen=True)
class Made:
    """A layer, the values that it reads, and its weights; with `flat` what it gives is then flattened."""

    layer: Layer
    inputs: tuple[str, ...]
    weights: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    flat: bool = False


class At:
    """A node that is being read: its constants, attributes and the shapes of its inputs."""

    def __init__(self, graph: OnnxGraph, node: OnnxNode, shapes: Mapping[str, Shape]) -> None:
        self.graph, self.node, self.shapes = graph, node, shapes

    @property
    def x(self) -> str:
        """The first input."""
        return self.node.inputs[0]

    def shape(self, name: str | None = None) -> Shape:
        """The shape of one sample of a value, the first input unless named."""
        return self.shapes[self.x if name is None else name]

    def option(self, name: str, default: object = None) -> Any:  # noqa: ANN401 - any attribute's type
        """An attribute."""
        return self.node.attributes.get(name, default)

    def remark(self, name: str) -> Any:  # noqa: ANN401 - any option's value
        """What a model of our own says of the layer that this node ends."""
        return self.graph.remarks.get(self.node.output, {}).get(name)

    def has(self, number: int) -> bool:
        """Whether there is such an input."""
        return len(self.node.inputs) > number and bool(self.node.inputs[number])

    def constant(self, number: int, what: str) -> NDArray[np.float32]:
        """An input that must be part of the model.

        Raises:
            Cannot: it is computed.
        """
        name = self.node.inputs[number]
        array = self.graph.array(name)
        if array is None:
            raise Cannot(f"its {what} is computed, and must be part of the model")
        return np.asarray(array, np.float32)

    def wants(self, name: str, *allowed: object) -> None:
        """An attribute must have one of these values, the first of which it has where it is not given.

        Raises:
            Cannot: it has another.
        """
        value = self.option(name, allowed[0])
        plain = value.decode() if isinstance(value, bytes) else value
        if plain not in allowed:
            raise Cannot(f"`{name}` is {plain}")


def number(value: float) -> float:
    """A float32 as a person writes it: 0.001, not 0.0010000000474974513."""
    short = float(str(np.float32(value)))
    return int(short) if short == int(short) and abs(short) < 1e6 else short


def extent(numbers: Sequence[int]) -> int | tuple[int, ...]:
    """One number where all axes have it."""
    return int(numbers[0]) if len(set(numbers)) == 1 else tuple(map(int, numbers))


def ends(before: Sequence[int], after: Sequence[int]) -> int | tuple[int, ...]:
    """Padding as the language writes it: one number, one an axis, or both ends of every axis."""
    if list(before) == list(after):
        return extent(before)
    return tuple(int(end) for pair in zip(before, after, strict=True) for end in pair)


def per_channel(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Numbers, one for each channel of a map.

    Raises:
        Cannot: they differ within a channel.
    """
    axes = (1,) * (len(shape) - 1)
    try:
        wide = np.broadcast_to(array.astype(np.float32), (1, shape[0], *axes))
    except ValueError:
        raise Cannot("its numbers differ within a channel") from None
    return np.ascontiguousarray(wide.reshape(-1))


READERS: Final[dict[str, Callable[[At], Made]]] = {}
"""Functions by operator."""


def reads(*ops: str) -> Callable[[Callable[[At], Made]], Callable[[At], Made]]:
    """Register the decorated function for these operators."""

    def register(function: Callable[[At], Made]) -> Callable[[At], Made]:
        READERS.update(dict.fromkeys(ops, function))
        return function

    return register
