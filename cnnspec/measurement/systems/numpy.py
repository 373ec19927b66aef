"""cnnspec's own NumPy backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

import numpy as np
from numpy.typing import NDArray

from cnnspec.measurement.systems.base import SYSTEMS, System, Way
from cnnspec.measurement.task import Task
from cnnspec.measurement.turns import Step
from cnnspec.numpy_backend import Model, Plan, make_plan
from cnnspec.numpy_backend.blas import cores
from cnnspec.training.model import TrainableModel

Change = Callable[[Plan], Plan]


def unchanged(plan: Plan) -> Plan:
    """The plan itself."""
    return plan


def plan_for(task: Task) -> Plan:
    """The plan of a task; it chooses the workers where the task has all processors."""
    return make_plan(
        task.graph,
        task.facts,
        batch=task.batch,
        training=task.training,
        loss=task.recipe.loss if task.training else None,
        workers=None if task.threads == cores() else task.threads,
        choices=task.choices,
    )


def trainable(task: Task, change: Change = unchanged) -> TrainableModel:
    """The model that learns."""
    return TrainableModel(predicting(task, change), task.recipe)


def predicting(task: Task, change: Change = unchanged) -> Model:
    """The model that runs."""
    model = Model(change(plan_for(task)))
    for name, array in task.weights.items():
        model.weights[name] = array
    return model


def step_of(task: Task, model: TrainableModel | Model) -> Step:
    """A step of training, on rows drawn from the pool, or of prediction on one batch after the other."""
    several = len(task.inputs) > 1
    x = cast("NDArray[np.float32]", task.inputs) if several else task.inputs[0]  # as `Model` takes them
    if isinstance(model, TrainableModel):
        random = np.random.default_rng(task.seed)
        return lambda: model.train_batch(x, task.labels, random.integers(0, task.images, task.batch)).loss
    rows = task.rows()

    def predict() -> object:
        batch = next(rows)
        return model.forward(tuple(array[batch] for array in task.inputs) if several else x[batch])

    return predict


def _make(task: Task) -> Step:
    step = step_of(task, trainable(task) if task.training else predicting(task))
    step()
    return step


def _ways(task: Task) -> Iterator[Way]:
    yield Way("", _make)


SYSTEMS["cnnspec"] = System("cnnspec", ("numpy",), "", True, _ways, lambda threads: None)
