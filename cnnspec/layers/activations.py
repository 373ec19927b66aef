"""Activations: functions of single elements, and softmax over the channels."""

from __future__ import annotations

from typing import ClassVar

from cnnspec.layers.base import Family, Layer, Shape


class _Activation(Layer):
    """What activations share: the shape stays, and there are no weights."""

    family: ClassVar[Family] = "activation"

    def infer(self, *inputs: Shape) -> Shape:
        """The shape of the input."""
        return inputs[0]


class Relu(_Activation):
    """Rectified linear unit: `max(x, 0)`."""

    example: ClassVar[str] = "relu"


class Sigmoid(_Activation):
    """Logistic function: `1 / (1 + exp(-x))`."""

    example: ClassVar[str] = "sigmoid"


class Tanh(_Activation):
    """Hyperbolic tangent."""

    example: ClassVar[str] = "tanh"


class Softmax(_Activation):
    """Softmax over the channels: `exp(x) / sum(exp(x))`, at each position of a map apart."""

    example: ClassVar[str] = "softmax"
