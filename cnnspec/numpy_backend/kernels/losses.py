"""Kernels of the losses: from the network's last values to a number and its gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cnnspec.numpy_backend.kernels.base import Array, Scratch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from cnnspec.layers import Shape


@dataclass(frozen=True, slots=True)
class Tally:
    """What a piece of a batch adds to the result: the sum of its losses, how many classes it got right."""

    loss: float = 0.0
    correct: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.loss + other.loss, self.correct + other.correct)


# With logits z, p = softmax(z) and the true class t:
#   loss = -log p_t = log(sum_k exp(z_k)) - z_t,    d loss / d z_c = p_c - [c = t].
# The largest logit is subtracted first; loss and gradient do not change, and exp cannot overflow.


class CrossEntropyKernel:
    """Cross-entropy of the true class from logits `C x N`, together with its gradient."""

    def __init__(self, shape: Shape) -> None:
        if len(shape) != 1:
            raise ValueError(f"cross_entropy needs one vector of classes a sample, not {shape}")
        self.classes = shape[0]

    def scratch(self) -> tuple[Scratch, ...]:
        """A number for each image, twice, and the logits less their largest."""
        return (
            Scratch("largest", (), "forward"),
            Scratch("total", (), "forward"),
            Scratch("shifted", (self.classes,), "forward"),
        )

    def bind(self, z: Array, dz: Array | None, scratch: Mapping[str, Array]) -> BoundCrossEntropy:
        """Bind to the logits and, in training, to the memory of their gradient."""
        return BoundCrossEntropy(z, dz, scratch)


class BoundCrossEntropy:
    """The loss over the logits of one piece."""

    def __init__(self, z: Array, dz: Array | None, scratch: Mapping[str, Array]) -> None:
        self._classes, n = z.shape
        self._z, self._dz = z, dz
        self._largest, self._total = scratch["largest"], scratch["total"]
        self._shifted = scratch["shifted"]
        self._columns = np.arange(n)
        self._at = np.empty(n, np.intp)
        self._best = np.empty(n, np.intp)

    def tally(self, labels: NDArray[np.integer]) -> Tally:
        """The sum of the losses, and how many labels have the largest logit.

        Raises:
            ValueError: a label is no class.
        """
        self._check(labels)
        z, shifted, total, best = self._z, self._shifted, self._total, self._best
        np.argmax(z, axis=0, out=best)
        np.max(z, axis=0, out=self._largest)
        np.subtract(z, self._largest, out=shifted)
        np.multiply(labels, len(best), out=self._at, casting="unsafe")
        np.add(self._at, self._columns, out=self._at)
        true = shifted.reshape(-1)[self._at]
        np.exp(shifted, out=shifted)
        np.add.reduce(shifted, axis=0, out=total)
        np.log(total, out=self._largest)  # the largest are not read again
        loss = float(np.sum(self._largest, dtype=np.float64) - np.sum(true, dtype=np.float64))
        return Tally(loss, int(np.count_nonzero(best == labels)))

    def differentiate(self, labels: NDArray[np.integer], batch: int) -> Tally:
        """As `tally`, and fill the gradient of the mean loss over `batch` images."""
        tally, dz = self.tally(labels), self._dz
        assert dz is not None
        assert dz.flags.c_contiguous, "a view would be a copy"
        np.multiply(self._total, batch, out=self._total)
        np.divide(self._shifted, self._total, out=dz)
        dz.reshape(-1)[self._at] -= 1 / batch
        return tally

    def _check(self, labels: NDArray[np.integer]) -> None:
        if labels.min() < 0 or labels.max() >= self._classes:
            wrong = labels[(labels < 0) | (labels >= self._classes)][0]
            raise ValueError(f"label {wrong} is no class: there are {self._classes}, from 0")
