"""What a data set is to the training loop, and the error that says why one cannot be had."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnspec.training.errors import TrainingError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class DataError(TrainingError):
    """A data set cannot be used; the message names the file where it is about one."""


@dataclass(frozen=True, eq=False)
class DataSet:
    """Labelled images in two parts, ready for a network.

    Attributes:
        name: the keyword of the data set.
        train_x: `N x C x H x W`, float32.
        train_y: `N` class numbers, int64.
        test_x: as `train_x`, for the part that is only evaluated.
        test_y: as `train_y`.
        class_names: the name of each class, by number.
    """

    name: str
    train_x: NDArray[np.float32]
    train_y: NDArray[np.int64]
    test_x: NDArray[np.float32]
    test_y: NDArray[np.int64]
    class_names: tuple[str, ...]
