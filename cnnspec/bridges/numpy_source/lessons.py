"""Layers in plain NumPy, written to be read: forward and backward one above the other.

A file that `cnnspec export --to numpy` writes holds those of these classes that its network needs, word for
word. Arrays are N x C x H x W, with any number of spatial axes. A layer keeps from `forward` what `backward`
needs; `backward` takes the gradient of its output, fills `gradients`, and gives those of its inputs.
"""

# mypy: disable-error-code="no-any-return, arg-type, index"
# The code is to be read: what NumPy's annotations do not know of `...` in an index is not spelled out.

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

RANDOM = np.random.default_rng(0)
"""What initial weights and dropout are drawn from."""


class Layer:
    """What all layers share: weights by name, and their gradients after `backward`."""

    def __init__(self) -> None:
        self.weights: dict[str, Array] = {}
        self.gradients: dict[str, Array] = {}
        self.training = False
        self.kept: Any = None

    def forward(self, *inputs: Array) -> Array:
        """The output for a batch."""
        raise NotImplementedError

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """The gradient of each input for the gradient of the output."""
        raise NotImplementedError


def normal(shape: tuple[int, ...], inputs: int) -> Array:
    """Random weights for so many inputs a unit, as He et al. (2015) have them."""
    return RANDOM.normal(0, math.sqrt(2 / max(inputs, 1)), shape)


def at_channels(numbers: Array, like: Array) -> Array:
    """One number a channel, in a shape that goes with N x C x H x W."""
    return numbers.reshape(1, -1, *(1,) * (like.ndim - 2))


def sum_per_channel(x: Array) -> Array:
    """The sum of each channel over samples and positions."""
    return x.sum(axis=(0, *range(2, x.ndim)))


# --- windows --------------------------------------------------------------------------------------------


def places(
    kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...], outputs: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], tuple[Any, ...]]]:
    """For each element of a kernel its place, and the positions of the padded map that it meets.

    The element at `k` meets position `k * dilation + o * stride` for each output `o`.
    """
    for place in np.ndindex(*kernel):
        starts = [k * d for k, d in zip(place, dilation, strict=True)]
        ranges = zip(starts, stride, outputs, strict=True)
        yield place, (..., *(slice(a, a + s * (n - 1) + 1, s) for a, s, n in ranges))


