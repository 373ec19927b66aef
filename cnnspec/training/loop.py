"""The training loop: epochs of shuffled batches, and the figures of each. It prints and writes nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from cnnspec.training.errors import TrainingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.training.datasets import DataSet


@dataclass(frozen=True, slots=True)
class Epoch:
    """The figures of one pass over the training part.

    Losses are means over samples, accuracies shares of 1. The training figures are those of each batch before
    its update. `seconds` is the time of the training part alone, without the test.
    """

    number: int
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    seconds: float
    images_per_second: float


@dataclass(frozen=True, slots=True)
class Step:
    """Where a run stands after a batch: its epoch and its number there, both from 1, and the batch's loss."""

    epoch: int
    batch: int
    batches: int
    loss: float


class Diverged(TrainingError):  # noqa: N818 - an outcome, not a mistake
    """The loss is no longer a finite number, so that the weights are lost."""

    def __init__(self, loss: float, epoch: int, where: str) -> None:
        super().__init__(
            f"the loss is {loss} in epoch {epoch}, {where}: training has diverged",
            "try a smaller learning rate, `lr`, or other initial weights, `init`",
        )
        self.epoch = epoch


class Result(Protocol):
    """Loss (mean over the samples), correct answers and number of samples."""

    @property
    def loss(self) -> float: ...  # noqa: D102 - see above
    @property
    def correct(self) -> int: ...  # noqa: D102 - see above
    @property
    def count(self) -> int: ...  # noqa: D102 - see above


class Trainable(Protocol):
    """What the loop asks of a model."""

    def train_batch(
        self, x: NDArray[np.float32], labels: NDArray[np.int64], indices: NDArray[np.int64]
    ) -> Result:
        """Forward, backward and update on the samples of these indices; the figures before the update."""

    def evaluate(self, x: NDArray[np.float32], labels: NDArray[np.int64]) -> Result:
        """The figures of a forward pass over all samples."""


OnStep = Callable[[Step], None]


def ignore_step(step: Step) -> None:
    """Report nothing."""


def epochs(
    model: Trainable, data: DataSet, *, batch: int, count: int, seed: int, on_step: OnStep = ignore_step
) -> Iterator[Epoch]:
    """Train for `count` epochs, and give the figures of each as it ends.

    Raises:
        Diverged: a loss is not finite; the weights of the epoch before were good.
    """
    for number in range(1, count + 1):
        start = time.perf_counter()
        train = train_epoch(model, data, number, batch=batch, seed=seed, on_step=on_step)
        seconds = time.perf_counter() - start
        test = model.evaluate(data.test_x, data.test_y)
        if not math.isfinite(test.loss):
            raise Diverged(test.loss, number, "on the test part after it")
        yield Epoch(
            number=number,
            train_loss=train.loss,
            train_accuracy=train.accuracy,
            test_loss=float(test.loss),
            test_accuracy=test.correct / test.count,
            seconds=seconds,
            images_per_second=train.count / max(seconds, 1e-9),
        )


@dataclass(slots=True)
class Mean:
    """Figures of batches gathered into those of all their samples, a short batch counting for its samples."""

    total_loss: float = 0.0
    correct: int = 0
    count: int = 0

    def add(self, result: Result) -> None:
        """Gather the figures of one batch."""
        self.total_loss += float(result.loss) * result.count
        self.correct += int(result.correct)
        self.count += result.count

    @property
    def loss(self) -> float:
        """Mean loss over the samples."""
        return self.total_loss / self.count

    @property
    def accuracy(self) -> float:
        """Share of the samples that were classified rightly."""
        return self.correct / self.count


def train_epoch(
    model: Trainable, data: DataSet, number: int, *, batch: int, seed: int, on_step: OnStep = ignore_step
) -> Mean:
    """One pass over the training part in shuffled batches, the last one as short as it comes.

    Raises:
        Diverged: the loss of a batch is not finite.
    """
    order = shuffled(len(data.train_y), seed, number)
    batches = -(-len(order) // batch)
    mean = Mean()
    for index in range(batches):
        result = model.train_batch(data.train_x, data.train_y, order[index * batch : (index + 1) * batch])
        if not math.isfinite(result.loss):
            raise Diverged(result.loss, number, f"batch {index + 1} of {batches}")
        mean.add(result)
        on_step(Step(number, index + 1, batches, float(result.loss)))
    return mean


def shuffled(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order in which an epoch sees the samples, a function of the seed and the epoch's number alone."""
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch])))
    return random.permutation(count)
