"""Receptive fields: the input positions that a unit sees, composed layer by layer.

Behind a window of `k` positions, `d` apart, moved by `s`, with `p` positions of padding before:

    size  <- size + d * (k - 1) * jump
    start <- start - p * jump
    jump  <- jump * s

(Araujo, Norris & Sim 2019, "Computing receptive fields of convolutional neural networks", Distill.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnspec.network.graph import AxisField, ReceptiveField

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnspec.layers import AxisWindow, Shape, Window


def of_input(shape: Shape) -> ReceptiveField:
    """An input position sees itself. A vector has no spatial axes."""
    return tuple(AxisField(size=1, jump=1, start=0) for _ in shape[1:])


def through(field: ReceptiveField, window: Window, input_shape: Shape) -> ReceptiveField:
    """The field behind a layer whose input has this field and shape."""
    if window == "pointwise":
        return field
    if window == "everything":
        if len(input_shape) == 1:
            return field
        return tuple(map(_whole, field, input_shape[1:]))
    assert not isinstance(window, str)
    return tuple(map(_axis, field, window))


def union(ways: Sequence[ReceptiveField]) -> ReceptiveField:
    """The field behind a layer that joins values: along each axis, from the first position to the last.

    Where the ways have jumped differently, the shortest jump of those that move is kept.
    """
    if len(set(map(len, ways))) != 1:  # a vector beside a map: what sees the whole input wins
        ways = [max(ways, key=len)]
    return tuple(map(_join, *ways)) if len(ways) > 1 else ways[0]


def _join(*fields: AxisField) -> AxisField:
    start = min(field.start for field in fields)
    end = max(field.start + field.size for field in fields)
    jumps = [field.jump for field in fields if field.jump]
    return AxisField(size=end - start, jump=min(jumps, default=0), start=start)


def _axis(field: AxisField, window: AxisWindow) -> AxisField:
    return AxisField(
        size=field.size + (window.reach - 1) * field.jump,
        jump=field.jump * window.stride,
        start=field.start - window.before * field.jump,
    )


def _whole(field: AxisField, positions: int) -> AxisField:
    """The union over all positions of a map: one field, with no neighbour to jump to."""
    return AxisField(size=field.size + (positions - 1) * field.jump, jump=0, start=field.start)
