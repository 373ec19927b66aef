"""What computes a network, as training sees it: a narrow protocol, and the NumPy backend that fulfils it.

A backend makes a `TrainableModel` of a checked network. Everything else is the same with all of them: the
order of the data, the first weights, schedules, figures, logs, and the names and shapes in checkpoints, so
that a run goes on with one where it was left with another.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from cnnspec.numpy_backend.choices import NO_CHOICES, Choices
from cnnspec.numpy_backend.plan import Plan
from cnnspec.numpy_backend.selection import UnknownAlgorithm
from cnnspec.training.crew import Alone, Crew
from cnnspec.training.model import TrainableModel, build_model
from cnnspec.training.record import plan_facts

if TYPE_CHECKING:
    from cnnspec.network.graph import Facts, Graph
    from cnnspec.recipe import Recipe
    from cnnspec.training.checkpoint import PlanFacts
    from cnnspec.training.feed import Stage

BACKENDS: Final = ("numpy", "torch")


class Backend(Protocol):
    """Makes models, and says what decides their bits.

    Attributes:
        name: as `--backend` has it, and checkpoints.
        crew: the processes that share every batch.
        stage: where the device that computes takes samples from, if that is not any memory.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - see above
    @property
    def crew(self) -> Crew: ...  # noqa: D102 - see above
    @property
    def stage(self) -> Stage | None: ...  # noqa: D102 - see above

    def build(
        self, graph: Graph, facts: Facts, recipe: Recipe, batch: int, earlier: PlanFacts | None = None
    ) -> TrainableModel:
        """The model of a network for batches of up to so many samples, with its initial weights.

        Args:
            graph: a checked network.
            facts: its facts.
            recipe: how it learns.
            batch: the largest batch.
            earlier: how this backend computed the run so far, which it keeps to where it can.

        Raises:
            TrainingError: it cannot compute this network here.
        """

    def facts(self, model: TrainableModel) -> PlanFacts:
        """What decides the bits of a run with a model that this backend has built."""


class NumpyBackend:
    """NumPy, on the processor."""

    name = "numpy"
    stage = None

    def __init__(self, choices: Choices = NO_CHOICES) -> None:
        """`choices` settle the plan of runs that begin, as tuning has found them."""
        self.crew: Crew = Alone()
        self._choices = choices

    def build(
        self, graph: Graph, facts: Facts, recipe: Recipe, batch: int, earlier: PlanFacts | None = None
    ) -> TrainableModel:
        """By the algorithms of an earlier plan, as far as there still are such, and shared as that was."""
        if earlier is None:
            return build_model(graph, facts, recipe, batch=batch, choices=self._choices)
        again = partial(
            build_model,
            graph,
            facts,
            recipe,
            batch=batch,
            workers=earlier.workers,
            micro_batch=earlier.micro_batch,
            blas_threads=earlier.blas_threads,
        )
        try:
            return again(choices=Choices(earlier.chosen))
        except UnknownAlgorithm:
            return again()

    def facts(self, model: TrainableModel) -> PlanFacts:
        """Workers, pieces, and the versions at work."""
        assert isinstance(model.plan, Plan)
        return plan_facts(model.plan)


@dataclass(frozen=True, slots=True)
class Choice:
    """What a user says of what is to compute a run, and where; `None` where nothing is said.

    Attributes:
        backend: one of `BACKENDS`.
        device: of PyTorch: `cpu`, `cuda`, or `cuda:1`.
        precision: of PyTorch: `float32`, `bfloat16` or `float16`.
    """

    backend: str | None = None
    device: str | None = None
    precision: str | None = None

    def after(self, recorded: PlanFacts | None) -> Choice:
        """With what is left open as a run was computed so far; NumPy where there is none."""
        backend = self.backend or (recorded.backend if recorded else BACKENDS[0])
        if recorded is None or recorded.backend != backend:
            return Choice(backend, self.device, self.precision)
        device = self.device or recorded.device.partition(":")[0]
        same = bool(device) and recorded.device.startswith(device)
        return Choice(backend, device or None, self.precision or (recorded.precision if same else None))
