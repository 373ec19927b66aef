"""Workers that share a batch with batch norm: exact statistics, the same bits, and no deadlock."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np
import pytest

from cnnspec.layers.convolution import Conv
from cnnspec.layers.dense import Dense
from cnnspec.layers.normalization import BatchNorm
from cnnspec.layers.rectifiers import Relu6
from cnnspec.numpy_backend.meetings import Meeting, Stopped
from cnnspec.recipe.learning import CrossEntropy
from tests.support.graphs import sequential
from tests.support.models import distance, random_model

SHAPE = (2, 5, 6)
LAYERS = (
    Conv(channels=4, kernel=3),
    BatchNorm(),
    Relu6(),
    Conv(channels=3, kernel=2),
    BatchNorm(),
    Dense(units=3),
)
BATCH = 11


def model_of(*layers, shape=SHAPE, **options):
    network = sequential(shape, *(layers or LAYERS))
    return random_model(*network, np.random.default_rng(0), **{"batch": BATCH, "dtype": "float64"} | options)


def images(count=BATCH, shape=SHAPE, seed=1):
    return np.random.default_rng(seed).standard_normal((count, *shape))


def step(model, x, dy):
    """Everything that a step of training leaves."""
    y = model.forward(x, training=True).copy()
    dx = model.backward(dy)
    state = {name: array.copy() for name, array in model.weights.items() if "running" in name}
    return {"y": y, "dx": dx, **state, **{name: array.copy() for name, array in model.gradients.items()}}


@pytest.mark.parametrize("count", [1, 2, 5, 11])
@pytest.mark.parametrize(
    "options", [{"workers": 2}, {"workers": 3, "micro_batch": 2}, {"workers": 16}], ids=str
)
def test_a_batch_that_is_shared_gives_what_one_piece_gives(count, options):
    x, dy = images(count), images(count, (3,))
    with model_of(workers=1, micro_batch=BATCH) as one, model_of(**options) as shared:
        assert one.plan.arenas == 1
        assert shared.plan.arenas > 1
        expected, found = step(one, x, dy), step(shared, x, dy)
    assert {name: distance(array, expected[name]) < 1e-12 for name, array in found.items()} == dict.fromkeys(
        expected, True
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_a_batch_that_is_shared_agrees_with_pytorch(workers):
    torch = pytest.importorskip("torch")
    x, dy = images(BATCH, (4, 3)) * [1, 5, 0.1] + 3, images(BATCH, (4, 3), seed=2)
    x[5:] += 7  # the pieces differ in their means
    norm, input = torch.nn.BatchNorm1d(4, dtype=torch.float64), torch.tensor(x, requires_grad=True)
    with model_of(BatchNorm(), shape=(4, 3), workers=workers, micro_batch=4) as model:
        for name in ("weight", "bias", "running_mean", "running_var"):
            getattr(norm, name).data.copy_(torch.tensor(model.weights[f"batchnorm1.{name}"]))
        found = step(model, x, dy)
    output = norm(input)
    output.backward(torch.tensor(dy))
    np.testing.assert_allclose(found["y"], output.detach(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found["dx"], input.grad, rtol=0, atol=1e-12)
    for name in ("running_mean", "running_var"):
        np.testing.assert_allclose(found[f"batchnorm1.{name}"], getattr(norm, name), rtol=1e-12)
    for name in ("weight", "bias"):
        np.testing.assert_allclose(found[f"batchnorm1.{name}"], getattr(norm, name).grad, rtol=1e-11)


@pytest.mark.parametrize("workers", [1, 2])
def test_statistics_are_exact_where_the_deviation_is_far_below_the_mean(workers):
    """float32 of mean 1000 and deviation 0.01, against float64 from the same numbers."""
    x = (1000 + 0.01 * images(64, (3, 16, 16))).astype(np.float32)
    dy = images(64, (3, 16, 16), seed=2)
    exact = x.astype(np.float64)
    with model_of(
        BatchNorm(epsilon=1e-12), shape=(3, 16, 16), dtype="float32", batch=64, workers=workers
    ) as model:
        w, b = (model.weights[f"batchnorm1.{name}"].astype(np.float64) for name in ("weight", "bias"))
        found = step(model, x, dy)
    mean, deviation = exact.mean((0, 2, 3), keepdims=True), exact.std((0, 2, 3), keepdims=True)
    z = (exact - mean) / deviation
    w, b = w.reshape(1, 3, 1, 1), b.reshape(1, 3, 1, 1)
    g = w * dy
    dx = (g - g.mean((0, 2, 3), keepdims=True) - z * (g * z).mean((0, 2, 3), keepdims=True)) / deviation
    assert distance(found["y"], w * z + b) < 2e-6
    assert distance(found["dx"], dx) < 2e-6
    assert distance(found["batchnorm1.weight"], (dy * z).sum((0, 2, 3))) < 1e-5


def test_running_statistics_move_once_a_step_whatever_the_pieces():
    x = images(BATCH, (3, 4))
    with model_of(BatchNorm(momentum=0.5), shape=(3, 4), workers=3, micro_batch=2) as model:
        before = model.weights["batchnorm1.running_mean"].copy()
        model.forward(x, training=True)
        after = model.weights["batchnorm1.running_mean"]
        np.testing.assert_allclose(after, before / 2 + x.mean((0, 2)) / 2)


def test_the_same_plan_gives_the_same_bits():
    x, dy = images().astype(np.float32), images(BATCH, (3,))
    runs = []
    for _ in range(5):
        with model_of(workers=3, micro_batch=2, dtype="float32") as model:
            runs.append(step(model, x, dy))
    for name, array in runs[0].items():
        for other in runs[1:]:
            np.testing.assert_array_equal(other[name], array, err_msg=name)


def test_a_smaller_batch_does_not_see_the_parts_of_the_one_before():
    x = images()
    with model_of(workers=3, micro_batch=2) as model, model_of(workers=3, micro_batch=2) as fresh:
        model.forward(x, training=True)
        np.testing.assert_array_equal(
            model.forward(x[:2], training=True), fresh.forward(x[:2], training=True)
        )


# --- failures -------------------------------------------------------------------------------------------


def training_model(processes=False):
    return model_of(loss=CrossEntropy(), workers=3, micro_batch=2, processes=processes)


@pytest.mark.parametrize("processes", [False, True])
@pytest.mark.parametrize("place", [0, 5, 10])
def test_a_failure_of_one_worker_between_meetings_reaches_the_caller(place, processes):
    """A wrong label is found after the forward pass, while the other workers go to the next meeting."""
    x, labels = images(), np.arange(BATCH) % 3
    wrong = labels.copy()
    wrong[place] = 7
    with training_model(processes) as model:
        with pytest.raises((ValueError, IndexError)):
            model.loss_and_gradients(x, wrong)
        model.seed(0)
        found = model.loss_and_gradients(x, labels)
        gradients = {name: array.copy() for name, array in model.gradients.items()}
    with training_model() as other:
        assert other.loss_and_gradients(x, labels) == found
        for name, array in other.gradients.items():
            np.testing.assert_array_equal(gradients[name], array)


def test_ctrl_c_ends_the_wait_for_a_worker_and_the_worker():
    """The caller waits at a meeting to which another worker comes late."""
    with training_model() as model:
        x, labels = images(), np.arange(BATCH) % 3
        expected = model.loss_and_gradients(x, labels)
        late, ended = threading.Event(), threading.Event()
        hold = Meeting.hold

        def hold_late(meeting, worker, combine):
            try:
                if worker == 1:
                    os.kill(os.getpid(), signal.SIGINT)
                    late.wait(10)
                hold(meeting, worker, combine)
            except Stopped:
                ended.set()
                raise

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Meeting, "hold", hold_late)
            with pytest.raises(KeyboardInterrupt):
                model.loss_and_gradients(x, labels)
            late.set()
            assert ended.wait(10)
        assert model.loss_and_gradients(x, labels) == expected


def test_a_meeting_that_is_stopped_lets_nobody_wait():
    meeting = Meeting(3)
    raised = []

    def come(worker):
        try:
            meeting.hold(worker, lambda: raised.append("combined"))
        except Stopped:
            raised.append(worker)

    threads = [threading.Thread(target=come, args=(worker,)) for worker in (0, 1)]
    for thread in threads:
        thread.start()
    meeting.stop()
    for thread in threads:
        thread.join(10)
    come(2)
    assert sorted(raised) == [0, 1, 2]
