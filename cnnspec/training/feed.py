"""What feeds training: the batches of an epoch, in an order that the seed and the epoch alone decide.

    with feed(data, seed=recipe.seed, epoch=3, batch=64, augment=recipe.augment) as batches:
        for one in batches:
            model.train_batch(one.x, one.labels, one.indices)

    with held_out(data, batch=64) as pieces:        # the test part: one piece where it is in memory
        for one in pieces:
            model.evaluate(one.x, one.labels)

Samples in memory that are not augmented are given by their numbers, and the model gathers them. All others
are made ahead by threads, a few batches at most; on few processors those in memory are made in between.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final, Self, TypeVar

import numpy as np

from cnnspec.layers.base import product
from cnnspec.training.augmentation import Augmenter
from cnnspec.training.datasets.dataset import DataSet, rows_of
from cnnspec.training.datasets.workers import workers
from cnnspec.training.machine import cpus

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray

    from cnnspec.recipe import Augmentation
    from cnnspec.training.datasets.dataset import Labels

AHEAD: Final = 2
"""Pieces that are made ahead, beside the one that each thread is making."""
FEW: Final = 2
"""Processors that training keeps busy all by itself."""
PIECE_VALUES: Final = 2**17
"""Small batches are made several at a time, up to so many values."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples and their labels.

    Attributes:
        x: `N x C x H x W`, float32.
        labels: a label for each row of `x`: class numbers, or targets.
        indices: the rows of `x` and `labels` that make up the batch; nothing where it is all of them.
    """

    x: NDArray[np.float32]
    labels: NDArray[np.int64] | NDArray[np.float32]
    indices: NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.x) if self.indices is None else len(self.indices)


Make = Callable[[], Sequence[Batch]]
"""What gives some batches, a piece, when it is called, in any thread."""


Stage = Callable[["NDArray[np.float32]"], "NDArray[np.float32]"]
"""Puts samples where the device that computes takes them from; called by the threads that make them."""

Share = tuple[int, int]
"""The number of a process, from 0, and how many there are."""
WHOLE: Final[Share] = (0, 1)

Rows = TypeVar("Rows")


class Feed:
    """An iterator over batches that must be closed: `with feed(...) as batches`.

    Without threads, batches are made when they are asked for. An error in making one is raised where it
    would have come.
    """

    def __init__(self, makes: Iterator[Make], threads: int = 0) -> None:
        self._makes = makes
        self._made: deque[Batch] = deque()
        self._coming: deque[Future[Sequence[Batch]]] = deque()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="cnnspec-feed") if threads else None
        self._ahead = threads + AHEAD

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        while not self._made:
            self._made.extend(self._next_piece())
        return self._made.popleft()

    def _next_piece(self) -> Sequence[Batch]:
        if self._pool is None:
            return next(self._makes)()
        while len(self._coming) < self._ahead and (make := next(self._makes, None)) is not None:
            self._coming.append(self._pool.submit(make))
        if not self._coming:
            raise StopIteration
        return self._coming.popleft().result()

    def close(self) -> None:
        """Stop: what has been made is dropped, and no thread stays."""
        self._makes = iter(())
        self._made.clear()
        self._coming.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

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
    share: Share = WHOLE,
    stage: Stage | None = None,
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
        share: of several processes, the part of every batch that is this one's.
        stage: applied to samples that threads make; with one, processors have little else to do.
    """
    x, labels, count = data.train_x, data.train_y, len(data.train_y)
    order = shuffled(count, seed, epoch)[first * batch :]
    if isinstance(x, np.ndarray) and not augment:
        return Feed(iter([_given(Batch(x, labels, _own(rows, share)) for rows in _cut(order, batch))]))
    change = Augmenter(augment, data.sample_shape, count, data.scale, seed, epoch)

    def make(rows: NDArray[np.int64]) -> Make:
        parts = [_own(part, share) for part in _cut(rows, batch)]
        own = np.concatenate(parts)
        return lambda: _batches(_staged(change(rows_of(x, own), own), stage), labels[own], parts)

    pieces = _cut(order, _piece(batch, data))
    beside = isinstance(x, np.ndarray) and stage is None
    return Feed((make(rows) for rows in pieces), _aside() if beside else workers())


def _staged(x: NDArray[np.float32], stage: Stage | None) -> NDArray[np.float32]:
    return x if stage is None else stage(x)


def _aside() -> int:
    """Threads that change samples in memory beside training.

    Where training has the few processors to itself, changing them in between costs less than it would take
    from the workers, who wait for each other.
    """
    return 1 if (cpus() or 1) > FEW else 0


def held_out(data: DataSet, *, batch: int, share: Share = WHOLE, stage: Stage | None = None) -> Feed:
    """The test part in its order: one piece where it is in memory, otherwise pieces of `batch` samples.

    Of several processes each has its share of every piece, which may be none.
    """
    x, labels = data.test_x, data.test_y
    if isinstance(x, np.ndarray):
        return Feed(iter([_given([Batch(_own(x, share), _own(labels, share), None)])]))

    def make(rows: NDArray[np.int64]) -> Make:
        parts = [_own(part, share) for part in _cut(rows, batch)]
        own = np.concatenate(parts)
        return lambda: _batches(_staged(rows_of(x, own), stage), labels[own], parts)

    pieces = _cut(np.arange(len(labels)), _piece(batch, data))
    return Feed((make(rows) for rows in pieces), workers())


def _piece(batch: int, data: DataSet) -> int:
    """Samples that are made at a time: those of whole batches."""
    return batch * max(1, PIECE_VALUES // (batch * product(data.sample_shape)))


def _cut(order: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    return (order[start : start + size] for start in range(0, len(order), size))


def _own(rows: Rows, share: Share) -> Rows:
    """The rows that are one process's: every so many, so that none has more than one above another."""
    first, step = share
    return rows[first::step]  # type: ignore[index, no-any-return]


def _batches(x: NDArray[np.float32], labels: Labels, parts: Sequence[NDArray[np.int64]]) -> list[Batch]:
    """Samples cut into batches of as many as there are row numbers in each part."""
    ends = list(accumulate(map(len, parts)))
    return [Batch(x[a:b], labels[a:b], None) for a, b in zip([0, *ends], ends, strict=False)]


def _given(batches: Iterable[Batch]) -> Make:
    made = tuple(batches)
    return lambda: made


def batches_in(data: DataSet, batch: int) -> int:
    """The number of batches in an epoch."""
    return -(-len(data.train_y) // batch)


def shuffled(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order in which an epoch sees the samples, a function of the seed and the epoch's number alone."""
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch])))
    return random.permutation(count)
