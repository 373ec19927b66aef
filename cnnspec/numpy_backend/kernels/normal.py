"""The distribution function of the standard normal, which NumPy lacks: `P(x) = (1 + erf(x / sqrt(2))) / 2`.

In float32 by NumPy's `tanh`, one of the fastest functions it has: with `u(x) = atanh(erf(x / sqrt(2)))`,

    P(x) = (1 + tanh(u)) / 2,

and `u` is odd and so smooth that seven terms give it.

In float64 with the density `p(x) = exp(-x^2 / 2) / sqrt(2 pi)` and Mills' ratio `m(a) = P(-a) / p(a)` of
`a = |x|`, which falls smoothly from 1.25 towards `1 / a`:

    P(x) = 1/2 + sign(x) (1/2 - m(a) p(a)).

Coefficients stand highest power first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from cnnspec.numpy_backend.kernels.base import Array, Run, nothing
from cnnspec.numpy_backend.kernels.elementwise import same

ODD: Final = (
    1.7561706155807272e-09,
    -1.3226333574813033e-07,
    3.964744377899178e-06,
    -5.530619353919104e-05,
    -3.2594975864468545e-05,
    3.633308457409969e-02,
    7.978849414603604e-01,
)
"""`u(x) / x` as a polynomial in `x^2`: the least largest error of `P` for `|x| < 5.5`, which is 2.9e-8, half
a rounding of float32 near 1 (fitted by reweighted least squares)."""
FARTHEST_ODD: Final = 14.5
"""From here on `P` is 1 and the density 0 in float32; up to here the polynomial grows."""

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


def normal_distribution(x: Array, distribution: Array, density: Array | None, spare: Sequence[Array]) -> Run:
    """Bind `distribution = P(x)` and, where it is asked for, `density = p(x)`.

    `spare` is memory like them, three times.
    """
    if x.dtype == np.float32:
        return _by_tanh(x, distribution, density, spare)
    return _by_ratio(x, distribution, spare[0] if density is None else density, spare[1:])


def _by_tanh(x: Array, distribution: Array, density: Array | None, spare: Sequence[Array]) -> Run:
    near, square, _ = spare
    half = x.dtype.type(0.5)
    most, least = same(FARTHEST_ODD, x), same(-FARTHEST_ODD, x)
    polynomial = _polynomial(ODD, square, distribution)
    find_density = nothing if density is None else _density(square, density)

    def run() -> None:
        np.minimum(x, most, out=near)
        np.maximum(near, least, out=near)
        np.multiply(near, near, out=square)
        find_density()
        polynomial()
        np.multiply(distribution, near, out=distribution)
        np.tanh(distribution, out=distribution)
        np.multiply(distribution, half, out=distribution)
        np.add(distribution, half, out=distribution)

    return run


def _density(square: Array, density: Array) -> Run:
    """Bind `density = p(x)` from the square of `x`."""
    minus_half, at_zero = map(square.dtype.type, (-0.5, AT_ZERO))

    def run() -> None:
        np.multiply(square, minus_half, out=density)
        np.exp(density, out=density)
        np.multiply(density, at_zero, out=density)

    return run


def _by_ratio(x: Array, distribution: Array, density: Array, spare: Sequence[Array]) -> Run:
    half, minus_half, most = map(x.dtype.type, (0.5, -0.5, FARTHEST))
    at_zero = x.dtype.type(AT_ZERO)
    find_ratio = _hart(distribution, *spare)

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
