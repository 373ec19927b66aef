"""Gated activations: the element times a function of itself that goes from 0, shut, to 1, open."""

from __future__ import annotations

from typing import ClassVar

from cnnspec.layers.activations import _Activation
from cnnspec.layers.declaration import option
from cnnspec.layers.options import flag


class Gelu(_Activation):
    """Gaussian error linear unit: `x Phi(x)`, with the distribution function `Phi` of the standard normal.

    `Phi(x) = (1 + erf(x / sqrt(2))) / 2`; with `approximate`, it is replaced by
    `(1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2` (Hendrycks & Gimpel 2016, arXiv:1606.08415).
    """

    example: ClassVar[str] = "gelu"

    approximate: bool = option(flag, "whether the form with `tanh` is used", default=False)


class Silu(_Activation):
    """Sigmoid linear unit, or swish: `x / (1 + exp(-x))`.

    Elfwing, Uchibe & Doya 2017, arXiv:1702.03118; Ramachandran, Zoph & Le 2017, arXiv:1710.05941.
    """

    example: ClassVar[str] = "silu"


class Mish(_Activation):
    """Mish: `x tanh(log(1 + exp(x)))` (Misra 2019, arXiv:1908.08681)."""

    example: ClassVar[str] = "mish"


class HardSwish(_Activation):
    """Piecewise polynomial swish: `x min(max(x / 6 + 1/2, 0), 1)` (Howard et al. 2019, arXiv:1905.02244)."""

    example: ClassVar[str] = "hard_swish"
