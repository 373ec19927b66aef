"""Teams: several workers at every layer of one image, beside one worker who does all of it."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cnnspec.layers.activations import Relu, Softmax
from cnnspec.layers.convolution import Conv
from cnnspec.layers.dense import Dense
from cnnspec.layers.depthwise import Depthwise
from cnnspec.layers.normalization import BatchNorm
from cnnspec.layers.pooling import MaxPool
from cnnspec.numpy_backend import Model, make_plan
from cnnspec.numpy_backend.bench import Bench, Call, Share
from cnnspec.numpy_backend.choices import Choices
from cnnspec.numpy_backend.kernels.base import Member
from cnnspec.numpy_backend.kernels.pooling import MaxPoolKernel
from cnnspec.numpy_backend.meetings import Meeting
from cnnspec.numpy_backend.processes import WorkerLost, can_fork
from cnnspec.numpy_backend.tasks import Forward
from cnnspec.numpy_backend.teams import Gate, Seat, in_order
from cnnspec.recipe.learning import CrossEntropy
from tests.numpy_backend.test_every_layer import build, every_case
from tests.numpy_backend.test_processes import children, lives, predict_for
from tests.support.graphs import sequential
from tests.support.models import alone, as_tuple, distance, draw_inputs, random_model
from tests.support.random_graphs import check_text, random_spec
from tests.support.random_networks import random_network

pytestmark = pytest.mark.skipif(not (can_fork() and in_order()), reason="there are no teams on this system")

CALL = Call(training=False, seed=0, step=0, repeats=False, together=False)


class Baton:
    """A gate behind which the members do a phase one after the other, in an order of ours."""

    def __init__(self, order):
        self._before = {member: order[:place] for place, member in enumerate(order)}
        self._phases = dict.fromkeys(order, 0)
        self._changed = threading.Condition()

    def waiting(self, member, still):
        def wait():
            with self._changed:
                phase = self._phases[member.number] = self._phases[member.number] + 1
                self._changed.notify_all()
                before = self._before[member.number]
                self._changed.wait_for(
                    lambda: (
                        min(self._phases.values()) >= phase
                        and all(self._phases[other] > phase for other in before)
                    )
                )

        return wait

    def leave(self, member):
        with self._changed:
            self._phases[member] = 1 << 30
            self._changed.notify_all()


def by_turns(model, x, order):
    """What a team computes whose members take turns, in this order in every phase."""
    plan, baton, failures = model.plan, Baton(order), []
    for run in model._prepare:
        run()
    memory = np.full(plan.arena_bytes, 0xFF, np.uint8)  # numbers that are none
    out = model.outputs.empty(len(x[0]), plan.dtype)
    task = Forward(x, out, len(x))

    def work(number):
        try:
            bench = Bench(plan, model._tables[0], number, Seat(Member(number, len(order)), memory, baton))
            mine = task if number == 0 else task.assisting()
            bench.carry_out(mine, Share(0, len(x[0]), plan.micro_batch), CALL, Meeting(1))
        except BaseException as error:
            failures.append(error)
        finally:
            baton.leave(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in order]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    return out


def check(network, seed=0, members=3, count=1, dtype="float64", **options):
    """Compare a team with one worker, whatever the order of its members within a phase."""
    options |= {"batch": count, "training": False, "dtype": dtype, "loss": None}
    single = random_model(*network, np.random.default_rng(seed), workers=1, **options)
    team = random_model(*network, np.random.default_rng(seed), workers=members, processes=True, **options)
    assert team.plan.team
    x = tuple(a.astype(dtype) for a in draw_inputs(single, np.random.default_rng(seed), count))
    expected = as_tuple(single.predict(alone(x)))
    found = by_turns(team, x, tuple(range(members)))
    for mine, theirs in zip(found, expected, strict=True):
        assert distance(mine, theirs) < {"float32": 2e-5, "float64": 1e-11}[dtype]
    for mine, again in zip(by_turns(team, x, tuple(reversed(range(members)))), found, strict=True):
        np.testing.assert_array_equal(mine, again)  # no member needs what another does in the same phase


@every_case
def test_a_team_computes_what_one_worker_does(case):
    check(build(case))


@pytest.mark.parametrize("seed", range(40))
def test_a_team_computes_random_networks(seed):
    check(random_network(seed), seed, members=3 + seed % 3, count=1 + seed % 2)
    check(check_text(random_spec(seed)), seed, members=3 + seed % 3, count=1 + seed % 2)


WAYS = ["im2col", "shifts", "winograd-2x2", "winograd-4x4"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", [(3, 21, 18), (9, 5, 6), (20, 9, 9)], ids=str)
@pytest.mark.parametrize("channels", [4, 33])
def test_a_team_computes_by_every_algorithm(way, shape, channels):
    layers = (Conv(channels=channels, kernel=3, padding=1), Relu())
    for dtype in ("float32", "float64"):
        check(sequential(shape, *layers), choices=Choices({"conv1": way}), dtype=dtype)


def test_members_read_what_others_laid_with_a_margin():
    layers = (
        Conv(channels=8, kernel=1),
        Relu(),
        Conv(channels=3, kernel=5, padding=2, stride=2),
        BatchNorm(),
    )
    check(sequential((5, 13, 11), *layers))


def test_members_take_strides_in_blocks_and_by_rows():
    check(sequential((40, 7, 7), Conv(channels=64, kernel=3, stride=2, padding=1), BatchNorm()))
    check(sequential((5, 60, 50), Conv(channels=9, kernel=7, stride=2, padding=3), BatchNorm()))
    check(sequential((6, 40, 40), Depthwise(kernel=3, padding=1), Conv(channels=4, kernel=1)))
    check(sequential((6, 12, 40), Depthwise(kernel=3, dilation=9, padding=9, multiplier=2)))


# --- processes ------------------------------------------------------------------------------------------

SHAPE, CLASSES = (3, 16, 16), 5
LAYERS = (Conv(channels=8, kernel=3, padding=1), Relu(), MaxPool(kernel=2), Dense(units=CLASSES), Softmax())


def team_of(layers=LAYERS, **options):
    chosen = {"batch": 1, "workers": 3, "training": False, "loss": CrossEntropy(), "processes": True}
    return random_model(*sequential(SHAPE, *layers), np.random.default_rng(0), **chosen | options)


def images(count):
    return np.random.default_rng(1).standard_normal((count, *SHAPE)).astype(np.float32)


def test_processes_predict_and_judge_as_one_worker_does():
    labels = np.arange(7) % CLASSES
    with team_of() as team, team_of(workers=1) as single:
        assert team.plan.team
        assert not single.plan.team
        for count in (1, 7, 2):  # pieces of one image each
            np.testing.assert_allclose(
                team.predict(images(count)), single.predict(images(count)), rtol=1e-5, atol=1e-5
            )
        found, expected = team.evaluate(images(7), labels), single.evaluate(images(7), labels)
        assert found.loss == pytest.approx(expected.loss, rel=1e-5)
        assert found.correct == expected.correct
        team.weights["dense1.bias"] = single.weights["dense1.bias"] = np.arange(CLASSES)
        np.testing.assert_allclose(team.predict(images(1)), single.predict(images(1)), rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(team.predict(images(3)), team.predict(images(3)))


def test_training_and_larger_batches_have_no_team():
    network = sequential(SHAPE, *LAYERS)
    options = {"workers": 3, "processes": True}
    assert make_plan(*network, batch=1, training=False, **options).team
    assert make_plan(*network, batch=2, training=False, **options).team
    assert not make_plan(*network, batch=3, training=False, **options).team
    assert not make_plan(*network, batch=1, training=True, **options).team
    assert not make_plan(*network, batch=1, training=False, workers=3, processes=False).team


def test_a_team_is_chosen_for_one_image_of_a_network_with_enough_to_do(monkeypatch):
    monkeypatch.setattr("cnnspec.numpy_backend.plan.cores", lambda: 4)
    chosen = {}
    for channels in (8, 64, 160):  # 9 x channels^2 x 32 x 32 multiply-accumulates: 0.6, 38 and 236 million
        layer = Conv(channels=channels, kernel=3, padding=1)
        network = sequential((channels, 32, 32), layer)
        plan = make_plan(*network, batch=1, training=False)
        chosen[channels] = (plan.team, plan.workers)
        assert not make_plan(*network, batch=4, training=False).team
    assert chosen == {8: (False, 1), 64: (False, 1), 160: (True, 4)}


def test_a_member_that_is_killed_is_missed_and_replaced():
    before = children()
    with team_of() as model:
        expected = model.predict(images(2))
        os.kill(max(children() - before), signal.SIGKILL)
        with pytest.raises(WorkerLost, match="a worker process was ended"):
            model.predict(images(2))
        np.testing.assert_array_equal(model.predict(images(2)), expected)
        assert len(children() - before) == 2


def test_a_member_that_is_killed_in_the_middle_is_missed():
    before = children()
    x = np.zeros((100, *SHAPE), np.float32)
    with team_of() as model:
        model.predict(x[:1])
        victim = max(children() - before)
        with pytest.raises(WorkerLost, match="a worker process was ended"):
            predict_and_send(signal.SIGKILL, victim, model, x)


def predict_and_send(number, process, model, x):
    """Predict, while after a moment a process is sent a signal."""
    threading.Timer(0.05, os.kill, (process, number)).start()
    predict_for(20, model, x)


class _FailingPool(MaxPoolKernel):
    """Fails in the processes of others."""

    def together(self, at, member):
        def run():
            if member.number:
                raise ArithmeticError("a member fails")

        return [run]


def test_an_error_of_a_member_is_raised_here():
    with team_of() as model:
        kernels = tuple(
            _FailingPool(k.layer, k.inputs, k.output, k.weights) if isinstance(k, MaxPoolKernel) else k
            for k in model.plan.kernels
        )
        with Model(replace(model.plan, kernels=kernels)) as failing:
            for count in (1, 2):
                with pytest.raises(ArithmeticError, match="a member fails"):
                    failing.predict(images(count))


def test_members_do_not_outlive_the_caller():
    script = """
