"""Random networks beside PyTorch with the same weights: outputs, losses and every gradient."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cnnspec.layers.pooling import AvgPool, MaxPool  # noqa: E402
from cnnspec.numpy_backend.kernels import patches  # noqa: E402
from tests.support.graphs import sequential  # noqa: E402
from tests.support.models import distance, random_model  # noqa: E402
from tests.support.random_networks import random_network  # noqa: E402
from tests.support.samples import first  # noqa: E402
from tests.support.torch_twin import Twin  # noqa: E402

TOLERANCE = {"float32": 1e-4, "float64": 1e-9}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", first(100, of=200))
def test_random_network_agrees_with_pytorch(seed, dtype):
    assert_agreement(seed, dtype)


@pytest.mark.parametrize("seed", range(60))
def test_random_network_agrees_when_patches_are_cut_in_blocks(seed, monkeypatch):
    monkeypatch.setattr(patches, "LARGEST_BLOCK", 150)
    assert_agreement(seed, "float64")


def assert_agreement(seed, dtype):
    graph, facts = random_network(seed)
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 14))
    options = {"workers": int(rng.integers(1, 3)), "micro_batch": int(rng.integers(1, 8)), "dtype": dtype}
    x = rng.standard_normal((count, *facts.shape(0))).astype(dtype)
    labels = rng.integers(0, facts.shape(graph.outputs[0])[0], count)
    with random_model(graph, facts, rng, batch=count, **options) as model:
        twin = Twin(graph, facts, dict(model.weights))
        distances = {**_passes(model, twin, x, rng), **_loss(model, twin, x, labels)}
    wrong = {name: d for name, d in distances.items() if not d <= TOLERANCE[dtype]}
    assert not wrong, [str(node.layer) for node in graph.nodes]


def _passes(model, twin, x, rng):
    leaf = torch.tensor(x, requires_grad=True)
    expected = twin(leaf)
    dy = rng.standard_normal(expected.shape).astype(x.dtype)
    expected.backward(torch.tensor(dy))
    y = model.forward(x, training=True)
    dx = model.backward(dy)
    distances = {"y": distance(y, expected.detach().numpy()), "dx": distance(dx, leaf.grad.numpy())}
    for name, gradient in twin.gradients().items():
        distances[name] = distance(model.gradients[name], gradient)
    return distances


def _loss(model, twin, x, labels):
    twin.zero_grad()
    logits = twin(torch.tensor(x), logits=True)
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor(labels))
    expected.backward()
    result = model.loss_and_gradients(x, labels)
    assert result.correct == int((logits.argmax(1) == torch.tensor(labels)).sum())
    distances = {"loss": distance(result.loss, expected.item())}
    for name, gradient in twin.gradients().items():
        distances[f"loss: {name}"] = distance(model.gradients[name], gradient)
    return distances


@pytest.mark.parametrize(
    "layer",
    [
        MaxPool(kernel=2, stride=2),
        MaxPool(kernel=3, stride=2, padding=1),
        MaxPool(kernel=2, stride=1),
        MaxPool(kernel=3, stride=2, ceil=True),
        AvgPool(kernel=3, stride=2, padding=1, ceil=True),
        AvgPool(kernel=3, stride=2, padding=1, ceil=True, count_padding=False),
    ],
    ids=str,
)
def test_pooling_gives_ties_to_the_first_as_pytorch(layer):
    graph, facts = sequential((3, 8, 8), layer)
    rng = np.random.default_rng(0)
    x = rng.integers(-2, 1, (5, 3, 8, 8)).astype(np.float64)
    with random_model(graph, facts, rng, batch=5, dtype="float64") as model:
        twin = Twin(graph, facts, {})
        assert max(_passes(model, twin, x, rng).values()) < 1e-12
