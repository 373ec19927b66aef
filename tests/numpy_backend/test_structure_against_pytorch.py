"""Layers that move, resample and look up values beside PyTorch, over drawn shapes and options."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cnnspec.layers.activations import Tanh  # noqa: E402
from cnnspec.layers.convolution import Conv  # noqa: E402
from cnnspec.layers.embedding import Embedding  # noqa: E402
from tests.numpy_backend.test_branches import TOLERANCE, run, run_twin  # noqa: E402
from tests.support.graphs import sequential  # noqa: E402
from tests.support.models import distance, random_model  # noqa: E402
from tests.support.random_structure import MAKERS, fitting_structure, whole  # noqa: E402


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("maker", MAKERS)
def test_layer_agrees_with_pytorch(maker, axes, seed, dtype):
    """Alone, or between a layer that leaves a margin and one that asks for it."""
    rng = np.random.default_rng([seed, axes, len(maker)])
    shape, layer = fitting_structure(rng, MAKERS[maker], axes)
    layers = [layer]
    if maker != "reshape" and rng.random() < 0.5:
        layers = [Tanh(), layer, Conv(channels=2, kernel=3, padding=1)]
    compare(sequential(shape, *layers), rng, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(10))
def test_embedding_agrees_with_pytorch(seed, dtype):
    rng = np.random.default_rng(seed)
    vocabulary, tokens = whole(rng, 1, 30), whole(rng, 1, 12)
    layers = [Embedding(vocabulary=vocabulary, dimension=whole(rng, 1, 6))]
    if seed % 2:
        layers.append(Conv(channels=3, kernel=3, padding=1))
    graph = sequential((tokens,), *layers)
    compare(graph, rng, dtype, lambda shape: rng.integers(0, vocabulary, shape))


def compare(graph, rng, dtype, draw=None):
    count = whole(rng, 1, 7)
    draw = draw or rng.standard_normal
    options = {"dtype": dtype, "workers": whole(rng, 1, 2), "micro_batch": whole(rng, 1, 4), "loss": None}
    with random_model(*graph, rng, batch=count, **options) as model:
        x = tuple(draw((count, *shape)).astype(dtype) for shape in model.inputs.shapes)
        dy = tuple(rng.standard_normal((count, *shape)).astype(dtype) for shape in model.outputs.shapes)
        ours, theirs = run(model, x, dy), run_twin(model, x, dy)
    wrong = {name: d for name in theirs if not (d := distance(ours[name], theirs[name])) <= TOLERANCE[dtype]}
    assert not wrong, [str(node.layer) for node in graph[0].nodes]


@pytest.mark.parametrize(
    ("token", "shown"), [(-1, "-1"), (20, "20"), (2.5, "2.5"), (np.nan, "nan"), (np.inf, "inf")]
)
def test_embedding_refuses_what_is_no_token(token, shown):
    graph = sequential((5,), Embedding(vocabulary=20, dimension=3))
    x = np.ones((4, 5), np.float32)
    x[3, 2] = token
    with random_model(*graph, np.random.default_rng(0), batch=4, workers=2, loss=None) as model:
        with pytest.raises(ValueError, match=f"whole numbers from 0 to 19, not {shown}"):
            model.forward(x)
        assert model.forward(np.full((4, 5), 19)).shape == (4, 3, 5)
