"""Kernels of the losses: from the network's last values to a number and its gradient.

A loss of a batch is the sum of the losses of its samples over the sum of their weights, which are 1 but where
classes are weighted. A sample's own loss is the mean over its elements or pixels. So the mean over a data set
does not depend on how it is cut into batches.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import TYPE_CHECKING, Final

import numpy as np

from cnnspec.layers import product, show
from cnnspec.numpy_backend.kernels.base import Array, Scratch
from cnnspec.recipe.learning import CrossEntropy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from cnnspec.layers import Shape
    from cnnspec.recipe.learning import Loss

    Targets = NDArray[np.number]
    """Class numbers, or numbers like the outputs; samples first."""


FIVE: Final = 5
"""A class is found among the first where so many outputs are not all larger than its own."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What a piece of a batch adds to the result: the sum of its losses, how many classes it got right.

    Of a sample with many answers, such as a class for each pixel, the share that is right is counted. The
    others are filled where nothing is learned: samples whose class has one of the five largest outputs, and
    the sums of the samples' mean absolute and squared differences from their targets.
    """

    loss: float = 0.0
    correct: float = 0
    top5: float = 0.0
    absolute: float = 0.0
    squared: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.loss + other.loss,
            self.correct + other.correct,
            self.top5 + other.top5,
            self.absolute + other.absolute,
            self.squared + other.squared,
        )


NO_TALLY: Final = Tally()
"""What a pass without a loss adds."""


def add_up(tallies: Sequence[Tally]) -> Tally:
    """The sum of one or more."""
    first, *others = tallies
    return sum(others, first)


class LossKernel(ABC):
    """How a loss of outputs of one shape is computed."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape

    @abstractmethod
    def scratch(self) -> tuple[Scratch, ...]:
        """The memory it needs beside the outputs and their gradient."""

    @abstractmethod
    def bind(self, z: Array, dz: Array | None, scratch: Mapping[str, Array]) -> BoundLoss:
        """Bind to the outputs of a piece and, in training, to the memory of their gradient."""

    @abstractmethod
    def targets(self, given: ArrayLike, count: int) -> Targets:
        """The targets of `count` samples as an array, if these can be that.

        Raises:
            ValueError: they have another shape or type.
        """

    def weight(self, targets: Targets) -> float:
        """The sum of the weights of some samples, by which the sum of their losses is divided."""
        return len(targets)


class BoundLoss(ABC):
    """A loss over the outputs of one piece."""

    @abstractmethod
    def tally(self, targets: Targets) -> Tally:
        """The sums over the samples.

        Raises:
            ValueError: a target is none.
        """

    @abstractmethod
    def differentiate(self, targets: Targets, weight: float) -> Tally:
        """The losses and the right answers, and fill the gradient of the loss of a batch of this weight."""


@singledispatch
def loss_kernel(loss: Loss, shape: Shape) -> LossKernel:
    """The kernel of a loss for outputs of a shape.

    Raises:
        ValueError: the loss is not for outputs of such a shape.
    """
    raise NotImplementedError(f"`{loss.keyword}` has no kernel in the NumPy backend")


# With logits z, p = softmax(z) and the true class t:
#   loss = -log p_t = log(sum_k exp(z_k)) - z_t,    d loss / d z_c = p_c - [c = t].
# The largest logit is subtracted first; loss and gradient do not change, and exp cannot overflow.
#
# With smoothing e and class weights w, the target of class k is a_k = (1 - e) w_t [k = t] + (e / C) w_k, and
#   loss = -sum_k a_k log p_k = A log(sum_k exp(z_k)) - sum_k a_k z_k,    d loss / d z_c = A p_c - a_c,
# where A = sum_k a_k.


class CrossEntropyKernel(LossKernel):
    """Cross-entropy of the true class from logits `C x N` or, of each pixel, `C x H x W x N`."""

    def __init__(self, shape: Shape, loss: CrossEntropy | None = None) -> None:
        if not shape:
            raise ValueError("cross_entropy needs an output for each class")
        super().__init__(shape)
        self.classes, self.pixels = shape[0], product(shape[1:])
        self.smoothing = loss.smoothing if loss else 0.0
        weights = loss.weights if loss else None
        if weights is not None and len(weights) != self.classes:
            raise ValueError(f"cross_entropy has weights of {len(weights)} classes, not {self.classes}")
        self.weights = None if weights is None else np.array(weights, np.float64)

    def scratch(self) -> tuple[Scratch, ...]:
        """A number for each pixel, twice, and the logits less their largest."""
        rest = self.shape[1:]
        return (
            Scratch("largest", rest, "forward"),
            Scratch("total", rest, "forward"),
            Scratch("shifted", self.shape, "forward"),
        )

    def bind(self, z: Array, dz: Array | None, scratch: Mapping[str, Array]) -> BoundLoss:
        """Bind to the logits and, in training, to the memory of their gradient."""
        return BoundCrossEntropy(self, z, dz, scratch)

    def targets(self, given: ArrayLike, count: int) -> Targets:
        """Whole numbers: one a sample, or one a pixel."""
        array, wanted = np.asarray(given), (count, *self.shape[1:])
        if array.shape != wanted or array.dtype.kind not in "iu":
            what = f"{count} whole numbers, one an image"
            if self.pixels > 1:
                what = f"whole numbers, {show(wanted)}, one a pixel"
            raise ValueError(f"labels must be {what}, not {show(array.shape)} of {array.dtype}")
        return array

    def weight(self, targets: Targets) -> float:
        """The number of samples; the sum of the weights of their classes where these have some."""
        if self.weights is None:
            return len(targets)
        counts = np.bincount(targets.reshape(-1), minlength=self.classes)[: self.classes]
        return float(counts @ self.weights) / self.pixels


