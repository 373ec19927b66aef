"""What the algorithms of a convolution cost: the work of each, counted, times what a unit of it takes.

The prices are fitted to kernels alone, by `benchmarks/prices.py`: 199 convolutions of 3x3, 5x5 and 7x7 with 1
to 512 channels, maps of 7x7 to 224x224 and 1 to 64 images, on one core of an EPYC of 2024 with 1 MiB of L2,
under OpenBLAS 0.3 with its kernels for AVX2 and for AVX-512. The estimates are 0.4 to 1.7 times what was
measured, 5 % to 14 % off on average. Only their proportions matter to a choice, and what they choose takes
1 % to 3 % longer than the best on average, and 52 % at worst. `cnnspec plan --tune` measures.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Final, Literal

from cnnspec.numpy_backend.blas import has_small_products
from cnnspec.numpy_backend.kernels.base import Work

Kernels = Literal["avx2", "avx512"]
"""For which instructions the kernels of BLAS were written."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Picoseconds for each unit of a `Work`, in the order of its fields."""

    multiplied: float
    cut: float
    laid: float
    short: float
    far: float
    weights: float
    strided: float
    calls: float

    def seconds(self, work: Work, threads: int) -> float:
        """What the work takes where `threads` share the products."""
        units = zip(astuple(self), astuple(work), strict=True)
        products, *others = (float(price * amount) for price, amount in units)
        return (products / threads + sum(others)) * 1e-12


NEVER: Final = Prices(0, 0, 0, 0, 0, 0, 0, 0)
"""Of a pass that there is not."""
PRICES: Final[dict[Kernels, dict[str, tuple[Prices, Prices]]]] = {
    "avx2": {
        "patches": (
            Prices(17.9, 154, 146, 2_010, 167, 244, 450, 3_550_000),
            Prices(37.2, 461, 750, 21_500, 0, 1_130, 1_000, 7_900_000),
        ),
        "tiles": (
            Prices(17.6, 137, 202, 1_920, 397, 443, 0, 3_820_000),
            Prices(37.2, 396, 267, 13_300, 280, 317, 0, 8_820_000),
        ),
        "shifts": (
            Prices(17.9, 401, 121, 0, 138, 154, 450, 6_840_000),
            NEVER,
        ),
        "winograd-2x2": (
            Prices(19.4, 600, 514, 42.5, 0, 259, 450, 11_500_000),
            Prices(39.9, 1_020, 1_260, 299, 0, 854, 1_000, 14_000_000),
        ),
        "winograd-4x4": (
            Prices(21, 627, 760, 150, 0, 261, 450, 18_900_000),
            Prices(42.4, 1_270, 1_620, 435, 0, 857, 1_000, 19_900_000),
        ),
    },
    "avx512": {
        "patches": (
            Prices(10.5, 126, 92, 2_780, 213, 164, 450, 2_880_000),
            Prices(21.2, 507, 205, 22_000, 276, 1_250, 1_000, 7_260_000),
        ),
        "tiles": (
            Prices(9.6, 137, 164, 2_510, 620, 622, 0, 3_770_000),
            Prices(22.5, 137, 450, 16_300, 548, 20.1, 0, 9_980_000),
        ),
        "shifts": (
            Prices(11, 178, 55, 4_510, 153, 27.2, 450, 4_720_000),
            NEVER,
        ),
        "winograd-2x2": (
            Prices(11.4, 389, 359, 53.6, 0, 184, 450, 10_500_000),
            Prices(29.1, 499, 799, 253, 0, 859, 1_000, 16_100_000),
        ),
        "winograd-4x4": (
            Prices(13.1, 267, 588, 149, 0, 121, 450, 16_800_000),
            Prices(33.1, 610, 964, 394, 0, 790, 1_000, 20_900_000),
        ),
    },
}
"""Forward and backward. What has small products has AVX-512; any other BLAS is taken for one with AVX2."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """Under which an algorithm is to be chosen.

    Attributes:
        images: in a piece.
        training: whether there is a backward pass.
        threads: that share a product.
    """

    images: int
    training: bool
    threads: int = 1


def seconds(algorithm: str, work: Work, conditions: Conditions) -> float:
    """The estimate for a piece: forward, and backward in training."""
    forward, backward = PRICES["avx512" if has_small_products() else "avx2"][algorithm]
    found = forward.seconds(work, conditions.threads)
    return found + backward.seconds(work, conditions.threads) if conditions.training else found
