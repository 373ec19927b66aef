"""Minimal filtering algorithms F(m, r): m outputs of a filter of r taps from m + r - 1 multiplications.

With `k = m + r - 1`, inputs `d_0 .. d_(k-1)` and taps `g_0 .. g_(r-1)`, the outputs
`y_i = sum_j g_j d_(i+j)` are

    y = A^T [(G g) * (B^T d)]        A: k x m    G: k x r    B^T: k x k    * element by element

(Winograd 1980; Lavin & Gray 2015, arXiv:1509.09308). Read as polynomials, the transposed problem is a product
of `g` and `y`, of degree `k - 1`: it is known from its values at `k - 1` points `p` and its leading
coefficient, which is its value at infinity. This gives the matrices (Cook and Toom), one row a point:

    A, G:  (1, p, p^2, ...), for G over N_p = prod_(q != p) (p - q);  infinity: (0, ..., 0, 1)
    B^T:   the coefficients of prod_(q != p) (x - q);                 infinity: of prod_q (x - q)

Over a map both axes are nested: `Y = A^T [(G g G^T) * (B^T d B)] A`.

The points decide how much is rounded. Those of Lavin & Gray for m = 4, 0 +-1 +-2, make every transform a few
additions, and in float32 errors 9 to 16 times those of a direct sum. The transforms are matrix products here,
for which all numbers are alike; 0 +-3/4 +-4/3 makes the errors 3 to 5 times as large. (What points do to
errors was mapped by Barabasz et al. 2018, arXiv:1803.10986.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Row = list[Fraction]

POINTS: Final[dict[int, tuple[Fraction, ...]]] = {
    2: (Fraction(0), Fraction(1), Fraction(-1)),
    4: (Fraction(0), Fraction(3, 4), Fraction(-3, 4), Fraction(4, 3), Fraction(-4, 3)),
}
"""The points of F(m, 3), by m."""


@dataclass(frozen=True)
class Filtering:
    """The matrices of F(m, r): `outputs` is `A^T`, `taps` is `G`, `inputs` is `B^T`."""

    outputs: Matrix
    taps: Matrix
    inputs: Matrix

    @property
    def reversed(self) -> Filtering:
        """The same for the reversed filter: `y` and `d` are read backward, and the taps stay as they are."""
        return Filtering(self.outputs[::-1], self.taps, self.inputs[:, ::-1])


def filtering(m: int, r: int, points: Sequence[Fraction]) -> Filtering:
    """F(m, r) by the values at these `m + r - 2` points and at infinity."""
    assert len(points) == m + r - 2, "one value for each coefficient"
    return Filtering(
        outputs=_matrix([_powers(p, m) for p in points] + [_last(m)]).T,
        taps=_matrix([_scaled(_powers(p, r), _distances(p, points)) for p in points] + [_last(r)]),
        inputs=_matrix(
            [[*_vanishing(_without(p, points)), Fraction(0)] for p in points] + [_vanishing(points)]
        ),
    )


def _powers(p: Fraction, count: int) -> Row:
    return [p**i for i in range(count)]


def _last(count: int) -> Row:
    return [Fraction(int(i == count - 1)) for i in range(count)]


def _scaled(row: Row, divisor: Fraction) -> Row:
    return [value / divisor for value in row]


def _without(p: Fraction, points: Sequence[Fraction]) -> Row:
    return [q for q in points if q != p]


def _distances(p: Fraction, points: Sequence[Fraction]) -> Fraction:
    product = Fraction(1)
    for q in _without(p, points):
        product *= p - q
    return product


def _vanishing(points: Sequence[Fraction]) -> Row:
    """The coefficients, lowest first, of the polynomial that is zero at the points and leads with 1."""
    row = [Fraction(1)]
    for q in points:
        higher, lower = [Fraction(0), *row], [*row, Fraction(0)]
        row = [a - q * b for a, b in zip(higher, lower, strict=True)]
    return row


def _matrix(rows: list[Row]) -> Matrix:
    return np.array([[float(value) for value in row] for row in rows])