def count_windows(
    room: tuple[int, ...], kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[int, ...]:
    """How many windows fit along each axis of a padded map: (n - d (k - 1) - 1) / s + 1."""
    axes = zip(room, kernel, stride, dilation, strict=True)
    return tuple((n - d * (k - 1) - 1) // s + 1 for n, k, s, d in axes)


def padded(x: Array, ends: tuple[tuple[int, int], ...], value: float = 0.0) -> Array:
    """A map with positions added before and behind each axis."""
    return np.pad(x, [(0, 0), (0, 0), *ends], constant_values=value)


def inside(ends: tuple[tuple[int, int], ...], sizes: tuple[int, ...]) -> tuple[Any, ...]:
    """Where in a padded map the map itself lies."""
    return (..., *(slice(before, before + n) for (before, _), n in zip(ends, sizes, strict=True)))


class Conv(Layer):
    """Convolution: at each place of the kernel, a matrix product of the channels with what lies there."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel: tuple[int, ...],
        stride: tuple[int, ...] = (),
        dilation: tuple[int, ...] = (),
        padding: tuple[tuple[int, int], ...] = (),
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        ones = (1,) * len(kernel)
        self.kernel, self.stride, self.dilation = kernel, stride or ones, dilation or ones
        self.padding, self.groups = padding or ((0, 0),) * len(kernel), groups
        depth = in_channels // groups
        self.weights["weight"] = normal((channels, depth, *kernel), depth * math.prod(kernel))
        if bias:
            self.weights["bias"] = np.zeros(channels)

    def kernels(self) -> Array:
        """The weight, (channels, C / groups, kh, kw)."""
        return self.weights["weight"]

    def forward(self, *inputs: Array) -> Array:
        """N x C x H x W to N x channels x Ho x Wo."""
        (x,) = inputs
        g, weight = self.groups, self.kernels()
        w = weight.reshape(g, -1, *weight.shape[1:])  # (g, O/g, C/g, kh, kw)
        xp = padded(x, self.padding)
        outputs = count_windows(xp.shape[2:], self.kernel, self.stride, self.dilation)
        xg = xp.reshape(len(x), g, -1, *xp.shape[2:])  # (N, g, C/g, H, W)
        y = np.zeros((len(x), g, w.shape[1], *outputs), x.dtype)
        for place, where in places(self.kernel, self.stride, self.dilation, outputs):
            y += np.einsum("ngi...,goi->ngo...", xg[where], w[(..., *place)])
        self.kept = x.shape, xg, w, outputs
        y = y.reshape(len(x), -1, *outputs)
        return y + at_channels(self.weights["bias"], y) if "bias" in self.weights else y

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """Each place of the kernel sends the gradient back where it took its input from."""
        shape, xg, w, outputs = self.kept
        dyg = dy.reshape(*xg.shape[:2], -1, *outputs)
        dw, dx = np.zeros(w.shape, dy.dtype), np.zeros(xg.shape, dy.dtype)
        flat = dyg.reshape(*dyg.shape[:3], -1)
        for place, where in places(self.kernel, self.stride, self.dilation, outputs):
            seen = xg[where].reshape(*xg.shape[:3], -1)
            dw[(..., *place)] = np.einsum("ngop,ngip->goi", flat, seen)
            dx[where] += np.einsum("ngo...,goi->ngi...", dyg, w[(..., *place)])
        self.take_gradient(dw.reshape(-1, *dw.shape[2:]))
        if "bias" in self.weights:
            self.gradients["bias"] = sum_per_channel(dy)
        dx = dx.reshape(shape[0], shape[1], *xg.shape[3:])
        return (dx[inside(self.padding, shape[2:])],)

    def take_gradient(self, dw: Array) -> None:
        """Keep the gradient of the kernels."""
        self.gradients["weight"] = dw


class TableConv(Conv):
    """A convolution each of whose outputs sees the input channels of its list only."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        connections: tuple[tuple[int, ...], ...],
        kernel: tuple[int, ...],
        stride: tuple[int, ...] = (),
        dilation: tuple[int, ...] = (),
        padding: tuple[tuple[int, int], ...] = (),
        bias: bool = True,
    ) -> None:
        super().__init__(in_channels, channels, kernel, stride, dilation, padding, 1, bias)
        pairs = [(output, seen) for output, inputs in enumerate(connections) for seen in inputs]
        self.pairs = tuple(np.array(numbers) for numbers in zip(*pairs, strict=True))
        self.shape = self.weights["weight"].shape
        self.weights["weight"] = self.weights["weight"][self.pairs]

    def kernels(self) -> Array:
        """The kernels of the table among zeros."""
        full = np.zeros(self.shape, self.weights["weight"].dtype)
        full[self.pairs] = self.weights["weight"]
        return full

    def take_gradient(self, dw: Array) -> None:
        """Keep the gradient of the kernels that there are."""
        self.gradients["weight"] = dw[self.pairs]


class ConvTranspose(Layer):
    """Transposed convolution: each input adds its multiple of the kernel to the output."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel: tuple[int, ...],
        stride: tuple[int, ...] = (),
        dilation: tuple[int, ...] = (),
        cut: tuple[tuple[int, int], ...] = (),
        extra: tuple[int, ...] = (),
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        ones, axes = (1,) * len(kernel), len(kernel)
        self.kernel, self.stride, self.dilation = kernel, stride or ones, dilation or ones
        self.cut, self.extra, self.groups = cut or ((0, 0),) * axes, extra or (0,) * axes, groups
        depth = channels // groups
        self.weights["weight"] = normal((in_channels, depth, *kernel), in_channels // groups)
        if bias:
            self.weights["bias"] = np.zeros(channels)

    def forward(self, *inputs: Array) -> Array:
        """N x C x H x W to N x channels x Ho x Wo."""
        (x,) = inputs
        g, sizes = self.groups, x.shape[2:]
        w = self.weights["weight"].reshape(g, -1, *self.weights["weight"].shape[1:])  # (g, C/g, O/g, kh, kw)
        whole = tuple(
            (n - 1) * s + d * (k - 1) + 1 + e
            for n, s, d, k, e in zip(sizes, self.stride, self.dilation, self.kernel, self.extra, strict=True)
        )
        xg = x.reshape(len(x), g, -1, *sizes)
        y = np.zeros((len(x), g, w.shape[2], *whole), x.dtype)
        for place, where in places(self.kernel, self.stride, self.dilation, sizes):
            y[where] += np.einsum("ngi...,gio->ngo...", xg, w[(..., *place)])
        kept = tuple(n - before - after for n, (before, after) in zip(whole, self.cut, strict=True))
        self.kept = xg, w, y.shape, kept
        y = y.reshape(len(x), -1, *whole)[inside(self.cut, kept)]
        return y + at_channels(self.weights["bias"], y) if "bias" in self.weights else y

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """What was cut off has no gradient; each place of the kernel gathers its own."""
        xg, w, shape, kept = self.kept
        whole = np.zeros(shape, dy.dtype)
        whole[inside(self.cut, kept)] = dy.reshape(*shape[:3], *kept)
        dw, dx = np.zeros(w.shape, dy.dtype), np.zeros(xg.shape, dy.dtype)
        flat = xg.reshape(*xg.shape[:3], -1)
        for place, where in places(self.kernel, self.stride, self.dilation, xg.shape[3:]):
            met = whole[where]
            dw[(..., *place)] = np.einsum("ngip,ngop->gio", flat, met.reshape(*met.shape[:3], -1))
            dx += np.einsum("ngo...,gio->ngi...", met, w[(..., *place)])
        self.gradients["weight"] = dw.reshape(self.weights["weight"].shape)
        if "bias" in self.weights:
            self.gradients["bias"] = sum_per_channel(dy)
        return (dx.reshape(len(dx), -1, *dx.shape[3:]),)


# --- dense layers ---------------------------------------------------------------------------------------


class Dense(Layer):
    """Fully connected: y = x W^T + b, of the flattened input."""

    def __init__(self, inputs: int, units: int, bias: bool = True) -> None:
        super().__init__()
        self.weights["weight"] = normal((units, inputs), inputs)
        if bias:
            self.weights["bias"] = np.zeros(units)

    def forward(self, *inputs: Array) -> Array:
        """N x ... to N x units."""
        (x,) = inputs
        self.kept = x
        y = x.reshape(len(x), -1) @ self.weights["weight"].T
        return y + self.weights["bias"] if "bias" in self.weights else y

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """DW = dy^T x, dx = dy W."""
        x = self.kept
        self.gradients["weight"] = dy.T @ x.reshape(len(x), -1)
        if "bias" in self.weights:
            self.gradients["bias"] = dy.sum(axis=0)
        return ((dy @ self.weights["weight"]).reshape(x.shape),)


class SquaredDistances(Layer):
    """The squared distance of the input to each of some centres."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.weights["centers"] = normal((units, inputs), 2)

    def forward(self, *inputs: Array) -> Array:
        """N x ... to N x units."""
        (x,) = inputs
        self.kept = x.shape, x.reshape(len(x), 1, -1) - self.weights["centers"]  # (N, units, n)
        return np.asarray((self.kept[1] ** 2).sum(axis=2))

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """Each difference d counts 2 d."""
        shape, difference = self.kept
        slope = 2 * difference * dy[:, :, None]
        self.gradients["centers"] = -slope.sum(axis=0)
        return (slope.sum(axis=1).reshape(shape),)


class Embedding(Layer):
    """A vector for each token, which stands along the channels."""

    def __init__(self, vocabulary: int, dimension: int) -> None:
        super().__init__()
        self.weights["weight"] = normal((vocabulary, dimension), 2)

    def forward(self, *inputs: Array) -> Array:
        """N x n to N x dimension x n."""
        (x,) = inputs
        self.kept = x
        return np.moveaxis(self.weights["weight"][x.astype(int)], 2, 1)

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """A token's vector gets the gradients of all places where it stood."""
        gradient = np.zeros_like(self.weights["weight"])
        np.add.at(gradient, self.kept.astype(int), np.moveaxis(dy, 1, 2))
        self.gradients["weight"] = gradient
        return (np.zeros_like(self.kept),)


# --- pooling --------------------------------------------------------------------------------------------


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
        """Dx = x dy / y, and 0 where a window is 0."""
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


# --- normalization --------------------------------------------------------------------------------------


def standardized(x: Array, axes: tuple[int, ...], epsilon: float) -> tuple[Array, Array]:
    """Elements with mean 0 and variance 1 over some axes, and what they were divided by."""
    deviation = np.sqrt(x.var(axis=axes, keepdims=True) + epsilon)
    return (x - x.mean(axis=axes, keepdims=True)) / deviation, deviation


def through_standardized(dz: Array, z: Array, deviation: Array, axes: tuple[int, ...]) -> Array:
    """Dx = (dz - mean(dz) - z mean(dz z)) / deviation: what z shares with mean and variance is taken off."""
    shared = dz.mean(axis=axes, keepdims=True) + z * (dz * z).mean(axis=axes, keepdims=True)
    return np.asarray((dz - shared) / deviation)


class BatchNorm(Layer):
    """Each channel over the batch: in training by its own mean and variance, else by the running ones."""

    def __init__(self, channels: int, epsilon: float, momentum: float, affine: bool = True) -> None:
        super().__init__()
        self.epsilon, self.momentum = epsilon, momentum
        if affine:
            self.weights["weight"], self.weights["bias"] = np.ones(channels), np.zeros(channels)
        self.weights["running_mean"], self.weights["running_var"] = np.zeros(channels), np.ones(channels)

    def forward(self, *inputs: Array) -> Array:
        """The same shape."""
        (x,) = inputs
        axes = (0, *range(2, x.ndim))
        if self.training:
            z, deviation = standardized(x, axes, self.epsilon)
            self.follow(x, axes)
        else:
            deviation = np.sqrt(at_channels(self.weights["running_var"], x) + self.epsilon)
            z = (x - at_channels(self.weights["running_mean"], x)) / deviation
        self.kept = z, deviation, axes
        if "weight" not in self.weights:
            return z
        return np.asarray(z * at_channels(self.weights["weight"], z) + at_channels(self.weights["bias"], z))

    def follow(self, x: Array, axes: tuple[int, ...]) -> None:
        """Move the running statistics towards those of the batch."""
        count = x.size // x.shape[1]
        batch = {
            "running_mean": x.mean(axis=axes),
            "running_var": x.var(axis=axes) * count / max(count - 1, 1),
        }
        for name, value in batch.items():
            self.weights[name] = (1 - self.momentum) * self.weights[name] + self.momentum * value

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """In training the statistics depend on the input as well."""
        z, deviation, axes = self.kept
        if "weight" in self.weights:
            self.gradients["weight"], self.gradients["bias"] = sum_per_channel(dy * z), sum_per_channel(dy)
            dy = dy * at_channels(self.weights["weight"], dy)
        return (through_standardized(dy, z, deviation, axes) if self.training else dy / deviation,)


class Norm(Layer):
    """Normalization of groups of a sample's elements; `over` says which, as a shape and its axes."""

    def __init__(
        self,
        apart: tuple[int, ...],
        axes: tuple[int, ...],
        weight: tuple[int, ...] | None,
        epsilon: float,
    ) -> None:
        super().__init__()
        self.apart, self.axes, self.epsilon = apart, axes, epsilon
        if weight is not None:
            self.weights["weight"], self.weights["bias"] = np.ones(weight), np.zeros(weight)

    def wide(self, name: str, x: Array) -> Array:
        """A weight in a shape that goes with the map."""
        weight = self.weights[name]
        return weight if weight.ndim == x.ndim - 1 else at_channels(weight, x)

    def forward(self, *inputs: Array) -> Array:
        """The same shape."""
        (x,) = inputs
        z, deviation = standardized(x.reshape(len(x), *self.apart), self.axes, self.epsilon)
        self.kept = z, deviation
        z = z.reshape(x.shape)
        return z * self.wide("weight", x) + self.wide("bias", x) if self.weights else z

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """Mean and variance depend on the input as well."""
        z, deviation = self.kept
        dz = dy
        if self.weights:
            every = dy * z.reshape(dy.shape)
            alike = self.weights["weight"].ndim == dy.ndim - 1
            self.gradients["weight"] = every.sum(axis=0) if alike else sum_per_channel(every)
            self.gradients["bias"] = dy.sum(axis=0) if alike else sum_per_channel(dy)
            dz = dy * self.wide("weight", dy)
        dx = through_standardized(dz.reshape(z.shape), z, deviation, self.axes)
        return (dx.reshape(dy.shape),)


class LocalResponseNorm(Layer):
    """Each element divided by what the neighbouring channels hold: y = x / (k + alpha mean(x^2))^beta."""

    def __init__(self, size: int, alpha: float, beta: float, k: float) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def means(self, x: Array, before: int) -> Array:
        """The sum over `size` neighbouring channels divided by their number, those outside being 0."""
        ends = [(0, 0), (before, self.size - 1 - before), *((0, 0),) * (x.ndim - 2)]
        wide = np.pad(x, ends)
        return np.asarray(sum(wide[:, i : i + x.shape[1]] for i in range(self.size)) / self.size)

    def forward(self, *inputs: Array) -> Array:
        """The same shape."""
        (x,) = inputs
        divisor = self.k + self.alpha * self.means(x**2, self.size // 2)
        self.kept = x, divisor
        return np.asarray(x / divisor**self.beta)

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """Each element counts by itself, and in the divisors of its neighbours."""
        x, divisor = self.kept
        shared = dy * x * self.beta / divisor ** (self.beta + 1)
        neighbours = self.means(shared, self.size - 1 - self.size // 2)
        return (dy / divisor**self.beta - 2 * self.alpha * x * neighbours,)


class Scale(Layer):
    """A factor for each channel, and a bias where there is one."""

    def __init__(self, channels: int, initial: float = 1.0, bias: bool = False) -> None:
        super().__init__()
        self.weights["weight"] = np.full(channels, initial)
        if bias:
            self.weights["bias"] = np.zeros(channels)

    def forward(self, *inputs: Array) -> Array:
        """The same shape."""
        (x,) = inputs
        self.kept = x
        y = x * at_channels(self.weights["weight"], x)
        return y + at_channels(self.weights["bias"], x) if "bias" in self.weights else y

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """Channel by channel."""
        self.gradients["weight"] = sum_per_channel(dy * self.kept)
        if "bias" in self.weights:
            self.gradients["bias"] = sum_per_channel(dy)
        return (dy * at_channels(self.weights["weight"], dy),)


class Dropout(Layer):
    """In training each element is dropped with a probability, and the others are scaled up."""

    def __init__(self, drop_probability: float) -> None:
        super().__init__()
        self.drop_probability = drop_probability

    def forward(self, *inputs: Array) -> Array:
        """The same shape."""
        (x,) = inputs
        kept = RANDOM.random(x.shape) >= self.drop_probability
        self.kept = kept / (1 - self.drop_probability) if self.training else np.ones(())
        return np.asarray(x * self.kept)

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """What was dropped has no gradient."""
        return (dy * self.kept,)


# --- activations ----------------------------------------------------------------------------------------


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), which cannot overflow in this form."""
    return (1 + np.tanh(x / 2)) / 2


class Relu(Layer):
    """max(x, 0)."""

    def forward(self, *inputs: Array) -> Array:
        """Element by element."""
        self.kept = inputs[0] > 0
        return np.where(self.kept, inputs[0], 0)

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """1 above 0, else 0."""
        return (dy * self.kept,)


class Relu6(Layer):
    """min(max(x, 0), 6)."""

    def forward(self, *inputs: Array) -> Array:
        """Element by element."""
        self.kept = (inputs[0] > 0) & (inputs[0] < 6)
        return np.clip(inputs[0], 0, 6)

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """1 between 0 and 6."""
        return (dy * self.kept,)


class LeakyRelu(Layer):
    """x above 0, else slope x."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, *inputs: Array) -> Array:
        """Element by element."""
        self.kept = np.where(inputs[0] > 0, 1.0, self.slope)
        return np.asarray(inputs[0] * self.kept)

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """1 above 0, else the slope."""
        return (dy * self.kept,)


class Prelu(Layer):
    """x above 0, else slope x, where the slope of each channel, or the only one, is learned."""

    def __init__(self, slopes: int) -> None:
        super().__init__()
        self.weights["slope"] = np.full(slopes, 0.25)

    def forward(self, *inputs: Array) -> Array:
        """Element by element."""
        (x,) = inputs
        self.kept = x
        return np.where(x > 0, x, at_channels(self.weights["slope"], x) * x)

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """The slope's gradient is that of what lies below 0."""
        x = self.kept
        below = sum_per_channel(np.where(x > 0, 0, dy * x))
        self.gradients["slope"] = below if len(self.weights["slope"]) > 1 else below.sum(keepdims=True)
        return (np.where(x > 0, dy, dy * at_channels(self.weights["slope"], x)),)


class Elu(Layer):
    """x above 0, else alpha (exp(x) - 1); all of it times a scale."""

    def __init__(self, alpha: float, scale: float = 1.0) -> None:
        super().__init__()
        self.alpha, self.scale = alpha, scale

    def forward(self, *inputs: Array) -> Array:
        """Element by element."""
        (x,) = inputs
        below = self.alpha * np.expm1(np.minimum(x, 0))
        self.kept = x > 0, below
        return np.asarray(self.scale * np.where(x > 0, x, below))

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """Alpha exp(x) = alpha (exp(x) - 1) + alpha."""
        above, below = self.kept
        return (dy * self.scale * np.where(above, 1, below + self.alpha),)


class Sigmoid(Layer):
    """1 / (1 + exp(-x))."""

    def forward(self, *inputs: Array) -> Array:
        """Element by element."""
        self.kept = sigmoid(inputs[0])
        return np.asarray(self.kept)

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """Y (1 - y)."""
        return (dy * self.kept * (1 - self.kept),)


class HardSigmoid(Layer):
    """min(max(x / 6 + 1/2, 0), 1)."""

    def forward(self, *inputs: Array) -> Array:
        """Element by element."""
        self.kept = np.abs(inputs[0]) < 3
        return np.clip(inputs[0] / 6 + 0.5, 0, 1)

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """1/6 between -3 and 3."""
        return (dy * self.kept / 6,)


class Tanh(Layer):
    """amplitude tanh(slope x)."""

    def __init__(self, amplitude: float = 1.0, slope: float = 1.0) -> None:
        super().__init__()
        self.amplitude, self.slope = amplitude, slope

    def forward(self, *inputs: Array) -> Array:
        """Element by element."""
        self.kept = np.tanh(self.slope * inputs[0])
        return np.asarray(self.amplitude * self.kept)

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """Amplitude slope (1 - tanh^2)."""
        return (dy * self.amplitude * self.slope * (1 - self.kept**2),)


class Softplus(Layer):
    """log(1 + exp(x))."""

    def forward(self, *inputs: Array) -> Array:
        """Element by element."""
        self.kept = inputs[0]
        return np.asarray(np.logaddexp(inputs[0], 0))

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """The sigmoid."""
        return (dy * sigmoid(self.kept),)


class Silu(Layer):
    """x sigmoid(x)."""

    def forward(self, *inputs: Array) -> Array:
        """Element by element."""
        self.kept = inputs[0]
        return inputs[0] * sigmoid(inputs[0])

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """S + x s (1 - s)."""
        x, s = self.kept, sigmoid(self.kept)
        return (dy * (s + x * s * (1 - s)),)


class Mish(Layer):
    """x tanh(log(1 + exp(x)))."""

    def forward(self, *inputs: Array) -> Array:
        """Element by element."""
        gate = np.tanh(np.logaddexp(inputs[0], 0))
        self.kept = inputs[0], gate
        return np.asarray(inputs[0] * gate)

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """T + x (1 - t^2) sigmoid(x), with t the gate."""
        x, gate = self.kept
        return (dy * (gate + x * (1 - gate**2) * sigmoid(x)),)


class HardSwish(Layer):
    """x min(max(x / 6 + 1/2, 0), 1)."""

    def forward(self, *inputs: Array) -> Array:
        """Element by element."""
        self.kept = inputs[0]
        return np.asarray(inputs[0] * np.clip(inputs[0] / 6 + 0.5, 0, 1))

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """X / 3 + 1/2 between -3 and 3, then 0 or 1."""
        x = self.kept
        return (dy * np.where(np.abs(x) < 3, x / 3 + 0.5, x > 0),)


class Gelu(Layer):
    """x Phi(x), Phi being the normal distribution, or its likeness by tanh."""

    def __init__(self, approximate: bool = False) -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, *inputs: Array) -> Array:
        """Element by element."""
        (x,) = inputs
        if self.approximate:
            t = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
            inner = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
            gate, slope = (1 + t) / 2, (1 - t**2) * inner / 2
        else:
            gate = (1 + np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2))) / 2
            slope = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
        self.kept = gate + x * slope
        return np.asarray(x * gate)

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """Phi(x) + x Phi'(x)."""
        return (dy * self.kept,)


