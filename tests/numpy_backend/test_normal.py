"""The normal distribution function against the error function of the C library."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cnnspec.numpy_backend.kernels.elementwise import cut
from cnnspec.numpy_backend.kernels.normal import normal_distribution

POINTS = np.concatenate([np.linspace(-12, 12, 200_001), [-1e9, -40, -38.5, 0.0, 38.5, 40, 1e9]])


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 3e-7), ("float64", 3e-16)])
def test_distribution_and_density_are_exact_to_the_rounding(dtype, bound):
    x = POINTS.astype(dtype)
    distribution, density, *spare = (np.empty_like(x) for _ in range(5))
    for block, to, over, *rest in cut(x, distribution, density, *spare):
        normal_distribution(block, to, over, rest)()
    expected = np.array([0.5 * math.erfc(-float(v) / math.sqrt(2)) for v in x])
    assert np.abs(distribution - expected).max() < bound
    assert np.abs(density - np.exp(-(x.astype(float) ** 2) / 2) / math.sqrt(2 * math.pi)).max() < bound
