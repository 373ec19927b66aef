"""JAX, compiled by XLA."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from cnnspec.measurement.systems.base import SYSTEMS, System, Way
from cnnspec.measurement.task import RATE, Task
from cnnspec.measurement.turns import Step

Tree = Any
"""Arrays of JAX in tuples and dictionaries."""


def _train(task: Task) -> Step:
    import jax
    import jax.numpy as jnp

    from cnnspec.bridges.jax import to_function

    network = to_function(task.graph, task.facts, task.weights, logits=True)
    params, state = dict(network.params), dict(network.state)
    random, count = np.random.default_rng(task.seed), task.images

    def loss(params: Tree, state: Tree, key: Tree, inputs: Tree, labels: Tree) -> Tree:
        logits, state = network.apply(params, state, *inputs, training=True, key=key)
        chances = jax.nn.log_softmax(jnp.asarray(logits))
        return -jnp.take_along_axis(chances, labels[:, None], axis=1).mean(), state

    @jax.jit
    def update(params: Tree, state: Tree, key: Tree, inputs: Tree, labels: Tree) -> Tree:
        (value, state), gradients = jax.value_and_grad(loss, has_aux=True)(params, state, key, inputs, labels)
        return jax.tree.map(lambda p, g: p - RATE * g, params, gradients), state, value

    def step() -> float:
        nonlocal params, state
        rows = random.integers(0, count, task.batch)
        key = jax.random.PRNGKey(int(rows[0]))
        batch = tuple(x[rows] for x in task.inputs)
        params, state, value = update(params, state, key, batch, task.labels[rows])
        return float(value)

    for _ in range(2):
        step()
    return step


def _predict(task: Task) -> Step:
    import jax

    from cnnspec.bridges.jax import to_function

    network = to_function(task.graph, task.facts, task.weights)
    run: Tree = jax.jit(lambda *inputs: network.apply(network.params, network.state, *inputs)[0])
    rows = task.rows()

    def step() -> object:
        batch = next(rows)
        return run(*(x[batch] for x in task.inputs)).block_until_ready()

    for _ in range(2):
        step()
    return step


def _ways(task: Task) -> Iterator[Way]:
    yield Way("", _train if task.training else _predict)


def _threads(count: int) -> None:
    """XLA reads it when it starts."""
    os.environ["NPROC"] = str(count)
    os.environ.setdefault("JAX_PLATFORMS", "cpu")


SYSTEMS["jax"] = System("JAX", ("jax",), "pip install jax", True, _ways, _threads)
