"""The training loop: epochs of shuffled batches, and the figures of each. It prints and writes nothing.

Where a run stands is one value, a `Position`. All that is random follows from the seed, the epoch and the
number of the batch, so that a loop which begins at a position does what one would do that came to it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from cnnspec.training.crew import Alone, Crew
from cnnspec.training.datasets.dataset import rows_of
from cnnspec.training.errors import TrainingError
from cnnspec.training.feed import Stage, batches_in, feed, held_out
from cnnspec.training.metrics import CLASSES, Gathered, Measures, Sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.recipe import Augmentation
    from cnnspec.training.datasets import DataSet
    from cnnspec.training.schedules import Schedule

    Labels = NDArray[np.int64] | NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Epoch:
    """The figures of one pass over the training part.

    Attributes:
        number: from 1.
        figures: by part and name, `train_loss`, `test_accuracy`. Losses are means over samples, accuracies
            shares of 1; those of training are of each batch before its update. Of the test part also
            `test_top5`, or `test_mae` and `test_r2`: see `Gathered.figures`.
        learning_rate: that of the last step.
        seconds: the time of the training part alone, without the test; of an epoch in which a run was
            resumed, that of the part after it.
        images_per_second: likewise.
    """

    number: int
    figures: Mapping[str, float]
    learning_rate: float = 0.0
    seconds: float = 0.0
    images_per_second: float = 0.0

    @property
    def train_loss(self) -> float:
        """Mean loss over the training samples."""
        return self._figure("train_loss")

    @property
    def train_accuracy(self) -> float:
        """Share of the training samples that were classified rightly."""
        return self._figure("train_accuracy")

    @property
    def test_loss(self) -> float:
        """Mean loss over the test samples."""
        return self._figure("test_loss")

    @property
    def test_accuracy(self) -> float:
        """Share of the test samples that were classified rightly."""
        return self._figure("test_accuracy")

    def _figure(self, name: str) -> float:
        """A figure; no number where it was not measured."""
        return self.figures.get(name, math.nan)


class Result(Protocol):
    """Mean loss, right answers, number of samples, and the sum of the samples' weights in that mean."""

    @property
    def loss(self) -> float: ...  # noqa: D102 - see above
    @property
    def correct(self) -> float: ...  # noqa: D102 - see above
    @property
    def count(self) -> int: ...  # noqa: D102 - see above
    @property
    def weight(self) -> float: ...  # noqa: D102 - see above


class Judged(Result, Sums, Protocol):
    """The same of samples that nothing is learned from, and the sums for further figures."""


@dataclass(frozen=True, slots=True)
class Mean:
    """Figures of batches gathered into those of all their samples, a short batch counting for its samples."""

    total_loss: float = 0.0
    weight: float = 0.0
    correct: float = 0.0
    count: int = 0

    def plus(self, result: Result) -> Mean:
        """With the figures of one more batch."""
        return Mean(
            self.total_loss + float(result.loss) * float(result.weight),
            self.weight + float(result.weight),
            self.correct + float(result.correct),
            self.count + int(result.count),
        )

    @property
    def loss(self) -> float:
        """Mean loss over the samples; that of classes of weight 0 alone is 0."""
        return self.total_loss / self.weight if self.weight else 0.0

    @property
    def accuracy(self) -> float:
        """Share of the samples that were classified rightly."""
        return self.correct / self.count


@dataclass(frozen=True, slots=True)
class Position:
    """The point between two batches at which a run stands.

    Attributes:
        epoch: the epoch under way, from 1.
        batch: the batches of it that are done.
        step: the updates that are done, in all epochs.
        mean: the figures of the epoch so far.
    """

    epoch: int = 1
    batch: int = 0
    step: int = 0
    mean: Mean = Mean()

    def after_batch(self, result: Result) -> Position:
        """One batch further."""
        return Position(self.epoch, self.batch + 1, self.step + 1, self.mean.plus(result))

    def after_epoch(self) -> Position:
        """At the beginning of the next epoch."""
        return Position(self.epoch + 1, 0, self.step)


@dataclass(frozen=True, slots=True)
class Step:
    """What is known after a batch: where the run stands, the batches of an epoch, and this batch's loss."""

    position: Position
    batches: int
    loss: float
    learning_rate: float

    @property
    def epoch(self) -> int:
        """The epoch under way, from 1."""
        return self.position.epoch

    @property
    def batch(self) -> int:
        """The number of the batch in its epoch, from 1."""
        return self.position.batch


class Diverged(TrainingError):  # noqa: N818 - an outcome, not a mistake
    """The loss is no longer a finite number, so that the weights are lost."""

    def __init__(self, loss: float, epoch: int, where: str, cause: str = "") -> None:
        super().__init__(
            f"the loss is {loss} in epoch {epoch}, {where}: training has diverged{cause and '; '}{cause}",
            "try a smaller learning rate, `lr`, or other initial weights, `init`",
        )
        self.epoch = epoch


