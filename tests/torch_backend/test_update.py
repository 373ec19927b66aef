"""PyTorch's optimizers on one tensor against NumPy's updates, and states that go from one to the other."""

import numpy as np
import pytest

pytest.importorskip("torch")

from tests.torch_backend.support import CONVOLUTIONAL, assert_near, both, samples, subject

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


PLAIN = CONVOLUTIONAL.replace(" -> batchnorm", "")


def learn_large(model, steps):
    """Steps on numbers so large that the first gradients exceed float16, whose scale then becomes smaller."""
    x, labels = samples(12, seed=5)
    for _ in range(steps):
        model.train_batch(x * 1000, labels)


@pytest.mark.parametrize("optimizer", ["adam lr=0.01", "sgd lr=0.01 momentum=0.9"])
def test_the_scale_of_float16_is_part_of_the_state(optimizer):
    """A model that goes on with a state does what the other does, bit for bit, and so leaves out no step."""
    one = subject(PLAIN, f"optimizer {optimizer}")
    _, whole = both(one, precision="float16")
    _, second = both(one, precision="float16")
    learn_large(whole, 6)
    state = {name: array.copy() for name, array in whole.state().items()}
    assert state["float16/scale"] < 2**16  # PyTorch's first one
    assert state["float16/growth"] < 6
    if "adam" in optimizer:
        assert state["float16/applied"] == 6 - np.log2(2**16 / state["float16/scale"]) < 6
    assert state["optimizer/step"] == 6
    for name, array in whole.weights.items():
        second.weights[name] = array.copy()
    second.load_state(state)
    for model in (whole, second):
        learn_large(model, 3)
    assert_near(dict(whole.weights), dict(second.weights), 0)
    assert_near(whole.state(), second.state(), 0)


def test_numpy_and_float32_pass_over_the_scale_and_float16_does_without():
    one = subject(PLAIN, "optimizer sgd lr=0.01")
    ours, long = both(one)
    _, short = both(one, precision="float16")
    learn_large(short, 2)
    for model in (ours, long):
        assert not any(name.startswith("float16") for name in model.state())
        model.load_state(short.state())
        assert model.update.steps == 2
    short.load_state(ours.state())
    ours.close()
    with pytest.raises(ValueError, match="no state of float16: `growth` is missing"):
        short.load_state({name: one for name, one in short.state().items() if name != "float16/growth"})
