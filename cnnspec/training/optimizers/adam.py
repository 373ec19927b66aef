"""Adam, and Adam with decoupled weight decay."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnnspec.training.optimizers.update import Array, Part, Update

if TYPE_CHECKING:
    from cnnspec.recipe.learning import Adam, Adamw

# With g the gradient, step t counted from 1, c1 = 1 - beta1^t and c2 = 1 - beta2^t (Kingma & Ba 2014):
#   m = beta1 m + (1 - beta1) g,   v = beta2 v + (1 - beta2) g^2,
#   w = w - lr (m / c1) / (sqrt(v / c2) + eps).
# Multiplied out, so that fewer passes go over the arrays:
#   (m / c1) / (sqrt(v / c2) + eps) = m * (sqrt(c2) / c1) / (sqrt(v) + eps sqrt(c2)).


class AdamUpdate(Update):
    """Adam as PyTorch's `Adam`, and with `decoupled` weight decay as its `AdamW`."""

    def __init__(self, settings: Adam | Adamw, parts: Sequence[Part], *, decoupled: bool) -> None:
        self._beta1, self._beta2, self._eps = settings.beta1, settings.beta2, settings.eps
        self._decay, self._decoupled = settings.weight_decay, decoupled
        self._rate = self._eps_now = 0.0
        adds = bool(settings.weight_decay) and not decoupled
        super().__init__(parts, settings.lr, ("mean", "square"), spares=1 + adds)

    def _begin(self) -> None:
        root = math.sqrt(1 - self._beta2**self.steps)
        self._rate = self.lr * root / (1 - self._beta1**self.steps)
        self._eps_now = self._eps * root

    def _change(self, *arrays: Array) -> None:
        weight, gradient, mean, square, *spares = arrays
        spare = spares[-1]
        if self._decay and self._decoupled:
            np.multiply(weight, 1 - self.lr * self._decay, out=weight)
        elif self._decay:
            np.multiply(weight, self._decay, out=spares[0])
            gradient = np.add(spares[0], gradient, out=spares[0])
        np.subtract(gradient, mean, out=spare)
        np.multiply(spare, 1 - self._beta1, out=spare)
        np.add(mean, spare, out=mean)
        np.multiply(gradient, gradient, out=spare)
        np.multiply(spare, 1 - self._beta2, out=spare)
        np.multiply(square, self._beta2, out=square)
        np.add(square, spare, out=square)
        np.sqrt(square, out=spare)
        np.add(spare, self._eps_now, out=spare)
        np.divide(mean, spare, out=spare)
        np.multiply(spare, self._rate, out=spare)
        np.subtract(weight, spare, out=weight)
