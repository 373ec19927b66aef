"""A layer's numbers derived, each formula in symbols, then in numbers, then its result."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final, TypeVar

from cnnspec.layers import AxisWindow, product, show
from cnnspec.layers.formulas import Formula, Symbol, alike, every_axis, grouped_sizes, suffixes
from cnnspec.layers.windows import axis_names
from cnnspec.network.document import Document, Line, Section, Text
from cnnspec.network.graph import Way
from cnnspec.network.table import in_bytes, seen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cnnspec.layers import Layer, Shape, Weight
    from cnnspec.layers.formulas import Topic
    from cnnspec.network.graph import AxisField, Facts, Graph, LayerFacts, Node

T = TypeVar("T")

MOST_PATTERNS: Final = 8
"""Units whose receptive fields are listed, where they differ from unit to unit."""


def explain_layer(graph: Graph, facts: Facts, index: int) -> Document:
    """Everything that is known of one layer, with the arithmetic."""
    node, layer = graph.nodes[index], facts.layers[index]
    formulas = node.layer.formulas(*layer.input_shapes)
    sections = [
        Section("what it is", tuple(map(Text, _what(graph, facts, node, layer)))),
        Section("output", tuple(_output(node.layer, layer, formulas))),
        Section("parameters", tuple(_parameters(layer, formulas))),
        Section("parameter sharing", tuple(_sharing(node.layer, layer))),
        Section("multiply-accumulates", tuple(_macs(facts, layer, formulas))),
        Section("receptive field", tuple(_field(graph, facts, index))),
    ]
    title = f"{node.name}: {node.layer.written()}"
    return Document(title, tuple(section for section in sections if section.lines))


def _of(topic: Topic, formulas: Sequence[Formula]) -> list[Formula]:
    return [formula for formula in formulas if formula.topic == topic]


def _what(graph: Graph, facts: Facts, node: Node, layer: LayerFacts) -> Iterator[str]:
    yield node.layer.summary
    place = f"line {node.origin.keyword.line} of {node.origin.keyword.source.name}"
    uses = "".join(f", {use.note()}" for use in reversed(node.origin.uses))
    yield f"written on {place}{uses}"
    for source, shape in zip(node.inputs, layer.input_shapes, strict=True):
        yield f"input: {show(shape)}, from `{graph.nodes[source].name}`"
    assert layer.shape is not None
    yield f"output: {show(layer.shape)}"


# --- output, parameters, costs ------------------------------------------------------------------------------


def _output(layer: Layer, facts: LayerFacts, formulas: Sequence[Formula]) -> Iterator[Line]:
    shape = facts.shape
    assert shape is not None
    yield from (sizes := _of("output", formulas))
    if not sizes:
        yield from map(Text, layer.arithmetic(*facts.input_shapes))
    if not facts.input_shapes:
        yield Text(f"the file declares it: {show(shape)}")
    elif shape == facts.input_shapes[0] and not sizes:
        yield Text(f"the shape stays {show(shape)}")
    yield Text(f"{grouped_sizes(shape)} numbers, {in_bytes(4 * product(shape))} in float32")


def _parameters(facts: LayerFacts, formulas: Sequence[Formula]) -> Iterator[Line]:
    yield from _of("params", formulas)
    yield from (Text(_array(weight)) for weight in facts.weights)
    if not facts.weights:
        yield Text("none: there is nothing to learn")
        return
    frozen = facts.params - facts.trainable_params
    yield Text(f"together {facts.params:,}" + (f", of which {frozen:,} are not trained" if frozen else ""))


def _array(weight: Weight) -> str:
    """`` `weight` of 6x1x5x5: 6 * 1 * 5 * 5 = 150 ``."""
    state = ", state that is not learned and not counted" if weight.role == "state" else ""
    return f"`{weight.name}` of {show(weight.shape)}: {grouped_sizes(weight.shape)}{state}"


def _sharing(layer: Layer, facts: LayerFacts) -> Iterator[Line]:
    """What a dense layer between the same tensors would need (section 1.1 of the lecture)."""
    if layer.family != "convolution" or not facts.weights or facts.shape is None:
        return
    n, m = product(facts.input_shapes[0]), product(facts.shape)
    bias = any(weight.role == "bias" for weight in facts.weights)
    symbols = (
        Symbol("n_i", n, "elements of the input"),
        Symbol("n_o", m, "elements of the output"),
    )
    right = "n_i * n_o + n_o" if bias else "n_i * n_o"
    dense = Formula("sharing", "parameters of a dense layer between the same tensors", "D", right, symbols)
    yield Text(
        "a pattern worth detecting in one place is worth detecting in every other, so that the same "
        f"{facts.params:,} parameters serve every position of the map"
    )
    yield dense
    ratio = Fraction(int(dense.result), facts.params)
    yield Text(f"{int(dense.result):,} against {facts.params:,}: {_times(ratio)} as many")


def _times(ratio: Fraction) -> str:
    return f"{float(ratio):,.0f} times" if ratio >= 10 else f"{float(ratio):.2g} times"


def _macs(facts: Facts, layer: LayerFacts, formulas: Sequence[Formula]) -> Iterator[Line]:
    if not layer.macs:
        yield Text("0: by convention only convolutions and dense layers are counted")
        return
    yield from _of("macs", formulas)
    share = 100 * layer.macs / facts.totals().macs
    yield Text(f"{layer.macs:,} for each input, without biases; {share:.1f} % of the network's")
    yield Text(f"FLOPs: 2 * {layer.macs} = {2 * layer.macs:,}")


# --- the receptive field ------------------------------------------------------------------------------------


def _field(graph: Graph, facts: Facts, index: int) -> Iterator[Line]:
    node, layer = graph.nodes[index], facts.layers[index]
    field = layer.receptive_field
    if field is None:
        yield Text("unknown: its pattern returns after too many units")
        return
    if not field:
        yield Text("the input has no spatial axes, so there are no receptive fields")
        return
    yield from _composed(graph, facts, index)
    if not node.inputs:
        return
    names = axis_names(len(field))
    if any(axis.ways for axis in field):
        counts = layer.shape[1:] if layer.shape and len(layer.shape) > len(field) else (1,) * len(field)
        for name, axis, units in zip(names, field, counts, strict=True):
            yield Text(f"{name}: " + _pattern(axis, units))
    else:
        yield Text(_formula_of_unit(field, names))
    source = next(s for s in graph.sources() if len(facts.shape(s)) == len(field) + 1)
    sizes = facts.shape(source)[1:]
    everything = all(axis.size >= n for axis, n in zip(field, sizes, strict=True))
    verdict = "at least as many as the input has" if everything else f"the input has {show(sizes)}"
    yield Text(f"a unit sees {seen(field)} input positions; {verdict}")


def _composed(graph: Graph, facts: Facts, index: int) -> Iterator[Line]:
    """How the field follows from those of the inputs."""
    node, layer = graph.nodes[index], facts.layers[index]
    if not node.inputs:
        yield Text("a position of the input sees itself: size 1, jump 1, start 0")
        return
    before = [facts.layers[source].receptive_field or () for source in node.inputs]
    names = [graph.nodes[source].name for source in node.inputs]
    if len(node.inputs) > 1:
        yield from _united(names, before, layer)
        return
    window = node.layer.window(*layer.input_shapes)
    field, shape = before[0], layer.input_shapes[0]
    if window == "pointwise":
        yield Text(f"each unit sees what the unit at its position in `{names[0]}` sees")
    elif window == "everything" or len(shape) != len(field) + 1:
        yield from _of_everything(names[0], field, shape)
    elif _slides(window, field):
        assert isinstance(window, tuple)
        rows = list(zip(field, window, strict=True))
        for suffix, axis, (seen_before, sight) in _rows(rows):
            assert isinstance(sight, AxisWindow)
            yield from _slide(axis, suffix, seen_before, sight, names[0])
    else:
        yield Text("what a unit sees depends on its position:")


def _rows(rows: Sequence[T]) -> Iterator[tuple[str, str, T]]:
    """The suffix and the name of every axis, or one for all of them where they are alike."""
    if alike(rows):
        yield "", every_axis(len(rows)), rows[0]
        return
    yield from zip(suffixes(len(rows)), axis_names(len(rows)), rows, strict=True)


def _slides(window: object, field: Sequence[AxisField]) -> bool:
    """Whether all units see alike, so that the simple formulas hold."""
    sliding = isinstance(window, tuple) and all(isinstance(sight, AxisWindow) for sight in window)
    return sliding and not any(axis.ways for axis in field)


def _slide(axis: str, x: str, field: AxisField, window: AxisWindow, name: str) -> Iterator[Formula]:
    """Size, jump, start and centre behind a window that slides."""
    r = Symbol(f"r{x}", field.size, f"size of the fields of `{name}`")
    j = Symbol(f"j{x}", field.jump, f"jump of `{name}`, input positions between neighbouring units")
    a = Symbol(f"a{x}", field.start, f"start of `{name}`, the first position that its unit 0 sees")
    k = Symbol(f"k{x}", window.kernel, "size of the window")
    s = Symbol(f"s{x}", window.stride, "stride")
    p = Symbol(f"p{x}", window.before, "padding before")
    d = Symbol(f"d{x}", window.dilation, "distance between its elements")
    dilated = window.dilation > 1
    reach = f"{d.name} * ({k.name} - 1)" if dilated else f"({k.name} - 1)"
    out = f"{x}_out"
    size = Formula(
        "field",
        f"size along {axis}",
        f"r{out}",
        f"{r.name} + {reach} * {j.name}",
        (r, *([d] if dilated else []), k, j),
    )
    jump = Formula("field", f"jump along {axis}", f"j{out}", f"{j.name} * {s.name}", (j, s))
    start = Formula("field", f"start along {axis}", f"a{out}", f"{a.name} - {p.name} * {j.name}", (a, p, j))
    new = (
        Symbol(f"a{out}", start.result, "the start above"),
        Symbol(f"r{out}", size.result, "the size above"),
    )
    centre = Formula("field", f"centre of unit 0 along {axis}", f"c{out}", f"a{out} + (r{out} - 1) / 2", new)
    yield from (size, jump, start, centre)


def _of_everything(name: str, field: Sequence[AxisField], shape: Shape) -> Iterator[Line]:
    """Behind a layer that sees the whole map: from the first unit's field to the last one's."""
    if len(shape) == 1:
        yield Text(f"every unit sees the whole of `{name}`, whose elements all see the same")
        return
    yield Text(
        f"every unit sees the whole {show(shape)} of `{name}`, so all see the same and there is no jump"
    )
    if any(axis.ways for axis in field) or len(shape) != len(field) + 1:
        return
    for suffix, axis, (before, n) in _rows(list(zip(field, shape[1:], strict=True))):
        symbols = (
            Symbol(f"r{suffix}", before.size, f"size of the fields of `{name}`"),
            Symbol(f"n{suffix}", n, f"{axis} of `{name}`"),
            Symbol(f"j{suffix}", before.jump, f"jump of `{name}`"),
        )
        r, n_, j = (symbol.name for symbol in symbols)
        yield Formula("field", f"size along {axis}", f"r{suffix}_out", f"{r} + ({n_} - 1) * {j}", symbols)


def _united(names: Sequence[str], before: Sequence[Sequence[AxisField]], layer: LayerFacts) -> Iterator[Line]:
    """Behind a layer that joins values: from the first position that one of them sees to the last."""
    for name, field in zip(names, before, strict=True):
        if field:
            sizes = [axis.size for axis in field]
            starts = ", ".join(dict.fromkeys(str(axis.start) for axis in field))
            yield Text(f"`{name}` sees {show(tuple(sizes))}, from {starts} on")
    yield Text("a unit sees what any of them sees at its position: from the first position to the last")
    if len(set(map(len, before))) != 1 or any(axis.ways for field in before for axis in field):
        return
    columns = [tuple(field[i] for field in before) for i in range(len(before[0]))]
    for suffix, axis, fields in _rows(columns):
        if len({field.jump for field in fields}) != 1 or len({(f.start, f.size) for f in fields}) == 1:
            continue
        firsts = tuple(
            Symbol(f"a{suffix}_{i}", f.start, f"start of `{n}`")
            for i, (f, n) in enumerate(zip(fields, names, strict=True), 1)
        )
        lengths = tuple(
            Symbol(f"r{suffix}_{i}", f.size, f"size of `{n}`")
            for i, (f, n) in enumerate(zip(fields, names, strict=True), 1)
        )
        ends = ", ".join(f"{a.name} + {r.name}" for a, r in zip(firsts, lengths, strict=True))
        first = ", ".join(a.name for a in firsts)
        right = f"max({ends}) - min({first})"
        yield Formula("field", f"size along {axis}", f"r{suffix}_out", right, (*firsts, *lengths))


def _pattern(axis: AxisField, units: int) -> str:
    """The fields of the first units, where they differ, and how it goes on."""
    ways = axis.ways or (Way(axis.jump, (axis.seen(0),)),)
    period = len(ways[0].pattern) if len(ways) == 1 else units
    listed = range(min(period, units, MOST_PATTERNS))
    shown = ", ".join(f"unit {unit} sees {_positions(axis.seen(unit))}" for unit in listed)
    shown += ", ..." if len(listed) < min(period, units) else ""
    if len(ways) > 1:
        return shown + (
            f", unit {units - 1} sees {_positions(axis.seen(units - 1))}" if units > len(listed) else ""
        )
    if not axis.jump or period >= units:
        return shown
    again = f"{period} units" if period > 1 else "1 unit"
    return f"{shown}; after {again} the same again, {axis.jump * period} further on"


def _positions(edge: tuple[int, int] | None) -> str:
    if edge is None:
        return "nothing"
    return f"{edge[0]} to {edge[1] - 1}" if edge[1] - edge[0] > 1 else str(edge[0])


def _formula_of_unit(field: Sequence[AxisField], names: Sequence[str]) -> str:
    """Which positions a unit anywhere sees."""
    rows = list(zip(field, names, strict=True))
    parts = []
    for axis, name in rows if len(set(field)) > 1 else [(field[0], every_axis(len(field)))]:
        first, last = axis.start, axis.start + axis.size - 1
        step = {0: "", 1: " + i"}.get(int(axis.jump), f" + {axis.jump} * i")
        unit = "unit i" if axis.jump else "every unit"
        parts.append(f"along {name} {unit} sees positions {first}{step} to {last}{step}")
    return "; ".join(parts)
