"""The updates against PyTorch's."""

import tracemalloc

import numpy as np
import pytest

from cnnspec.recipe import Sgd, kinds
from cnnspec.training.optimizers import make_update, parts_of, state_bytes
from tests.support.graphs import sequential

STEPS = 50


@pytest.mark.parametrize(("lr", "momentum"), [(0.1, 0.0), (0.1, 0.9), (0.01, 0.99), (0.9, 0.0)])
def test_sgd_equals_pytorch_over_fifty_steps(torch, lr: float, momentum: float):
    random = np.random.default_rng(3)
    shapes = {"conv1.weight": (6, 1, 5, 5), "conv1.bias": (6,), "dense1.weight": (10, 84)}
    weights = {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    gradients = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    parameters = {name: torch.nn.Parameter(torch.from_numpy(w.copy())) for name, w in weights.items()}
    theirs = torch.optim.SGD(parameters.values(), lr=lr, momentum=momentum)
    ours = make_update(Sgd(lr=lr, momentum=momentum), parts_of(weights, gradients))

    for _ in range(STEPS):
        for name, gradient in gradients.items():
            gradient[...] = 0.1 * random.standard_normal(gradient.shape)
            parameters[name].grad = torch.from_numpy(gradient.copy())
        theirs.step()
        ours.step()

    for name, weight in weights.items():
        np.testing.assert_allclose(weight, parameters[name].detach().numpy(), rtol=1e-6, atol=1e-6)


def test_momentum_follows_the_formula_by_hand():
    weight, gradient = np.array([1.0], np.float32), np.array([0.5], np.float32)
    update = make_update(Sgd(lr=0.1, momentum=0.9), parts_of({"w": weight}, {"w": gradient}))
    update.step()  # v = 0.5, w = 1 - 0.05
    assert weight[0] == pytest.approx(0.95)
    update.step()  # v = 0.9 * 0.5 + 0.5 = 0.95, w = 0.95 - 0.095
    assert weight[0] == pytest.approx(0.855)


def test_a_step_changes_the_arrays_in_place_and_allocates_nothing():
    weights = {"w": np.ones((400, 120), np.float32), "b": np.ones(120, np.float32)}
    gradients = {name: np.ones_like(array) for name, array in weights.items()}
    before = weights["w"]
    update = make_update(Sgd(lr=0.1, momentum=0.9), parts_of(weights, gradients))
    update.step()
    tracemalloc.start()
    try:
        update.step()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert weights["w"] is before
    assert peak < 4096, "no array is made: the smallest weight has 480 bytes, the largest 192,000"


def test_the_gradients_are_left_as_they_are():
    gradients = {"w": np.full(3, 2.0, np.float32)}
    make_update(Sgd(lr=0.1), parts_of({"w": np.zeros(3, np.float32)}, gradients)).step()
    np.testing.assert_array_equal(gradients["w"], 2.0)


def test_every_optimizer_of_the_language_has_an_update():
    for kind in kinds("optimizer").values():
        weights = {"w": np.zeros(3, np.float32)}
        make_update(kind(), parts_of(weights, {"w": np.ones(3, np.float32)})).step()
        assert (weights["w"] < 0).all()


def test_state_bytes_bound_what_an_update_keeps():
    _, facts = sequential((4,))
    assert state_bytes(Sgd(momentum=0.9), facts) == 0
