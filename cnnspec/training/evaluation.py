"""What a trained network gets right and wrong: class by class, and picture by picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cnnspec.layers import show
from cnnspec.training.datasets import load_data
from cnnspec.training.errors import TrainingError
from cnnspec.training.runs import as_probabilities

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from cnnspec.numpy_backend.model import Model
    from cnnspec.recipe import DataKind
    from cnnspec.training.datasets.dataset import Stream
    from cnnspec.training.record import Preparation
    from cnnspec.training.runs import SavedRun

    Samples = NDArray[np.float32] | Stream

PIECE = 256
"""Samples that are predicted at a time."""
SMALLEST = 1e-12
"""What a probability of 0 is taken for in a logarithm."""


@dataclass(frozen=True, eq=False)
class ClassFigures:
    """How one class fares.

    Attributes:
        name: the class.
        count: samples of it.
        precision: of the samples taken for it, the share that is of it; no number where there are none.
        recall: of the samples of it, the share that was found; no number where there are none.
    """

    name: str
    count: int
    precision: float
    recall: float


@dataclass(frozen=True, eq=False)
class Mistake:
    """A sample that was taken for another class, and how sure the network was of either."""

    index: int
    label: int
    taken_for: int
    probability: float
    probability_of_label: float


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The figures of a network on labelled samples of some classes.

    Attributes:
        loss: mean cross-entropy over the samples.
        confusion: `classes x classes`, counts; a row for each class, a column for what it was taken for.
        mistakes: the wrong answers, those that the network was surest of first.
    """

    loss: float
    confusion: NDArray[np.int64]
    class_names: tuple[str, ...]
    mistakes: tuple[Mistake, ...]

    @property
    def count(self) -> int:
        """Samples."""
        return int(self.confusion.sum())

    @property
    def correct(self) -> int:
        """Right answers."""
        return int(np.trace(self.confusion))

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.correct / self.count

    @property
    def classes(self) -> tuple[ClassFigures, ...]:
        """How each class fares."""
        found, taken = self.confusion.sum(axis=1), self.confusion.sum(axis=0)
        right = np.diagonal(self.confusion)
        return tuple(
            ClassFigures(name, int(found[i]), _share(right[i], taken[i]), _share(right[i], found[i]))
            for i, name in enumerate(self.class_names)
        )


def _share(part: int, whole: int) -> float:
    return float(part) / float(whole) if whole else float("nan")


def evaluate_classes(model: Model, x: Samples, labels: NDArray[np.generic], saved: SavedRun) -> Evaluation:
    """Compare what a model says of samples with their classes.

    Args:
        model: compiled for any batch.
        x: `N x C x H x W`, prepared as the training part was; or a stream of such.
        labels: `N` class numbers.
        saved: the run that the model comes from.

    Raises:
        TrainingError: the network does not tell classes apart.
    """
    if not saved.gives_classes or labels.dtype.kind not in "iu":
        raise TrainingError(
            f"{saved.record.network} gives no class for a sample, and only classes can be evaluated",
            "its figures are in metrics.csv; `cnnspec predict` gives its outputs",
        )
    names = saved.record.preparation.classes
    confusion = np.zeros((len(names), len(names)), np.int64)
    total, mistakes = 0.0, []
    for first in range(0, len(labels), PIECE):
        rows = np.arange(first, min(first + PIECE, len(labels)))
        probabilities = as_probabilities(model, samples_of(x, rows))
        own = labels[rows].astype(np.int64)
        taken = probabilities.argmax(axis=1)
        np.add.at(confusion, (own, taken), 1)
        of_label = probabilities[np.arange(len(rows)), own]
        total -= float(np.log(np.maximum(of_label, SMALLEST)).sum(dtype=np.float64))
        for i in np.flatnonzero(taken != own):
            sure = float(probabilities[i, taken[i]])
            mistakes.append(Mistake(int(rows[i]), int(own[i]), int(taken[i]), sure, float(of_label[i])))
    worst = sorted(mistakes, key=lambda mistake: (mistake.probability_of_label, mistake.index))
    return Evaluation(total / len(labels), confusion, names, tuple(worst))


def labelled(
    saved: SavedRun, kind: DataKind, part: str, data_dir: Path | None = None
) -> tuple[Samples, NDArray[np.generic]]:
    """The samples of a part of a data set, prepared as the run prepared its own, and their labels.

    Args:
        saved: the run.
        kind: its own data set, or another one.
        part: `test` or `train`.
        data_dir: the folder with the data set's files.

    Raises:
        TrainingError: the data cannot be read, or do not fit the network.
    """
    own = saved.subject.recipe.data
    preparation = saved.record.preparation
    data = load_data(kind if kind == own else alike(kind, preparation), data_dir)
    x, labels = (data.train_x, data.train_y) if part == "train" else (data.test_x, data.test_y)
    if data.sample_shape != preparation.shape:
        given, taken = show(data.sample_shape), show(preparation.shape)
        raise TrainingError(f"a sample of `{kind.keyword}` is {given}, and the network takes {taken}")
    classes = len(preparation.classes)
    if labels.dtype.kind in "iu" and classes and int(labels.max()) >= classes:
        raise TrainingError(f"`{kind.keyword}` has more classes than the {classes} of the network")
    return x, labels


def alike(kind: DataKind, preparation: Preparation) -> DataKind:
    """A data set that is normalised by the figures of a run's training part, not by its own."""
    if set(preparation.black) == {0.0} and set(preparation.range) == {1.0}:
        return kind.replaced(normalize=False)
    pairs = list(zip(preparation.black, preparation.range, strict=True))
    means = tuple(-black / scale for black, scale in pairs)
    return kind.replaced(normalize=(means, tuple(1 / scale for _, scale in pairs)))


def samples_of(x: Samples, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Some rows of an array or a stream."""
    return x[rows] if isinstance(x, np.ndarray) else x.rows(rows)
