"""Networks of several inputs and outputs from Python: what they take and give, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

import cnnspec
from cnnspec.numpy_backend import make_plan
from cnnspec.recipe.learning import CrossEntropy
from tests.support.models import distance, random_model
from tests.support.random_graphs import check_text

TWO_INPUTS = """
network Two {
    input left 2x4x4
    input right 3
    from left -> dense 3 -> add right -> dense 5 -> softmax
}
"""
TWO_OUTPUTS = """
network Fork {
    input 2x4x4
    map = conv 3 3x3
    classes = dense 5
    output classes map
}
"""


def rng():
    return np.random.default_rng(0)


@pytest.fixture
def two():
    with random_model(*check_text(TWO_INPUTS), rng(), batch=8, workers=2, micro_batch=2) as model:
        yield model


@pytest.fixture
def fork():
    with random_model(*check_text(TWO_OUTPUTS), rng(), batch=8, workers=2, micro_batch=2, loss=None) as model:
        yield model


LEFT, RIGHT = np.ones((8, 2, 4, 4), np.float32), np.ones((8, 3), np.float32)


def test_inputs_go_in_a_tuple_a_list_or_by_name(two):
    y = two.forward((LEFT, RIGHT))
    assert y.shape == (8, 5)
    for given in ([LEFT, RIGHT], {"right": RIGHT, "left": LEFT}):
        np.testing.assert_array_equal(two.forward(given), y)
        np.testing.assert_array_equal(two.predict(given), y)


def test_backward_gives_a_gradient_for_each_input(two):
    two.forward((LEFT, RIGHT), training=True)
    left, right = two.backward(np.ones((8, 5), np.float32))
    assert (left.shape, right.shape) == (LEFT.shape, RIGHT.shape)


def test_outputs_come_in_a_tuple_in_the_order_of_the_file(fork):
    classes, map = fork.forward(LEFT, training=True)
    assert (classes.shape, map.shape) == ((8, 5), (8, 3, 2, 2))
    both = fork.backward((np.ones_like(classes), np.ones_like(map))).copy()
    fork.forward(LEFT, training=True)
    by_name = fork.backward({"map": np.ones_like(map), "classes": np.ones_like(classes)})
    np.testing.assert_array_equal(both, by_name)


def test_several_inputs_learn(two):
    """Indices gather the same rows of every input."""
    rows, labels = np.array([7, 0, 3]), np.arange(8) % 5
    left, right = rng().standard_normal(LEFT.shape).astype("f4"), rng().standard_normal((8, 3)).astype("f4")
    by_index = two.loss_and_gradients((left, right), labels, rows)
    gradients = {name: array.copy() for name, array in two.gradients.items()}
    assert two.loss_and_gradients((left[rows], right[rows]), labels[rows]) == by_index
    assert max(distance(two.gradients[name], array) for name, array in gradients.items()) == 0
    probabilities = two.predict((left, right))[np.arange(8), labels]
    assert two.evaluate((left, right), labels).loss == pytest.approx(-np.log(probabilities).mean(), rel=1e-5)


def test_wrong_arguments_are_refused(two, fork):
    cases = [
        (lambda: two.forward(LEFT), "x must be 2 arrays, for left and right, not 1"),
        (lambda: two.forward((LEFT,)), "x must be 2 arrays, for left and right, not 1"),
        (lambda: two.forward({"left": LEFT}), "x must name left and right, not left"),
        (lambda: two.forward((RIGHT, LEFT)), "x of left must be Nx2x4x4, not 8x3"),
        (lambda: two.forward((LEFT, RIGHT[:3])), "as many images, not 8 of left, 3 of right"),
        (lambda: two.forward((LEFT[:0], RIGHT[:0])), "x of left has no images"),
        (lambda: fork.predict({"x": LEFT}), "x must name input, not x"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()
    fork.forward(LEFT, training=True)
    with pytest.raises(ValueError, match="dy must be 2 arrays, for classes and map, not 1"):
        fork.backward(np.ones((8, 5)))
    with pytest.raises(ValueError, match="dy of map must be 8x3x2x2 like the output, not 8x3"):
        fork.backward((np.ones((8, 5)), np.ones((8, 3))))


def test_a_loss_needs_one_output(fork):
    with pytest.raises(ValueError, match="one output, and this one has classes, map"):
        make_plan(*check_text(TWO_OUTPUTS), batch=4, loss=CrossEntropy())
    with pytest.raises(ValueError, match="the network gives `classes` of 5, `map` of 3x2x2"):
        fork.evaluate(LEFT, np.zeros(8, int))


def test_a_network_of_several_ends_runs_and_learns_from_a_spec():
    model = cnnspec.loads(TWO_INPUTS).compile(batch=8, seed=0)
    labels = np.arange(8) % 5
    losses = [model.train_step((LEFT, RIGHT), labels) for _ in range(30)]
    assert losses[-1] < losses[0]
    fork = cnnspec.loads(TWO_OUTPUTS).compile(batch=8)
    classes, map = fork.predict(LEFT)
    assert (classes.shape, map.shape) == ((8, 5), (8, 3, 2, 2))
    with pytest.raises(ValueError, match="without a loss"):
        fork.train_step(LEFT, labels)
    model.close()
    fork.close()