class Softmax(Layer):
    """exp(x) / sum(exp(x)) over the channels; the largest is taken off first, which changes nothing."""

    def forward(self, *inputs: Array) -> Array:
        """N x C x ... to the same."""
        e = np.exp(inputs[0] - inputs[0].max(axis=1, keepdims=True))
        self.kept = e / e.sum(axis=1, keepdims=True)
        return np.asarray(self.kept)

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """Y (dy - sum(dy y))."""
        y = self.kept
        return (y * (dy - (dy * y).sum(axis=1, keepdims=True)),)


class LogSoftmax(Layer):
    """x - log(sum(exp(x))) over the channels."""

    def forward(self, *inputs: Array) -> Array:
        """N x C x ... to the same."""
        x = inputs[0] - inputs[0].max(axis=1, keepdims=True)
        y = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
        self.kept = np.exp(y)
        return np.asarray(y)

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """Dy - softmax(x) sum(dy)."""
        return (dy - self.kept * dy.sum(axis=1, keepdims=True),)


# --- joins and shapes -----------------------------------------------------------------------------------


def summed_to(dy: Array, shape: tuple[int, ...]) -> Array:
    """The gradient of an input that was repeated over the positions of a larger one."""
    repeated = tuple(axis for axis, n in enumerate(shape) if n == 1 < dy.shape[axis])
    return np.asarray(dy.sum(axis=repeated, keepdims=True))


