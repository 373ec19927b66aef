"""Normalization, scales and dropout."""

# mypy: disable-error-code="no-any-return, arg-type, index"
# The code is to be read: what NumPy's annotations do not know of `...` in an index is not spelled out.

from __future__ import annotations

import numpy as np

from cnnspec.bridges.numpy_source.lessons.layer import RANDOM, Array, Layer, at_channels, sum_per_channel


def standardized(x: Array, axes: tuple[int, ...], epsilon: float) -> tuple[Array, Array]:
    """Elements with mean 0 and variance 1 over some axes, and what they were divided by."""
    deviation = np.sqrt(x.var(axis=axes, keepdims=True) + epsilon)
    return (x - x.mean(axis=axes, keepdims=True)) / deviation, deviation


def through_standardized(dz: Array, z: Array, deviation: Array, axes: tuple[int, ...]) -> Array:
    """`dx = (dz - mean(dz) - z mean(dz z)) / deviation`: what z shares with both is taken off."""
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
