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
    """In float32, four times of what rounding the weights and inputs alone does to the truth is borne."""
    text = random_spec(seed)
    graph, facts = check_text(text)
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 9))
    options = {"workers": int(rng.integers(1, 3)), "micro_batch": int(rng.integers(1, 6)), "dtype": dtype}
    with random_model(graph, facts, rng, batch=count, loss=None, **options) as model:
        x = tuple(rng.standard_normal((count, *shape)).astype(dtype) for shape in model.inputs.shapes)
        dy = tuple(rng.standard_normal((count, *shape)).astype(dtype) for shape in model.outputs.shapes)
        ours, truth, rounded = run(model, x, dy), run_twin(model, x, dy), run_twin(model, x, dy, rng)
    assert ours.keys() == truth.keys()
    bearable = TOLERANCE[dtype]
    if dtype == "float32":
        bearable = max(bearable, *(4 * distance(rounded[name], truth[name]) for name in truth))
    wrong = {name: d for name in truth if not (d := distance(ours[name], truth[name])) <= bearable}
    assert not wrong, text


def run(model, x, dy):
    """All outputs and all gradients by name."""
    y = as_tuple(model.forward(alone(x), training=True))
    dx = as_tuple(model.backward(alone(dy)))
    return {
        **{f"output {name}": array for name, array in zip(model.outputs.names, y, strict=True)},
        **{f"input {name}": array for name, array in zip(model.inputs.names, dx, strict=True)},
        **model.gradients,
    }


def run_twin(model, x, dy, rounding=None):
    """The same of PyTorch in float64, with weights and inputs rounded at random to float32's neighbours."""

    def exact(array):
        noise = 0 if rounding is None else rounding.choice([-(2**-24), 2**-24], array.shape)
        return array.astype("float64") * (1 + noise)

    weights = {name: exact(array) for name, array in model.weights.items()}
    twin = Twin(model.plan.graph, model.plan.facts, weights)
    leaves = tuple(torch.tensor(exact(array), requires_grad=True) for array in x)
    y = as_tuple(twin(leaves))
    torch.autograd.backward(y, [torch.tensor(array.astype("float64")) for array in dy])
    gradients = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]
    return {
        **{f"output {name}": end.detach().numpy() for name, end in zip(model.outputs.names, y, strict=True)},
        **{f"input {name}": g.numpy() for name, g in zip(model.inputs.names, gradients, strict=True)},
        **{name: np.zeros_like(array) for name, array in weights.items()},
        **twin.gradients(),
    }
