"""What computes a network, as training sees it: a narrow protocol, and the NumPy backend that fulfils it.

A backend makes a `TrainableModel` of a checked network. Everything else is the same with all of them: the
order of the data, the first weights, schedules, figures, logs, and the names and shapes in checkpoints, so
that a run goes on with one where it was left with another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from cnnspec.numpy_backend.plan import Plan
from cnnspec.training.crew import Alone, Crew
from cnnspec.training.model import TrainableModel, build_model
from cnnspec.training.record import plan_facts

if TYPE_CHECKING:
    from cnnspec.training.checkpoint import PlanFacts
    from cnnspec.training.subject import Subject


class Backend(Protocol):
    """Makes models, and says what decides their bits.

    Attributes:
        name: as `--backend` has it, and checkpoints.
        crew: the processes that share every batch.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - see above
    @property
    def crew(self) -> Crew: ...  # noqa: D102 - see above

    def build(self, subject: Subject, batch: int, earlier: PlanFacts | None) -> TrainableModel:
        """The model of a subject for batches of up to so many samples, with its initial weights.

        Args:
            subject: the network and its recipe.
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

    def __init__(self) -> None:
        self.crew: Crew = Alone()

    def build(self, subject: Subject, batch: int, earlier: PlanFacts | None) -> TrainableModel:
        """Shared among workers as an earlier plan was."""
        if earlier is None:
            return build_model(subject.graph, subject.facts, subject.recipe, batch=batch)
        return build_model(
            subject.graph,
            subject.facts,
            subject.recipe,
            batch=batch,
            workers=earlier.workers,
            micro_batch=earlier.micro_batch,
            blas_threads=earlier.blas_threads,
        )

    def facts(self, model: TrainableModel) -> PlanFacts:
        """Workers, pieces, and the versions at work."""
        assert isinstance(model.plan, Plan)
        return plan_facts(model.plan)
