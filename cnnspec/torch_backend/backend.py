"""The PyTorch backend, as training asks for one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Self

import numpy as np
import torch

from cnnspec.torch_backend.model import TorchModel, TorchPlan
from cnnspec.torch_backend.placement import choose_placement
from cnnspec.torch_backend.processes import Processes
from cnnspec.torch_backend.update import TorchTrainable, TorchUpdate
from cnnspec.training.checkpoint import PlanFacts
from cnnspec.training.crew import Alone, Crew, launched
from cnnspec.training.errors import TrainingError
from cnnspec.training.initializers import initial_weights
from cnnspec.training.machine import available_memory, cpus
from cnnspec.training.memory import check_memory
from cnnspec.training.model import TrainableModel, usable_loss
from cnnspec.training.optimizers import state_bytes

if TYPE_CHECKING:
    from types import TracebackType

    from cnnspec.network.graph import Facts, Graph
    from cnnspec.recipe import Recipe


class TorchBackend:
    """PyTorch on a device, alone or with the other processes that torchrun has started.

        with TorchBackend("cuda") as backend:
            conduct(recorder, Job(subject, backend=backend), listener)

    With a `turn`, the number of this process among those that train networks of their own, `cuda` is one GPU
    after the other.

    Raises:
        TrainingError: there is no such device here, or the other processes are not met.
    """

    name = "torch"

    def __init__(self, device: str = "cpu", precision: str | None = None, turn: int | None = None) -> None:
        place = launched()
        several = place is not None and place.size > 1
        rank = place.local_rank if place and several else None
        self.placement = choose_placement(device, precision, rank, turn)
        self.stage = self.placement.pinned if self.placement.is_gpu else None
        self.crew: Crew = Alone()
        self._processes: Processes | None = None
        if place is not None and several:
            self.crew = self._processes = Processes.join(self.placement, place)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._processes is not None:
            self._processes.leave()

    def build(
        self, graph: Graph, facts: Facts, recipe: Recipe, batch: int, earlier: PlanFacts | None = None
    ) -> TrainableModel:
        """The model of a network for batches of up to so many samples, with its initial weights."""
        plan = TorchPlan(graph, facts, batch, usable_loss(graph, facts, recipe))
        self._check_room(plan, recipe)
        try:
            model = TorchModel(plan, self.placement, self.crew, recipe.seed)
            update = TorchUpdate(model.storage, recipe, model.scaler)
        except torch.OutOfMemoryError:
            raise TrainingError(f"the weights of this network do not fit on {self.placement}") from None
        weights = model.weights
        for name, values in initial_weights(graph, facts, recipe):
            weights[name] = values
        return TorchTrainable(model, recipe, update)

    def _check_room(self, plan: TorchPlan, recipe: Recipe) -> None:
        """Refuse what the memory of this machine is too small for; a GPU says so itself, when it is asked."""
        if self.placement.is_gpu:
            return
        check_memory(
            lambda batch: replace(plan, batch=-(-batch // self.crew.size)),
            plan.batch,
            data_bytes=0,
            state_bytes=state_bytes(recipe.optimizer, plan.facts),
            available=available_memory(),
        )

    def facts(self, model: TrainableModel) -> PlanFacts:
        """Device, numbers, threads, processes, and the versions at work."""
        return PlanFacts(
            backend=self.name,
            workers=self.crew.size,
            micro_batch=-(-model.plan.batch // self.crew.size),
            blas_threads=torch.get_num_threads(),
            cpus=cpus(),
            numpy=np.__version__,
            torch=torch.__version__,
            device=str(self.placement),
            precision=self.placement.precision,
        )