class Add(Layer):
    """The sum of the inputs."""

    def forward(self, *inputs: Array) -> Array:
        """Element by element."""
        self.kept = [x.shape for x in inputs]
        return np.asarray(sum(inputs[1:], inputs[0]))

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """To each input alike."""
        return tuple(summed_to(dy, shape) for shape in self.kept)


class Mean(Add):
    """The mean of the inputs."""

    def forward(self, *inputs: Array) -> Array:
        """Element by element."""
        return super().forward(*inputs) / len(inputs)

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """To each input its share."""
        return super().backward(dy / len(self.kept))


class Multiply(Layer):
    """The product of the inputs."""

    def forward(self, *inputs: Array) -> Array:
        """Element by element."""
        self.kept = inputs
        y = inputs[0]
        for x in inputs[1:]:
            y = y * x
        return y

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """To each input the product of the others."""
        gradients = []
        for number, x in enumerate(self.kept):
            others = dy
            for other in (*self.kept[:number], *self.kept[number + 1 :]):
                others = others * other
            gradients.append(summed_to(others, x.shape))
        return tuple(gradients)


class Concat(Layer):
    """The inputs one behind the other along the channels."""

    def forward(self, *inputs: Array) -> Array:
        """N x C1 x ..., N x C2 x ... to N x (C1 + C2) x ..."""
        self.kept = np.cumsum([x.shape[1] for x in inputs])[:-1]
        return np.concatenate(inputs, axis=1)

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """To each input its channels."""
        return tuple(np.split(dy, self.kept, axis=1))


