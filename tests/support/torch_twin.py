"""The same network in PyTorch: an outside truth for outputs, losses and gradients."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from cnnspec.layers import Layer, Shape
from cnnspec.layers.activations import LogSoftmax, Relu, Sigmoid, Softmax, Tanh
from cnnspec.layers.convolution import Conv
from cnnspec.layers.dense import Dense
from cnnspec.layers.pooling import AvgPool, MaxPool
from cnnspec.layers.shapes import Flatten, Input
from cnnspec.network.graph import Facts, Graph
from tests.support import twins_normalization as normalization
from tests.support import twins_structure as structure
from tests.support import twins_windows as windows

torch.set_num_threads(1)

CONVS = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
MAX_POOLS = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}
AVG_POOLS = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}


Tensors = torch.Tensor | tuple[torch.Tensor, ...]


class Twin(nn.Module):
    """Computes a graph with weights under our names, a dot written as `__`."""

    def __init__(self, graph: Graph, facts: Facts, weights: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.graph, self.facts = graph, facts
        for name, array in weights.items():
            self.register_parameter(name.replace(".", "__"), nn.Parameter(torch.tensor(array)))

    def forward(self, x: Tensors, logits: bool = False) -> Tensors:
        """The output, or the logits under a final softmax; tuples where there are several."""
        given = iter(x if isinstance(x, tuple) else (x,))
        values: list[torch.Tensor] = []
        for node, facts in zip(self.graph.nodes, self.facts.layers, strict=True):
            if not node.inputs:
                values.append(next(given))
                continue
            names = [weight.name for weight in facts.weights]
            weights = {name: getattr(self, f"{node.name}__{name}".replace(".", "__")) for name in names}
            inputs = [values[v] for v in node.inputs]
            if node.layer.arity is None:
                values.append(structure.merge(node.layer, inputs))
            else:
                values.append(apply(node.layer, facts.input_shapes[0], inputs[0], weights))
        outputs = self.graph.outputs
        if logits and isinstance(self.graph.nodes[outputs[0]].layer, Softmax | LogSoftmax):
            outputs = self.graph.nodes[outputs[0]].inputs
        ends = tuple(values[i] for i in outputs)
        return ends[0] if len(ends) == 1 else ends

    def gradients(self) -> dict[str, np.ndarray]:
        named = self.named_parameters()
        return {name.replace("__", "."): p.grad.numpy() for name, p in named if p.grad is not None}


def apply(layer: Layer, shape: Shape, x: torch.Tensor, weights: dict[str, torch.Tensor]) -> torch.Tensor:
    match layer:
        case Input():
            return x
        case Flatten():
            return x.flatten(1)
        case Relu():
            return functional.relu(x)
        case Sigmoid():
            return torch.sigmoid(x)
        case Tanh():
            return layer.amplitude * torch.tanh(layer.slope * x)
        case Softmax():
            return functional.softmax(x, dim=1)
        case Dense():
            return functional.linear(x.flatten(1), weights["weight"], weights.get("bias"))
        case Conv():
            return convolve(layer, shape, x, weights)
        case MaxPool() | AvgPool():
            return pool(layer, shape, x)
    if type(layer) in windows.TWINS:
        return windows.TWINS[type(layer)](layer, shape, x, weights)
    if type(layer) in normalization.TWINS:
        return normalization.TWINS[type(layer)](layer, x, weights)
    return structure.apply(layer, x, weights)


def convolve(layer: Conv, shape: Shape, x: torch.Tensor, weights: dict[str, torch.Tensor]) -> torch.Tensor:
    windows = layer.window(shape)
    return CONVS[len(windows)](
        pad(x, windows, 0.0),
        connected(layer, shape, weights["weight"]) if layer.connections else weights["weight"],
        weights.get("bias"),
        stride=tuple(w.stride for w in windows),
        dilation=tuple(w.dilation for w in windows),
        groups=layer.groups,
    )


def connected(layer: Conv, shape: Shape, weight: torch.Tensor) -> torch.Tensor:
    """The kernels of a table of connections among the zeros of a full weight."""
    full = weight.new_zeros(layer.channels, shape[0], *weight.shape[1:])
    pairs = [(o, i) for o, inputs in enumerate(layer.connections.lists) for i in inputs]
    return full.index_put(tuple(torch.tensor(numbers) for numbers in zip(*pairs, strict=True)), weight)


def pool(layer: MaxPool | AvgPool, shape: Shape, x: torch.Tensor) -> torch.Tensor:
    windows = layer.window(shape)
    kernel, stride = tuple(w.kernel for w in windows), tuple(w.stride for w in windows)
    symmetric = all(w.before == w.after <= w.kernel // 2 for w in windows)
    padding = tuple(w.before for w in windows)
    if isinstance(layer, MaxPool):
        dilation = tuple(w.dilation for w in windows)
        if not symmetric:
            x, padding = pad(x, windows, -torch.inf), (0,) * len(windows)
        return MAX_POOLS[len(windows)](x, kernel, stride, padding, dilation, layer.ceil)
    if symmetric:
        return AVG_POOLS[len(windows)](x, kernel, stride, padding, layer.ceil, layer.count_padding)
    average = AVG_POOLS[len(windows)]
    total = average(pad(x, windows, 0.0), kernel, stride)
    if layer.count_padding:
        return total
    return total / average(pad(torch.ones_like(x), windows, 0.0), kernel, stride)


def pad(x: torch.Tensor, windows: tuple, value: float) -> torch.Tensor:
    return functional.pad(x, [p for w in reversed(windows) for p in (w.before, w.after)], value=value)
