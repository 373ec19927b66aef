"""The distribution function of the standard normal, which NumPy lacks: `P(x) = (1 + erf(x / sqrt(2))) / 2`.

With the density `p(x) = exp(-x^2 / 2) / sqrt(2 pi)` and Mills' ratio `m(a) = P(-a) / p(a)` of `a = |x|`,

    P(x) = 1/2 + sign(x) (1/2 - m(a) p(a)).

Mills' ratio falls smoothly from 1.25 towards `1 / a`, so that one formula serves for all `a`. The two here
are published ones, as exact as float32 and float64 are near 1. Coefficients stand highest power first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from cnnspec.numpy_backend.kernels.base import Array, Run

HASTINGS: Final = (1.330274429, -1.821255978, 1.781477937, -0.356563782, 0.319381530)
HASTINGS_POINT: Final = 0.2316419
"""Mills' ratio as `t` times a polynomial in `t = 1 / (1 + 0.2316419 a)`: an error of `P` below
7.5e-8 (Hastings 1955; Abramowitz & Stegun 1964, formula 26.2.17)."""

HART_ABOVE: Final = (
    3.52624965998911e-02,
    0.700383064443688,
    6.37396220353165,
    33.912866078383,
    112.079291497871,
    221.213596169931,
    220.206867912376,
)
HART_BELOW: Final = (
    8.83883476483184e-02,
    1.75566716318264,
    16.064177579207,
    86.7807322029461,
    296.564248779674,
    637.333633378831,
    793.826512519948,
    440.413735824752,
)
"""Mills' ratio times `p(0)` as a quotient of polynomials in `a`: an error of `P` below 2e-16 (Hart et al.
1968, algorithm 5666, with the digits of West 2005, "Better approximations to cumulative normal functions").
"""

AT_ZERO: Final = 1 / math.sqrt(2 * math.pi)
"""The density `p(0)`."""
FARTHEST: Final = 40.0
"""From here on the tail is 0 in float64, too."""


def normal_distribution(x: Array, distribution: Array, density: Array, spare: Sequence[Array]) -> Run:
    """Bind `distribution = P(x)` and `density = p(x)`; `spare` is memory like them, twice."""
    half, minus_half, most = map(x.dtype.type, (0.5, -0.5, FARTHEST))
    at_zero = x.dtype.type(AT_ZERO)
    find_ratio = (_hastings if x.dtype == np.float32 else _hart)(distribution, *spare)

    def run() -> None:
        np.abs(x, out=distribution)
        np.minimum(distribution, most, out=distribution)
        np.multiply(distribution, distribution, out=density)
        np.multiply(density, minus_half, out=density)
        np.exp(density, out=density)
        find_ratio()
        np.multiply(distribution, density, out=distribution)  # P(-a)
        np.subtract(half, distribution, out=distribution)
        np.copysign(distribution, x, out=distribution)
        np.add(distribution, half, out=distribution)
        np.multiply(density, at_zero, out=density)

    return run


def _hastings(a: Array, t: Array, _: Array) -> Run:
    """Bind `a = m(a) p(0)` by the polynomial in `t`."""
    one, point = a.dtype.type(1), a.dtype.type(HASTINGS_POINT)
    polynomial = _polynomial(tuple(AT_ZERO * c for c in HASTINGS), t, a)

    def run() -> None:
        np.multiply(a, point, out=t)
        np.add(t, one, out=t)
        np.divide(one, t, out=t)
        polynomial()
        np.multiply(a, t, out=a)

    return run


def _hart(a: Array, above: Array, below: Array) -> Run:
    """Bind `a = m(a) p(0)` by the quotient of polynomials."""
    numerator, denominator = _polynomial(HART_ABOVE, a, above), _polynomial(HART_BELOW, a, below)

    def run() -> None:
        numerator()
        denominator()
        np.divide(above, below, out=a)

    return run


def _polynomial(coefficients: tuple[float, ...], at: Array, out: Array) -> Run:
    """Bind the value of a polynomial by Horner's rule."""
    first, second, *others = map(out.dtype.type, coefficients)

    def run() -> None:
        np.multiply(at, first, out=out)
        np.add(out, second, out=out)
        for coefficient in others:
            np.multiply(out, at, out=out)
            np.add(out, coefficient, out=out)

    return run
