"""Pooling: one number for each window."""

# mypy: disable-error-code="no-any-return, arg-type, index"
# The code is to be read: what NumPy's annotations do not know of `...` in an index is not spelled out.

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from cnnspec.bridges.numpy_source.lessons.layer import Array, Layer, at_channels, sum_per_channel
from cnnspec.bridges.numpy_source.lessons.windows import count_windows, inside, padded, places


class Pool(Layer):
    """What poolings share: a window that slides; `reach` is added around the map so that all windows fit."""

    def __init__(
        self,
        kernel: tuple[int, ...],
        stride: tuple[int, ...] = (),
        dilation: tuple[int, ...] = (),
        reach: tuple[tuple[int, int], ...] = (),
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.dilation = kernel, stride or kernel, dilation or (1,) * len(kernel)
        self.reach = reach or ((0, 0),) * len(kernel)

    def places(self, room: tuple[int, ...]) -> Iterator[tuple[Any, ...]]:
        """For each element of the window the positions that it meets on a padded map of this size."""
        outputs = count_windows(room, self.kernel, self.stride, self.dilation)
        for _, where in places(self.kernel, self.stride, self.dilation, outputs):
            yield where

    def room(self, sizes: tuple[int, ...]) -> tuple[int, ...]:
        """The size of the padded map."""
        return tuple(n + a + b for n, (a, b) in zip(sizes, self.reach, strict=True))

    def sums(self, x: Array) -> Array:
        """The sum of each window."""
        xp = padded(x, self.reach)
        return np.asarray(sum(xp[where] for where in self.places(xp.shape[2:])))

    def spread(self, dy: Array, sizes: tuple[int, ...]) -> Array:
        """Each window's gradient to all of its elements."""
        dx = np.zeros((*dy.shape[:2], *self.room(sizes)), dy.dtype)
        for where in self.places(dx.shape[2:]):
            dx[where] += dy
        return dx[inside(self.reach, sizes)]


class MaxPool(Pool):
    """The largest element of each window; the first of equals gets the gradient."""

    def forward(self, *inputs: Array) -> Array:
        """N x C x H x W to N x C x Ho x Wo."""
        (x,) = inputs
        xp = padded(x, self.reach, -math.inf)
        windows = np.stack([xp[where] for where in self.places(xp.shape[2:])])  # (kh * kw, N, C, Ho, Wo)
        self.kept = x.shape, windows.argmax(axis=0)
        return np.asarray(windows.max(axis=0))

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """The gradient goes to the element that was largest."""
        shape, largest = self.kept
        dx = np.zeros((*shape[:2], *self.room(shape[2:])), dy.dtype)
        for number, where in enumerate(self.places(dx.shape[2:])):
            dx[where] += dy * (largest == number)
        return (dx[inside(self.reach, shape[2:])],)


class AvgPool(Pool):
    """The mean of each window; `counted` is the padding that counts in the divisor."""

    def __init__(
        self,
        kernel: tuple[int, ...],
        stride: tuple[int, ...] = (),
        dilation: tuple[int, ...] = (),
        reach: tuple[tuple[int, int], ...] = (),
        counted: tuple[tuple[int, int], ...] | None = None,
    ) -> None:
        super().__init__(kernel, stride, dilation, reach)
        self.counted = self.reach if counted is None else counted

    def forward(self, *inputs: Array) -> Array:
        """N x C x H x W to N x C x Ho x Wo."""
        (x,) = inputs
        ones = padded(np.ones((1, 1, *x.shape[2:])), self.counted, 1.0)
        rest = tuple((a - c, b - d) for (a, b), (c, d) in zip(self.reach, self.counted, strict=True))
        ones = padded(ones, rest)
        self.kept = x.shape, sum(ones[where] for where in self.places(ones.shape[2:]))
        return self.sums(x) / self.kept[1]

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """Every element of a window counts alike."""
        shape, divisor = self.kept
        return (self.spread(dy / divisor, shape[2:]),)


class L2Pool(Pool):
    """The square root of the sum of squares of each window."""

    def forward(self, *inputs: Array) -> Array:
        """N x C x H x W to N x C x Ho x Wo."""
        (x,) = inputs
        self.kept = x, np.sqrt(self.sums(x**2))
        return np.asarray(self.kept[1])

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """`dx = x dy / y`, and 0 where a window is 0."""
        x, y = self.kept
        return (x * self.spread(np.where(y > 0, dy / np.where(y > 0, y, 1), 0), x.shape[2:]),)


class Subsample(Pool):
    """The sum of each window times its channel's coefficient, plus its bias (LeCun et al. 1998)."""

    def __init__(
        self,
        channels: int,
        kernel: tuple[int, ...],
        stride: tuple[int, ...] = (),
        dilation: tuple[int, ...] = (),
        reach: tuple[tuple[int, int], ...] = (),
    ) -> None:
        super().__init__(kernel, stride, dilation, reach)
        self.weights["coefficient"] = np.full(channels, 1 / math.prod(kernel))
        self.weights["bias"] = np.zeros(channels)

    def forward(self, *inputs: Array) -> Array:
        """N x C x H x W to N x C x Ho x Wo."""
        (x,) = inputs
        self.kept = x.shape, self.sums(x)
        sums = self.kept[1]
        return np.asarray(
            sums * at_channels(self.weights["coefficient"], sums) + at_channels(self.weights["bias"], sums)
        )

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """The coefficient's gradient is that of its sums."""
        shape, sums = self.kept
        self.gradients["coefficient"] = sum_per_channel(dy * sums)
        self.gradients["bias"] = sum_per_channel(dy)
        return (self.spread(dy * at_channels(self.weights["coefficient"], dy), shape[2:]),)


class BinPool(Layer):
    """What poolings to a given size share: each axis is cut into as many bins as there are outputs."""

    def __init__(self, outputs: tuple[int, ...]) -> None:
        super().__init__()
        self.outputs = outputs

    def bins(self, sizes: tuple[int, ...]) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
        """For each output its place, and the positions of its bin."""
        for place in np.ndindex(*self.outputs):
            cut = zip(place, sizes, self.outputs, strict=True)
            yield (..., *place), (..., *(slice(o * n // m, -(-(o + 1) * n // m)) for o, n, m in cut))


class BinMean(BinPool):
    """The mean of each bin."""

    def forward(self, *inputs: Array) -> Array:
        """N x C x H x W to N x C x Ho x Wo."""
        (x,) = inputs
        self.kept = x.shape
        y = np.zeros((*x.shape[:2], *self.outputs), x.dtype)
        for place, where in self.bins(x.shape[2:]):
            y[place] = x[where].mean(axis=tuple(range(2, x.ndim)))
        return y

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """Every element of a bin counts alike."""
        dx = np.zeros(self.kept, dy.dtype)
        spread = (..., *(None for _ in self.outputs))
        for place, where in self.bins(self.kept[2:]):
            area = math.prod(dx[where].shape[2:])
            dx[where] += dy[place][spread] / area
        return (dx,)


class BinMax(BinPool):
    """The largest element of each bin; the first of equals gets the gradient."""

    def forward(self, *inputs: Array) -> Array:
        """N x C x H x W to N x C x Ho x Wo."""
        (x,) = inputs
        self.kept = x
        y = np.zeros((*x.shape[:2], *self.outputs), x.dtype)
        for place, where in self.bins(x.shape[2:]):
            y[place] = x[where].max(axis=tuple(range(2, x.ndim)))
        return y

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """The gradient goes to the element that was largest."""
        x = self.kept
        dx = np.zeros(x.shape, dy.dtype)
        for place, where in self.bins(x.shape[2:]):
            part = x[where].reshape(*x.shape[:2], -1)
            largest = np.arange(part.shape[2]) == part.argmax(axis=2)[..., None]
            dx[where] += (largest * dy[place][..., None]).reshape(x[where].shape)
        return (dx,)
