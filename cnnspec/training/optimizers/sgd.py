"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnnspec.training.optimizers.update import Array, Part, Update

if TYPE_CHECKING:
    from cnnspec.recipe.learning import Sgd


class SgdUpdate(Update):
    """Stochastic gradient descent as PyTorch's `SGD`, without dampening.

    With `g` the gradient and `weight_decay * w`: `v = momentum * v + g`, then `w = w - lr * v`, or with
    Nesterov's `w = w - lr * (g + momentum * v)`. Without momentum `v` is `g`, and nothing is kept.
    """

    def __init__(self, settings: Sgd, parts: Sequence[Part]) -> None:
        self._momentum, self._decay = settings.momentum, settings.weight_decay
        self._nesterov = settings.nesterov
        slots = ("momentum",) if settings.momentum else ()
        super().__init__(parts, settings.lr, slots, spares=1 + bool(settings.weight_decay))

    def _change(self, *arrays: Array) -> None:
        weight, gradient, *others = arrays
        spare = others[-1]
        if self._decay:
            decayed = others[-2]
            np.multiply(weight, self._decay, out=decayed)
            np.add(decayed, gradient, out=decayed)
            gradient = decayed
        step = gradient
        if self._momentum:
            velocity = step = others[0]
            np.multiply(velocity, self._momentum, out=velocity)
            np.add(velocity, gradient, out=velocity)
            if self._nesterov:
                np.multiply(velocity, self._momentum, out=spare)
                np.add(spare, gradient, out=spare)
                step = spare
        np.multiply(step, self.lr, out=spare)
        np.subtract(weight, spare, out=weight)
