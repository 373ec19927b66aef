"""PyTorch's optimizers on one tensor against NumPy's updates, and states that go from one to the other."""

import numpy as np
import pytest

pytest.importorskip("torch")

from tests.torch_backend.support import assert_near, both, samples, subject

SETTINGS = [
    "optimizer sgd lr=0.1",
    "optimizer sgd lr=0.1 momentum=0.9 weight_decay=0.01",
    "optimizer sgd lr=0.05 momentum=0.9 nesterov=true\nclip norm=0.5",
    "optimizer adam lr=0.01 weight_decay=0.1",
    "optimizer adamw lr=0.01 weight_decay=0.1\nclip value=0.01",
    "optimizer rmsprop lr=0.01",
    "optimizer rmsprop lr=0.01 momentum=0.8 centered=true weight_decay=0.01\nclip value=0.02 norm=0.1",
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_steps_are_those_of_numpy_and_states_change_hands(settings):
    """Five steps in each, then the states are exchanged for five more: all end in the same weights."""
    one = subject(train=settings)
    ours, theirs = both(one)
    swapped = both(one)
    x, labels = samples(60, seed=5)

    def learn(model, first):
        for step in range(first, first + 5):
            model.train_batch(x, labels, np.arange(12) + 12 * (step % 5))

    for model in (ours, theirs):
        learn(model, 0)
    for model, other in zip(swapped, (theirs, ours), strict=True):
        for name, array in other.weights.items():
            model.weights[name] = array.copy()
        model.load_state({name: array.copy() for name, array in other.state().items()})
        assert set(model.state()) == set(other.state())
        assert model.update.steps == 5
    for model in (ours, theirs, *swapped):
        learn(model, 5)
    for model in (theirs, *swapped):
        assert_near(dict(ours.weights), dict(model.weights), 2e-5)
        assert_near(ours.state(), model.state(), 2e-4)
    for model in (ours, swapped[0]):
        model.close()


def test_a_state_of_something_else_is_refused():
    _, model = both(subject(train="optimizer sgd momentum=0.9"))
    state = model.state()
    with pytest.raises(ValueError, match=r"`momentum/conv1.weight` is missing"):
        model.load_state({name: array for name, array in state.items() if "conv1.weight" not in name})
    with pytest.raises(ValueError, match=r"`momentum/conv1.weight` is 2, not 4x2x3x3"):
        model.load_state({**state, "optimizer/momentum/conv1.weight": np.zeros(2)})
    with pytest.raises(ValueError, match=r"`mean/conv1.weight` has no place"):
        model.load_state({**state, "optimizer/mean/conv1.weight": np.zeros(2)})


def test_a_loss_that_is_no_number_changes_nothing():
    _, model = both(subject(train="optimizer sgd momentum=0.9"))
    x, labels = samples()
    x[0, 0, 0, 0] = np.nan
    before = {name: array.copy() for name, array in model.weights.items() if "running" not in name}
    assert np.isnan(model.train_step(x, labels))
    assert_near(before, {name: model.weights[name] for name in before}, 0)
    assert model.update.steps == 0
