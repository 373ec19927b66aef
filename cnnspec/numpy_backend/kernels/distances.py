"""Kernels of the losses that compare each output with a number of its own."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from cnnspec.layers import product, show
from cnnspec.numpy_backend.kernels.base import Array, Scratch
from cnnspec.numpy_backend.kernels.losses import BoundLoss, LossKernel, Tally, loss_kernel
from cnnspec.recipe.learning import L1, BinaryCrossEntropy, Huber, Mse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike

    from cnnspec.layers import Shape
    from cnnspec.numpy_backend.kernels.losses import Targets
    from cnnspec.recipe.learning import Loss


class DistanceKernel(LossKernel):
    """A loss that is the mean over all outputs of what each differs from its target.

    Class numbers stand for one-hot vectors; where there is a single output, for numbers.
    """

    def __init__(self, shape: Shape, loss: Loss, bound: type[BoundDistance]) -> None:
        super().__init__(shape)
        self.loss, self.bound = loss, bound

    def scratch(self) -> tuple[Scratch, ...]:
        """The targets as the outputs lie, and their differences."""
        return Scratch("target", self.shape, "forward"), Scratch("difference", self.shape, "forward")

    def bind(self, z: Array, dz: Array | None, scratch: Mapping[str, Array]) -> BoundLoss:
        """Bind to the outputs and, in training, to the memory of their gradient."""
        return self.bound(self, z, dz, scratch)

    def targets(self, given: ArrayLike, count: int) -> Targets:
        """A number for each output of each sample, or class numbers."""
        array = np.asarray(given)
        if array.dtype.kind not in "iufb":
            raise ValueError(f"targets must be numbers, not {array.dtype}")
        if array.shape == (count,) and product(self.shape) == 1:
            return array.reshape(count, *self.shape)
        whole = array.dtype.kind in "iu" and array.shape == (count,) and len(self.shape) == 1
        if array.shape != (count, *self.shape) and not whole:
            wanted = show((count, *self.shape))
            raise ValueError(f"targets must be {wanted}, one for each output, not {show(array.shape)}")
        return array


class BoundDistance(BoundLoss):
    """The loss over the outputs of one piece."""

    def __init__(
        self, kernel: DistanceKernel, z: Array, dz: Array | None, scratch: Mapping[str, Array]
    ) -> None:
        self._z, self._dz, self._loss = z, dz, kernel.loss
        self._target, self._difference = scratch["target"], scratch["difference"]
        self._elements = product(kernel.shape)
        self._columns = np.arange(z.shape[-1])

    def tally(self, targets: Targets) -> Tally:
        """The sums of the losses and of the differences, and how many answers are right.

        Raises:
            ValueError: a class number is no class.
        """
        correct = self._take(targets)
        difference, elements = self._differ(), self._elements
        absolute = float(np.sum(np.absolute(difference, out=difference), dtype=np.float64)) / elements
        squared = float(np.sum(np.square(difference, out=difference), dtype=np.float64)) / elements
        return Tally(self._measure() / elements, correct, absolute=absolute, squared=squared)

    def differentiate(self, targets: Targets, weight: float) -> Tally:
        """The losses and the right answers, and fill the gradient of the loss of a batch of this weight."""
        correct, dz = self._take(targets), self._dz
        assert dz is not None
        tally = Tally(self._measure() / self._elements, correct)
        self._derive(dz)
        np.multiply(dz, 1 / (weight * self._elements), out=dz)
        return tally

    def _take(self, targets: Targets) -> float:
        """Lay the targets out like the outputs; the answers that are right."""
        if targets.ndim == self._z.ndim:
            np.copyto(self._target, np.moveaxis(targets, 0, -1), casting="unsafe")
            return self._agreeing()
        classes = len(self._target)
        if targets.min() < 0 or targets.max() >= classes:
            wrong = targets[(targets < 0) | (targets >= classes)][0]
            raise ValueError(f"label {wrong} is no class: there are {classes}, from 0")
        self._target.fill(0)
        self._target[targets, self._columns] = 1
        return int(np.count_nonzero(np.argmax(self._z, axis=0) == targets))

    def _agreeing(self) -> float:
        """How many answers are right where targets are numbers: none is simply right."""
        return 0

    @abstractmethod
    def _measure(self) -> float:
        """The sum of the losses of all elements; leaves in `difference` what `_derive` needs."""

    @abstractmethod
    def _derive(self, dz: Array) -> None:
        """Fill the derivative of each element's loss by its output."""

    def _differ(self) -> Array:
        return np.subtract(self._z, self._target, out=self._difference)