class Reshape(Layer):
    """The same elements in another shape."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, *inputs: Array) -> Array:
        """N x ... to N x shape."""
        self.kept = inputs[0].shape
        return inputs[0].reshape(len(inputs[0]), *self.shape)

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """Back in the old shape."""
        return (dy.reshape(self.kept),)


class Pick(Layer):
    """Elements taken from places that are numbers in the flattened sample; -1 is a constant.

    Cropping, padding, reordering and repeating are all of this kind.
    """

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.value = value

    def numbers(self, shape: tuple[int, ...]) -> Array:
        """For each element of the output the number of the input's element."""
        raise NotImplementedError

    def forward(self, *inputs: Array) -> Array:
        """N x shape to N x another shape."""
        (x,) = inputs
        numbers = self.numbers(x.shape[1:])
        self.kept = x.shape, numbers
        taken = x.reshape(len(x), -1)[:, numbers]
        return np.where(numbers < 0, self.value, taken)

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """Each element gets the gradients of all places where it was taken to."""
        shape, numbers = self.kept
        dx = np.zeros((shape[0], math.prod(shape[1:])), dy.dtype)
        known = numbers.ravel() >= 0
        np.add.at(dx, (slice(None), numbers.ravel()[known]), dy.reshape(shape[0], -1)[:, known])
        return (dx.reshape(shape),)


