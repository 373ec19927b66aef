"""Buffers that are alive at once do not overlap, and a step allocates nothing of size."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnspec.network.check import check_file
from cnnspec.numpy_backend import make_plan
from cnnspec.numpy_backend.choices import Choices
from cnnspec.numpy_backend.memory import ALIGNMENT, Lifetime, most_alive, place
from cnnspec.recipe.learning import CrossEntropy
from tests.support.lenet import lenet
from tests.support.models import random_model
from tests.support.random_networks import random_network

SPECS = Path(__file__).parent.parent.parent / "specs"
lifetimes = st.builds(
    lambda size, first, length: Lifetime(size, first, first + length),
    st.integers(0, 1000),
    st.integers(0, 30),
    st.integers(0, 10),
)


def assert_apart(buffers, offsets, end):
    for i, (a, start) in enumerate(zip(buffers, offsets, strict=True)):
        assert start % ALIGNMENT == 0
        assert start + a.size <= end
        for b, other in zip(buffers[:i], offsets[:i], strict=True):
            apart = start + a.size <= other or other + b.size <= start
            assert apart or not a.meets(b)


@given(st.lists(lifetimes, max_size=40))
def test_no_two_live_buffers_overlap(buffers):
    offsets, end = place(buffers)
    assert_apart(buffers, offsets, end)


@given(st.lists(lifetimes, max_size=20))
def test_without_reuse_no_two_buffers_overlap(buffers):
    offsets, end = place(buffers, reuse=False)
    always = [Lifetime(b.size, 0, 1) for b in buffers]
    assert_apart(always, offsets, end)


@given(st.lists(lifetimes, max_size=40))
def test_no_arena_is_smaller_than_what_is_alive_at_a_time(buffers):
    steps = range(max((b.last for b in buffers), default=0) + 1)
    alive = [[b for b in buffers if b.first <= step <= b.last] for step in steps]
    most = max((sum(-(-b.size // ALIGNMENT) * ALIGNMENT for b in some) for some in alive), default=0)
    assert most_alive(buffers) == most <= place(buffers)[1]


def test_the_arena_of_a_network_with_long_shortcuts_is_hardly_larger():
    plan = make_plan(*check_file(str(SPECS / "unet.cnn")).network(), batch=16, training=False)
    most = most_alive([b.lifetime(plan.micro_batch, plan.dtype.itemsize) for b in plan.buffers.all])
    assert plan.arena_bytes < 1.1 * most  # by size alone it is 1.46 times as large


@pytest.mark.parametrize("seed", range(20))
def test_buffers_of_a_plan_lie_apart(seed):
    plan = make_plan(*random_network(seed), batch=9, loss=CrossEntropy())
    buffers = [b.lifetime(plan.micro_batch, plan.dtype.itemsize) for b in plan.buffers.all]
    assert_apart(buffers, plan.offsets, plan.arena_bytes)


def test_reuse_saves_memory():
    with_reuse = make_plan(*lenet(), batch=64, processes=False)
    without = make_plan(*lenet(), batch=64, processes=False, reuse_memory=False)
    assert with_reuse.total_bytes < 0.8 * without.total_bytes
    assert sum(without.bytes_by_node.values()) == without.total_bytes


def test_inference_needs_less_memory_than_training():
    assert (
        make_plan(*lenet(), batch=64, training=False).total_bytes < make_plan(*lenet(), batch=64).total_bytes
    )


def test_plan_of_a_network_too_large_for_any_machine_allocates_nothing():
    choices = Choices({"conv1": "tiles", "conv2": "tiles"}, 1, 10**9)
    tracemalloc.start()
    try:
        plan = make_plan(*lenet(), batch=10**9, choices=choices)
        assert tracemalloc.get_traced_memory()[1] < 10**6
    finally:
        tracemalloc.stop()
    assert plan.total_bytes > 10**12
    assert max(plan.bytes_by_node, key=lambda name: plan.bytes_by_node[name]) == "conv1"


def test_plan_counts_the_memory_that_the_model_takes():
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((256, 1, 28, 28)).astype(np.float32), rng.integers(0, 10, 256)
    tracemalloc.start()
    try:
        with random_model(*lenet(), rng, batch=256, processes=False) as model:
            model.loss_and_gradients(x, labels)
            taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert model.plan.total_bytes <= taken < 1.1 * model.plan.total_bytes


def test_a_step_allocates_nothing_of_size():
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((500, 1, 28, 28)).astype(np.float32), rng.integers(0, 10, 500)
    indices = rng.permutation(500)[:256]
    with random_model(*lenet(), rng, batch=256) as model:
        model.loss_and_gradients(x, labels, indices)
        tracemalloc.start()
        try:
            for _ in range(3):
                model.loss_and_gradients(x, labels, indices)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 200_000  # the activations of these images take 6 MB
