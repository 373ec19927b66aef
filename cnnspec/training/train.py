"""A whole training run in one call: compile, initialise, train."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cnnspec.recipe import chosen_metric, higher_is_better
from cnnspec.training.backend import Backend, NumpyBackend
from cnnspec.training.datasets.fit import check_fits
from cnnspec.training.errors import TrainingError
from cnnspec.training.feed import batches_in
from cnnspec.training.health import first_not_finite
from cnnspec.training.loop import Course, Epoch, OnStep, Position, epochs, ignore_step
from cnnspec.training.metrics import measures_of
from cnnspec.training.model import TrainableModel
from cnnspec.training.schedules import make_schedule

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.network.graph import Facts, Graph
    from cnnspec.recipe import Recipe
    from cnnspec.training.datasets import DataSet

OnEpoch = Callable[[Epoch, TrainableModel], object]
"""Called with the figures of an epoch and the model; what it gives back, if it is true, ends the training."""


def ignore_epoch(epoch: Epoch, model: TrainableModel) -> None:
    """Report nothing."""


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """A trained model and the figures of its epochs; `seconds` is the time of all, tests included."""

    model: TrainableModel
    history: tuple[Epoch, ...]
    seconds: float


def train(
    graph: Graph,
    facts: Facts,
    recipe: Recipe,
    data: DataSet,
    *,
    on_epoch: OnEpoch = ignore_epoch,
    on_step: OnStep = ignore_step,
    backend: Backend | None = None,
) -> TrainingResult:
    """Train a checked network on a data set as a recipe says.

    Args:
        graph: a checked network.
        facts: its facts.
        recipe: how it learns.
        data: what it learns from; `load_data(recipe.data)` gives it.
        on_epoch: called with the figures of each epoch and the model, whose weights it may copy; what it
            gives back, if it is true, ends the training.
        on_step: called after each batch.
        backend: what computes it; NumPy unless given.

    Raises:
        TrainingError: the last batch of an epoch would be too small for a layer.
        DataError: network and data do not fit.
        Diverged: a loss is not finite.
    """
    start = time.perf_counter()
    check_fits(graph, facts, recipe, data)
    backend = backend or NumpyBackend()
    model = backend.build(graph, facts, recipe, usable_batch(recipe, data))
    follow_schedule(model, recipe, data)
    try:
        history = run_epochs(model, recipe, data, on_epoch=on_epoch, on_step=on_step, backend=backend)
    except BaseException:
        model.close()
        raise
    return TrainingResult(model, history, time.perf_counter() - start)


def run_epochs(
    model: TrainableModel,
    recipe: Recipe,
    data: DataSet,
    *,
    start: Position | None = None,
    history: Sequence[Epoch] = (),
    on_epoch: OnEpoch = ignore_epoch,
    on_step: OnStep = ignore_step,
    backend: Backend | None = None,
) -> tuple[Epoch, ...]:
    """Train a model that is there already; the figures of all epochs.

    Args:
        model: the model, in the state that it had at `start`.
        recipe: how it learns.
        data: what it learns from.
        start: where the run stands, if not at its beginning.
        history: the epochs before that.
        on_epoch: called with the figures of each epoch and the model.
        on_step: called after each batch.
        backend: what has built the model; NumPy unless given.

    Raises:
        TrainingError: the last batch of an epoch would be too small for a layer, or for the processes; or a
            figure that is to decide something is not measured.
        Diverged: a loss is not finite.
        WorkerLost: another process is gone.
    """
    backend = backend or NumpyBackend()
    crew = backend.crew
    _check_last_batch(model, len(data.train_y), usable_batch(recipe, data), crew.size)

    def cause(x: NDArray[np.float32]) -> str:
        found = first_not_finite(model.model, x, recipe.seed)
        return found.text if found else ""

    plan = model.plan
    measures = measures_of(plan.graph, plan.facts, recipe.loss, data.test_y)
    for metric in recipe.metrics().values():
        watched(metric, measures.metrics)
    course = Course(
        recipe.batch, recipe.epochs, recipe.seed, recipe.augment, measures, cause, crew, backend.stage
    )
    known = list(history)
    if ended_early(recipe, known):
        return tuple(known)
    with np.errstate(all="ignore"):  # a loss that is no number is reported as such
        for epoch in epochs(model, data, course, start, on_step):
            known.append(epoch)
            if on_epoch(epoch, model) or ended_early(recipe, known):
                break
    return tuple(known)


def follow_schedule(model: TrainableModel, recipe: Recipe, data: DataSet) -> None:
    """Give a model the learning rates of a recipe, for as many batches as the data make."""
    model.follow(make_schedule(recipe, batches_in(data, recipe.batch)))


def ended_early(recipe: Recipe, history: Sequence[Epoch]) -> str:
    """Why a run of these epochs ends before the last one that the recipe allows; nothing where it goes on.

    Raises:
        TrainingError: the figure that is to decide is not measured.
    """
    if recipe.stop is None or not history:
        return ""
    metric = watched(recipe.stop.metric, history[-1].figures)
    patience = recipe.stop.patience
    best = best_epoch(metric, history)
    if len(history) - best < patience:
        return ""
    epochs = "1 epoch" if patience == 1 else f"{patience} epochs"
    return f"{metric.replace('_', ' ')} was best in epoch {best}, and has not become better for {epochs}"


def best_epoch(metric: str, history: Sequence[Epoch]) -> int:
    """The number of the epoch with the best figure, the first of equal ones."""
    sign = 1 if higher_is_better(metric) else -1
    return max(history, key=lambda epoch: (sign * epoch.figures[metric], -epoch.number)).number


def watched(metric: str | None, figures: Collection[str]) -> str:
    """The figure that decides: the one asked for, or else the loss on the data that is held out.

    Raises:
        TrainingError: it is not measured.
    """
    try:
        return chosen_metric(metric, figures)
    except KeyError:
        there = ", ".join(f"`{name}`" for name in figures)
        raise TrainingError(f"`{metric}` is not measured in this run", f"there is {there}") from None


def _check_last_batch(model: TrainableModel, samples: int, batch: int, processes: int = 1) -> None:
    fewest, layer = model.plan.fewest_images
    who = f"`{layer}` needs {fewest}"
    if processes > fewest:
        fewest, who = processes, f"each of {processes} processes needs one"
    left = _last_batch(samples, batch)
    if left >= fewest:
        return
    fitting = [size for size in range(batch - 1, 0, -1) if _last_batch(samples, size) >= fewest]
    raise TrainingError(
        f"the last batch of an epoch has {left} of the {samples:,} images, and {who}",
        *(f"with `batch {size}` it has {_last_batch(samples, size)}" for size in fitting[:1]),
    )


def _last_batch(samples: int, batch: int) -> int:
    return samples % batch or batch


def usable_batch(recipe: Recipe, data: DataSet) -> int:
    """The largest batch that will come: no more than there are samples to train on."""
    return min(recipe.batch, len(data.train_y))