def counted(shape: tuple[int, ...]) -> Array:
    """The elements of a sample, counted."""
    return np.arange(math.prod(shape)).reshape(shape)


class Take(Pick):
    """A range of the channels."""

    def __init__(self, start: int, stop: int) -> None:
        super().__init__()
        self.start, self.stop = start, stop

    def numbers(self, shape: tuple[int, ...]) -> Array:
        """Channels from start to before stop."""
        return counted(shape)[self.start : self.stop]


class Crop(Pick):
    """Positions cut off both ends of each axis."""

    def __init__(self, cut: tuple[tuple[int, int], ...]) -> None:
        super().__init__()
        self.cut = cut

    def numbers(self, shape: tuple[int, ...]) -> Array:
        """The middle."""
        kept = tuple(n - a - b for n, (a, b) in zip(shape[1:], self.cut, strict=True))
        return np.asarray(counted(shape)[inside(self.cut, kept)])


class Pad(Pick):
    """Positions added to both ends of each axis: a constant, the map reflected, or its edge repeated."""

    def __init__(self, ends: tuple[tuple[int, int], ...], mode: str = "constant", value: float = 0.0) -> None:
        super().__init__(value)
        self.ends, self.mode = ends, mode

    def numbers(self, shape: tuple[int, ...]) -> Array:
        """The elements that stand in the added positions."""
        around = [(0, 0), *self.ends]
        if self.mode == "constant":
            return np.pad(counted(shape), around, constant_values=-1)
        return np.pad(counted(shape), around, mode="reflect" if self.mode == "reflect" else "edge")


