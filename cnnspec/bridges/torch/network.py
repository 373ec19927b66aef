"""The module of a whole network: its layers under their names, run in the order of the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from cnnspec.bridges.table import each_node
from cnnspec.bridges.torch import (  # noqa: F401 - importing them fills the table
    activations,
    merging,
    normalization,
    pooling,
    structure,
    windows,
)
from cnnspec.bridges.torch.table import MODULES

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from cnnspec.network.graph import Facts, Graph, LayerFacts, Node

Tensors = torch.Tensor | tuple[torch.Tensor, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One node: its module, the nodes it reads, and those that nobody needs after it."""

    module: nn.Module
    inputs: tuple[int, ...]
    done_with: tuple[int, ...]


def to_module(
    graph: Graph, facts: Facts, weights: Mapping[str, ArrayLike], *, logits: bool = False
) -> Network:
    """A checked network as a PyTorch module with these weights, `conv1.weight` and so on; they are copied.

    Its `state_dict` has the same names, and `num_batches_tracked` of each batch normalization beside them.
    A part of a name that `nn.Module` keeps for itself, such as `forward`, gets a line behind it. In training
    mode, dropout drops and batch normalization uses and follows the batch's statistics. With `logits`, the
    output is what enters a final softmax, as `functional.cross_entropy` wants it.

    Raises:
        SpecError: PyTorch cannot say some of the layers.
        KeyError: a weight is missing.
    """
    return Network(graph, facts, weights, logits=logits)


class Network(nn.Module):
    """Computes a graph: `N x C x H x W` for each input in the order of the file; several outputs are a tuple.

    Attributes:
        outputs: the nodes whose values are given.
    """

    def __init__(
        self, graph: Graph, facts: Facts, weights: Mapping[str, ArrayLike], *, logits: bool = False
    ) -> None:
        super().__init__()
        modules = each_node(graph, "PyTorch", lambda index, node: _module(node, facts.layers[index], weights))
        self.outputs = logits_of(graph) if logits else graph.outputs
        self.sources = graph.sources()
        ends = _last_readers(graph, self.outputs)
        self.steps = tuple(
            Step(module, node.inputs, tuple(v for v, end in ends.items() if end == index))
            for index, (node, module) in enumerate(zip(graph.nodes, modules, strict=True))
        )
        for node, module in zip(graph.nodes, modules, strict=True):
            if node.inputs:
                _hang(self, node.name, module)

    def forward(self, *inputs: torch.Tensor) -> Tensors:
        """The outputs for `N` samples of every input."""
        values: dict[int, torch.Tensor] = dict(zip(self.sources, inputs, strict=True))
        for index, step in enumerate(self.steps[: max(self.outputs) + 1]):
            if step.inputs:
                values[index] = step.module(*(values[v] for v in step.inputs))
            for v in step.done_with:
                del values[v]
        ends = tuple(values[i] for i in self.outputs)
        return ends[0] if len(ends) == 1 else ends


def logits_of(graph: Graph) -> tuple[int, ...]:
    """The outputs, or what enters a softmax where the only output is one."""
    output = graph.nodes[graph.outputs[0]]
    alone = len(graph.outputs) == 1 and output.layer.takes_logits
    return output.inputs if alone else graph.outputs


def _last_readers(graph: Graph, outputs: tuple[int, ...]) -> dict[int, int]:
    """For each node that is no output, the last one that reads it; itself where nobody does."""
    last = {v: max((v, *readers)) for v, readers in enumerate(graph.consumers())}
    return {v: end for v, end in last.items() if v not in outputs}


# --- modules --------------------------------------------------------------------------------------------


def _module(node: Node, facts: LayerFacts, weights: Mapping[str, ArrayLike]) -> nn.Module:
    """The module of a layer with its weights; what is frozen asks for no gradient."""
    if not node.inputs:
        return nn.Identity()
    with torch.device("meta"):  # PyTorch's own initial values would cost more than all else
        module = MODULES.of(node.layer)(node.layer, *facts.input_shapes)
    for weight in facts.weights:
        tensor = torch.tensor(weights[f"{node.name}.{weight.name}"])
        assert tensor.shape == weight.shape, f"`{node.name}.{weight.name}` has another shape"
        if weight.name in dict(module.named_buffers(recurse=False)):
            module.register_buffer(weight.name, tensor)
        else:
            module.register_parameter(weight.name, nn.Parameter(tensor, requires_grad=weight.trainable))
    for name, buffer in list(module.named_buffers(recurse=False)):
        if buffer.is_meta:
            module.register_buffer(name, torch.zeros(buffer.shape, dtype=buffer.dtype))
    return module


def _hang(root: nn.Module, path: str, module: nn.Module) -> None:
    """Put a module under its name, `stage2.1.conv` in a module `1` of a module `stage2`."""
    *before, last = path.split(".")
    place = root
    for name in before:
        key = _free(place, name)
        if key not in place._modules:
            place.add_module(key, nn.Module())
        place = place.get_submodule(key)
    place.add_module(_free(place, last), module)


def _free(place: nn.Module, name: str) -> str:
    """The name, unless it is one of `nn.Module`'s own or of a parameter."""
    taken = hasattr(place, name) and name not in place._modules
    return _free(place, f"{name}_") if taken else name
