"""A step of every network of specs/, with small inputs, by PyTorch and by NumPy.

Losses are compared of the networks as they are. Gradients jump where rounding decides on which side of 0 a
ReLU is, or which of a window's elements is the largest: in GoogLeNet with 64x64 pixels by 0.4 of the largest
gradient of a weight, either backend against float64. So they are compared of smooth networks of the same
structure, where both backends are within 2e-4 of float64.
"""

import numpy as np
import pytest

pytest.importorskip("torch")

from cnnspec.language.record import replace
from cnnspec.layers.activations import Relu
from cnnspec.layers.gates import Silu
from cnnspec.layers.pooling import AvgPool, MaxPool
from cnnspec.layers.rectifiers import LeakyRelu, Relu6
from cnnspec.network.analyse import analyse
from cnnspec.recipe import Recipe
from cnnspec.torch_backend import TorchBackend
from cnnspec.training.backend import NumpyBackend
from tests.support.models import draw_inputs
from tests.torch_backend.support import assert_near
from tests.zoo.small import SMALL

TOLERANCE = 5e-4
"""In parts of the largest gradient of a weight."""
BENT = (Relu, Relu6, LeakyRelu)


@pytest.mark.campaign
@pytest.mark.parametrize("name", SMALL)
def test_a_step_is_that_of_numpy(name):
    graph, facts = SMALL[name].network(name)
    if len(graph.outputs) > 1:
        pytest.skip("a loss needs one output")
    bent, _ = steps(graph, facts, SMALL[name].count)
    assert bent[1] == pytest.approx(bent[0], rel=1e-4)
    graph, facts = smooth(graph)
    losses, gradients = steps(graph, facts, SMALL[name].count)
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert_near(*gradients, TOLERANCE)


def steps(graph, facts, count):
    """The losses of a batch by NumPy and by PyTorch, and the gradients by both."""
    ours, theirs = (one.build(graph, facts, Recipe(), count) for one in (NumpyBackend(), TorchBackend()))
    random = np.random.default_rng(0)
    (x,) = draw_inputs(ours.model, random, count)
    x, shape = x.astype(np.float32), facts.shape(ours.plan.logits)
    labels = random.integers(0, shape[0], (count, *shape[1:]))
    losses = [model.model.loss_and_gradients(x, labels).loss for model in (ours, theirs)]
    scaled = [scale(model.gradients, ours.gradients) for model in (ours, theirs)]
    ours.close()
    return losses, scaled


def scale(gradients, by):
    """Gradients in parts of the largest of the same weight; a bias before batch norm has none but noise."""
    floor = max(float(np.abs(gradient).max()) for gradient in by.values()) / 100
    return {name: gradients[name] / max(float(np.abs(by[name]).max()), floor) for name in by}


def smooth(graph):
    """The network with SiLUs and means in place of what has a kink."""
    nodes = tuple(replace(node, layer=without_kink(node.layer)) for node in graph.nodes)
    changed = replace(graph, nodes=nodes)
    return changed, analyse(changed).facts


def without_kink(layer):
    if isinstance(layer, BENT):
        return Silu()
    if isinstance(layer, MaxPool):
        shared = {name: value for name, value in layer.values().items() if name in AvgPool.options()}
        return AvgPool(**shared)
    return layer