class Shuffle(Pick):
    """Groups of channels mixed: the first of every group come first."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def numbers(self, shape: tuple[int, ...]) -> Array:
        """Channel g k + i becomes channel i groups + g."""
        apart = counted(shape).reshape(self.groups, -1, *shape[1:])
        return apart.swapaxes(0, 1).reshape(shape)


class PixelShuffle(Pick):
    """Groups of channels spread over the positions of a larger map."""

    def __init__(self, tile: tuple[int, ...]) -> None:
        super().__init__()
        self.tile = tile

    def numbers(self, shape: tuple[int, ...]) -> Array:
        """C rh rw x H x W to C x H rh x W rw."""
        axes = len(self.tile)
        apart = counted(shape).reshape(-1, *self.tile, *shape[1:])  # (C, rh, rw, H, W)
        order = [place for axis in range(axes) for place in (1 + axes + axis, 1 + axis)]
        larger = [n * r for n, r in zip(shape[1:], self.tile, strict=True)]
        return apart.transpose(0, *order).reshape(-1, *larger)  # (C, H, rh, W, rw)


class Enlarge(Pick):
    """Each position repeated along each axis."""

    def __init__(self, factors: tuple[int, ...]) -> None:
        super().__init__()
        self.factors = factors

    def numbers(self, shape: tuple[int, ...]) -> Array:
        """The position that each was made from."""
        found = counted(shape)
        for axis, factor in enumerate(self.factors, 1):
            found = np.repeat(found, factor, axis)
        return found


class Interpolate(Layer):
    """Linear interpolation between the centres of neighbouring positions, one axis after the other."""

    def __init__(self, factors: tuple[int, ...]) -> None:
        super().__init__()
        self.factors = factors

    def matrix(self, n: int, factor: int) -> Array:
        """The shares of n positions in n factor ones; output o lies at (o + 1/2) / factor - 1/2."""
        at = np.clip((np.arange(n * factor) + 0.5) / factor - 0.5, 0, n - 1)
        return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(n)))

    def forward(self, *inputs: Array) -> Array:
        """N x C x H x W to N x C x (H factor) x (W factor)."""
        y = inputs[0]
        self.kept = [self.matrix(n, f) for n, f in zip(y.shape[2:], self.factors, strict=True)]
        for axis, matrix in enumerate(self.kept, 2):
            y = np.moveaxis(np.moveaxis(y, axis, -1) @ matrix.T, -1, axis)
        return y

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """Each position gets its shares back."""
        for axis, matrix in enumerate(self.kept, 2):
            dy = np.moveaxis(np.moveaxis(dy, axis, -1) @ matrix, -1, axis)
        return (dy,)


# --- losses and weights ---------------------------------------------------------------------------------


def of_probabilities(y: Array, labels: Array) -> tuple[float, Array]:
    """Cross entropy of probabilities, its mean over the batch, and its gradient."""
    rows, dy = np.arange(len(y)), np.zeros_like(y)
    chosen = np.maximum(y[rows, labels], 1e-12)
    dy[rows, labels] = -1 / (chosen * len(y))
    return float(-np.log(chosen).mean()), dy


def of_logarithms(y: Array, labels: Array) -> tuple[float, Array]:
    """Cross entropy of logarithms of probabilities, its mean over the batch, and its gradient."""
    rows, dy = np.arange(len(y)), np.zeros_like(y)
    dy[rows, labels] = -1 / len(y)
    return float(-y[rows, labels].mean()), dy


def of_logits(y: Array, labels: Array) -> tuple[float, Array]:
    """Cross entropy of numbers before the softmax, its mean over the batch, and its gradient."""
    z = y - y.max(axis=1, keepdims=True)
    logarithms = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    loss, _ = of_logarithms(logarithms, labels)
    dy = np.exp(logarithms) / len(y)
    dy[np.arange(len(y)), labels] -= 1 / len(y)
    return loss, dy


def of_numbers(y: Array, labels: Array) -> tuple[float, Array]:
    """The mean squared difference from numbers of the same shape, and its gradient."""
    return float(((y - labels) ** 2).mean()), 2 * (y - labels) / y.size


def read_safetensors(path: str) -> dict[str, Array]:
    """The float32 arrays of a safetensors file: the length of a JSON header, the header, the bytes."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        content = file.read()
    header.pop("__metadata__", None)
    arrays = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        arrays[name] = np.frombuffer(content[first:last], "<f4").reshape(entry["shape"])
    return arrays


