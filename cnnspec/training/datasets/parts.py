"""Samples into two parts, and what every data set must fulfil before the first step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cnnspec.training.datasets.dataset import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cnnspec.layers.base import Shape
    from cnnspec.training.datasets.dataset import Labels, Samples

MOST_CLASSES: Final = 10_000


@dataclass(frozen=True, eq=False)
class Part:
    """Samples, `N` and the shape of one, with class numbers or targets."""

    x: Samples
    y: Labels


@dataclass(frozen=True, eq=False)
class Parts:
    """What a reader gives: both parts, and the names of the classes, none where there are targets."""

    train: Part
    test: Part
    class_names: tuple[str, ...] = ()
    target: int | None = None
    """The channel that the targets are values of, where they are normalised with it."""


def divide(
    labels: NDArray[np.int64], share: float, seed: int, names: Sequence[str], where: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The samples to train on and those held out, each in order: of every class the same share, by chance.

    Raises:
        DataError: a class has a single sample.
    """
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, len(labels)])))
    held = []
    for number, name in enumerate(names):
        members = np.flatnonzero(labels == number)
        if len(members) == 1:
            raise DataError(
                f"{where}: class `{name}` has 1 sample, and needs one to train and one to test",
                "add another one, or put the parts into folders `train` and `test`, or into `x_train`,"
                " `y_train`, `x_test`, `y_test`",
            )
        held.append(random.permutation(members)[: _held_count(len(members), share)])
    return _complement(len(labels), np.concatenate(held))


def divide_at_random(
    count: int, share: float, seed: int, where: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The same for samples without classes.

    Raises:
        DataError: there is a single sample.
    """
    if count < 2:
        raise DataError(f"{where}: holds 1 sample, and needs one to train and one to test")
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, count])))
    return _complement(count, random.permutation(count)[: _held_count(count, share)])


def _held_count(count: int, share: float) -> int:
    return min(max(round(count * share), 1), count - 1)


def _complement(count: int, held: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    test = np.sort(held).astype(np.int64)
    return np.delete(np.arange(count, dtype=np.int64), test), test


def first_of_each(labels: Labels, limit: int | None) -> NDArray[np.int64]:
    """The samples that a limit leaves: the first ones of each class, or of all where there are targets."""
    if limit is None:
        return np.arange(len(labels))
    if labels.dtype != np.int64:
        return np.arange(min(limit, len(labels)))
    order = np.argsort(labels, kind="stable")
    ranks = np.empty(len(labels), np.int64)
    starts = np.searchsorted(labels[order], labels[order])
    ranks[order] = np.arange(len(labels)) - starts
    return np.flatnonzero(ranks < limit)


def check_classes(labels: NDArray[np.int64], names: Sequence[str], where: str) -> None:
    """Whether each class occurs in the training part.

    Raises:
        DataError: one does not.
    """
    counts = np.bincount(labels, minlength=len(names))
    if len(missing := np.flatnonzero(counts == 0)):
        raise DataError(
            f"{where}: class `{names[missing[0]]}` has no samples to train on",
            "a class without samples cannot be learned: leave it out, or add some",
        )


def check_finite(x: NDArray[np.floating], where: str, first: int = 0, what: str = "sample") -> None:
    """Whether all values are numbers; `first` is the number of the first row, for the message.

    Raises:
        DataError: a value is not; the message names its sample and place.
    """
    with np.errstate(all="ignore"):
        if np.isfinite(x.sum(dtype=np.float64)):  # one pass; a finite sum has finite parts
            return
    if len(wrong := np.argwhere(~np.isfinite(x))):
        place = tuple(map(int, wrong[0]))
        inside = f" at ({', '.join(map(str, place[1:]))})" if len(place) > 1 else ""
        raise DataError(
            f"{where}: {what} {first + place[0]} holds {x[place]}{inside}",
            "every value must be a number: leave such samples out, or fill the gaps",
        )


def words(shape: Shape) -> str:
    """A shape in words, also that of a single number."""
    return "x".join(map(str, shape)) or "one number"
