"""Normalizations and activations beside PyTorch, over random shapes and options."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cnnspec.layers import Layer, LayerError, Shape  # noqa: E402
from cnnspec.layers.activations import HardSigmoid, LogSoftmax, Relu  # noqa: E402
from cnnspec.layers.convolution import Conv  # noqa: E402
from cnnspec.layers.dense import Dense  # noqa: E402
from cnnspec.layers.gates import Gelu, HardSwish, Mish, Silu  # noqa: E402
from cnnspec.layers.normalization import (  # noqa: E402
    BatchNorm,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    LocalResponseNorm,
)
from cnnspec.layers.pooling import MaxPool  # noqa: E402
from cnnspec.layers.rectifiers import Elu, LeakyRelu, Prelu, Relu6, Selu, Softplus  # noqa: E402
from cnnspec.layers.scaling import Scale  # noqa: E402
from tests.support.graphs import sequential  # noqa: E402
from tests.support.models import distance, random_model  # noqa: E402
from tests.support.torch_twin import Twin  # noqa: E402

TOLERANCE = {"float32": 1e-4, "float64": 1e-9}
SMALLEST_SET = 8
"""Sets of fewer elements may have next to no variance: their gradients then magnify every rounding."""


def flip(rng):
    return bool(rng.random() < 0.5)


DRAWN = {
    "hard_sigmoid": lambda rng, shape: HardSigmoid(),
    "log_softmax": lambda rng, shape: LogSoftmax(),
    "leaky_relu": lambda rng, shape: LeakyRelu(slope=float(rng.choice([0, 0.01, 0.3, 2]))),
    "prelu": lambda rng, shape: Prelu(shared=flip(rng)),
    "relu6": lambda rng, shape: Relu6(),
    "elu": lambda rng, shape: Elu(alpha=float(rng.uniform(0.2, 2))),
    "selu": lambda rng, shape: Selu(),
    "softplus": lambda rng, shape: Softplus(),
    "gelu": lambda rng, shape: Gelu(approximate=flip(rng)),
    "silu": lambda rng, shape: Silu(),
    "mish": lambda rng, shape: Mish(),
    "hard_swish": lambda rng, shape: HardSwish(),
    "batchnorm": lambda rng, shape: BatchNorm(epsilon=float(rng.uniform(1e-5, 1)), affine=flip(rng)),
    "layernorm": lambda rng, shape: LayerNorm(
        over=str(rng.choice(["all", "channels"])), affine=flip(rng), epsilon=float(rng.uniform(1e-5, 1))
    ),
    "groupnorm": lambda rng, shape: GroupNorm(
        groups=int(rng.choice([g for g in range(1, shape[0] + 1) if shape[0] % g == 0])), affine=flip(rng)
    ),
    "instancenorm": lambda rng, shape: InstanceNorm(affine=flip(rng)),
    "lrn": lambda rng, shape: LocalResponseNorm(
        size=int(rng.integers(1, 8)), alpha=float(rng.uniform(0.01, 3)), beta=float(rng.uniform(0.2, 2))
    ),
    "scale": lambda rng, shape: Scale(bias=flip(rng), trainable=bool(rng.random() < 0.8)),
}


def draw(kind: str, rng) -> tuple[Shape, Layer, int]:
    """A shape, a layer that takes it, and a number of images."""
    while True:
        axes = int(rng.integers(0, 4))
        shape = (int(rng.integers(1, 13)), *map(int, rng.integers(1, {3: 5, 2: 9}.get(axes, 30), size=axes)))
        layer, count = DRAWN[kind](rng, shape), int(rng.integers(1, 10))
        if isinstance(layer, BatchNorm) and count * int(np.prod(shape[1:])) < SMALLEST_SET:
            continue
        if isinstance(layer, LayerNorm | GroupNorm | InstanceNorm):
            if isinstance(layer, InstanceNorm) and not axes:
                continue
            if int(np.prod(layer.together(shape))) < SMALLEST_SET:
                continue
        try:
            layer.infer(shape)
        except LayerError:
            continue
        return shape, layer, count


def distances(shape, layers, count, rng, dtype, spread=1.5):
    """How far the outputs and all gradients are from PyTorch's."""
    graph, facts = sequential(shape, *layers)
    options = {"workers": int(rng.integers(1, 3)), "micro_batch": int(rng.integers(1, 8)), "dtype": dtype}
    with random_model(graph, facts, rng, batch=count, loss=None, **options) as model:
        twin = Twin(graph, facts, dict(model.weights))
        leaf = torch.tensor((rng.standard_normal((count, *shape)) * spread).astype(dtype), requires_grad=True)
        expected = twin(leaf)
        dy = rng.standard_normal(expected.shape).astype(dtype)
        expected.backward(torch.tensor(dy))
        y, dx = model.forward(leaf.detach().numpy(), training=True), model.backward(dy)
        found = {"y": distance(y, expected.detach().numpy()), "dx": distance(dx, leaf.grad.numpy())}
        theirs = twin.gradients()
        for name, gradient in model.gradients.items():
            found[name] = distance(gradient, theirs[name])
        return found


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", DRAWN)
def test_layer_agrees_with_pytorch(kind, dtype):
    rng = np.random.default_rng(0)
    for _ in range(40):
        shape, layer, count = draw(kind, rng)
        found = distances(shape, (layer,), count, rng, dtype)
        wrong = {name: d for name, d in found.items() if not d <= TOLERANCE[dtype]}
        assert not wrong, (shape, str(layer), count)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", DRAWN)
