"""The function of JAX beside the PyTorch module: outputs, gradients and running statistics."""

from __future__ import annotations

import numpy as np
import pytest

jax = pytest.importorskip("jax")
torch = pytest.importorskip("torch")

from cnnspec.bridges.jax import to_function  # noqa: E402
from cnnspec.bridges.jax.table import FUNCTIONS  # noqa: E402
from cnnspec.bridges.torch import to_module  # noqa: E402
from cnnspec.language.errors import SpecError  # noqa: E402
from cnnspec.layers.regularization import Dropout  # noqa: E402
from tests.numpy_backend.test_every_layer import CASES, build, names  # noqa: E402
from tests.support.graphs import sequential  # noqa: E402
from tests.support.models import as_tuple, distance, draw_inputs, random_model  # noqa: E402
from tests.support.random_graphs import check_text  # noqa: E402

COUNT = 5
COVERED = FUNCTIONS.covered() | {"input"}


def covered(case) -> bool:
    kinds = {node.layer.keyword for node in build(case)[0].nodes}
    return kinds <= COVERED - {"dropout"} and len(kinds) > 1


@pytest.fixture(autouse=True)
def _doubles():
    """Doubles, so that only another function can be far off."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


ALL = [case for case in CASES if covered(case)]
SAMPLE = [
    case if i % 8 == 2 else pytest.param(case, marks=pytest.mark.campaign) for i, case in enumerate(ALL)
]


@pytest.mark.parametrize("case", SAMPLE, ids=[names(case) for case in ALL])
def test_layer_agrees_with_pytorch_in_output_gradients_and_state(case):
    graph, facts = build(case)
    rng = np.random.default_rng(3)
    with random_model(graph, facts, rng, batch=COUNT, loss=None, training=False, dtype="float64") as model:
        x, weights = draw_inputs(model, rng, COUNT), dict(model.weights)
    weights = {name: array.astype("f4") for name, array in weights.items()}
    module = to_module(graph, facts, {name: array.astype("f8") for name, array in weights.items()})
    leaves = [torch.tensor(array, requires_grad=True) for array in x]
    expected = as_tuple(module(*leaves))
    dy = [rng.standard_normal(y.shape) for y in expected]
    torch.autograd.backward(expected, [torch.tensor(array) for array in dy])

    network = to_function(graph, facts, weights)
    params, state = ({n: a.astype("f8") for n, a in d.items()} for d in (network.params, network.state))

    def value(params, inputs):
        outputs, after = network.apply(params, state, *inputs, training=True)
        outputs = as_tuple(outputs)
        return sum((y * d).sum() for y, d in zip(outputs, dy, strict=True)), (outputs, after)

    gradient = jax.value_and_grad(value, argnums=(0, 1), has_aux=True)
    (_, (outputs, after)), (of_params, of_inputs) = gradient(params, tuple(map(jax.numpy.asarray, x)))
    named = {name: p.grad for name, p in module.named_parameters() if p.requires_grad}
    far = {
        **{
            f"y{i}": distance(y, e.detach().numpy())
            for i, (y, e) in enumerate(zip(outputs, expected, strict=True))
        },
        **{
            f"dx{i}": distance(g, 0 if leaf.grad is None else leaf.grad.numpy())
            for i, (g, leaf) in enumerate(zip(of_inputs, leaves, strict=True))
        },
        **{n: distance(g, 0 if named[n] is None else named[n].numpy()) for n, g in of_params.items()},
        **{n: distance(a, module.state_dict()[n].numpy()) for n, a in after.items()},
    }
    assert of_params.keys() == named.keys()
    assert max(far.values()) < 1e-6, far


def test_pooling_over_the_edge_agrees_with_pytorch():
    text = "network Net { input 2x7x8\n avgpool 3 stride=2 padding=1 ceil=true\n maxpool 2 ceil=true }"
    graph, facts = check_text(text)
    x = np.random.default_rng(0).standard_normal((3, 2, 7, 8))
    ours, _ = to_function(graph, facts, {}).apply({}, {}, x)
    assert distance(ours, to_module(graph, facts, {})(torch.tensor(x)).numpy()) < 1e-12


def test_dropout_drops_its_share_and_wants_a_key():
    graph, facts = sequential((4, 50, 50), Dropout(drop_probability=0.3))
    network = to_function(graph, facts, {})
    ones = np.ones((2, 4, 50, 50))
    dropped, _ = network.apply({}, {}, ones, training=True, key=jax.random.PRNGKey(0))
    assert np.mean(dropped == 0) == pytest.approx(0.3, abs=0.02)
    assert dropped.max() == pytest.approx(1 / 0.7)
    np.testing.assert_array_equal(network.apply({}, {}, ones)[0], ones)
    with pytest.raises(ValueError, match="key"):
        network.apply({}, {}, ones, training=True)


def test_layers_that_are_not_covered_are_named_with_their_places():
    text = "network Net {\n input 4x8x8\n lrn\n conv 4 3x3\n groupnorm 2\n}"
    with pytest.raises(SpecError) as raised:
        to_function(*check_text(text), {"conv1.weight": np.zeros((4, 4, 3, 3)), "conv1.bias": np.zeros(4)})
    assert [(d.code, d.span.line) for d in raised.value.diagnostics] == [
        ("not-covered", 3),
        ("not-covered", 5),
    ]
    assert "JAX cannot say `lrn1`: there is no `lrn`" in str(raised.value)
