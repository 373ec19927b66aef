"""Samples of long series: the first few by default, the rest in the campaign."""

from __future__ import annotations

from typing import Any

import pytest


def first(count: int, of: int) -> list[Any]:
    """The seeds from 0 on, for `pytest.mark.parametrize`."""
    return [*range(count), *(pytest.param(seed, marks=pytest.mark.campaign) for seed in range(count, of))]
