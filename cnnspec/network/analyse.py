"""Graph to facts: shapes, weights, costs and receptive fields of every node, and the claims checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnspec.language.diagnostics import Diagnostic, Label
from cnnspec.language.record import record
from cnnspec.layers import LayerError, show
from cnnspec.network import receptive_field
from cnnspec.network.graph import Claim, Facts, Graph, LayerFacts, Node, UseSite
from cnnspec.network.suggest import fitting_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnspec.layers import Shape
    from cnnspec.network.graph import ReceptiveField


@record
class Analysed:
    """The facts of a graph and the faults that they show."""

    facts: Facts
    faults: tuple[Diagnostic, ...]


def analyse(graph: Graph) -> Analysed:
    """Walk the nodes in order. A node behind an unknown value is unknown, silently."""
    table: list[LayerFacts] = []
    faults: list[Diagnostic] = []
    for node in graph.nodes:
        try:
            table.append(_facts(node, table))
        except LayerError as error:
            faults.append(_located(error, node, graph, table))
            table.append(LayerFacts())
    shapers: list[int] = []
    for claim in graph.claims:
        shape = table[claim.node].shape
        if shape is not None and shape != claim.shape:
            shapers = shapers or _shapers(graph, table)
            faults.append(_wrong_claim(claim, shapers[claim.node], graph, table))
    return Analysed(Facts(tuple(table)), tuple(faults))


def _facts(node: Node, table: Sequence[LayerFacts]) -> LayerFacts:
    known = [table[index] if index >= 0 else LayerFacts() for index in node.inputs]
    shapes = tuple(facts.shape for facts in known if facts.shape is not None)
    if len(shapes) < len(known):
        return LayerFacts()
    layer = node.layer
    shape = layer.infer(*shapes)
    return LayerFacts(
        input_shapes=shapes,
        shape=shape,
        weights=layer.weights(*shapes),
        macs=layer.macs(*shapes),
        receptive_field=_field(node, known, shape) if shapes else receptive_field.of_input(shape),
    )


def _field(node: Node, known: Sequence[LayerFacts], shape: Shape) -> ReceptiveField | None:
    """The field of a node whose output has this shape."""
    ways = []
    for before in known:
        if before.receptive_field is None or before.shape is None:
            return None
        window = node.layer.window(*(facts.shape for facts in known if facts.shape is not None))
        way = receptive_field.through(before.receptive_field, window, before.shape, shape)
        if way is None:
            return None
        repeats = window == "pointwise"  # a window says itself what it sees of a map of one position
        ways.append(receptive_field.repeated(way, before.shape, shape) if repeats else way)
    return receptive_field.union(ways, shape)


def _located(error: LayerError, node: Node, graph: Graph, table: Sequence[LayerFacts]) -> Diagnostic:
    """A layer's own error with the place of the option at fault, and where the inputs come from."""
    return Diagnostic(
        error.code,
        error.message,
        node.origin.place(error.option),
        label=error.label,
        labels=_operands(error, node, graph, table),
        notes=(*error.notes, *_unlabelled(error, node, graph, table), *_uses(node.origin.uses)),
        help=error.help,
    )


def _operands(error: LayerError, node: Node, graph: Graph, table: Sequence[LayerFacts]) -> tuple[Label, ...]:
    """Where the inputs at fault come from, each with its shape."""
    labels = []
    for number in error.inputs:
        index = node.inputs[number]
        shape = table[index].shape
        assert shape is not None
        labels.append(Label(graph.nodes[index].origin.layer, f"`{graph.nodes[index].name}` is {show(shape)}"))
    return tuple(dict.fromkeys(labels))


def _unlabelled(error: LayerError, node: Node, graph: Graph, table: Sequence[LayerFacts]) -> Sequence[str]:
    """Where the inputs come from, unless labels show it."""
    return () if error.inputs else _provenance(node, graph, table)


def _uses(uses: tuple[UseSite, ...]) -> list[str]:
    """The uses of blocks that led to a place, the innermost first."""
    return [use.note() for use in reversed(uses)]


def _provenance(node: Node, graph: Graph, table: Sequence[LayerFacts]) -> list[str]:
    """`input of `conv2` is 6x14x14, from `avgpool1` on line 5`."""
    notes = []
    for index in node.inputs:
        shape = table[index].shape if index >= 0 else None
        if shape is not None:
            source = graph.nodes[index]
            line = source.origin.keyword.line
            what = show(shape) if len(shape) > 1 else f"a vector of {shape[0]}"
            notes.append(f"input of `{node.name}` is {what}, from `{source.name}` on line {line}")
    return notes


def _wrong_claim(claim: Claim, shaper: int, graph: Graph, table: Sequence[LayerFacts]) -> Diagnostic:
    """A claim that the arithmetic denies, with the arithmetic of the layer that made the shape."""
    shape = table[claim.node].shape
    assert shape is not None
    node = graph.nodes[shaper]
    derivation = node.layer.arithmetic(*table[shaper].input_shapes)
    return Diagnostic(
        "wrong-claim",
        f"the output of `{graph.nodes[claim.node].name}` is {show(shape)}, not {show(claim.shape)}",
        claim.span,
        label="; ".join(derivation) or f"`{node.layer.written()}` gives {show(shape)}",
        notes=(
            f"`{node.name}` is `{node.layer.written()}` on line {node.origin.keyword.line}",
            *_provenance(node, graph, table),
            *_uses(claim.uses),
        ),
        help=(f"write `: {show(shape)}`, or change `{node.name}`{_suggestion(claim, node, table[shaper])}",),
    )


def _suggestion(claim: Claim, node: Node, facts: LayerFacts) -> str:
    """`: `padding=2` gives 6x28x28`, where one option of the layer makes the claim true."""
    option = fitting_option(node.layer, facts.input_shapes, claim.shape)
    return f": `{option}` gives {show(claim.shape)}" if option else ""


def _shapers(graph: Graph, table: Sequence[LayerFacts]) -> list[int]:
    """For each node the last one, going back from it, that changed the shape."""
    shapers: list[int] = []
    for index, node in enumerate(graph.nodes):
        before = node.inputs[0] if node.inputs else -1
        keeps = before >= 0 and _keeps_shape(node, table[index], table[before])
        shapers.append(shapers[before] if keeps else index)
    return shapers


def _keeps_shape(node: Node, facts: LayerFacts, before: LayerFacts) -> bool:
    if facts.shape is None or facts.shape != before.shape or facts.weights:
        return False
    return node.layer.window(*facts.input_shapes) == "pointwise"
