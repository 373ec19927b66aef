"""What feeds training: the batches of an epoch, in an order that the seed and the epoch alone decide.

with feed(data, seed=recipe.seed, epoch=3, batch=64, augment=recipe.augment) as batches:
for one in batches:
model.train_batch(one.x, one.labels, one.indices)

with held_out(data, batch=64) as pieces:        # the test part: one piece where it is in memory
for one in pieces:
model.evaluate(one.x, one.labels)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray

    from cnnspec.recipe import Augmentation
    from cnnspec.training.datasets import DataSet


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples and their labels.

    Attributes:
        x: `N x C x H x W`, float32.
        labels: a label for each row of `x`: class numbers, or targets.
        indices: the rows of `x` and `labels` that make up the batch; nothing where it is all of them.
    """

    x: NDArray[np.float32]
    labels: NDArray[np.int64]
    indices: NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.x) if self.indices is None else len(self.indices)


class Feed:
    """An iterator over batches that must be closed: `with feed(...) as batches`."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        return next(self._batches)

    def close(self) -> None:
        """Stop at once; what has been prepared is dropped, and no thread stays."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def feed(
    data: DataSet,
    *,
    seed: int,
    epoch: int,
    batch: int,
    first: int = 0,
    augment: Sequence[Augmentation] = (),
) -> Feed:
    """The batches of an epoch of the training part, the last one as short as it comes.

    What they hold follows from the seed, the epoch and the number of the batch alone.

    Args:
        data: the data set.
        seed: of the run.
        epoch: its number, from 1.
        batch: samples in a batch.
        first: the number, from 0, of the batch to begin with.
        augment: what is done to each sample, in this order.
    """
    order = shuffled(len(data.train_y), seed, epoch)
    starts = range(first * batch, len(order), batch)
    return Feed(Batch(data.train_x, data.train_y, order[start : start + batch]) for start in starts)


def held_out(data: DataSet, *, batch: int) -> Feed:
    """The test part in its order: one piece where it is in memory, otherwise pieces of `batch` samples."""
    return Feed(iter([Batch(data.test_x, data.test_y, None)]))


def batches_in(data: DataSet, batch: int) -> int:
    """The number of batches in an epoch."""
    return -(-len(data.train_y) // batch)


def shuffled(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order in which an epoch sees the samples, a function of the seed and the epoch's number alone."""
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch])))
    return random.permutation(count)
