"""How far a whole step of training in float32 is from PyTorch's in float64, by every way to convolve.

ResNet-18 with images of 48x48 has maps of 2x2 at its end: its batch norms are over 16 numbers. Where a ReLU
is at a number so near 0 that rounding decides its side, one of these has another gradient, and a weight's
gradient is off by up to a tenth: by any algorithm, in PyTorch too. With a smooth activation in its place
nothing is decided, and what is left is rounding.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnnspec.network.check import check_file
from cnnspec.numpy_backend import Model
from cnnspec.numpy_backend.choices import Choices
from cnnspec.numpy_backend.plan import make_plan
from cnnspec.recipe import CrossEntropy, Recipe
from cnnspec.training.initializers import initial_weights
from tests.support.models import distance
from tests.zoo.specs import FIGURE_LINES, SPECS

COUNT = 4
SMOOTH = {"-> relu": "-> silu", "maxpool": "avgpool", "224x224": "48x48"}


def smooth_resnet18(folder: Path):
    """The network, without claims."""
    for name in ("residual", "resnet18"):
        text = FIGURE_LINES.sub("", (SPECS / f"{name}.cnn").read_text(encoding="utf-8"))
        for old, new in SMOOTH.items():
            text = text.replace(old, new)
        (folder / f"{name}.cnn").write_text(text, encoding="utf-8")
    return check_file(str(folder / "resnet18.cnn")).network()


def gradients_of_torch(torch, graph, facts, weights, x, labels):
    from cnnspec.bridges.torch import to_module

    module = to_module(graph, facts, weights, logits=True).train().double()
    loss = torch.nn.functional.cross_entropy(module(torch.tensor(x)), torch.tensor(labels))
    loss.backward()
    return {name: p.grad.numpy() for name, p in module.named_parameters()}


@pytest.fixture(scope="module")
def step(tmp_path_factory):
    """The network, weights, images and labels of a step, and PyTorch's gradients."""
    torch = pytest.importorskip("torch")
    graph, facts = smooth_resnet18(tmp_path_factory.mktemp("specs"))
    rng = np.random.default_rng(0)
    x = rng.standard_normal((COUNT, *facts.shape(0))).astype(np.float32)
    labels = rng.integers(0, 1000, COUNT)
    weights = {name: np.asarray(w, np.float32) for name, w in initial_weights(graph, facts, Recipe())}
    expected = gradients_of_torch(torch, graph, facts, weights, x.astype(np.float64), labels)
    return graph, facts, weights, x, labels, expected


@pytest.mark.parametrize(("way", "most"), [("im2col", 2e-5), ("winograd-2x2", 2e-5), ("winograd-4x4", 3e-5)])
def test_a_step_of_resnet18_at_small_maps_rounds_no_more_than_said(way, most, step):
    graph, facts, weights, x, labels, expected = step
    selected = zip(graph.nodes, make_plan(graph, facts, batch=COUNT).selected, strict=True)
    choices = Choices({node.name: way for node, one in selected if way in one.rivals})
    assert len(choices.algorithms) >= 13
    plan = make_plan(graph, facts, batch=COUNT, loss=CrossEntropy(), workers=1, choices=choices)
    with Model(plan) as model:
        for name, values in weights.items():
            model.weights[name] = values
        model.loss_and_gradients(x, labels)
        apart = {name: distance(model.gradients[name], value, 0) for name, value in expected.items()}
    assert not {name: d for name, d in apart.items() if not d < most}
