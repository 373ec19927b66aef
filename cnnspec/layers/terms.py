"""How one output element comes about: which elements of the input meet which weights, for a walk by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from cnnspec.language.record import record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnspec.layers.base import AxisSight, Shape

How = Literal["sum", "maximum", "mean", "root of squares"]


@record
class Terms:
    """The elements that one output element is made of, and what is done with them.

    Attributes:
        how: what is done with the elements, or with their products with a kernel.
        channels: the channels of the input that it sees.
        positions: the positions that it sees along every spatial axis; those outside the map are padding.
        kernels: for each channel where its kernel stands in the array `weight`; none without kernels.
        scaled: the place in the array `coefficient` of what the sum is multiplied with.
        biased: the place in the array `bias` of what is added.
        divisor: by what the sum is divided.
    """

    how: How
    channels: tuple[int, ...]
    positions: tuple[range, ...]
    kernels: tuple[tuple[int, ...], ...] = ()
    scaled: int | None = None
    biased: int | None = None
    divisor: int = 1


def seen(windows: Sequence[AxisSight], unit: Sequence[int]) -> tuple[range, ...]:
    """The positions under every axis's window."""
    return tuple(window.seen(at) for window, at in zip(windows, unit, strict=True))


def inside(positions: Sequence[range], shape: Shape) -> tuple[range, ...]:
    """Those of the positions that are in the map."""
    return tuple(_between(seen, 0, n) for seen, n in zip(positions, shape[1:], strict=True))


def _between(seen: range, first: int, stop: int) -> range:
    start = seen.start + max(-(-(first - seen.start) // seen.step), 0) * seen.step
    return range(start, min(seen.stop, stop), seen.step)


def counted(positions: Sequence[range], margins: Sequence[tuple[int, int]]) -> int:
    """How many of the positions lie within margins: from a first position to before another."""
    area = 1
    for places, (first, stop) in zip(positions, margins, strict=True):
        area *= len(_between(places, first, stop))
    return area