def test_layer_among_others_agrees_with_pytorch(kind, dtype):
    """Before it a convolution whose output may lie in tiles, behind it a pooling or a padded convolution."""
    rng = np.random.default_rng(1)
    for number in range(8):
        layer = DRAWN[kind](rng, (6, 8, 8))
        last = MaxPool(kernel=2) if number % 2 else Conv(channels=2, kernel=3, padding=1)
        # a bias before a normalization has no gradient, but for rounding
        layers = (Conv(channels=6, kernel=3, padding=1, bias=False), layer, last)
        found = distances((2, 8, 8), layers, 5, rng, dtype)
        wrong = {name: d for name, d in found.items() if not d <= TOLERANCE[dtype]}
        assert not wrong, [str(layer) for layer in layers]


ACTIVATIONS = [
    "hard_sigmoid",
    "leaky_relu",
    "relu6",
    "elu",
    "selu",
    "softplus",
    "gelu",
    "silu",
    "mish",
    "hard_swish",
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_activation_agrees_with_pytorch_from_the_smallest_to_the_largest(kind, dtype):
    """Everywhere to a few roundings of the larger of 1 and the value; nothing overflows."""
    points = np.concatenate([np.geomspace(1e-30, 1e18, 4001), np.linspace(0.001, 50, 8000)])
    x = np.concatenate([-points[::-1], points]).astype(dtype)[:, None]
    rng = np.random.default_rng(0)
    for _ in range(2):
        graph, facts = sequential((1,), DRAWN[kind](rng, (1,)))
        with random_model(graph, facts, rng, batch=len(x), loss=None, dtype=dtype) as model:
            leaf = torch.tensor(x, requires_grad=True)
            expected = Twin(graph, facts, {})(leaf)
            expected.sum().backward()
            y, dx = model.forward(x, training=True), model.backward(np.ones_like(x))
        bound = 3e-6 if dtype == "float32" else 3e-9  # PyTorch cuts softplus off at 20
        for ours, theirs in ((y, expected.detach().numpy()), (dx, leaf.grad.numpy())):
            wrong = np.abs(ours - theirs) / np.maximum(np.abs(theirs), 1) > bound
            assert not wrong.any(), (
                str(graph.nodes[1].layer),
                x[wrong][:5],
                ours[wrong][:5],
                theirs[wrong][:5],
            )


# --- batch normalization --------------------------------------------------------------------------------

STEPS, BATCH, RATE = 20, 12, 0.05
NETWORK = (
    Conv(channels=6, kernel=3, padding=1, bias=False),
    BatchNorm(),
    Relu(),
    MaxPool(kernel=2),
    Conv(channels=8, kernel=3),
    BatchNorm(momentum=0.3, epsilon=1e-3),
    Relu(),
    Dense(units=16),
    BatchNorm(affine=False),
    Relu(),
    Dense(units=4),
    LogSoftmax(),
)


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 2e-4), ("float64", 1e-9)])
def test_batchnorm_follows_pytorch_through_training_and_prediction(dtype, bound):
    """Twenty steps, the last batch of each pass over the data a short one."""
    graph, facts = sequential((3, 10, 10), *NETWORK)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((30, 3, 10, 10)).astype(dtype)
    labels = rng.integers(0, 4, 30)
    with random_model(graph, facts, rng, batch=BATCH, scale=0.3, dtype=dtype) as model:
        twin = Twin(graph, facts, dict(model.weights))
        optimizer = torch.optim.SGD(twin.parameters(), lr=RATE)
        for step in range(STEPS):
            rows = slice(step % 3 * BATCH, min(step % 3 * BATCH + BATCH, 30))
            result = model.loss_and_gradients(x[rows], labels[rows])
            for name, gradient in model.gradients.items():
                model.weights[name] -= np.asarray(RATE, dtype) * gradient
            optimizer.zero_grad()
            logits = twin(torch.tensor(x[rows]), logits=True)
            loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels[rows]))
            loss.backward()
            optimizer.step()
            assert result.loss == pytest.approx(loss.item(), rel=bound), f"step {step}"
        theirs = twin.weights()
        assert max(distance(array, theirs[name]) for name, array in model.weights.items()) < bound
        with torch.no_grad():
            expected = twin(torch.tensor(x)).numpy()
        assert distance(model.predict(x), expected) < bound
        chance = -expected[np.arange(30), labels].mean()
        assert model.evaluate(x, labels).loss == pytest.approx(chance, rel=bound)
