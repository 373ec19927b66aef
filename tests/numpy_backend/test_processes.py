"""Workers that are processes: the bits of threads, errors that arrive, and nobody left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from cnnspec.layers.activations import Relu
from cnnspec.layers.convolution import Conv
from cnnspec.layers.dense import Dense
from cnnspec.layers.normalization import BatchNorm
from cnnspec.layers.regularization import Dropout
from cnnspec.numpy_backend.processes import WorkerLost, can_fork
from cnnspec.recipe.learning import CrossEntropy
from tests.support.graphs import sequential
from tests.support.models import random_model

pytestmark = pytest.mark.skipif(not can_fork(), reason="this system's workers are threads")

SHAPE, BATCH, CLASSES = (2, 6, 6), 13, 4
PLAIN = (Conv(channels=3, kernel=3, padding=1), Relu(), Dropout(drop_probability=0.3), Dense(units=CLASSES))
NORMED = (Conv(channels=3, kernel=3), BatchNorm(), Relu(), Dense(units=CLASSES))


def model_of(layers=PLAIN, **options):
    chosen = {"batch": BATCH, "workers": 3, "micro_batch": 2, "loss": CrossEntropy(), "processes": True}
    return random_model(*sequential(SHAPE, *layers), np.random.default_rng(0), **chosen | options)


def images(count=BATCH):
    return np.random.default_rng(1).standard_normal((count, *SHAPE)).astype(np.float32)


LABELS = np.arange(BATCH) % CLASSES


def children():
    """The processes that this one has started and that live, as Linux lists them (man 5 proc)."""
    tasks = Path(f"/proc/{os.getpid()}/task").iterdir()
    return {int(number) for task in tasks for number in (task / "children").read_text().split()}


def everything(model, count):
    """What each call gives and leaves, in an order in which one builds on the other."""
    x, labels, rows = images(40), np.arange(40) % CLASSES, np.arange(count)[::-1] * 2
    found = {
        "y": model.forward(x[:count], training=True).copy(),
        "dx": model.backward(np.ones((count, CLASSES))),
    }
    found |= {f"first {name}": array.copy() for name, array in model.gradients.items()}
    batch = model.loss_and_gradients(x, labels, rows)
    found |= {f"second {name}": array.copy() for name, array in model.gradients.items()}
    for name, gradient in model.gradients.items():
        model.weights[name] -= 0.1 * gradient
    judged = model.evaluate(x, labels)
    found |= {f"weight {name}": array.copy() for name, array in model.weights.items()}
    return found | {"all": model.predict(x), "batch": np.array([batch.loss, batch.correct, judged.loss])}


@pytest.mark.parametrize("count", [1, 2, BATCH])
@pytest.mark.parametrize("layers", [PLAIN, NORMED], ids=["dropout", "batch norm"])
def test_processes_give_the_bits_of_threads(layers, count):
    if layers is NORMED and count == 1:
        layers = (BatchNorm(), *PLAIN)
    with model_of(layers, processes=False) as threads, model_of(layers, processes=True) as processes:
        assert processes.plan.processes
        assert not threads.plan.processes
        expected, found = everything(threads, count), everything(processes, count)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_numbers_of_any_kind_go_in():
    x = images().astype(np.float64)
    with model_of(processes=False) as threads, model_of() as processes:
        np.testing.assert_array_equal(processes.predict(x), threads.predict(x))
        whole = np.arange(BATCH * 72).reshape(BATCH, *SHAPE)
        np.testing.assert_array_equal(processes.predict(whole), threads.predict(whole))
        long = x.astype(np.longdouble)
        np.testing.assert_array_equal(processes.predict(long), threads.predict(long))
        for wrong in (x.astype(object), x.astype(complex)):
            with pytest.raises(ValueError, match="x must be of real numbers, not "):
                processes.predict(wrong)


@pytest.mark.parametrize("processes", [False, True])
@pytest.mark.parametrize("count", [1, 3, BATCH])
def test_a_batch_of_narrow_rows_is_one_round(count, processes):
    """A row takes less than that to which arrays are aligned. y = w x + b: dw = sum dy x, db = sum dy."""
    network = sequential((1,), Dense(units=1))
    options = {"batch": BATCH, "workers": 2, "loss": None, "dtype": "float64", "processes": processes}
    x, dy = np.random.default_rng(1).standard_normal((2, count, 1))
    with random_model(*network, np.random.default_rng(0), **options) as model:
        model.forward(x, training=True)
        model.backward(dy)
        np.testing.assert_allclose(model.gradients["dense1.weight"].item(), np.sum(dy * x))
        np.testing.assert_allclose(model.gradients["dense1.bias"].item(), np.sum(dy))


@pytest.mark.parametrize("count", [1, 6])
def test_workers_that_predict_follow_weights_that_are_assigned(count):
    layers = (Conv(channels=6, kernel=3), Relu(), Dense(units=3))
    several, alone = (
        random_model(
            *sequential((2, 8, 8), *layers),
            np.random.default_rng(0),
            batch=count,
            training=False,
            workers=workers,
            processes=True,
        )
        for workers in (2, 1)
    )
    x = np.random.default_rng(1).standard_normal((count, 2, 8, 8))
    with several, alone:
        assert several.plan.processes
        for _ in range(3):
            np.testing.assert_allclose(several.predict(x), alone.predict(x), rtol=1e-5)
            for model in (several, alone):
                for name, array in model.weights.items():
                    model.weights[name] = array * -1.5


def test_workers_begin_with_work_and_end_with_close():
    before = children()
    model = model_of()
    assert children() == before
    model.predict(images())
    assert len(children() - before) == 2
    model.close()
    assert children() == before
    assert model.predict(images()).shape == (BATCH, CLASSES)  # and begin again
    assert len(children() - before) == 2
    del model
    assert children() == before


def test_an_error_in_a_process_is_raised_here_and_the_next_call_works():
    wrong = LABELS.copy()
    wrong[-1] = 9
    with model_of() as model:
        expected = model.evaluate(images(), LABELS)
        with pytest.raises(ValueError, match="9"):
            model.loss_and_gradients(images(), wrong)
        assert model.evaluate(images(), LABELS) == expected


@pytest.mark.parametrize("layers", [PLAIN, NORMED], ids=["alone", "meeting"])
def test_a_process_that_is_killed_is_missed_and_replaced(layers):
    before = children()
    with model_of(layers) as model:
        expected = model.predict(images())
        victim = max(children() - before)
        os.kill(victim, signal.SIGKILL)
        with pytest.raises(WorkerLost, match="a worker process was ended"):
            model.loss_and_gradients(images(), LABELS)
        np.testing.assert_array_equal(model.predict(images()), expected)
        assert victim not in children()


def test_ctrl_c_reaches_the_caller_and_the_next_call_works():
    x = np.zeros((200_000, *SHAPE), np.float32)
    with model_of(batch=64) as model:
        model.predict(x[:100])
        timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            predict_for(20, model, x)
        assert time.monotonic() - start < 10
        assert model.predict(images()).shape == (BATCH, CLASSES)


def predict_for(seconds, model, x):
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        model.predict(x)


ORPHANS = """
import os, sys, numpy as np
from tests.numpy_backend.test_processes import children, images, model_of
model = model_of()
model.predict(images())
print(*children(), flush=True)
os.kill(os.getpid(), 9)
"""


def test_workers_do_not_outlive_the_caller():
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", ORPHANS], cwd=root, capture_output=True, text=True, check=False
    )
    workers = [int(word) for word in done.stdout.split()]
    assert len(workers) == 2
    deadline = time.monotonic() + 20
    while any(lives(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [worker for worker in workers if lives(worker)]


def lives(process):
    """Whether a process computes or waits; one that has ended may wait to be asked how."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def test_a_fork_of_the_caller_leaves_its_workers_alone():
    before = children()
    with model_of() as model:
        expected = model.predict(images())
        workers = children() - before
        if (child := os.fork()) == 0:
            good = np.array_equal(model.predict(images()), expected)
            model.close()
            os._exit(0 if good else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert children() - before == workers
        np.testing.assert_array_equal(model.predict(images()), expected)
