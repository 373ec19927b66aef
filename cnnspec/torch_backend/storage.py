"""The weights of a network in three pieces of memory: what is learned, its gradients, and what layers keep.

An update then goes over one tensor, whatever the number of layers, which on a GPU is one kernel. Modules hold
views. On the processor, NumPy's arrays are views as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import nn

from cnnspec.layers import Shape, product, show
from cnnspec.torch_backend.placement import IMAGE_AXES, Placement

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from cnnspec.bridges.torch import Network
    from cnnspec.network.graph import Facts, Graph

Places = Mapping[str, tuple[int, Shape]]
ALIGNMENT: Final = 32
"""Weights begin at multiples of so many elements, 128 bytes, as kernels of a GPU like it."""


class Storage:
    """All weights of a network on a device, by their public names.

    Attributes:
        weights: those that are learned, one behind the other.
        gradients: theirs, in the same places.
        state: the others: running statistics, and what is frozen.
    """

    def __init__(self, graph: Graph, facts: Facts, placement: Placement) -> None:
        self._placement = placement
        self._learned, size = _in_a_row(_shapes(graph, facts, learned=True))
        self._kept, kept = _in_a_row(_shapes(graph, facts, learned=False))
        self.weights = torch.zeros(size, device=placement.device)
        self.gradients = torch.zeros(size, device=placement.device)
        self.state = torch.zeros(kept, device=placement.device)
        self._order = [
            f"{node.name}.{weight.name}"
            for node, layer in zip(graph.nodes, facts.layers, strict=True)
            for weight in layer.weights
        ]

    def learned(self, whole: torch.Tensor) -> dict[str, torch.Tensor]:
        """The parts of a tensor that is laid out like the weights, by name."""
        return self._views(whole, self._learned)

    def named(self) -> dict[str, torch.Tensor]:
        """All weights and all that layers keep, in the order of the layers."""
        views = {**self.learned(self.weights), **self._views(self.state, self._kept)}
        return {name: views[name] for name in self._order}

    def adopt(self, network: Network, graph: Graph, facts: Facts) -> None:
        """Let the modules of a network hold views into this memory in place of what they have."""
        views, gradients = self.named(), self.learned(self.gradients)
        for node, layer, step in zip(graph.nodes, facts.layers, network.steps, strict=True):
            for weight in layer.weights:
                name = f"{node.name}.{weight.name}"
                if weight.name in dict(step.module.named_buffers(recurse=False)):
                    step.module.register_buffer(weight.name, views[name])
                    continue
                parameter = nn.Parameter(views[name], requires_grad=weight.learned)
                if weight.learned:
                    parameter.grad = gradients[name]
                step.module.register_parameter(weight.name, parameter)

    def _views(self, whole: torch.Tensor, places: Places) -> dict[str, torch.Tensor]:
        return {name: self._view(whole, start, shape) for name, (start, shape) in places.items()}

    def _view(self, whole: torch.Tensor, start: int, shape: Shape) -> torch.Tensor:
        """A weight; kernels lie as the images do, their channels last."""
        piece = whole[start : start + product(shape)]
        if self._placement.channels_last and len(shape) == IMAGE_AXES:
            out, channels, height, width = shape
            return piece.view(out, height, width, channels).permute(0, 3, 1, 2)
        return piece.view(shape)


def _shapes(graph: Graph, facts: Facts, *, learned: bool) -> dict[str, Shape]:
    return {
        f"{node.name}.{weight.name}": weight.shape
        for node, layer in zip(graph.nodes, facts.layers, strict=True)
        for weight in layer.weights
        if weight.learned == learned
    }


def _in_a_row(shapes: Mapping[str, Shape]) -> tuple[Places, int]:
    """Where each of some tensors begins, one behind the other, and the elements of all."""
    places, start = {}, 0
    for name, shape in shapes.items():
        places[name] = (start, shape)
        start += -(-product(shape) // ALIGNMENT) * ALIGNMENT
    return places, start


class TensorWeights(MutableMapping[str, "NDArray[np.float32]"]):
    """Tensors as arrays by name; assignment copies into the tensor. The names are fixed.

    On the processor the arrays are the tensors' own memory, those of a GPU are copies.
    """

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self._tensors = dict(tensors)

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        array: NDArray[np.float32] = self._tensors[name].numpy(force=True)
        return array

    def __setitem__(self, name: str, value: ArrayLike) -> None:
        """Copy a value in.

        Raises:
            ValueError: there is no such weight, or the value has another shape.
        """
        if name not in self._tensors:
            raise ValueError(f"there is no weight {name!r}; there are {', '.join(self._tensors) or 'none'}")
        target, given = self._tensors[name], np.array(value, np.float32)
        if given.shape != tuple(target.shape):
            shapes = f"{show(tuple(target.shape))}, not {show(given.shape) or 'a number'}"
            raise ValueError(f"weight {name!r} has shape {shapes}")
        target.copy_(torch.from_numpy(given))

    def __delitem__(self, name: str) -> None:
        raise ValueError(f"weight {name!r} belongs to the network and cannot be deleted")

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)
