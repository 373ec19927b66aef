"""Receptive fields: the input positions that a unit sees, composed layer by layer.

Behind a window of `k` positions, `d` apart, moved by `s`, with `p` positions of padding before:

    size  <- size + d * (k - 1) * jump
    start <- start - p * jump
    jump  <- jump * s

(Araujo, Norris & Sim 2019, "Computing receptive fields of convolutional neural networks", Distill.)

Behind a transposed convolution or an adaptive pooling, neighbouring units see differently many positions,
and the same pattern returns after a period. The interval of each unit of a period is kept then, all of it in
whole numbers. Where ways join that jump differently, each is kept with its pattern: along it the fields move
on evenly, so what a layer sees of all of them it sees of each, and the union comes last.

The size that a layer is given is that of the largest field among the units that it has. Of one phase of the
patterns the fields start at the least of some linear functions of the unit's number, and stop at the
greatest: the size is convex, so it is largest at the first or the last unit, and the same at all of them
where it is at three.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from cnnspec.network.graph import AxisField, ReceptiveField, Way, hull

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from fractions import Fraction

    from cnnspec.layers import AxisSight, Shape, Window
    from cnnspec.network.graph import Interval

LONGEST_PERIOD: Final = 512
"""Units after which a pattern must return; where it takes more, the receptive field is left unknown."""


def of_input(shape: Shape) -> ReceptiveField:
    """An input position sees itself. A vector has no spatial axes."""
    return tuple(AxisField(size=1, jump=1, start=0) for _ in shape[1:])


def through(field: ReceptiveField, window: Window, input_shape: Shape, shape: Shape) -> ReceptiveField | None:
    """The field behind a layer with an output of this shape, whose input has this field and shape."""
    if window == "pointwise":
        return field
    if len(field) != len(input_shape) - 1:  # axes made anew, behind which every unit sees the same
        return field
    if window == "everything":
        return tuple(map(_whole, field, input_shape[1:]))
    assert not isinstance(window, str)
    return _known(_axis(*each) for each in zip(field, window, shape[1:], strict=True))


def repeated(field: ReceptiveField, input_shape: Shape, shape: Shape) -> ReceptiveField:
    """The field of a value that is repeated over positions: they all see what the one of them sees."""
    if len(shape) != len(input_shape) or len(field) != len(shape) - 1:
        return field
    return tuple(
        _whole(axis, 1) if n == 1 < positions else axis
        for axis, n, positions in zip(field, input_shape[1:], shape[1:], strict=True)
    )


def union(ways: Sequence[ReceptiveField], shape: Shape) -> ReceptiveField | None:
    """The field behind a layer that joins values into this shape: from the first position to the last."""
    if len(set(map(len, ways))) != 1:  # a vector beside a map: what sees the whole input wins
        ways = [max(ways, key=len)]
    if len(ways) == 1:
        return ways[0]
    sizes = shape[1:] if len(shape) - 1 == len(ways[0]) else (1,) * len(ways[0])
    return _known(_join(n, fields) for n, *fields in zip(sizes, *ways, strict=True))


def _known(axes: Iterable[AxisField | None]) -> ReceptiveField | None:
    """Nothing where an axis is unknown."""
    known = []
    for axis in axes:
        if axis is None:
            return None
        known.append(axis)
    return tuple(known)


def _join(units: int, fields: Sequence[AxisField]) -> AxisField | None:
    if all(field == fields[0] for field in fields):
        return fields[0]
    return _field([way for field in fields for way in _ways(field)], units)


def _axis(field: AxisField, sight: AxisSight, units: int) -> AxisField | None:
    """The field behind a layer that has so many units along the axis."""
    if not field.ways and sight.period == 1 and (seen := sight.seen(0)):
        assert isinstance(field.jump, int)
        return AxisField(
            size=field.size + (seen[-1] - seen[0]) * field.jump,
            jump=field.jump * sight.advance,
            start=field.start + seen[0] * field.jump,
        )
    ways = [_behind(way, sight) for way in _ways(field)]
    known = [way for way in ways if way is not None]
    return _field(known, units) if len(known) == len(ways) else None


def _whole(field: AxisField, units: int) -> AxisField:
    """The union over all units of a map: one field, with no neighbour to jump to."""
    return _still(hull([_over(way, range(units)) for way in _ways(field)]))


def _still(interval: Interval | None) -> AxisField:
    """What every unit sees."""
    if interval is None:
        return AxisField(size=0, jump=0, start=0, ways=(Way(0, (None,)),))
    return AxisField(size=interval[1] - interval[0], jump=0, start=interval[0])


# --- ways ---------------------------------------------------------------------------------------------------


def _ways(field: AxisField) -> Sequence[Way]:
    return field.ways or (Way(field.jump, ((field.start, field.start + field.size),)),)


def _behind(way: Way, sight: AxisSight) -> Way | None:
    """After `rounds` periods of the layer, its windows stand over the same place of the input's pattern."""
    units = len(way.pattern)
    rounds = units // math.gcd(units, sight.advance)
    period = rounds * sight.period
    if period > LONGEST_PERIOD:
        return None
    jump = _ratio(rounds * sight.advance * way.jump, period)
    return _shortest(Way(jump, tuple(_over(way, sight.seen(output)) for output in range(period))))


