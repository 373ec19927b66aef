"""Whether a run fits into memory, asked before anything is allocated.

`np.zeros` of more than the machine has succeeds, and dies when it is touched: so sizes are compared first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cnnspec.network.table import in_bytes
from cnnspec.numpy_backend.account import Account, account
from cnnspec.numpy_backend.plan import make_plan
from cnnspec.training.datasets.load import data_bytes, image_count
from cnnspec.training.errors import TrainingError
from cnnspec.training.machine import available_memory
from cnnspec.training.model import usable_loss
from cnnspec.training.optimizers import state_bytes

if TYPE_CHECKING:
    from cnnspec.network.graph import Facts, Graph
    from cnnspec.numpy_backend.plan import Plan
    from cnnspec.recipe import Recipe
    from cnnspec.training.subject import Subject


def plan_training(graph: Graph, facts: Facts, recipe: Recipe, batch: int) -> Plan:
    """The plan with which a network is trained as a recipe says.

    Raises:
        TrainingError: the backend cannot train it.
    """
    try:
        return make_plan(graph, facts, batch=batch, training=True, loss=usable_loss(graph, facts, recipe))
    except (ValueError, NotImplementedError) as error:
        raise TrainingError(f"this network cannot be trained: {error}") from error


@dataclass(frozen=True, slots=True)
class TrainingMemory:
    """The bytes of a step of training: what the plan needs, and what the optimizer keeps."""

    plan: Plan
    parts: Account
    optimizer: int

    @property
    def peak(self) -> int:
        """The most at any time, which is all of it: nothing is allocated in a step."""
        return self.plan.total_bytes + self.optimizer

    @property
    def images_at_once(self) -> int:
        """Images whose activations are kept at a time: a piece of the batch for each worker, or all."""
        return min(self.plan.arenas * self.plan.micro_batch, self.plan.batch)


def training_memory(graph: Graph, facts: Facts, recipe: Recipe, batch: int | None = None) -> TrainingMemory:
    """What training as a recipe says will need, without the data; nothing is allocated.

    Raises:
        TrainingError: the backend cannot train the network.
    """
    plan = plan_training(graph, facts, recipe, batch or recipe.batch)
    return TrainingMemory(plan, account(plan), state_bytes(recipe.optimizer, facts))


class Sized(Protocol):
    """What is asked of a plan: its bytes altogether, and those that each node is the reason for."""

    @property
    def total_bytes(self) -> int: ...  # noqa: D102 - see above
    @property
    def bytes_by_node(self) -> Mapping[str, int]: ...  # noqa: D102 - see above


class MemoryShortage(TrainingError):  # noqa: N818 - a state of the machine, not a mistake
    """The run needs more memory than there is."""


def check_room(subject: Subject) -> None:
    """Refuse a run for which this machine has too little memory left.

    Raises:
        MemoryShortage: it names the largest layer, and the largest halved batch that fits.
    """
    graph, facts, recipe = subject.graph, subject.facts, subject.recipe
    check_memory(
        lambda batch: plan_training(graph, facts, recipe, batch),
        min(recipe.batch, image_count(recipe.data)),
        data_bytes=data_bytes(recipe.data),
        state_bytes=state_bytes(recipe.optimizer, facts),
        available=available_memory(),
    )


def check_memory(
    plan_for: Callable[[int], Sized],
    batch: int,
    *,
    data_bytes: int,
    state_bytes: int,
    available: int | None,
) -> None:
    """Refuse a run that does not fit.

    Args:
        plan_for: the plan at a batch size.
        batch: the batch size of the run.
        data_bytes: what the data need.
        state_bytes: what the optimizer keeps.
        available: bytes that can be had; nothing where that is not known.

    Raises:
        MemoryShortage: it names the largest layer, and the largest halved batch that fits.
    """
    plan = plan_for(batch)
    network = plan.total_bytes + state_bytes
    if available is None or network + data_bytes <= available:
        return
    message = (
        f"a batch of {batch} needs {in_bytes(network + data_bytes)} of memory,"
        f" and {in_bytes(available)} are available"
        f" (network and optimizer {in_bytes(network)}, data {in_bytes(data_bytes)})"
    )
    if data_bytes >= available:
        help = "the data alone do not fit: use a smaller data set, or a smaller `resize`"
        raise MemoryShortage(message, help)
    raise MemoryShortage(message, *_advice(plan_for, plan, batch, available - data_bytes - state_bytes))


def _advice(plan_for: Callable[[int], Sized], plan: Sized, batch: int, room: int) -> Iterator[str]:
    layer, size = max(plan.bytes_by_node.items(), key=lambda item: item[1], default=("", 0))
    if layer:
        yield f"the layer that needs most is `{layer}`, {in_bytes(size)}"
    smaller = _fitting_batch(plan_for, batch, room)
    if smaller:
        yield f"`--batch {smaller}` fits"
    else:
        yield "not even a batch of 1 fits: the network must become smaller"


def _fitting_batch(plan_for: Callable[[int], Sized], batch: int, room: int) -> int | None:
    """The largest of half the batch, a quarter and so on whose plan fits."""
    while batch > 1:
        batch //= 2
        if plan_for(batch).total_bytes <= room:
            return batch
    return None