class Network:
    """Layers in order, each behind the values that it reads."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    frozen: tuple[str, ...] = ()
    """Layers whose weights a step leaves alone."""
    layers: list[tuple[str, Layer, list[str]]]

    def forward(self, *inputs: Array, training: bool = False) -> Any:  # noqa: ANN401 - one array or several
        """The output for a batch, N x C x H x W; several are a tuple."""
        self.values = dict(zip(self.inputs, inputs, strict=True))
        for name, layer, read in self.layers:
            layer.training = training
            self.values[name] = layer.forward(*(self.values[value] for value in read))
        ends = tuple(self.values[name] for name in self.outputs)
        return ends[0] if len(ends) == 1 else ends

    def backward(self, *dy: Array) -> Any:  # noqa: ANN401 - one array or several
        """The gradient of the input for that of the output; each layer has those of its weights then."""
        gradients: dict[str, Array] = {name: np.zeros_like(self.values[name]) for name in self.values}
        for name, gradient in zip(self.outputs, dy, strict=True):
            gradients[name] = gradients[name] + gradient
        for name, layer, read in reversed(self.layers):
            for value, gradient in zip(read, layer.backward(gradients[name]), strict=True):
                gradients[value] = gradients[value] + gradient
        ends = tuple(gradients[name] for name in self.inputs)
        return ends[0] if len(ends) == 1 else ends

    def train_step(self, x: Array, labels: Array, lr: float = 0.1) -> float:
        """One step of gradient descent on a batch; gives the loss before it."""
        loss, dy = self.loss(self.forward(x, training=True), labels)
        self.backward(dy)
        for _, layer, _ in (entry for entry in self.layers if entry[0] not in self.frozen):
            for name, gradient in layer.gradients.items():
                layer.weights[name] = layer.weights[name] - lr * gradient
        return loss

    def loss(self, y: Array, labels: Array) -> tuple[float, Array]:
        """The loss and its gradient."""
        raise NotImplementedError

    def load(self, path: str) -> None:
        """Take the weights of a safetensors file: `conv1.weight`, `conv1.bias`, ..."""
        arrays = read_safetensors(path)
        for name, layer, _ in self.layers:
            for weight in layer.weights:
                layer.weights[weight] = arrays[f"{name}.{weight}"].astype(float)
