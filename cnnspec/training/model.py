"""A model that learns: the compiled network together with the update of its weights."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from cnnspec.numpy_backend.choices import NO_CHOICES, Choices
from cnnspec.numpy_backend.model import BatchResult, Model
from cnnspec.numpy_backend.plan import make_plan
from cnnspec.training.initializers import initial_weights
from cnnspec.training.optimizers import Arrays, clip_gradients, make_update, part_of
from cnnspec.training.schedules import Schedule

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from numpy.typing import ArrayLike, NDArray

    from cnnspec.network.graph import Facts, Graph
    from cnnspec.numpy_backend.kernels.base import Array
    from cnnspec.numpy_backend.ports import Arrays as Outputs
    from cnnspec.numpy_backend.ports import Given, Ports
    from cnnspec.recipe import Recipe
    from cnnspec.recipe.learning import Loss


class Planned(Protocol):
    """What is known of a model before it computes anything."""

    @property
    def graph(self) -> Graph: ...  # noqa: D102 - see above
    @property
    def facts(self) -> Facts: ...  # noqa: D102 - see above
    @property
    def batch(self) -> int: ...  # noqa: D102 - see above
    @property
    def training(self) -> bool: ...  # noqa: D102 - see above
    @property
    def dtype(self) -> np.dtype[np.float32]: ...  # noqa: D102 - see above
    @property
    def logits(self) -> int: ...  # noqa: D102 - see above
    @property
    def fewest_images(self) -> tuple[int, str]: ...  # noqa: D102 - see above


class Computes(Protocol):
    """An executable network, as every backend makes one; `Model` says what each function does.

    Attributes:
        step: the training steps that were computed so far, from which dropout follows.
    """

    step: int

    @property
    def plan(self) -> Planned: ...  # noqa: D102 - see above
    @property
    def inputs(self) -> Ports: ...  # noqa: D102 - see above
    @property
    def weights(self) -> MutableMapping[str, NDArray[np.float32]]: ...  # noqa: D102 - see above
    @property
    def gradients(self) -> Arrays: ...  # noqa: D102 - see above
    def forward(self, x: Given, training: bool = False) -> Array | Outputs: ...  # noqa: D102 - see above
    def backward(self, dy: Given) -> Array | Outputs: ...  # noqa: D102 - see above
    def predict(self, x: Given) -> Array | Outputs: ...  # noqa: D102 - see above
    def loss_and_gradients(  # noqa: D102 - see above
        self, x: Given, labels: NDArray[np.number], indices: NDArray[np.integer] | None = None
    ) -> BatchResult: ...
    def evaluate(self, x: Given, labels: NDArray[np.number]) -> BatchResult: ...  # noqa: D102 - see above
    def close(self) -> None: ...  # noqa: D102 - see above


class Updates(Protocol):
    """What changes the weights by their gradients; `Update` says what each function does."""

    @property
    def lr(self) -> float: ...  # noqa: D102 - see above
    @property
    def steps(self) -> int: ...  # noqa: D102 - see above
    def set_rate(self, lr: float) -> None: ...  # noqa: D102 - see above
    def step(self) -> None: ...  # noqa: D102 - see above
    def state(self) -> dict[str, NDArray[np.generic]]: ...  # noqa: D102 - see above
    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None: ...  # noqa: D102 - see above


class TrainableModel:
    """A compiled network with an optimizer. Arrays are `N x C x H x W`, float32; labels are class numbers.

    Attributes:
        update: what changes the weights; its state is part of a checkpoint.
        schedule: the learning rate of every step; the optimizer's, unless one is given to be followed.
    """

    def __init__(self, model: Computes, recipe: Recipe, update: Updates | None = None) -> None:
        """An update that is given holds the gradients within the recipe's bounds itself."""
        self.model = model
        self._clip = None if update else recipe.clip
        self._parts = [part_of(model.block)] if isinstance(model, Model) else []
        self.update: Updates = update or make_update(recipe.optimizer, self._parts)
        self.schedule = Schedule(recipe.optimizer.lr, batches=1, epochs=1)

    def follow(self, schedule: Schedule) -> None:
        """Let the learning rates from the next step on be those of a schedule."""
        self.schedule = schedule

    @property
    def learning_rate(self) -> float:
        """That of the last update."""
        return self.update.lr

    def state(self) -> dict[str, NDArray[np.generic]]:
        """All that the steps to come depend on beside weights, data and their order: live arrays by name."""
        parts = {"optimizer": self.update.state(), "schedule": self.schedule.state()}
        state = {f"{part}/{name}": array for part, own in parts.items() for name, array in own.items()}
        return {**state, "model/step": np.array([self.model.step])}

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over a state, so that training goes on bit for bit.

        Raises:
            ValueError: it is not that of such a model.
        """
        for part in (self.update, self.schedule):
            prefix = "optimizer/" if part is self.update else "schedule/"
            part.load_state({n.removeprefix(prefix): a for n, a in state.items() if n.startswith(prefix)})
        if "model/step" not in state:
            raise ValueError("this is no state of a model: `model/step` is missing")
        self.model.step = int(state["model/step"].item())

    @property
    def weights(self) -> MutableMapping[str, NDArray[np.float32]]:
        """The weights by name, `conv1.weight`; assignment copies."""
        return self.model.weights

    @property
    def gradients(self) -> Arrays:
        """The gradients of the last batch, by the names of the weights."""
        return self.model.gradients

    @property
    def plan(self) -> Planned:
        """The choices that the network was compiled with."""
        return self.model.plan

    def forward(self, x: Given, training: bool = False) -> Array | Outputs:
        """The output for up to as many inputs as the model was compiled for; see `Model.forward`."""
        return self.model.forward(x, training)

    def backward(self, dy: Given) -> Array | Outputs:
        """The input's gradient from the output's, after `forward(x, training=True)`; fills `gradients`."""
        return self.model.backward(dy)

    def predict(self, x: Given) -> Array | Outputs:
        """The output for any number of inputs."""
        return self.model.predict(x)

    def train_step(self, x: Given, labels: NDArray[np.number]) -> float:
        """Forward, backward and one update; the mean loss of the batch before the update."""
        return self._learn(self.model.loss_and_gradients(x, labels)).loss

    def train_batch(
        self, x: NDArray[np.float32], labels: NDArray[np.number], indices: NDArray[np.int64] | None = None
    ) -> BatchResult:
        """As `train_step`, on the samples of these indices if some are given; all figures of the batch."""
        return self._learn(self.model.loss_and_gradients(x, labels, indices))

    def _learn(self, result: BatchResult) -> BatchResult:
        """Update, but not by gradients that are no numbers."""
        if math.isfinite(result.loss):
            if self._clip is not None:
                clip_gradients(self._clip, self._parts)
            self.update.set_rate(self.schedule.rate(self.update.steps))
            self.update.step()
        return result

    def evaluate(self, x: Given, labels: NDArray[np.number]) -> BatchResult:
        """Loss and correct answers over any number of samples; changes nothing."""
        return self.model.evaluate(x, labels)

    def close(self) -> None:
        """End the worker threads."""
        self.model.close()


def build_model(
    graph: Graph,
    facts: Facts,
    recipe: Recipe,
    *,
    batch: int | None = None,
    weights: Mapping[str, ArrayLike] | None = None,
    workers: int | None = None,
    micro_batch: int | None = None,
    blas_threads: int | None = None,
    choices: Choices = NO_CHOICES,
) -> TrainableModel:
    """Compile a network for training by a recipe, with the initial weights of the recipe's seed.

    Unless there is one output there is no loss: the model runs, but `train_step` is refused.

    Args:
        graph: a checked network.
        facts: its facts.
        recipe: how it learns.
        batch: the largest batch, where it is not the recipe's.
        weights: values to begin with instead.
        workers: threads that share a batch, where the plan is not to choose them.
        micro_batch: images that a worker takes at a time, likewise.
        blas_threads: threads within one matrix product, likewise.
        choices: what else is settled about the plan.
    """
    loss = usable_loss(graph, facts, recipe)
    plan = make_plan(
        graph,
        facts,
        batch=batch or recipe.batch,
        training=True,
        loss=loss,
        workers=workers,
        micro_batch=micro_batch,
        choices=choices,
    )
    model = Model(plan if blas_threads is None else replace(plan, blas_threads=blas_threads))
    model.seed(recipe.seed)
    for name, values in initial_weights(graph, facts, recipe) if weights is None else weights.items():
        model.weights[name] = values
    return TrainableModel(model, recipe)


def usable_loss(graph: Graph, facts: Facts, recipe: Recipe) -> Loss | None:
    """The loss of a recipe where the network has one output; nothing elsewhere."""
    return recipe.loss if len(graph.outputs) == 1 else None
