"""Batch normalization: when the running statistics move, and how the plan gives it the whole batch."""

from __future__ import annotations

import numpy as np
import pytest

import cnnspec
from cnnspec.layers.convolution import Conv
from cnnspec.layers.dense import Dense
from cnnspec.layers.normalization import BatchNorm
from cnnspec.numpy_backend.plan import make_plan
from cnnspec.training import DataSet, TrainingError
from tests.support.graphs import sequential
from tests.support.models import random_model

SHAPE = (2, 6, 6)


@pytest.fixture
def network():
    return sequential(SHAPE, Conv(channels=4, kernel=3), BatchNorm(momentum=0.25), Dense(units=3))


def model_of(network, **options):
    return random_model(*network, np.random.default_rng(0), **{"batch": 8, "dtype": "float64"} | options)


def images(count, seed=1):
    return np.random.default_rng(seed).standard_normal((count, *SHAPE))


def state(model):
    return {name: model.weights[f"batchnorm1.{name}"].copy() for name in ("running_mean", "running_var")}


def test_running_statistics_move_by_momentum_towards_those_of_the_batch():
    x = images(8)
    with model_of(sequential(SHAPE, BatchNorm(momentum=0.25))) as model:
        before = state(model)
        model.forward(x, training=True)
        after = state(model)
    mean, var = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3), ddof=1)
    np.testing.assert_allclose(after["running_mean"], 0.75 * before["running_mean"] + 0.25 * mean)
    np.testing.assert_allclose(after["running_var"], 0.75 * before["running_var"] + 0.25 * var)


def test_only_training_moves_the_running_statistics(network):
    labels = np.zeros(20, int)
    with model_of(network) as model:
        before = state(model)
        model.forward(images(8))
        model.predict(images(20))
        model.evaluate(images(20), labels)
        np.testing.assert_equal(state(model), before)


def test_running_statistics_move_once_though_backward_computes_the_batch_again(network):
    x, dy = images(8), np.ones((8, 3))
    with model_of(network) as model, model_of(network) as other:
        model.forward(x, training=True)
        expected = model.backward(dy)
        other.forward(x, training=True)
        other.predict(images(8, seed=2))  # overwrites the activations
        np.testing.assert_array_equal(other.backward(dy), expected)
        np.testing.assert_equal(state(other), state(model))


def test_prediction_does_not_depend_on_the_pieces(network):
    x = images(13)
    with model_of(network) as whole, model_of(network, training=False, micro_batch=3, workers=2) as pieces:
        assert pieces.plan.micro_batch == 3
        np.testing.assert_allclose(pieces.predict(x), whole.predict(x))


def test_plan_for_training_keeps_all_pieces_at_work_and_says_why(network):
    plan = make_plan(*network, batch=32, workers=2, micro_batch=6)
    assert (plan.workers, plan.micro_batch, plan.in_step, plan.arenas) == (2, 6, 3, 6)
    assert "all pieces of a batch keep step, for the statistics of batchnorm1" in str(plan)
    prediction = make_plan(*network, batch=32, workers=2, micro_batch=6, training=False)
    assert "keep step" not in str(prediction)
    assert prediction.in_step == 1


def test_state_has_no_gradient_and_is_no_parameter(network):
    _, facts = network
    assert [(layer.params, layer.trainable_params) for layer in facts.layers[2:3]] == [(8, 8)]
    with model_of(network) as model:
        assert {name for name in model.gradients if "batchnorm" in name} == {
            "batchnorm1.weight",
            "batchnorm1.bias",
        }


def test_one_image_of_a_vector_is_refused_in_training():
    with model_of(sequential((5,), BatchNorm(), Dense(units=2))) as model:
        with pytest.raises(ValueError, match=r"1 image is too small: `batchnorm1` needs 2 in training"):
            model.loss_and_gradients(np.ones((1, 5)), np.zeros(1, int))
        with pytest.raises(ValueError, match="needs 2 in training"):
            model.forward(np.ones((1, 5)), training=True)
        assert model.predict(np.ones((1, 5))).shape == (1, 2)


def test_training_is_refused_before_it_begins_where_the_last_batch_would_be_one_vector():
    network = cnnspec.loads(
        "network Net { input 1x8x8 -> flatten -> batchnorm -> dense 10 }\ntrain { batch 4 }"
    )
    x, labels = np.ones((9, 1, 8, 8), np.float32), np.zeros(9, np.int64)
    with pytest.raises(TrainingError) as caught:
        cnnspec.train(network, DataSet("ones", x, labels, x, labels, tuple("abcdefghij")))
    assert (
        caught.value.message == "the last batch of an epoch has 1 of the 9 images, and `batchnorm1` needs 2"
    )
    assert caught.value.help == ("with `batch 3` it has 3",)
