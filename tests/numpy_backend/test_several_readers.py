"""Values that several layers read: nothing overwrites them, and their gradients add up."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402

from cnnspec.layers import Layer, Shape  # noqa: E402
from cnnspec.layers.activations import Relu, Sigmoid, Tanh  # noqa: E402
from cnnspec.layers.base import Family  # noqa: E402
from cnnspec.layers.convolution import Conv  # noqa: E402
from cnnspec.layers.dense import Dense  # noqa: E402
from cnnspec.layers.pooling import MaxPool  # noqa: E402
from cnnspec.layers.shapes import Flatten, Input  # noqa: E402
from cnnspec.numpy_backend.kernels.base import Kernel, Run, Site, computes  # noqa: E402
from tests.support.graphs import graph_of, node  # noqa: E402
from tests.support.models import distance, random_model  # noqa: E402


class _Total(Layer):
    """Sum of two values; the underscore keeps it out of the language."""

    family: ClassVar[Family] = "shape"

    def infer(self, *inputs: Shape) -> Shape:
        return inputs[0]


@computes(_Total)
class _TotalKernel(Kernel[_Total]):
    def forward(self, at: Site) -> Run:
        return lambda: np.add(at.x[0], at.x[1], out=at.y)

    def backward(self, at: Site) -> Run:
        return lambda: [np.copyto(dx, at.dy) for dx in at.dx if dx is not None]


def graph():
    """Four values with two or three readers, among them views, activations and padded convolutions."""
    nodes = [
        node("input", Input(shape=(2, 6, 6))),
        node("conv1", Conv(channels=3, kernel=3, padding=1), 0),
        node("relu1", Relu(), 1),
        node("conv2", Conv(channels=3, kernel=3, padding=1), 2),
        node("tanh1", Tanh(), 2),
        node("total1", _Total(), 3, 4),
        node("sigmoid1", Sigmoid(), 5),
        node("pool1", MaxPool(kernel=2), 5),
        node("pool2", MaxPool(kernel=2), 6),
        node("total2", _Total(), 7, 8),
        node("flatten1", Flatten(), 9),
        node("relu2", Relu(), 10),
        node("total3", _Total(), 10, 11),
        node("dense1", Dense(units=4), 12),
    ]
    return graph_of(nodes)


def in_torch(x, w):
    conv1 = functional.conv2d(x, w["conv1.weight"], w["conv1.bias"], padding=1).relu()
    total = functional.conv2d(conv1, w["conv2.weight"], w["conv2.bias"], padding=1) + conv1.tanh()
    pooled = functional.max_pool2d(total, 2) + functional.max_pool2d(total.sigmoid(), 2)
    flat = pooled.flatten(1)
    return functional.linear(flat + flat.relu(), w["dense1.weight"], w["dense1.bias"])


@pytest.mark.parametrize("reuse_memory", [True, False])
def test_gradients_of_all_readers_add_up(reuse_memory):
    rng = np.random.default_rng(0)
    options = {"dtype": "float64", "workers": 2, "micro_batch": 3, "reuse_memory": reuse_memory}
    with random_model(*graph(), rng, batch=8, **options) as model:
        x, dy = rng.standard_normal((8, 2, 6, 6)), rng.standard_normal((8, 4))
        weights = {name: torch.tensor(w, requires_grad=True) for name, w in model.weights.items()}
        leaf = torch.tensor(x, requires_grad=True)
        expected = in_torch(leaf, weights)
        expected.backward(torch.tensor(dy))
        assert distance(model.forward(x, training=True), expected.detach().numpy()) < 1e-12
        assert distance(model.backward(dy), leaf.grad.numpy()) < 1e-12
        for name, weight in weights.items():
            assert distance(model.gradients[name], weight.grad.numpy()) < 1e-12, name
