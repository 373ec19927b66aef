"""Colours that can be read, on a screen and in grey print."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import get_args

import pytest

from cnnspec.layers.base import Family
from cnnspec.render import THEMES
from cnnspec.render.theme import Paint, Theme


def luminance(color: str) -> float:
    """Relative luminance, WCAG 2.1."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def paints(theme: Theme) -> list[Paint]:
    return [theme.page, theme.body, theme.other, *theme.families.values()]


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_text_has_contrast(theme: Theme) -> None:
    assert all(contrast(paint.fill, paint.ink) >= 4.5 for paint in paints(theme))
    assert all(contrast(theme.muted, paint.fill) >= 4.5 for paint in (theme.page, theme.body))


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_families_differ_in_grey_print(theme: Theme) -> None:
    fills = [theme.family(name).fill for name in ("convolution", "dense", "pooling", "activation", "input")]
    assert all(contrast(first, second) >= 1.2 for first, second in combinations(fills, 2))
    assert [luminance(first) < luminance(second) for first, second in pairwise(fills)] == [True] * 4


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_every_family_of_layers_has_its_own_paint(theme: Theme) -> None:
    assert set(get_args(Family)) <= set(theme.families)
    fills = [paint.fill for paint in theme.families.values()]
    assert len(set(fills)) == len(fills)


def test_an_unknown_family_has_a_paint() -> None:
    assert THEMES["light"].family("attention") == THEMES["light"].other
