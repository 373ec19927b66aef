"""What one unit of a layer sees of each input of the network, traced back window by window.

Boxes are followed, twice. The ones reach as far as the windows do, into the padding and over the edges; the
others hold exactly the positions that are there and reach the unit, at every layer on the way, and are told
from the first of them to the last. Where ways part, a layer may be seen in several boxes. A unit of a vector
has no position: it sees what the layers before it make of everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cnnspec.language.record import record
from cnnspec.layers import show
from cnnspec.layers.windows import axis_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cnnspec.layers import AxisSight, Shape
    from cnnspec.network.graph import Facts, Graph, ReceptiveField
    from cnnspec.network.report import Json

Interval = tuple[int, int]
"""The first position and the one behind the last."""

MOST_WINDOWS: Final = 4096
"""Windows looked at from each end of an interval: behind them all are alike, and lie within."""
MOST_POSITIONS: Final = 100_000
"""Positions that are kept one by one; where there are more, only the first and the last are."""


MOST_BOXES: Final = 32
"""Boxes of a layer that are followed; where there are more, the one that holds them all is."""


class UnitError(ValueError):
    """There is no such unit; the text says why."""


@record
class Seen:
    """What a unit sees along every axis of one input.

    Attributes:
        input: the name of the input.
        shape: its shape.
        window: the intervals as far as the windows reach, `None` where the unit sees nothing of the input.
        inside: the intervals of positions that are there.
    """

    input: str
    shape: Shape
    window: tuple[Interval, ...] | None
    inside: tuple[Interval, ...] | None


@record
class Unit:
    """One unit of a layer, and what it sees of every input of the network."""

    layer: str
    shape: Shape
    position: tuple[int, ...]
    seen: tuple[Seen, ...]


def look(graph: Graph, facts: Facts, node: int, position: Sequence[int]) -> Unit:
    """Trace a unit back to the inputs. The position has a number for every spatial axis; a vector has none.

    Raises:
        UnitError: the layer has no such position.
    """
    shape = facts.shape(node)
    _check(graph.nodes[node].name, shape, position)
    start: Box = tuple(range(p, p + 1) for p in position)
    window = _trace(graph, facts, node, start, clip=False)
    inside = _trace(graph, facts, node, start, clip=True)
    seen = tuple(
        Seen(graph.nodes[i].name, facts.shape(i), _intervals(window.get(i)), _intervals(inside.get(i)))
        for i in graph.sources()
    )
    return Unit(graph.nodes[node].name, shape, tuple(position), seen)


def _intervals(boxes: Sequence[Box] | None) -> tuple[Interval, ...] | None:
    """From the first position in any box to the last."""
    if boxes is None:
        return None
    axes = zip(*boxes, strict=True)
    return tuple((min(each[0] for each in axis), max(each[-1] for each in axis) + 1) for axis in axes)


def _check(name: str, shape: Shape, position: Sequence[int]) -> None:
    sizes = shape[1:]
    if len(position) != len(sizes):
        what = f"{len(sizes)} spatial axes" if len(sizes) > 1 else "1 spatial axis"
        what = what if sizes else "no spatial axes: its units have no position"
        raise UnitError(f"`{name}` is {show(shape)} and has {what}, not {len(position)}")
    for axis, at, n in zip(axis_names(len(sizes)), position, sizes, strict=True):
        if not 0 <= at < n:
            raise UnitError(f"`{name}` is {show(shape)}: its {axis} goes from 0 to {n - 1}, not to {at}")


Positions = range | tuple[int, ...]
"""Ascending positions along an axis, at least one."""

Box = tuple[Positions, ...]


def _trace(graph: Graph, facts: Facts, node: int, start: Box, *, clip: bool) -> dict[int, list[Box]]:
    """From the last layer to the first: of each node all that its readers need."""
    needed: dict[int, list[Box]] = {node: [start]}
    for index in range(node, -1, -1):
        layer, shapes = graph.nodes[index].layer, facts.layers[index].input_shapes
        for box in needed.get(index, ()):
            for source, shape in zip(graph.nodes[index].inputs, shapes, strict=True):
                before = _before(layer.window(*shapes), box, shape, facts.shape(index), clip)
                if before is not None and not clip:
                    before = _kept(before, shape, facts.layers[source].receptive_field)
                if before is not None:
                    needed[source] = _joined(needed.get(source, []), before)
    return needed


def _joined(boxes: Sequence[Box], new: Box) -> list[Box]:
    """Some boxes and another: two are made one where they differ along one axis, or one holds the other."""
    apart = []
    for box in boxes:
        differing = [axis for axis, (a, b) in enumerate(zip(box, new, strict=True)) if a != b]
        if len(differing) <= 1 or _holds(new, box):
            new = tuple(map(_union, box, new))
        elif _holds(box, new):
            new = box
        else:
            apart.append(box)
    if len(apart) < MOST_BOXES:
        return [*apart, new]
    return [tuple(range(first, stop) for first, stop in _intervals([*apart, new]) or ())]


def _holds(box: Box, other: Box) -> bool:
    return all(
        b[0] >= a[0] and b[-1] <= a[-1] and (a == b or set(a).issuperset(b))
        for a, b in zip(box, other, strict=True)
    )


def _before(window: object, box: Box, shape: Shape, after: Shape, clip: bool) -> Box | None:
    """What a layer needs of one input for a box of its output; nothing where it sees padding only."""
    sizes = shape[1:]
    if window == "pointwise" and len(sizes) == len(box):
        if sizes == after[1:]:
            return box
        repeats = (n == 1 < outputs for n, outputs in zip(sizes, after[1:], strict=True))
        return tuple(range(1) if once else axis for once, axis in zip(repeats, box, strict=True))
    if not isinstance(window, tuple) or not len(window) == len(sizes) == len(box):
        return tuple(map(range, sizes))
    axes = [
        _axis(sight, outputs, n if clip else None)
        for sight, outputs, n in zip(window, box, sizes, strict=True)
    ]
    known = tuple(axis for axis in axes if axis is not None)
    return known if len(known) == len(axes) else None


def _kept(box: Box, shape: Shape, field: ReceptiveField | None) -> Box:
    """Where all units of a map see the same, what lies outside it sees no more than they do."""
    if not field or len(field) != len(box):
        return box
    still = (axis.jump == 0 and not axis.ways for axis in field)
    return tuple(range(n) if same else b for same, b, n in zip(still, box, shape[1:], strict=True))


def _axis(sight: AxisSight, outputs: Positions, n: int | None) -> Positions | None:
    """What some outputs see: the positions that are there; without `n` those outside as well."""
    most = MOST_WINDOWS + sight.period
    ends = outputs if len(outputs) <= 2 * most else (*outputs[:most], *outputs[-most:])
    ranges = [found for output in ends if (found := _inside(sight.seen(output), n))]
    if not ranges:
        return None
    if len(ends) < len(outputs) or sum(map(len, ranges)) > MOST_POSITIONS:
        return range(min(found[0] for found in ranges), max(found[-1] for found in ranges) + 1)
    return tuple(sorted({position for found in ranges for position in found}))


def _inside(seen: range, n: int | None) -> range:
    """Those of the positions that are in an axis of `n`; all of them without it."""
    if n is None:
        return seen
    skipped = max(-(seen.start // seen.step), 0)
    return range(seen.start + skipped * seen.step, min(seen.stop, n), seen.step)


def _union(one: Positions, other: Positions) -> Positions:
    touching = one[0] <= other[-1] + 1 and other[0] <= one[-1] + 1
    whole = isinstance(one, range) and isinstance(other, range) and touching
    if whole or len(one) + len(other) > MOST_POSITIONS:
        return range(min(one[0], other[0]), max(one[-1], other[-1]) + 1)
    return tuple(sorted({*one, *other}))


# --- in words -----------------------------------------------------------------------------------------------

_LINES: Final = {1: ("positions",), 2: ("rows", "columns"), 3: ("slices", "rows", "columns")}


def lines_of(axes: int) -> tuple[str, ...]:
    """What the positions of each axis are called: rows and columns of an image."""
    return _LINES.get(axes) or axis_names(axes)


def sentences(unit: Unit) -> list[str]:
    """What the unit sees, as a teacher would say it."""
    place = f"unit ({', '.join(map(str, unit.position))})" if unit.position else "every unit"
    lines = [f"{place} of `{unit.layer}` ({show(unit.shape)})"]
    for seen in unit.seen:
        lines += [f"  {line}" for line in _of_input(seen)]
    return lines


def _of_input(seen: Seen) -> Iterable[str]:
    name = f"`{seen.input}` ({show(seen.shape)})"
    if seen.window is None or seen.inside is None:
        yield f"sees nothing of {name}"
        return
    if not seen.inside:
        yield f"sees all {seen.shape[0]} elements of {name}"
        return
    sizes = tuple(stop - start for start, stop in seen.inside)
    whole = sizes == seen.shape[1:]
    yield f"sees {'all of' if whole else _ranges(seen.inside) + ' of'} {name}" + (
        f": {_ranges(seen.inside)}" if whole else f": {show(sizes)} of its {show(seen.shape[1:])} positions"
    )
    if seen.window == seen.inside:
        yield "no part of its window lies outside"
        return
    size = show(tuple(stop - start for start, stop in seen.window))
    yield f"its window, unclipped, is {size}: {_ranges(seen.window)}; what lies outside is padding"


def _ranges(box: tuple[Interval, ...]) -> str:
    return " and ".join(_range(kind, edge) for kind, edge in zip(lines_of(len(box)), box, strict=True))


def _range(kind: str, edge: Interval) -> str:
    return f"{kind} {edge[0]} to {edge[1] - 1}" if edge[1] - edge[0] > 1 else f"{kind.rstrip('s')} {edge[0]}"


def unit_report(unit: Unit) -> Json:
    """A unit as plain data; `first` and `last` are both seen."""
    return {
        "layer": unit.layer,
        "output_shape": list(unit.shape),
        "unit": list(unit.position),
        "inputs": [
            {
                "name": seen.input,
                "shape": list(seen.shape),
                "unclipped": _box_report(seen.window),
                "clipped": _box_report(seen.inside),
            }
            for seen in unit.seen
        ],
    }


def _box_report(box: tuple[Interval, ...] | None) -> Json:
    if box is None:
        return None
    return {
        "first": [start for start, _ in box],
        "last": [stop - 1 for _, stop in box],
        "size": [stop - start for start, stop in box],
    }
