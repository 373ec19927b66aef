"""Networks with branches, several inputs and outputs beside PyTorch: all outputs and all gradients."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.support.models import alone, as_tuple, distance, random_model  # noqa: E402
from tests.support.random_graphs import check_text, random_spec  # noqa: E402
from tests.support.torch_twin import Twin  # noqa: E402

TOLERANCE = {"float32": 1e-4, "float64": 1e-9}
SEEDS = [*range(60), *(pytest.param(seed, marks=pytest.mark.campaign) for seed in range(60, 360))]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", SEEDS)
def test_random_graph_agrees_with_pytorch(seed, dtype):
    """Some of these networks lose digits in float32.

    Then ours may be four times as far from the truth as PyTorch's float32, or as the truth of weights and
    inputs that differ by one rounding.
    """
    text = random_spec(seed)
    graph, facts = check_text(text)
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 9))
    options = {"workers": int(rng.integers(1, 3)), "micro_batch": int(rng.integers(1, 6)), "dtype": dtype}
    with random_model(graph, facts, rng, batch=count, loss=None, **options) as model:
        x = tuple(rng.standard_normal((count, *shape)).astype(dtype) for shape in model.inputs.shapes)
        dy = tuple(rng.standard_normal((count, *shape)).astype(dtype) for shape in model.outputs.shapes)
        ours, truth = run(model, x, dy), run_twin(model, x, dy)
        single = [run_twin(model, x, dy, "float32"), run_twin(model, x, dy, rounding=rng)]
    assert ours.keys() == truth.keys()
    bearable = TOLERANCE[dtype]
    if dtype == "float32":
        bearable = max(bearable, *(4 * distance(one[name], truth[name]) for one in single for name in truth))
    wrong = {name: d for name in truth if not (d := distance(ours[name], truth[name])) <= bearable}
    assert not wrong, text


@pytest.mark.parametrize("seed", SEEDS)
def test_loss_of_random_graph_agrees_with_pytorch(seed):
    """With a classifier behind it: only what leads from the weights to the logits runs backward."""
    text = random_spec(seed, classes=4)
    graph, facts = check_text(text)
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 9))
    with random_model(graph, facts, rng, batch=count, dtype="float64", workers=2, micro_batch=3) as model:
        x = tuple(rng.standard_normal((count, *shape)) for shape in model.inputs.shapes)
        labels = rng.integers(0, 4, count)
        twin = Twin(graph, facts, dict(model.weights))
        logits = twin(tuple(map(torch.tensor, x)), logits=True)
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels))
        loss.backward()
        result = model.loss_and_gradients(alone(x), labels)
        assert result.loss == pytest.approx(loss.item(), rel=1e-9), text
        assert model.evaluate(alone(x), labels).loss == pytest.approx(loss.item(), rel=1e-9)
        theirs = twin.gradients()
        distances = {name: distance(g, theirs.get(name, 0)) for name, g in model.gradients.items()}
    assert all(d < 1e-9 for d in distances.values()), text


def run(model, x, dy):
    """All outputs and all gradients by name."""
    y = as_tuple(model.forward(alone(x), training=True))
    dx = as_tuple(model.backward(alone(dy)))
    return {
        **{f"output {name}": array for name, array in zip(model.outputs.names, y, strict=True)},
        **{f"input {name}": array for name, array in zip(model.inputs.names, dx, strict=True)},
        **model.gradients,
    }


def run_twin(model, x, dy, dtype="float64", rounding=None):
    """The same of PyTorch; with `rounding`, weights and inputs are off by a rounding of float32."""

    def moved(array):
        noise = 0 if rounding is None else rounding.choice([-(2**-24), 2**-24], array.shape)
        return (array * (1 + noise)).astype(dtype)

    weights = {name: moved(array) for name, array in model.weights.items()}
    twin = Twin(model.plan.graph, model.plan.facts, weights)
    leaves = tuple(torch.tensor(moved(array), requires_grad=True) for array in x)
    y = as_tuple(twin(leaves))
    torch.autograd.backward(y, [torch.tensor(array.astype(dtype)) for array in dy])
    gradients = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]
    return {
        **{f"output {name}": end.detach().numpy() for name, end in zip(model.outputs.names, y, strict=True)},
        **{f"input {name}": g.numpy() for name, g in zip(model.inputs.names, gradients, strict=True)},
        **{name: np.zeros_like(array) for name, array in weights.items()},
        **twin.gradients(),
    }


@pytest.mark.parametrize("seed", range(40))
def test_plans_for_inference_and_without_memory_reuse_give_the_same(seed):
    """Where nothing is kept for a backward pass, more layers work in place and more buffers share memory."""
    graph, facts = check_text(random_spec(seed))
    rng = np.random.default_rng(seed)
    results = []
    for options in ({}, {"training": False}, {"reuse_memory": False}):
        with random_model(graph, facts, np.random.default_rng(seed), batch=4, loss=None, **options) as model:
            if not results:
                x = tuple(rng.standard_normal((4, *shape)).astype("f4") for shape in model.inputs.shapes)
            results.append(as_tuple(model.predict(alone(x))))
    for y, inference, unshared in zip(*results, strict=True):
        assert distance(inference, y) < 1e-5
        np.testing.assert_array_equal(unshared, y)
