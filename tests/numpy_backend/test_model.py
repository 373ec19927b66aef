"""The public face of a model: weights, shapes, errors, and batches of every size."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest

from cnnspec.layers.activations import Relu, Softmax
from cnnspec.layers.convolution import Conv
from cnnspec.layers.dense import Dense
from cnnspec.layers.pooling import MaxPool
from cnnspec.numpy_backend import Model, compile_graph, make_plan
from cnnspec.numpy_backend.workers import Workers
from cnnspec.recipe.learning import CrossEntropy
from tests.support.graphs import sequential
from tests.support.models import distance, random_model

NETWORK = (
    (2, 6, 6),
    Conv(channels=3, kernel=3, padding=1),
    Relu(),
    MaxPool(kernel=2),
    Dense(units=4),
    Softmax(),
)


@pytest.fixture
def model():
    graph, facts = sequential(*NETWORK)
    with random_model(graph, facts, np.random.default_rng(0), batch=12, workers=2, micro_batch=4) as compiled:
        yield compiled


@pytest.fixture
def x():
    return np.random.default_rng(1).standard_normal((12, 2, 6, 6)).astype(np.float32)


LABELS = np.arange(12) % 4


def test_weights_have_the_names_and_shapes_of_the_layers(model):
    shapes = {name: array.shape for name, array in model.weights.items()}
    expected = {
        "conv1.weight": (3, 2, 3, 3),
        "conv1.bias": (3,),
        "dense1.weight": (4, 27),
        "dense1.bias": (4,),
    }
    assert shapes == expected
    assert list(model.gradients) == list(expected)


def test_assigning_a_weight_copies_into_place(model, x):
    array = model.weights["dense1.bias"]
    model.weights["dense1.bias"] = [1.0, 2, 3, 4]
    assert array.tolist() == [1, 2, 3, 4]
    before = model.predict(x)
    model.weights["conv1.weight"] *= 2
    assert not np.array_equal(before, model.predict(x))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("conv2.weight", 0, "there is no weight 'conv2.weight'; there are conv1.weight, conv1.bias, "),
        ("dense1.bias", [1, 2], "weight 'dense1.bias' has shape 4, not 2"),
        ("dense1.bias", 1.0, "weight 'dense1.bias' has shape 4, not a number"),
        ("dense1.bias", ["a"] * 4, "weight 'dense1.bias' takes real numbers, not <U1"),
        ("dense1.bias", [1j] * 4, "weight 'dense1.bias' takes real numbers, not complex128"),
    ],
)
def test_wrong_weights_are_refused(model, name, value, message):
    with pytest.raises(ValueError, match=message.replace("<", ".")):
        model.weights[name] = value


def test_weights_cannot_be_deleted(model):
    with pytest.raises(ValueError, match="belongs to the network"):
        del model.weights["conv1.bias"]


@pytest.mark.parametrize("count", [1, 2, 5, 8, 11, 12])
def test_smaller_batches_give_the_same_as_one_image_at_a_time(model, x, count):
    alone = np.concatenate([model.forward(x[i : i + 1]) for i in range(count)])
    assert distance(model.forward(x[:count]), alone) < 1e-6


def test_predict_takes_any_number(model):
    many = np.random.default_rng(2).standard_normal((45, 2, 6, 6)).astype(np.float32)
    y = model.predict(many)
    assert distance(y[30:42], model.forward(many[30:42])) < 1e-6
    assert y.sum(axis=1) == pytest.approx(1)


def test_gradients_are_of_the_mean_whatever_the_number(model, x):
    """Twice the same images have the same mean, and so the same gradients."""
    once = model.loss_and_gradients(x[:5], LABELS[:5])
    gradients = {name: array.copy() for name, array in model.gradients.items()}
    twice = model.loss_and_gradients(np.concatenate([x[:5]] * 2), np.concatenate([LABELS[:5]] * 2))
    assert twice.loss == pytest.approx(once.loss, rel=1e-6)
    assert (twice.count, twice.correct) == (2 * once.count, 2 * once.correct)
    assert max(distance(model.gradients[name], array) for name, array in gradients.items()) < 1e-5


def test_indices_pick_rows_of_the_data(model, x):
    rows = np.array([7, 3, 3, 11, 0])
    by_index = model.loss_and_gradients(x, LABELS, rows)
    gradients = {name: array.copy() for name, array in model.gradients.items()}
    assert model.loss_and_gradients(x[rows], LABELS[rows]) == by_index
    for name, array in gradients.items():
        np.testing.assert_array_equal(model.gradients[name], array)


def test_evaluate_is_the_mean_over_all(model, x):
    many, labels = np.concatenate([x, x, x[:3]]), np.concatenate([LABELS, LABELS, LABELS[:3]])
    probabilities = model.predict(many)[np.arange(27), labels]
    result = model.evaluate(many, labels)
    assert result.loss == pytest.approx(float(-np.log(probabilities).mean()), rel=1e-5)
    assert result.correct == int((model.predict(many).argmax(1) == labels).sum())
    assert result.count == 27


def test_loss_of_confident_logits_is_finite(model, x):
    model.weights["dense1.weight"] *= 1e6
    result = model.loss_and_gradients(x, LABELS)
    assert np.isfinite(result.loss)
    assert all(np.isfinite(array).all() for array in model.gradients.values())


def test_wrong_arguments_are_refused(model, x):
    cases = [
        (lambda: model.forward(x[:, :1]), "x must be Nx2x6x6, not 12x1x6x6"),
        (lambda: model.forward(x[0]), "x must be Nx2x6x6, not 2x6x6"),
        (lambda: model.forward(x[:0]), "x has no images"),
        (lambda: model.forward(np.concatenate([x, x])), "24 images are more than the batch of 12"),
        (lambda: model.backward(x), r"backward needs a forward\(x, training=True\) before it"),
        (lambda: model.loss_and_gradients(x, LABELS[:3]), "labels must be 12 whole numbers, one an image"),
        (lambda: model.loss_and_gradients(x, LABELS * 0.5), "not 12 of float64"),
        (lambda: model.loss_and_gradients(x, LABELS + 1), "label 4 is no class: there are 4, from 0"),
        (lambda: model.loss_and_gradients(x, LABELS, np.array([12])), "indices must be from 0 to 11"),
        (lambda: model.loss_and_gradients(x, LABELS, np.array([-1])), "indices must be from 0 to 11"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()


def test_backward_refuses_another_shape(model, x):
    model.forward(x, training=True)
    with pytest.raises(ValueError, match="dy must be 12x4 like the output, not 12x3"):
        model.backward(np.zeros((12, 3)))


def test_inference_models_do_not_train(x):
    with compile_graph(*sequential(*NETWORK), batch=12, training=False) as model:
        assert model.predict(x).shape == (12, 4)
        for call in (lambda: model.forward(x, training=True), lambda: model.loss_and_gradients(x, LABELS)):
            with pytest.raises(ValueError, match="compiled with training=True"):
                call()
        with pytest.raises(ValueError, match="compiled without a loss"):
            model.evaluate(x, LABELS)


@pytest.mark.parametrize(
    "options", [{"batch": 0}, {"batch": 4, "workers": 0}, {"batch": 4, "micro_batch": 0}]
)
def test_numbers_below_one_are_refused(options):
    with pytest.raises(ValueError, match="must be at least 1, not 0"):
        make_plan(*sequential(*NETWORK), **options)


def test_a_plan_says_how_every_layer_is_computed():
    text = str(make_plan(*sequential(*NETWORK), batch=64, loss=CrossEntropy(), workers=2))
    assert "batches of 64 in pieces of 32, 2 workers" in text
    for name in ("conv1", "relu1", "maxpool1", "dense1", "softmax1"):
        assert f"\n{name} " in text


# --- workers --------------------------------------------------------------------------------------------


def test_an_exception_in_a_worker_reaches_the_caller():
    workers = Workers(3)

    def job(worker: int) -> None:
        if worker == 2:
            raise KeyError("from worker 2")

    with pytest.raises(KeyError, match="from worker 2"):
        workers.run(job, 3)
    done: list[int] = []
    workers.run(done.append, 3)
    assert sorted(done) == [0, 1, 2]
    workers.close()


def test_ctrl_c_reaches_the_caller_while_a_worker_runs():
    workers = Workers(2)
    release = threading.Event()

    def job(worker: int) -> None:
        if worker == 1:
            release.wait(10)

    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        workers.run(job, 2)
    assert time.monotonic() - start < 5
    release.set()
    done: list[int] = []
    workers.run(done.append, 2)
    assert sorted(done) == [0, 1]
    workers.close()


def test_threads_end_with_close(x):
    plan = make_plan(*sequential(*NETWORK), batch=12, workers=2, processes=False)
    model = Model(plan)
    model.forward(x)
    names = [thread.name for thread in threading.enumerate()]
    assert "cnnspec-1" in names
    model.close()
    deadline = time.monotonic() + 5
    while any(t.name.startswith("cnnspec-") for t in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not [t.name for t in threading.enumerate() if t.name.startswith("cnnspec-")]
    assert model.forward(x).shape == (12, 4)  # and start again
