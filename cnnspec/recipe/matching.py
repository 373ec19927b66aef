"""Which layers a name in a recipe means."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

WILDCARDS: Final = frozenset("*?[")


def means(name: str, layer: str) -> bool:
    """Whether a name means a layer: its own, that of the block's use it lies in, or a pattern of either."""
    if layer == name or layer.startswith(f"{name}."):
        return True
    if not WILDCARDS.intersection(name):
        return False
    from fnmatch import fnmatchcase

    return fnmatchcase(layer, name)


def mean(names: Iterable[object], layer: str) -> bool:
    """Whether one of some names means a layer."""
    return any(means(str(name), layer) for name in names)
