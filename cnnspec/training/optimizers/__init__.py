"""Updates of the weights by their gradients, in place: nothing is allocated in a step."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from typing import TYPE_CHECKING

from cnnspec.recipe.learning import Adam, Adamw, Rmsprop, Sgd
from cnnspec.training.optimizers.adam import AdamUpdate
from cnnspec.training.optimizers.clipping import clip_gradients
from cnnspec.training.optimizers.rmsprop import RmspropUpdate
from cnnspec.training.optimizers.sgd import SgdUpdate
from cnnspec.training.optimizers.update import (
    CHUNK,
    Arrays,
    Part,
    Update,
    load_arrays,
    part_of,
    parts_of,
)

if TYPE_CHECKING:
    from cnnspec.network.graph import Facts
    from cnnspec.recipe.learning import Optimizer

__all__ = [
    "Arrays",
    "Part",
    "Update",
    "clip_gradients",
    "load_arrays",
    "make_update",
    "part_of",
    "parts_of",
    "state_bytes",
]


def state_bytes(optimizer: Optimizer, facts: Facts) -> int:
    """The memory that an update of all learned weights keeps, in bytes."""
    size = sum(weight.size for layer in facts.layers for weight in layer.weights if weight.learned)
    kept, spares = elements_kept(optimizer)
    return 4 * (kept * size + spares * min(size, CHUNK))


@singledispatch
def elements_kept(optimizer: Optimizer) -> tuple[int, int]:
    """Numbers kept of each weight from step to step, and numbers that a step needs of each in a chunk."""
    raise NotImplementedError(optimizer.keyword)


@elements_kept.register(Sgd)
def _of_sgd(optimizer: Sgd) -> tuple[int, int]:
    return int(optimizer.momentum > 0), 1 + (optimizer.weight_decay > 0)


@elements_kept.register(Adam)
def _of_adam(optimizer: Adam) -> tuple[int, int]:
    return 2, 1 + (optimizer.weight_decay > 0)


@elements_kept.register(Adamw)
def _of_adamw(optimizer: Adamw) -> tuple[int, int]:
    return 2, 1


@elements_kept.register(Rmsprop)
def _of_rmsprop(optimizer: Rmsprop) -> tuple[int, int]:
    return 1 + optimizer.centered + (optimizer.momentum > 0), 1 + (optimizer.weight_decay > 0)


@singledispatch
def make_update(optimizer: Optimizer, parts: Sequence[Part]) -> Update:
    """The update that an optimizer of a recipe stands for; each kind registers its own."""
    raise NotImplementedError(optimizer.keyword)


@make_update.register(Sgd)
def _sgd(optimizer: Sgd, parts: Sequence[Part]) -> Update:
    return SgdUpdate(optimizer, parts)


@make_update.register(Adam)
def _adam(optimizer: Adam, parts: Sequence[Part]) -> Update:
    return AdamUpdate(optimizer, parts, decoupled=False)


@make_update.register(Adamw)
def _adamw(optimizer: Adamw, parts: Sequence[Part]) -> Update:
    return AdamUpdate(optimizer, parts, decoupled=True)


@make_update.register(Rmsprop)
def _rmsprop(optimizer: Rmsprop, parts: Sequence[Part]) -> Update:
    return RmspropUpdate(optimizer, parts)
