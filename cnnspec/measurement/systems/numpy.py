"""cnnspec's own NumPy backend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np
from numpy.typing import NDArray

from cnnspec.measurement.systems.base import SYSTEMS, System, Way
from cnnspec.measurement.task import Task
from cnnspec.measurement.turns import Step
from cnnspec.numpy_backend import Model, compile_graph
from cnnspec.numpy_backend.blas import cores
from cnnspec.training.model import TrainableModel, build_model


def workers(task: Task) -> int | None:
    """As many as the task has threads; the plan's own choice where these are all."""
    return None if task.threads == cores() else task.threads


def trainable(task: Task) -> TrainableModel:
    """The model that learns."""
    return build_model(
        task.graph, task.facts, task.recipe, batch=task.batch, weights=task.weights, workers=workers(task)
    )


def predicting(task: Task) -> Model:
    """The model that predicts."""
    model = compile_graph(task.graph, task.facts, batch=task.batch, training=False, workers=workers(task))
    for name, array in task.weights.items():
        model.weights[name] = array
    return model


def _train(task: Task) -> Step:
    model, random = trainable(task), np.random.default_rng(task.seed)
    several = len(task.inputs) > 1
    x = cast("NDArray[np.float32]", task.inputs) if several else task.inputs[0]  # as `Model` takes them

    def step() -> float:
        rows = random.integers(0, task.images, task.batch)
        return model.train_batch(x, task.labels, rows).loss

    step()
    return step


def _predict(task: Task) -> Step:
    model, rows = predicting(task), task.rows()

    def step() -> object:
        batch = next(rows)
        return model.forward(
            tuple(array[batch] for array in task.inputs) if several else task.inputs[0][batch]
        )

    several = len(task.inputs) > 1
    step()
    return step


def _ways(task: Task) -> Iterator[Way]:
    yield Way("", _train if task.training else _predict)


SYSTEMS["cnnspec"] = System("cnnspec", ("numpy",), "", True, _ways, lambda threads: None)
