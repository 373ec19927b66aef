"""Activations."""

# mypy: disable-error-code="no-any-return, arg-type, index"
# The code is to be read: what NumPy's annotations do not know of `...` in an index is not spelled out.

from __future__ import annotations

import math

import numpy as np

from cnnspec.bridges.numpy_source.lessons.layer import Array, Layer, at_channels, sum_per_channel


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
        """`y (1 - y)`."""
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
        """`y (dy - sum(dy y))`."""
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
