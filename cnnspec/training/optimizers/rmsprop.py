"""RMSprop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnnspec.training.optimizers.update import Array, Part, Update

if TYPE_CHECKING:
    from cnnspec.recipe.learning import Rmsprop


class RmspropUpdate(Update):
    """RMSprop as PyTorch's `RMSprop` (Tieleman & Hinton 2012; centered: Graves 2013, arXiv:1308.0850).

    With `g` the gradient and `weight_decay * w`: `v = alpha * v + (1 - alpha) * g^2`, and
    `w = w - lr * g / (sqrt(v) + eps)`. Centered, the square of `g`'s running mean is taken off `v`; with
    momentum the quotients are summed up in `b = momentum * b + g / (...)`, and `w = w - lr * b`.
    """

    def __init__(self, settings: Rmsprop, parts: Sequence[Part]) -> None:
        self._alpha, self._eps = settings.alpha, settings.eps
        self._momentum, self._centered = settings.momentum, settings.centered
        self._decay = settings.weight_decay
        slots = ["square"]
        slots += ["mean"] if settings.centered else []
        slots += ["momentum"] if settings.momentum else []
        super().__init__(parts, settings.lr, slots, spares=1 + bool(settings.weight_decay))

    def _change(self, *arrays: Array) -> None:
        weight, gradient, square, *others = arrays
        spare = others.pop()
        if self._decay:
            decayed = others.pop()
            np.multiply(weight, self._decay, out=decayed)
            gradient = np.add(decayed, gradient, out=decayed)
        self._average(square, gradient, gradient, spare)
        if self._centered:
            mean = others.pop(0)
            np.subtract(gradient, mean, out=spare)
            np.multiply(spare, 1 - self._alpha, out=spare)
            np.add(mean, spare, out=mean)
            np.multiply(mean, mean, out=spare)
            np.subtract(square, spare, out=spare)
            np.sqrt(spare, out=spare)
        else:
            np.sqrt(square, out=spare)
        np.add(spare, self._eps, out=spare)
        np.divide(gradient, spare, out=spare)
        if self._momentum:
            velocity = others.pop(0)
            np.multiply(velocity, self._momentum, out=velocity)
            np.add(velocity, spare, out=velocity)
            np.multiply(velocity, self.lr, out=spare)
        else:
            np.multiply(spare, self.lr, out=spare)
        np.subtract(weight, spare, out=weight)

    def _average(self, running: Array, a: Array, b: Array, spare: Array) -> None:
        """Mix the product of two arrays into a running mean."""
        np.multiply(a, b, out=spare)
        np.multiply(spare, 1 - self._alpha, out=spare)
        np.multiply(running, self._alpha, out=running)
        np.add(running, spare, out=running)
