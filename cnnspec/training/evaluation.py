"""How well a trained network does: its figures, and of classes what it gets right and wrong, each by each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cnnspec.layers import show
from cnnspec.training.datasets import load_data
from cnnspec.training.errors import TrainingError
from cnnspec.training.loop import Mean
from cnnspec.training.metrics import Gathered, measures_of
from cnnspec.training.runs import as_probabilities

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from cnnspec.recipe import DataKind
    from cnnspec.training.datasets.dataset import Stream
    from cnnspec.training.model import Computes
    from cnnspec.training.record import Preparation
    from cnnspec.training.runs import SavedRun

    Samples = NDArray[np.float32] | Stream

PIECE = 256
"""Samples that are predicted at a time."""


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
    """The figures of a network on samples with their classes or targets.

    Attributes:
        figures: by name, those that its run logged of the test part: `loss`, `accuracy`, `top5`; `mae`, `r2`.
        count: samples.
        class_names: none where the network does not tell classes apart; then there is no more.
        confusion: `classes x classes`, counts; a row for each class, a column for what it was taken for.
        mistakes: the wrong answers, those that gave the true class least first.
    """

    figures: Mapping[str, float]
    count: int
    class_names: tuple[str, ...]
    confusion: NDArray[np.int64]
    mistakes: tuple[Mistake, ...]

    @property
    def loss(self) -> float:
        """Mean over the samples of the loss that was learned with."""
        return self.figures["loss"]

    @property
    def correct(self) -> int:
        """Right answers, where there are classes."""
        return int(np.trace(self.confusion))

    @property
    def accuracy(self) -> float:
        """Share of right answers; no number where answers are only near or far."""
        return self.figures.get("accuracy", float("nan"))

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


def evaluate_samples(model: Computes, x: Samples, labels: NDArray[np.number], saved: SavedRun) -> Evaluation:
    """Compare what a model says of samples with their classes or targets.

    Args:
        model: compiled for any batch.
        x: `N x C x H x W`, prepared as the training part was; or a stream of such.
        labels: `N` class numbers, or targets.
        saved: the run that the model comes from.

    Raises:
        TrainingError: the network has several outputs, or gives something else than the labels are.
    """
    subject = saved.subject
    if len(subject.graph.outputs) != 1:
        raise TrainingError(
            f"{saved.record.network} has {len(subject.graph.outputs)} outputs, and one can be evaluated"
        )
    names = saved.record.preparation.classes if saved.gives_classes and labels.dtype.kind in "iu" else ()
    confusion = np.zeros((len(names), len(names)), np.int64)
    mean, gathered, mistakes = Mean(), Gathered(), list[Mistake]()
    for first in range(0, len(labels), PIECE):
        rows = np.arange(first, min(first + PIECE, len(labels)))
        samples, own = samples_of(x, rows), labels[rows]
        try:
            result = model.evaluate(samples, own)
        except ValueError as error:
            raise TrainingError(f"{saved.record.network} cannot be compared with these: {error}") from None
        mean, gathered = mean.plus(result), gathered.plus(result)
        if names:
            probabilities = as_probabilities(saved, model, samples)
            classes = own.astype(np.int64)
            np.add.at(confusion, (classes, probabilities.argmax(axis=1)), 1)
            mistakes += _mistakes(probabilities, classes, rows)
    measures = measures_of(subject.graph, subject.facts, subject.recipe.loss, labels)
    figures = {"loss": mean.loss} | ({"accuracy": mean.accuracy} if measures.accuracy else {})
    worst = sorted(mistakes, key=lambda mistake: (mistake.probability_of_label, mistake.index))
    return Evaluation(
        {**figures, **gathered.figures(measures, labels)}, len(labels), names, confusion, tuple(worst)
    )


def _mistakes(
    probabilities: NDArray[np.float32], own: NDArray[np.int64], rows: NDArray[np.int64]
) -> Iterator[Mistake]:
    """The wrong answers among some samples, whose numbers are `rows`."""
    taken = probabilities.argmax(axis=1)
    for i in np.flatnonzero(taken != own):
        label, other = int(own[i]), int(taken[i])
        sure, of_label = float(probabilities[i, other]), float(probabilities[i, label])
        yield Mistake(int(rows[i]), label, other, sure, of_label)


def labelled(
    saved: SavedRun, kind: DataKind, part: str, data_dir: Path | None = None
) -> tuple[Samples, NDArray[np.number]]:
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
