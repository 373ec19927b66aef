"""What the algorithms of a convolution cost: the work of each, counted, times what a unit of it takes.

The prices were fitted, by least squares of the relative errors, to kernels alone: 54 convolutions of 3x3
with 3 to 512 channels, maps of 7x7 to 112x112 and 1 to 64 images, and 42 of 3x3 and 5x5 before a pooling of
2x2, on one core of an EPYC of 2024 with 1 MiB of L2, under OpenBLAS 0.3 with its kernels for AVX2 and for
AVX-512. The estimates are 0.5 to 1.6 times what was measured, a fifth off on average; only their proportions
matter to a choice, and what they choose took 1 % longer than the best on average, 26 % at worst.
`cnnspec plan --tune` measures instead.
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
            Prices(19.7, 117, 163, 108, 0, 853, 450, 3_890_000),
            Prices(39.5, 367, 529, 9510, 0, 2180, 1000, 9_700_000),
        ),
        "tiles": (
            Prices(18.8, 128, 174, 1900, 0, 62, 0, 3_860_000),
            Prices(36.9, 169, 344, 14_800, 0, 0, 0, 8_630_000),
        ),
        "shifts": (
            Prices(18.9, 312, 171, 7200, 191, 130, 450, 4_520_000),
            NEVER,
        ),
        "winograd-2x2": (
            Prices(20.7, 707, 467, 14, 0, 328, 450, 269_000),
            Prices(39.6, 784, 1570, 182, 0, 471, 1000, 130_000),
        ),
        "winograd-4x4": (
            Prices(20.0, 955, 742, 120, 0, 350, 450, 2_210_000),
            Prices(38.0, 1270, 1960, 414, 0, 515, 1000, 6_200_000),
        ),
    },
    "avx512": {
        "patches": (
            Prices(11.7, 100, 120, 737, 0, 738, 450, 2_840_000),
            Prices(22.5, 324, 510, 13_600, 0, 1890, 1000, 2_820_000),
        ),
        "tiles": (
            Prices(12.2, 35, 144, 2410, 0, 0, 0, 3_480_000),
            Prices(23.7, 0, 445, 16_400, 0, 0, 0, 6_010_000),
        ),
        "shifts": (
            Prices(11.0, 111, 78, 11_600, 249, 0, 450, 3_810_000),
            NEVER,
        ),
        "winograd-2x2": (
            Prices(11.3, 500, 332, 0, 0, 246, 450, 0),
            Prices(25.1, 622, 836, 148, 0, 458, 1000, 558_000),
        ),
        "winograd-4x4": (
            Prices(13.0, 435, 552, 106, 0, 187, 450, 4_370_000),
            Prices(27.1, 712, 1020, 378, 0, 370, 1000, 8_840_000),
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