class BoundMse(BoundDistance):
    """`(z - t)^2`, whose derivative is `2 (z - t)`."""

    def _measure(self) -> float:
        difference = self._differ()
        np.multiply(difference, difference, out=self._target)
        return float(np.sum(self._target, dtype=np.float64))

    def _derive(self, dz: Array) -> None:
        np.multiply(self._difference, 2, out=dz)


class BoundL1(BoundDistance):
    """`|z - t|`, whose derivative is the sign of `z - t`, and 0 where they are equal."""

    def _measure(self) -> float:
        np.absolute(self._differ(), out=self._target)
        return float(np.sum(self._target, dtype=np.float64))

    def _derive(self, dz: Array) -> None:
        np.sign(self._difference, out=dz)


class BoundHuber(BoundDistance):
    """With `d = z - t` and `c`, that held between `-delta` and `delta`: `c (d - c / 2)`, derivative `c`."""

    def _measure(self) -> float:
        assert isinstance(self._loss, Huber)
        difference, target, delta = self._differ(), self._target, self._loss.delta
        np.clip(difference, -delta, delta, out=target)
        np.multiply(target, 0.5, out=target)
        np.subtract(difference, target, out=target)
        np.clip(difference, -delta, delta, out=difference)
        np.multiply(target, difference, out=target)
        return float(np.sum(target, dtype=np.float64))

    def _derive(self, dz: Array) -> None:
        np.copyto(dz, self._difference)


# With the logit z, p = sigmoid(z) and the target t:
#   loss = -t log p - (1 - t) log(1 - p) = max(z, 0) - z t + log(1 + exp(-|z|)),    d loss / d z = p - t,
# where exp cannot overflow. sigmoid(z) = (1 + tanh(z / 2)) / 2.


class BoundBinaryCrossEntropy(BoundDistance):
    """Cross-entropy of yes and no from logits."""

    def _agreeing(self) -> float:
        """The share of a sample's outputs on the right side of 0, summed over the samples."""
        if self._target.min() < 0 or self._target.max() > 1:
            raise ValueError("targets of binary_cross_entropy must be from 0 to 1")
        right = np.count_nonzero((self._z > 0) == (self._target > 0.5))
        return int(right) / self._elements if self._elements > 1 else int(right)

    def _measure(self) -> float:
        z, spare = self._z, self._difference
        np.multiply(z, self._target, out=spare)
        total = -float(np.sum(spare, dtype=np.float64))
        np.maximum(z, 0, out=spare)
        total += float(np.sum(spare, dtype=np.float64))
        np.absolute(z, out=spare)
        np.negative(spare, out=spare)
        np.exp(spare, out=spare)
        np.log1p(spare, out=spare)
        return total + float(np.sum(spare, dtype=np.float64))

    def _derive(self, dz: Array) -> None:
        np.multiply(self._z, 0.5, out=self._difference)
        np.tanh(self._difference, out=dz)
        np.multiply(dz, 0.5, out=dz)
        np.add(dz, 0.5, out=dz)
        np.subtract(dz, self._target, out=dz)


@loss_kernel.register(Mse)
def _mse(loss: Mse, shape: Shape) -> LossKernel:
    return DistanceKernel(shape, loss, BoundMse)


@loss_kernel.register(L1)
def _l1(loss: L1, shape: Shape) -> LossKernel:
    return DistanceKernel(shape, loss, BoundL1)


@loss_kernel.register(Huber)
def _huber(loss: Huber, shape: Shape) -> LossKernel:
    return DistanceKernel(shape, loss, BoundHuber)


@loss_kernel.register(BinaryCrossEntropy)
def _binary_cross_entropy(loss: BinaryCrossEntropy, shape: Shape) -> LossKernel:
    return DistanceKernel(shape, loss, BoundBinaryCrossEntropy)
