"""Networks that see what others do, but are sums with positive weights: no gradient is lost or cancelled.

What changes values at their position becomes ReLU, what chooses among positions their mean, products become
means, and border values other than a constant become zeros, which is what the receptive field takes them for.
A unit is one position with all its channels. So channels are mixed before a layer that keeps some of them
only, and elements before one that moves them to other positions.
"""

from __future__ import annotations

import numpy as np

from cnnspec.layers import Layer, Shape, kinds, product
from cnnspec.layers.activations import Relu
from cnnspec.layers.convolution import Conv
from cnnspec.layers.dense import Dense
from cnnspec.layers.framing import Pad
from cnnspec.layers.merging import Mean
from cnnspec.layers.pooling import AvgPool
from cnnspec.network.graph import Facts, Graph
from cnnspec.numpy_backend import Model, compile_graph
from tests.support.graphs import graph_of, node

POINTWISE = ("activation", "normalization", "regularization")
AVERAGED = {"adaptivemaxpool": "adaptiveavgpool", "globalmaxpool": "globalavgpool"}


def stand_ins(layer: Layer, shape: Shape) -> list[Layer]:
    """Layers that together see what this one sees of a value of this shape, or of several."""
    word = layer.keyword
    if layer.family in POINTWISE:
        return [Relu()]
    if word in AVERAGED:
        return [kinds()[AVERAGED[word]](**layer.values())]
    if word in ("maxpool", "l2pool"):
        return [_average(layer, shape)]
    match word:
        case "multiply":
            return [Mean()]
        case "rbf":
            return [Dense(units=layer.units)]
        case "pad":
            return [Pad(amounts=layer.amounts)]
        case "reshape" if layer.window(shape) == "everything":
            return [Dense(units=product(shape)), layer]
        case "take" | "pixel_shuffle":
            return [Conv(channels=shape[0], kernel=1) if shape[1:] else Dense(units=shape[0]), layer]
    return [layer]


def _average(layer: Layer, shape: Shape) -> Layer:
    """The mean over the same window; a dilated one as a convolution of each channel."""
    options = {"kernel": layer.kernel, "padding": layer.padding}
    if getattr(layer, "dilation", 1) == 1:
        return AvgPool(**options, stride=layer.stride, ceil=layer.ceil)
    stride = layer.kernel if layer.stride is None else layer.stride
    conv = Conv(**options, channels=shape[0], groups=shape[0], stride=stride, dilation=layer.dilation)
    missing = [m - n for n, m in zip(conv.infer(shape)[1:], layer.infer(shape)[1:], strict=True)]
    windows = zip(layer.window(shape), missing, strict=True)  # a last window over the edge needs room
    return conv.replaced(padding=tuple(end for w, m in windows for end in (w.before, w.after + m * w.stride)))


def positive_model(graph: Graph, facts: Facts, batch: int) -> tuple[Model, list[int]]:
    """A model that gives the value of every layer, and for each node the number of the output that is its.

    The inputs of the network have none, -1.
    """
    nodes, places, outputs = [], [], []
    for item, layer in zip(graph.nodes, facts.layers, strict=True):
        before = [places[v] for v in item.inputs]
        if not before:
            nodes.append(node(item.name, item.layer))
        for number, each in enumerate(stand_ins(item.layer, layer.input_shapes[0]) if before else ()):
            nodes.append(node(f"{item.name}_{number}", each, *before))
            before = [len(nodes) - 1]
        places.append(len(nodes) - 1)
        outputs.append(len(outputs) - outputs.count(-1) if item.inputs else -1)
    shown = [place for place, item in zip(places, graph.nodes, strict=True) if item.inputs]
    model = compile_graph(*graph_of(nodes, *shown), batch=batch, dtype="float64")
    rng = np.random.default_rng(0)
    for name, array in model.weights.items():
        model.weights[name] = rng.uniform(0.5, 1, array.shape) * array.shape[0] / array.size
    return model, outputs
