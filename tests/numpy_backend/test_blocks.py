"""Kernels that work in blocks, beside PyTorch, with blocks so small that every array has several."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cnnspec.layers.activations import HardSigmoid, Relu, Sigmoid, Tanh  # noqa: E402
from cnnspec.layers.adaptive import GlobalMaxPool  # noqa: E402
from cnnspec.layers.convolution import Conv  # noqa: E402
from cnnspec.layers.gates import Gelu, HardSwish, Mish, Silu  # noqa: E402
from cnnspec.layers.normalization import GroupNorm, InstanceNorm, LayerNorm  # noqa: E402
from cnnspec.layers.pooling import MaxPool  # noqa: E402
from cnnspec.layers.rectifiers import Elu, LeakyRelu, Relu6, Selu, Softplus  # noqa: E402
from cnnspec.numpy_backend.kernels import activations, elementwise, normalization, pooling  # noqa: E402
from tests.support.graphs import sequential  # noqa: E402
from tests.support.models import distance, random_model  # noqa: E402
from tests.support.torch_twin import Twin  # noqa: E402

LAYERS = [
    Relu(),
    Relu6(),
    LeakyRelu(slope=0.2),
    Elu(alpha=0.7),
    Selu(),
    Softplus(),
    Sigmoid(),
    Tanh(),
    HardSigmoid(),
    Gelu(),
    Gelu(approximate=True),
    Silu(),
    Mish(),
    HardSwish(),
    MaxPool(kernel=2, stride=2),
    MaxPool(kernel=3, stride=2, padding=1),
    GlobalMaxPool(),
    LayerNorm(),
    LayerNorm(over="channels"),
    GroupNorm(groups=2),
    InstanceNorm(affine=True),
]
IMAGES = 3


@pytest.fixture(params=[1, 7, 60, 500])
def cut(request, monkeypatch):
    """Elements of a block; a channel of the tests has 42 for each image."""
    for module in (activations, elementwise, normalization, pooling):
        monkeypatch.setattr(module, "CUT", request.param)


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("framed", [False, True], ids=["alone", "between convolutions"])
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_layer_agrees_in_small_blocks(layer, framed):
    """Between convolutions, what element-wise kernels read and write has a margin."""
    conv = Conv(channels=4, kernel=3, padding=1)
    graph, facts = sequential((4, 6, 7), *([conv, layer, conv] if framed else [layer]))
    rng = np.random.default_rng(0)
    with random_model(graph, facts, rng, batch=IMAGES, loss=None, dtype="float64") as model:
        x = rng.standard_normal((IMAGES, 4, 6, 7)) * 3
        leaf = torch.tensor(x, requires_grad=True)
        twin = Twin(graph, facts, dict(model.weights))
        expected = twin(leaf)
        dy = rng.standard_normal(tuple(expected.shape))
        expected.backward(torch.tensor(dy))
        assert distance(model.forward(x), expected.detach().numpy()) < 1e-9
        assert distance(model.forward(x, training=True), expected.detach().numpy()) < 1e-9
        assert distance(model.backward(dy), leaf.grad.numpy()) < 1e-8
        for name, gradient in twin.gradients().items():
            assert distance(model.gradients[name], gradient) < 1e-8, name
