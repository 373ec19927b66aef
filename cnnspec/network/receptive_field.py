"""Receptive fields: the input positions that a unit sees, composed layer by layer.

Behind a window of `k` positions, `d` apart, moved by `s`, with `p` positions of padding before:

    size  <- size + d * (k - 1) * jump
    start <- start - p * jump
    jump  <- jump * s

(Araujo, Norris & Sim 2019, "Computing receptive fields of convolutional neural networks", Distill.)

Behind a transposed convolution or an adaptive pooling, neighbouring units see differently many positions,
and the same pattern returns after a period. The interval of each unit of a period is kept then, all of it in
whole numbers; the size is the largest of them and the jump their mean distance.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from cnnspec.network.graph import AxisField, ReceptiveField

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from cnnspec.layers import AxisSight, Shape, Window

Interval = tuple[int, int]
"""The first position of a field, and the one behind its last."""

LONGEST_PERIOD: Final = 512
"""Units after which a pattern must return; where it takes more, the receptive field is left unknown."""


def of_input(shape: Shape) -> ReceptiveField:
    """An input position sees itself. A vector has no spatial axes."""
    return tuple(AxisField(size=1, jump=1, start=0) for _ in shape[1:])


def through(field: ReceptiveField, window: Window, input_shape: Shape) -> ReceptiveField | None:
    """The field behind a layer whose input has this field and shape."""
    if window == "pointwise":
        return field
    if len(field) != len(input_shape) - 1:  # axes made anew, behind which every unit sees the same
        return field
    if window == "everything":
        return tuple(map(_whole, field, input_shape[1:]))
    assert not isinstance(window, str)
    axes = [_axis(*pair) for pair in zip(field, window, strict=True)]
    known = tuple(axis for axis in axes if axis is not None)
    return known if len(known) == len(axes) else None


def repeated(field: ReceptiveField, input_shape: Shape, shape: Shape) -> ReceptiveField:
    """The field of a value that is repeated over positions: they all see what the one of them sees."""
    if len(shape) != len(input_shape) or len(field) != len(shape) - 1:
        return field
    return tuple(
        _whole(axis, 1) if n == 1 < positions else axis
        for axis, n, positions in zip(field, input_shape[1:], shape[1:], strict=True)
    )


def union(ways: Sequence[ReceptiveField], shape: Shape) -> ReceptiveField | None:
    """The field behind a layer that joins values into this shape: from the first position to the last.

    Where the ways jump differently, each unit has a field of its own, and the shortest jump is kept.
    """
    if len(set(map(len, ways))) != 1:  # a vector beside a map: what sees the whole input wins
        ways = [max(ways, key=len)]
    if len(ways) == 1:
        return ways[0]
    sizes = shape[1:] if len(shape) - 1 == len(ways[0]) else (1,) * len(ways[0])
    axes = [_join(n, fields) for n, *fields in zip(sizes, *ways, strict=True)]
    known = tuple(axis for axis in axes if axis is not None)
    return known if len(known) == len(axes) else None


def _join(positions: int, fields: Sequence[AxisField]) -> AxisField | None:
    jump = min((field.jump for field in fields if field.jump), default=0)
    period = math.lcm(*(len(_pattern(field)) for field in fields))
    if any(field.jump != jump for field in fields):
        still = _hull([_unit(field, 0) for field in fields if not field.jump and not field.varies])
        if still == _hull([_over(field, range(positions)) for field in fields]):
            return _of_pattern([still], 0)  # what one way sees from everywhere holds the others
        period = positions
    if period > LONGEST_PERIOD:
        return None
    return _of_pattern([_hull([_unit(field, u) for field in fields]) for u in range(period)], jump)


def _axis(field: AxisField, sight: AxisSight) -> AxisField | None:
    """After `rounds` periods of the layer, its windows stand over the same place of the input's pattern."""
    units = len(_pattern(field))
    rounds = units // math.gcd(units, sight.advance)
    period = rounds * sight.period
    if period > LONGEST_PERIOD:
        return None
    jump = _ratio(rounds * sight.advance * field.jump, period)
    return _of_pattern([_over(field, sight.seen(output)) for output in range(period)], jump)


def _whole(field: AxisField, positions: int) -> AxisField:
    """The union over all positions of a map: one field, with no neighbour to jump to."""
    return _of_pattern([_over(field, range(positions))], 0)


def _over(field: AxisField, units: range) -> Interval | None:
    """The union of the fields of some units: after a period the same come again, further on."""
    period = len(_pattern(field))
    return _hull([_unit(field, u) for u in (*units[:period], *units[-period:])])


def _hull(intervals: Sequence[Interval | None]) -> Interval | None:
    known = [interval for interval in intervals if interval is not None]
    return (min(start for start, _ in known), max(stop for _, stop in known)) if known else None


def _pattern(field: AxisField) -> Sequence[Interval | None]:
    return field.pattern or ((field.start, field.start + field.size),)


def _unit(field: AxisField, unit: int) -> Interval | None:
    """The positions that one unit sees."""
    pattern = _pattern(field)
    cycle, phase = divmod(unit, len(pattern))
    interval, shift = pattern[phase], int(cycle * len(pattern) * field.jump)
    return (interval[0] + shift, interval[1] + shift) if interval else None


def _of_pattern(pattern: Sequence[Interval | None], jump: int | Fraction) -> AxisField:
    pattern = pattern[: _shortest_period(pattern, jump)]
    known = [interval for interval in pattern if interval is not None]
    return AxisField(
        size=max((stop - start for start, stop in known), default=0),
        jump=jump,
        start=known[0][0] if known else 0,
        pattern=tuple(pattern) if len(pattern) > 1 else (),
    )


def _shortest_period(pattern: Sequence[Interval | None], jump: int | Fraction) -> int:
    """The fewest units after which the pattern returns, further on by the jump of each."""
    whole = len(pattern)
    for period in range(1, whole // 2 + 1):
        shift = period * jump
        if whole % period == 0 and all(
            _shifted(pattern[unit - period], shift) == pattern[unit] for unit in range(period, whole)
        ):
            return period
    return whole


def _shifted(interval: Interval | None, shift: int | Fraction) -> tuple[int | Fraction, ...] | None:
    return tuple(edge + shift for edge in interval) if interval else None


def _ratio(dividend: int | Fraction, divisor: int) -> int | Fraction:
    """An exact quotient, an integer where it is one."""
    if divisor == 1:
        return dividend
    from fractions import Fraction  # a few milliseconds that few networks need

    quotient = Fraction(dividend) / divisor
    return quotient.numerator if quotient.denominator == 1 else quotient