class BoundCrossEntropy(BoundLoss):
    """The loss over the logits of one piece."""

    def __init__(
        self, kernel: CrossEntropyKernel, z: Array, dz: Array | None, scratch: Mapping[str, Array]
    ) -> None:
        self._kernel, self._classes, self._pixels = kernel, kernel.classes, kernel.pixels
        self._z = z.reshape(self._classes, -1)
        self._dz = None if dz is None else _viewed(dz, self._z.shape)
        self._shifted = _viewed(scratch["shifted"], self._z.shape)
        self._largest, self._total = scratch["largest"].reshape(-1), scratch["total"].reshape(-1)
        n = self._z.shape[1]
        self._columns = np.arange(n)
        self._at = np.empty(n, np.intp)
        self._best = np.empty(n, np.intp)
        given = np.ones(self._classes) if kernel.weights is None else kernel.weights
        self._spread = (given * kernel.smoothing / self._classes).astype(z.dtype)
        self._own = ((1 - kernel.smoothing) * given).astype(z.dtype)

    def tally(self, targets: Targets) -> Tally:
        """The sum of the losses, and how many labels have the largest logit or one of the five largest.

        Raises:
            ValueError: a label is no class.
        """
        tally = self._tally(targets)
        of_label = self._z.reshape(-1)[self._at]
        before = np.count_nonzero(self._z > of_label, axis=0)
        return replace(tally, top5=int(np.count_nonzero(before < FIVE)) / self._pixels)

    def _tally(self, targets: Targets) -> Tally:
        self._check(targets)
        labels = np.moveaxis(targets, 0, -1).reshape(-1)
        z, shifted, total, best = self._z, self._shifted, self._total, self._best
        np.argmax(z, axis=0, out=best)
        np.maximum.reduce(z, axis=0, out=self._largest)
        np.subtract(z, self._largest, out=shifted)
        np.multiply(labels, len(best), out=self._at, casting="unsafe")
        np.add(self._at, self._columns, out=self._at)
        true = shifted.reshape(-1)[self._at]
        spread = float(np.sum(self._spread @ shifted, dtype=np.float64)) if self._kernel.smoothing else 0.0
        np.exp(shifted, out=shifted)
        np.add.reduce(shifted, axis=0, out=total)
        np.log(total, out=self._largest)  # the largest are not read again
        if not self._is_plain:
            own = self._own[labels]
            np.multiply(true, own, out=true)
            np.multiply(self._largest, self._all(own), out=self._largest)
        loss = float(np.sum(self._largest, dtype=np.float64) - np.sum(true, dtype=np.float64)) - spread
        correct = int(np.count_nonzero(best == labels))
        return Tally(loss / self._pixels, correct / self._pixels if self._pixels > 1 else correct)

    def differentiate(self, targets: Targets, weight: float) -> Tally:
        """The losses and the right answers, and fill the gradient of the loss of a batch of this weight."""
        tally, dz, whole = self._tally(targets), self._dz, weight * self._pixels
        assert dz is not None
        np.multiply(self._total, whole, out=self._total)
        if self._is_plain:
            np.divide(self._shifted, self._total, out=dz)
            dz.reshape(-1)[self._at] -= 1 / whole
            return tally
        own = self._own[np.moveaxis(targets, 0, -1).reshape(-1)]
        np.divide(self._all(own), self._total, out=self._total)
        np.multiply(self._shifted, self._total, out=dz)
        dz.reshape(-1)[self._at] -= own / whole
        if self._kernel.smoothing:
            np.subtract(dz, (self._spread / whole)[:, None], out=dz)
        return tally

    @property
    def _is_plain(self) -> bool:
        return self._kernel.weights is None and not self._kernel.smoothing

    def _all(self, own: Array) -> Array:
        """The sum of a sample's targets over the classes: 1 where no class is weighted."""
        whole: Array = own + self._spread.sum()
        return whole

    def _check(self, labels: Targets) -> None:
        if labels.min() < 0 or labels.max() >= self._classes:
            wrong = labels[(labels < 0) | (labels >= self._classes)][0]
            raise ValueError(f"label {wrong} is no class: there are {self._classes}, from 0")


def _viewed(array: Array, shape: tuple[int, ...]) -> Array:
    assert array.flags.c_contiguous, "a view would be a copy"
    return array.reshape(shape)


@loss_kernel.register(CrossEntropy)
def _cross_entropy(loss: CrossEntropy, shape: Shape) -> LossKernel:
    return CrossEntropyKernel(shape, loss)
