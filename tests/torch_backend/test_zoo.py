"""A step of every network of specs/, with small inputs, by PyTorch and by NumPy."""

import numpy as np
import pytest

pytest.importorskip("torch")

from cnnspec.recipe import Recipe
from cnnspec.torch_backend import TorchBackend
from cnnspec.training.backend import NumpyBackend
from tests.support.models import draw_inputs
from tests.torch_backend.support import assert_near
from tests.zoo.small import SMALL

TOLERANCE, FURTHER = 2e-3, 0.05
"""In parts of the largest gradient of a weight."""
FURTHER_APART = ("resnet18",)
"""Where float32 differs so much from float64, by either backend."""
LEFT_OUT = ("densenet121", "resnet50", "googlenet", "mobilenet_v2")
"""Slow ones, and two where PyTorch's float32 is a quarter and more from its own float64 with such inputs."""


@pytest.mark.campaign
@pytest.mark.parametrize("name", [one for one in SMALL if one not in LEFT_OUT])
def test_a_step_is_that_of_numpy(name):
    graph, facts = SMALL[name].network(name)
    if len(graph.outputs) > 1:
        pytest.skip("a loss needs one output")
    count = SMALL[name].count
    ours, theirs = (one.build(graph, facts, Recipe(), count) for one in (NumpyBackend(), TorchBackend()))
    random = np.random.default_rng(0)
    (x,) = draw_inputs(ours.model, random, count)
    x, shape = x.astype(np.float32), facts.shape(ours.plan.logits)
    labels = random.integers(0, shape[0], (count, *shape[1:]))
    found = [model.model.loss_and_gradients(x, labels).loss for model in (ours, theirs)]
    assert found[1] == pytest.approx(found[0], rel=1e-4)
    scaled = [scale(model.gradients, ours.gradients) for model in (ours, theirs)]
    assert_near(*scaled, FURTHER if name in FURTHER_APART else TOLERANCE)
    ours.close()


def scale(gradients, by):
    """Gradients in parts of the largest of the same weight; a bias before batch norm has none but noise."""
    floor = max(float(np.abs(gradient).max()) for gradient in by.values()) / 1000
    return {name: gradients[name] / max(float(np.abs(by[name]).max()), floor) for name in by}
