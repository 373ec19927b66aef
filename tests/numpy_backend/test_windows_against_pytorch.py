"""Layers with windows, and those of 1998, beside PyTorch over random shapes and options."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cnnspec.layers import LayerError, product  # noqa: E402
from cnnspec.layers.activations import Tanh  # noqa: E402
from cnnspec.layers.adaptive import (  # noqa: E402
    AdaptiveAvgPool,
    AdaptiveMaxPool,
    GlobalAvgPool,
    GlobalMaxPool,
)
from cnnspec.layers.convolution import Conv  # noqa: E402
from cnnspec.layers.dense import Dense, Rbf  # noqa: E402
from cnnspec.layers.depthwise import Depthwise  # noqa: E402
from cnnspec.layers.pooling import L2Pool, Subsample  # noqa: E402
from cnnspec.layers.transposed import ConvTranspose  # noqa: E402
from cnnspec.numpy_backend.kernels import blocks, patches, rows  # noqa: E402
from tests.support.graphs import sequential  # noqa: E402
from tests.support.models import distance, random_model  # noqa: E402
from tests.support.samples import first  # noqa: E402
from tests.support.torch_twin import Twin  # noqa: E402

TOLERANCE = {"float32": 1e-4, "float64": 1e-9}


def extent(rng, axes, most, least=1):
    if rng.random() < 0.4:
        return int(rng.integers(least, most + 1))
    return tuple(map(int, rng.integers(least, most + 1, size=axes)))


def padding(rng, axes, most):
    choice = rng.random()
    if choice < 0.2:
        return "same"
    return extent(rng, axes if choice < 0.7 else 2 * axes, most, least=0)


def flip(rng):
    return bool(rng.random() < 0.5)


def draw_depthwise(rng, shape):
    axes = len(shape) - 1
    return Depthwise(
        kernel=extent(rng, axes, 4),
        stride=extent(rng, axes, 3),
        padding=padding(rng, axes, 3),
        dilation=extent(rng, axes, 2),
        bias=flip(rng),
        multiplier=int(rng.integers(1, 4)),
    )


def draw_conv_by_channel(rng, shape):
    axes, multiplier = len(shape) - 1, int(rng.integers(1, 4))
    return Conv(
        channels=shape[0] * multiplier,
        groups=shape[0],
        kernel=extent(rng, axes, 4),
        stride=extent(rng, axes, 3),
        padding=padding(rng, axes, 3),
        bias=flip(rng),
    )


def draw_conv_transpose(rng, shape):
    axes = len(shape) - 1
    groups = int(rng.choice([d for d in range(1, shape[0] + 1) if shape[0] % d == 0]))
    return ConvTranspose(
        channels=groups * int(rng.integers(1, 4)),
        kernel=extent(rng, axes, 4),
        stride=extent(rng, axes, 3),
        padding=padding(rng, axes, 2),
        output_padding=extent(rng, axes, 2, least=0) if flip(rng) else 0,
        dilation=extent(rng, axes, 3),
        groups=groups,
        bias=flip(rng),
    )


def draw_connected(rng, shape):
    axes, channels = len(shape) - 1, int(rng.integers(1, 7))
    table = tuple(
        tuple(map(int, rng.permutation(shape[0])[: rng.integers(1, shape[0] + 1)])) for _ in range(channels)
    )
    return Conv(
        channels=channels,
        kernel=extent(rng, axes, 3),
        stride=extent(rng, axes, 2),
        padding=padding(rng, axes, 1),
        bias=flip(rng),
        connections=table,
    )


def draw_window(kind):
    def draw(rng, shape):
        axes = len(shape) - 1
        return kind(
            kernel=extent(rng, axes, 4),
            stride=extent(rng, axes, 3) if flip(rng) else None,
            padding=extent(rng, axes, 1, least=0) if flip(rng) else 0,
            ceil=flip(rng),
        )

    return draw


def draw_adaptive(kind):
    return lambda rng, shape: kind(size=extent(rng, len(shape) - 1, 9))


DRAWS = {
    "depthwise": draw_depthwise,
    "conv by channel": draw_conv_by_channel,
    "conv_transpose": draw_conv_transpose,
    "connected": draw_connected,
    "l2pool": draw_window(L2Pool),
    "subsample": draw_window(Subsample),
    "adaptiveavgpool": draw_adaptive(AdaptiveAvgPool),
    "adaptivemaxpool": draw_adaptive(AdaptiveMaxPool),
    "globalavgpool": lambda rng, shape: GlobalAvgPool(),
    "globalmaxpool": lambda rng, shape: GlobalMaxPool(),
    "rbf": lambda rng, shape: Rbf(units=int(rng.integers(1, 8)), trainable=flip(rng)),
    "tanh": lambda rng, shape: Tanh(amplitude=float(rng.uniform(0.5, 2)), slope=float(rng.uniform(0.5, 2))),
}


def drawn(kind, rng):
    """A shape and a layer that takes it; what does not fit is drawn again."""
    while True:
        axes = int(rng.choice([1, 2, 2, 2, 3]))
        shape = (int(rng.integers(1, 6)), *map(int, rng.integers(2, {1: 20, 2: 11, 3: 7}[axes], size=axes)))
        try:
            layer = DRAWS[kind](rng, shape)
            if product(layer.infer(shape)) < 3000:
                return shape, layer
        except LayerError:
            continue


def assert_agreement(kind, seed, dtype):
    rng = np.random.default_rng(seed)
    shape, layer = drawn(kind, rng)
    before = [Conv(channels=shape[0], kernel=1)] if flip(rng) else []
    graph, facts = sequential(shape, *before, layer, *([Dense(units=3)] if flip(rng) else []))
    count = int(rng.integers(1, 9))
    options = {"workers": int(rng.integers(1, 3)), "micro_batch": int(rng.integers(1, 5)), "dtype": dtype}
    x = rng.standard_normal((count, *shape)).astype(dtype)
    with random_model(graph, facts, rng, batch=count, **options) as model:
        twin = Twin(graph, facts, dict(model.weights))
        leaf = torch.tensor(x, requires_grad=True)
        expected = twin(leaf)
        dy = rng.standard_normal(expected.shape).astype(dtype)
        expected.backward(torch.tensor(dy))
        y = model.forward(x, training=True)
        assert y.shape == tuple(expected.shape)
        dx = model.backward(dy)
        distances = {"y": distance(y, expected.detach().numpy()), "dx": distance(dx, leaf.grad.numpy())}
        frozen = {
            f"{n.name}.{w.name}"
            for n, f in zip(graph.nodes, facts.layers, strict=True)
            for w in f.weights
            if not w.trainable
        }
        for name, gradient in twin.gradients().items():
            if name not in frozen:
                distances[name] = distance(model.gradients[name], gradient)
    wrong = {name: d for name, d in distances.items() if not d <= TOLERANCE[dtype]}
    assert not wrong, (shape, [str(node.layer) for node in graph.nodes])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", first(24, of=40))
@pytest.mark.parametrize("kind", DRAWS)
def test_random_layer_agrees_with_pytorch(kind, seed, dtype):
    assert_agreement(kind, seed, dtype)


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("kind", ["depthwise", "conv by channel", "conv_transpose", "connected"])
def test_random_layer_agrees_when_computed_in_blocks(kind, seed, monkeypatch):
    monkeypatch.setattr(patches, "LARGEST_BLOCK", 60)
    monkeypatch.setattr(blocks, "BLOCK", 30 + 10 * seed)
    assert_agreement(kind, seed, "float64")


@pytest.mark.parametrize("seed", first(24, of=40))
@pytest.mark.parametrize("kind", ["depthwise", "conv by channel"])
def test_depthwise_agrees_without_row_products(kind, seed, monkeypatch):
    monkeypatch.setattr(rows.RowProducts, "fits", False)
    monkeypatch.setattr(blocks, "BLOCK", 30 + 10 * seed)
    assert_agreement(kind, seed, "float64")


@pytest.mark.parametrize("seed", first(24, of=40))
def test_depthwise_agrees_with_row_products_in_blocks(seed, monkeypatch):
    monkeypatch.setattr(rows, "COPIED", 150)
    monkeypatch.setattr(rows, "LOW", 0)
    monkeypatch.setattr(rows, "TILE", 1 + seed % 4)
    assert_agreement("depthwise", seed, "float64")


@pytest.mark.parametrize("layer", [AdaptiveMaxPool(size=(3, 4)), GlobalMaxPool()], ids=str)
def test_ties_go_to_the_first_as_in_pytorch(layer):
    graph, facts = sequential((3, 8, 7), layer)
    rng = np.random.default_rng(0)
    x = rng.integers(-2, 1, (5, 3, 8, 7)).astype(np.float64)
    with random_model(graph, facts, rng, batch=5, dtype="float64") as model:
        leaf = torch.tensor(x, requires_grad=True)
        expected = Twin(graph, facts, {})(leaf)
        dy = rng.standard_normal(expected.shape)
        expected.backward(torch.tensor(dy))
        np.testing.assert_array_equal(model.forward(x, training=True), expected.detach().numpy())
        assert distance(model.backward(dy), leaf.grad.numpy()) < 1e-12


@pytest.mark.parametrize("kernel", [2, 3, (2, 1)])
def test_l2pool_is_pytorchs(kernel):
    graph, facts = sequential((2, 6, 6), L2Pool(kernel=kernel))
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 2, 6, 6))
    with random_model(graph, facts, rng, batch=3, dtype="float64") as model:
        expected = torch.nn.functional.lp_pool2d(torch.tensor(x), 2.0, kernel)
        assert distance(model.forward(x), expected.numpy()) < 1e-12


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_l2pool_has_no_gradient_where_the_window_is_zero(dtype):
    graph, facts = sequential((1, 4, 4), L2Pool(kernel=2))
    x = np.zeros((1, 1, 4, 4), dtype)
    x[0, 0, 0, 1] = 1e-20 if dtype == "float32" else 1e-150
    with random_model(graph, facts, np.random.default_rng(0), batch=1, dtype=dtype) as model:
        model.forward(x, training=True)
        dx = model.backward(np.full((1, 1, 2, 2), 1e6, dtype))
    assert dx[0, 0, 0, 1] == pytest.approx(1e6, rel=1e-2)
    assert np.count_nonzero(dx) == 1
    assert np.isfinite(dx).all()


@pytest.mark.parametrize("most", [patches.BLOCK_OF_FEW, 20_000, 1], ids=["as it is", "smaller", "none"])
@pytest.mark.parametrize("count", [1, 3, 11])
def test_blocks_of_few_images_and_of_many(count, most, monkeypatch):
    """Of one image, more rows of patches are cut at once than of many."""
    monkeypatch.setattr(patches, "BLOCK_OF_FEW", most)
    layer = Conv(channels=4, kernel=7, stride=2, padding=3)
    with random_model(
        *sequential((5, 60, 50), layer), np.random.default_rng(0), batch=count, workers=1, training=False
    ) as model:
        x = np.random.default_rng(1).standard_normal((count, 5, 60, 50)).astype(np.float32)
        weight, bias = (torch.tensor(np.array(model.weights[f"conv1.{name}"])) for name in ("weight", "bias"))
        expected = torch.nn.functional.conv2d(torch.tensor(x), weight, bias, stride=2, padding=3)
        assert distance(model.predict(x), expected.numpy()) < TOLERANCE["float32"]
        assert distance(model.predict(x[:1]), expected.numpy()[:1]) < TOLERANCE["float32"]
