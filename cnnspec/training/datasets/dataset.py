"""What a data set is to the training loop, and the error that says why one cannot be had."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from cnnspec.training.errors import TrainingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.layers.base import Shape


class DataError(TrainingError):
    """A data set cannot be used; the message names the file where it is about one."""


class Stream(Protocol):
    """Samples that are made when they are asked for: decoded or read from the disk, by several threads."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Their number, then the shape of one."""

    def __len__(self) -> int: ...

    def rows(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """The samples of these numbers, in a new array.

        Raises:
            DataError: the file of one cannot be read any more.
        """


Samples: TypeAlias = "NDArray[np.float32] | Stream"
"""All samples of a part: in memory, or made when they are asked for."""

Labels: TypeAlias = "NDArray[np.int64] | NDArray[np.float32]"
"""Class numbers, `N`; or targets, `N` and the shape of one."""


def rows_of(x: Samples, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """The samples of these numbers, in a new array."""
    return x[rows] if isinstance(x, np.ndarray) else x.rows(rows)


@dataclass(frozen=True, eq=False)
class Scale:
    """What normalising has made of the pixel values: black, and the range from black to white, by channel."""

    black: NDArray[np.float32] = field(default_factory=lambda: np.zeros(1, np.float32))
    range: NDArray[np.float32] = field(default_factory=lambda: np.ones(1, np.float32))


@dataclass(frozen=True, eq=False)
class DataSet:
    """Samples in two parts, each with its class or its target, ready for a network.

    Attributes:
        name: the keyword of the data set.
        train_x: `N x C x H x W`, or `N` and any other shape of a sample, float32.
        train_y: `N` class numbers, int64; or targets, `N` and the shape of one, float32.
        test_x: as `train_x`, for the part that is only evaluated.
        test_y: as `train_y`.
        class_names: the name of each class, by number; none where there are targets.
        scale: what the values of the samples mean.
    """

    name: str
    train_x: Samples
    train_y: Labels
    test_x: Samples
    test_y: Labels
    class_names: tuple[str, ...]
    scale: Scale = field(default_factory=Scale)

    @property
    def sample_shape(self) -> Shape:
        """Shape of one sample."""
        return self.train_x.shape[1:]

    @property
    def in_memory(self) -> bool:
        """Whether both parts are arrays."""
        return isinstance(self.train_x, np.ndarray) and isinstance(self.test_x, np.ndarray)