class Trainable(Protocol):
    """What the loop asks of a model."""

    @property
    def schedule(self) -> Schedule:
        """The learning rate of every step; it is told of each epoch's figures."""

    def train_batch(
        self, x: NDArray[np.float32], labels: Labels, indices: NDArray[np.int64] | None
    ) -> Result:
        """Forward, backward and update on the samples of these indices; the figures before the update."""

    def evaluate(self, x: NDArray[np.float32], labels: Labels) -> Judged:
        """The figures of a forward pass over all samples."""


OnStep = Callable[[Step], None]


def ignore_step(step: Step) -> None:
    """Report nothing."""


Cause = Callable[["NDArray[np.float32]"], str]
"""Asked, where a loss is not finite, for the layer where that began, with the samples of the batch."""


def no_cause(x: NDArray[np.float32]) -> str:
    """Say nothing of it."""
    return ""


@dataclass(frozen=True, slots=True)
class Course:
    """What the loop is to do: the settings of a recipe that it follows."""

    batch: int
    epochs: int
    seed: int
    augment: Sequence[Augmentation] = ()
    measures: Measures = CLASSES
    cause: Cause = no_cause
    crew: Crew = field(default_factory=Alone)
    stage: Stage | None = None


def epochs(
    model: Trainable,
    data: DataSet,
    course: Course,
    start: Position | None = None,
    on_step: OnStep = ignore_step,
) -> Iterator[Epoch]:
    """Train to the end of a course, from a position on, and give the figures of each epoch as it ends.

    Raises:
        Diverged: a loss is not finite; the weights of the epoch before were good.
    """
    position = start or Position()
    while position.epoch <= course.epochs:
        began, counted = time.perf_counter(), position.mean.count
        position = train_epoch(model, data, course, position, on_step)
        seconds = time.perf_counter() - began
        test, further = evaluate(model, data, course.batch, course.crew, course.stage)
        if not math.isfinite(test.loss):
            some = rows_of(data.test_x, np.arange(min(course.batch, len(data.test_y))))
            raise Diverged(test.loss, position.epoch, "on the test part after it", course.cause(some))
        figures = {**figures_of("train", position.mean, course), **figures_of("test", test, course)}
        figures |= {
            f"test_{name}": one for name, one in further.figures(course.measures, data.test_y).items()
        }
        rate = model.schedule.rate(position.step - 1)
        speed = (position.mean.count - counted) / max(seconds, 1e-9)
        model.schedule.epoch_ended(figures)
        yield Epoch(position.epoch, figures, rate, seconds, speed)
        position = position.after_epoch()


def figures_of(part: str, mean: Mean, course: Course) -> dict[str, float]:
    """The figures of a part of the data under their names."""
    figures = {f"{part}_loss": mean.loss}
    return {**figures, f"{part}_accuracy": mean.accuracy} if course.measures.accuracy else figures


def train_epoch(
    model: Trainable, data: DataSet, course: Course, position: Position, on_step: OnStep = ignore_step
) -> Position:
    """What is left of an epoch, in shuffled batches, the last one as short as it comes.

    Raises:
        Diverged: the loss of a batch is not finite.
    """
    batches = batches_in(data, course.batch)
    with feed(
        data,
        seed=course.seed,
        epoch=position.epoch,
        batch=course.batch,
        first=position.batch,
        augment=course.augment,
        share=(course.crew.rank, course.crew.size),
        stage=course.stage,
    ) as coming:
        for batch in coming:
            result = model.train_batch(batch.x, batch.labels, batch.indices)
            position = position.after_batch(result)
            if not math.isfinite(result.loss):
                where = f"batch {position.batch} of {batches}"
                samples = batch.x if batch.indices is None else batch.x[batch.indices]
                raise Diverged(float(result.loss), position.epoch, where, course.cause(samples))
            rate = model.schedule.rate(position.step - 1)
            on_step(Step(position, batches, float(result.loss), rate))
    return position


def evaluate(
    model: Trainable, data: DataSet, batch: int, crew: Crew | None = None, stage: Stage | None = None
) -> tuple[Mean, Gathered]:
    """The figures of the test part, of which each process looks at its share."""
    mean, gathered, crew = Mean(), Gathered(), crew or Alone()
    with held_out(data, batch=batch, share=(crew.rank, crew.size), stage=stage) as pieces:
        for piece in pieces:
            result = model.evaluate(piece.x, piece.labels)
            mean, gathered = mean.plus(result), gathered.plus(result)
    return crew.total(mean), crew.total(gathered)
