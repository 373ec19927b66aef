"""Activations that saturate, and softmax over the channels."""

from __future__ import annotations

from typing import ClassVar

from cnnspec.layers.base import Family, Layer, Shape
from cnnspec.layers.declaration import option
from cnnspec.layers.options import positive


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


class HardSigmoid(_Activation):
    """Piecewise linear sigmoid: `min(max(x / 6 + 1/2, 0), 1)`.

    The form of Howard et al. 2019 (MobileNetV3, arXiv:1905.02244) and of PyTorch; the slope of 1/5 that some
    systems use is another function.
    """

    example: ClassVar[str] = "hard_sigmoid"


class Tanh(_Activation):
    """Hyperbolic tangent: `amplitude * tanh(slope * x)`.

    LeNet-5 squashes with an amplitude of 1.7159 and a slope of 2/3 (LeCun et al. 1998, appendix A).
    """

    example: ClassVar[str] = "tanh"

    amplitude: float = option(positive, "the value that the function tends to", default=1)
    slope: float = option(positive, "what the input is multiplied with", default=1)


class Softmax(_Activation):
    """Softmax over the channels: `exp(x) / sum(exp(x))`, at each position of a map apart."""

    example: ClassVar[str] = "softmax"
    takes_logits: ClassVar[bool] = True


class LogSoftmax(_Activation):
    """Logarithm of the softmax over the channels: `x - log(sum(exp(x)))`, at each position of a map apart.

    At the end of a network it gives log-probabilities; `cross_entropy` after it is computed from the logits.
    """

    example: ClassVar[str] = "log_softmax"
    takes_logits: ClassVar[bool] = True
