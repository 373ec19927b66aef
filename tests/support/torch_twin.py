"""The same network in PyTorch: an outside truth for outputs, losses and gradients."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from cnnspec.bridges.torch import to_module
from cnnspec.bridges.torch.network import logits_of
from cnnspec.network.graph import Facts, Graph

torch.set_num_threads(1)

Tensors = torch.Tensor | tuple[torch.Tensor, ...]


class Twin(nn.Module):
    """Computes a graph with weights under our names; in training where gradients are wanted."""

    def __init__(self, graph: Graph, facts: Facts, weights: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        self.network = to_module(graph, facts, weights)
        self._outputs, self._logits = graph.outputs, logits_of(graph)
        make_exact(self.network)

    def forward(self, x: Tensors, logits: bool = False) -> Tensors:
        """The output, or the logits under a final softmax; tuples where there are several."""
        self.network.train(torch.is_grad_enabled())
        self.network.outputs = self._logits if logits else self._outputs
        return self.network(*(x if isinstance(x, tuple) else (x,)))

    def gradients(self) -> dict[str, np.ndarray]:
        """The gradients by our names, where there are any."""
        named = self.network.named_parameters()
        return {name: p.grad.numpy() for name, p in named if p.grad is not None}

    def weights(self) -> dict[str, np.ndarray]:
        """The weights and what layers keep, by our names."""
        return {name: tensor.detach().numpy() for name, tensor in self.network.state_dict().items()}


class ExactHardSigmoid(nn.Module):
    """`nn.Hardsigmoid` differentiates with a sixth rounded to float32, in float64 too."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.clamp(x / 6 + 0.5, 0, 1)


def make_exact(network: nn.Module) -> None:
    """Put in place of what PyTorch rounds what it does not."""
    steps = [module for module in network.modules() if isinstance(module, nn.Hardsigmoid)]
    for module in steps:
        module.forward = ExactHardSigmoid().forward
