"""LeNet with the lecture's adaptations, as in specs/lenet.cnn."""

from __future__ import annotations

from cnnspec.layers.activations import Sigmoid, Softmax
from cnnspec.layers.convolution import Conv
from cnnspec.layers.dense import Dense
from cnnspec.layers.pooling import AvgPool
from cnnspec.network.graph import Facts, Graph
from tests.support.graphs import sequential


def lenet() -> tuple[Graph, Facts]:
    convolutions = [Conv(channels=6, kernel=5, padding=2), Conv(channels=16, kernel=5)]
    maps = [layer for conv in convolutions for layer in (conv, Sigmoid(), AvgPool(kernel=2))]
    dense = [layer for units in (120, 84) for layer in (Dense(units=units), Sigmoid())]
    return sequential((1, 28, 28), *maps, *dense, Dense(units=10), Softmax())