def _over(way: Way, units: range) -> Interval | None:
    """The union of the fields of some units: after a period the same come again, further on."""
    period = len(way.pattern)
    return hull([way.seen(u) for u in (*units[:period], *units[-period:])])


def _field(ways: Sequence[Way], units: int) -> AxisField | None:
    """The field of so many units that see along all of these ways."""
    ways = _merged(ways)
    period = math.lcm(*(len(way.pattern) for way in ways))
    if max(period, len(ways)) > LONGEST_PERIOD or any(len(way.pattern) > LONGEST_PERIOD for way in ways):
        return None
    if len(ways) == 1 and period == 1 and ways[0].pattern[0]:
        start, stop = ways[0].pattern[0]
        return AxisField(size=stop - start, jump=ways[0].jump, start=start)
    fields = [hull([way.seen(unit) for way in ways]) for unit in _deciding(units, period)]
    for way in ways:
        if not way.jump and set(fields) == set(way.pattern) and len(set(fields)) == 1:
            return _still(fields[0])  # what one way sees from everywhere holds the others
    sizes = {stop - start for start, stop in (field or (0, 0) for field in fields)}
    return AxisField(
        size=max(sizes),
        jump=_jump(ways, fields, period, varies=len(sizes) > 1),
        start=next((field[0] for field in fields if field), 0),
        varies=len(sizes) > 1,
        ways=ways,
    )


def _deciding(units: int, period: int) -> Sequence[int]:
    """Units among which the least and the most are seen: the first two periods and the last."""
    every = range(units)
    return every if units <= 3 * period else (*every[: 2 * period], *every[-period:])


def _jump(
    ways: Sequence[Way], fields: Sequence[Interval | None], period: int, *, varies: bool
) -> int | Fraction:
    """Of one way its own; of several the one that all units keep to, otherwise the shortest that is not 0."""
    if len(ways) > 1 and not varies and len(fields) > period:
        for now, later in zip(fields, fields[period:], strict=False):
            if now and later:
                return _ratio(later[0] - now[0], period)
    return min((way.jump for way in ways if way.jump), default=0)


def _merged(ways: Sequence[Way]) -> tuple[Way, ...]:
    """Those of one jump in one pattern, unless it is too long."""
    merged: dict[int | Fraction, Way] = {}
    for way in ways:
        other = merged.get(way.jump)
        if other is None:
            merged[way.jump] = way
        elif way != other:
            period = math.lcm(len(way.pattern), len(other.pattern))
            if period > LONGEST_PERIOD:
                return tuple(ways)
            pattern = tuple(hull([way.seen(unit), other.seen(unit)]) for unit in range(period))
            merged[way.jump] = _shortest(Way(way.jump, pattern))
    return tuple(merged.values())


def _shortest(way: Way) -> Way:
    """The same with the fewest units after which the pattern returns."""
    whole = len(way.pattern)
    for period in range(1, whole // 2 + 1):
        shift = period * way.jump
        if whole % period == 0 and all(
            _shifted(way.pattern[unit - period], shift) == way.pattern[unit] for unit in range(period, whole)
        ):
            return Way(way.jump, way.pattern[:period])
    return way


def _shifted(interval: Interval | None, shift: int | Fraction) -> tuple[int | Fraction, ...] | None:
    return tuple(edge + shift for edge in interval) if interval else None


def _ratio(dividend: int | Fraction, divisor: int) -> int | Fraction:
    """An exact quotient, an integer where it is one."""
    if isinstance(dividend, int) and dividend % divisor == 0:
        return dividend // divisor
    from fractions import Fraction  # a few milliseconds that few networks need

    quotient = Fraction(dividend) / divisor
    return quotient.numerator if quotient.denominator == 1 else quotient
