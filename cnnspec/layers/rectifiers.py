"""Rectifiers: relatives of the rectified linear unit, which differ from it below 0 or far above."""

from __future__ import annotations

from typing import ClassVar

from cnnspec.layers.activations import _Activation
from cnnspec.layers.base import Shape, Weight
from cnnspec.layers.declaration import option
from cnnspec.layers.options import flag, non_negative, positive


class LeakyRelu(_Activation):
    """Leaky rectified linear unit: `x` where it is positive, else `slope * x` (Maas, Hannun & Ng 2013)."""

    example: ClassVar[str] = "leaky_relu 0.01"

    slope: float = option(non_negative, "factor of what is below 0", default=0.01, positional=True)


class Prelu(_Activation):
    """Parametric rectified linear unit: `x` where it is positive, else `slope * x`, the slope learned.

    Each channel has a slope, or all share one; it begins with 0.25 (He et al. 2015, arXiv:1502.01852).
    """

    example: ClassVar[str] = "prelu"

    shared: bool = option(flag, "whether all channels share one slope", default=False)

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        """`slope` of `(C,)`, or of `(1,)` where it is shared."""
        slopes = 1 if self.shared else inputs[0][0]
        return (Weight("slope", (slopes,), fan_in=1, fan_out=1, initial=0.25),)


class Relu6(_Activation):
    """Rectified linear unit cut off at 6: `min(max(x, 0), 6)` (Howard et al. 2017, arXiv:1704.04861)."""

    example: ClassVar[str] = "relu6"


class Elu(_Activation):
    """Exponential linear unit: `x` where it is positive, else `alpha * (exp(x) - 1)`.

    Clevert, Unterthiner & Hochreiter 2015, arXiv:1511.07289.
    """

    example: ClassVar[str] = "elu"

    alpha: float = option(positive, "far below 0 the output is `-alpha`", default=1.0)


class Selu(_Activation):
    """Scaled exponential linear unit: `1.0507 x` where it is positive, else `1.0507 * 1.6733 (exp(x) - 1)`.

    With the two constants in full, mean 0 and variance 1 are a fixed point from layer to layer
    (Klambauer et al. 2017, arXiv:1706.02515).
    """

    example: ClassVar[str] = "selu"


class Softplus(_Activation):
    """Smooth rectifier: `log(1 + exp(x))` (Dugas et al. 2001)."""

    example: ClassVar[str] = "softplus"