import os, threading, numpy as np
from tests.numpy_backend.test_teams import children, lives, predict_for, team_of
model = team_of()
x = np.zeros((100, 3, 16, 16), np.float32)
model.predict(x[:1])
print(*children(), flush=True)
threading.Timer(0.2, os.kill, (os.getpid(), 9)).start()
predict_for(20, model, x)
"""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False
    )
    members = [int(word) for word in done.stdout.split()]
    assert len(members) == 2
    deadline = time.monotonic() + 20
    while any(map(lives, members)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [member for member in members if lives(member)]


def test_ctrl_c_reaches_the_caller_and_the_next_call_works():
    gc.collect()  # an interrupt that comes in a finalizer is lost
    x = np.zeros((100, *SHAPE), np.float32)
    with team_of() as model:
        expected = model.predict(images(1))
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            predict_and_send(signal.SIGINT, os.getpid(), model, x)
        assert time.monotonic() - start < 10
        np.testing.assert_array_equal(model.predict(images(1)), expected)


def test_a_gate_lets_nobody_through_before_all_have_come():
    gate, seen = Gate(3), []
    waits = [gate.waiting(Member(number, 3), lambda: None) for number in range(3)]

    def work(number):
        for phase in range(5):
            time.sleep(0.002 * number)
            seen.append(phase)
            waits[number]()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == sorted(seen)


@pytest.mark.parametrize(("length", "among"), [(7, 2), (1, 3), (0, 2), (64, 4), (10, 3)])
def test_shares_are_even_and_leave_nothing_out(length, among):
    shares = [Member(number, among).share(length) for number in range(among)]
    assert [i for share in shares for i in range(length)[share]] == list(range(length))
    sizes = [share.stop - share.start for share in shares]
    assert max(sizes) - min(sizes) <= 1
