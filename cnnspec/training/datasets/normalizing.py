"""Normalising: mean and deviation by channel, given or measured on the training part, applied to both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from cnnspec.training.datasets.dataset import DataError, Scale
from cnnspec.training.datasets.parts import Part, Parts
from cnnspec.training.datasets.pixels import FLAT, moments

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.recipe.data import Moments
    from cnnspec.training.datasets.dataset import Samples, Stream

MEASURED_VALUES: Final = 2**22
"""Values of a stream that are made at a time to be measured."""


@dataclass(frozen=True, eq=False)
class Normalized:
    """A stream whose samples are normalised as they are made."""

    source: Stream
    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the source."""
        return self.source.shape

    def __len__(self) -> int:
        return len(self.source)

    def rows(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """The normalised samples of these numbers."""
        x = self.source.rows(indices)
        _apply(x, self.mean, self.deviation)
        return x


def normalized(parts: Parts, how: bool | tuple[Moments, Moments]) -> tuple[Parts, Scale]:
    """Both parts normalised, arrays in place, and what has become of black and of the range to white.

    Raises:
        DataError: all training values are alike, or there are moments for another number of channels.
    """
    if how is False:
        return parts, Scale()
    channels = parts.train.x.shape[1]
    mean, deviation = _measured(parts.train.x) if how is True else _given(how, channels)
    scale = Scale(-mean / deviation, np.float32(1) / deviation)
    train, test = (_part(part, mean, deviation, parts.target) for part in (parts.train, parts.test))
    return replace(parts, train=train, test=test), scale


def _given(how: tuple[Moments, Moments], channels: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    if len(how[0]) not in (1, channels):
        raise DataError(
            f"`normalize` has moments for {len(how[0])} channels, and the samples have {channels}"
        )
    mean, deviation = (np.broadcast_to(np.array(values, np.float32), channels) for values in how)
    return mean, deviation


def _measured(x: Samples) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and deviation of each channel of the training part; a channel of one value is not divided."""
    if isinstance(x, np.ndarray):
        found = np.array([moments(x[:, channel]) for channel in range(x.shape[1])])
    else:
        found = _streamed(x)
    mean, deviation = found[:, 0], found[:, 1]
    if (deviation < FLAT).all():
        raise DataError("the training samples cannot be normalised: every value is the same")
    deviation = np.where(deviation < FLAT, 1.0, deviation)
    return mean.astype(np.float32), deviation.astype(np.float32)


def _streamed(x: Stream) -> NDArray[np.float64]:
    """The same of a stream, some samples at a time, summed in float64."""
    count, channels, *rest = x.shape
    size = int(np.prod(rest, dtype=np.int64))
    step = max(1, MEASURED_VALUES // (channels * size))
    total, squares = np.zeros(channels), np.zeros(channels)
    for first in range(0, count, step):
        values = x.rows(np.arange(first, min(first + step, count))).astype(np.float64)
        values = values.reshape(len(values), channels, -1)
        total += values.sum(axis=(0, 2))
        squares += np.einsum("ncs,ncs->c", values, values)
    mean = total / (count * size)
    return np.stack([mean, np.sqrt(np.maximum(squares / (count * size) - mean**2, 0))], axis=1)


def _part(part: Part, mean: NDArray[np.float32], deviation: NDArray[np.float32], target: int | None) -> Part:
    y = part.y
    if target is not None:
        y = (y - mean[target]) / deviation[target]
    if isinstance(part.x, np.ndarray):
        _apply(part.x, mean, deviation)
        return Part(part.x, y)
    return Part(Normalized(part.x, mean, deviation), y)


def _apply(x: NDArray[np.float32], mean: NDArray[np.float32], deviation: NDArray[np.float32]) -> None:
    """Subtract and divide in place, channel by channel."""
    shape = (-1, *(1,) * (x.ndim - 2))
    x -= mean.reshape(shape)
    x /= deviation.reshape(shape)
