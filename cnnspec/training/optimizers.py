"""Updates of the weights by their gradients, in place: nothing is allocated in a step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import singledispatch
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cnnspec.recipe.learning import Sgd

if TYPE_CHECKING:
    from cnnspec.network.graph import Facts
    from cnnspec.recipe.learning import Optimizer

Arrays = Mapping[str, NDArray[np.float32]]


class Update(ABC):
    """What changes the weights after each batch."""

    @abstractmethod
    def step(self) -> None:
        """Change every weight once, by its present gradient."""

    @abstractmethod
    def state(self) -> dict[str, NDArray[np.float32]]:
        """What is kept from step to step, by name; the arrays themselves."""

    @abstractmethod
    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over what another update kept."""


class SgdUpdate(Update):
    """Stochastic gradient descent, with PyTorch's momentum: `v = momentum * v + g`, then `w = w - lr * v`.

    Without momentum `v` is the gradient itself, and no velocity is kept.
    """

    def __init__(self, declaration: Sgd, weights: Arrays, gradients: Arrays) -> None:
        """Hold on to the arrays themselves: they must stay the same ones for as long as this is used."""
        self._lr = np.float32(declaration.lr)
        self._momentum = np.float32(declaration.momentum)
        scratch = np.empty(max((g.size for g in gradients.values()), default=0), np.float32)
        self._parts = [
            (
                weights[name],
                gradient,
                np.zeros_like(gradient) if declaration.momentum else gradient,
                scratch[: gradient.size].reshape(gradient.shape),
            )
            for name, gradient in gradients.items()
        ]
        pairs = zip(gradients, self._parts, strict=True)
        self._velocities = {name: part[2] for name, part in pairs} if declaration.momentum else {}

    def state(self) -> dict[str, NDArray[np.float32]]:
        """The velocity of each weight, with momentum."""
        return dict(self._velocities)

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over the velocities of another update."""
        for name, velocity in self._velocities.items():
            velocity[...] = state[name]

    def step(self) -> None:
        """Change every weight once."""
        for weight, gradient, velocity, scratch in self._parts:
            if velocity is not gradient:
                np.multiply(velocity, self._momentum, out=velocity)
                np.add(velocity, gradient, out=velocity)
            np.multiply(velocity, self._lr, out=scratch)
            np.subtract(weight, scratch, out=weight)


@singledispatch
def state_bytes(optimizer: Optimizer, facts: Facts) -> int:
    """The memory that an update keeps, in bytes; each kind registers its own."""
    raise NotImplementedError(optimizer.keyword)


@state_bytes.register(Sgd)
def _sgd_bytes(optimizer: Sgd, facts: Facts) -> int:
    """With momentum a velocity for each parameter, and room for the largest weight's step."""
    sizes = [weight.size for layer in facts.layers for weight in layer.weights if weight.trainable]
    return 4 * ((sum(sizes) if optimizer.momentum else 0) + max(sizes, default=0))


@singledispatch
def make_update(optimizer: Optimizer, weights: Arrays, gradients: Arrays) -> Update:
    """The update that an optimizer of a recipe stands for; each kind registers its own."""
    raise NotImplementedError(optimizer.keyword)


@make_update.register(Sgd)
def _make_sgd(optimizer: Sgd, weights: Arrays, gradients: Arrays) -> Update:
    return SgdUpdate(optimizer, weights, gradients)
