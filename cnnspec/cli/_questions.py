"""What `cnnspec check` answers beside its table: what one unit sees, and which input sizes fit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cnnspec.language.diagnostics import did_you_mean
from cnnspec.network.solve import sentences as size_sentences
from cnnspec.network.solve import solution_report, solve
from cnnspec.network.unit import UnitError, look, unit_report
from cnnspec.network.unit import sentences as unit_sentences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnspec.network.check import Checked
    from cnnspec.network.graph import Graph
    from cnnspec.network.report import Json
    from cnnspec.network.unit import Unit


def node_of(graph: Graph, name: str) -> int:
    """The number of the layer of this name.

    Raises:
        ValueError: there is none; the text suggests one, or tells where to look.
    """
    for index, node in enumerate(graph.nodes):
        if node.name == name:
            return index
    names = [node.name for node in graph.nodes]
    help = "; ".join(did_you_mean(name, names)) or "`cnnspec check FILE` lists the layers"
    raise ValueError(f"`{graph.name}` has no layer `{name}`\nhelp: {help}")


def units(checked: Checked, layer: str, position: tuple[int, ...] | None) -> list[Unit]:
    """The unit that is asked for, or the first, the middle and the last of a layer.

    Raises:
        ValueError: there is no such layer or unit.
    """
    graph, facts = checked.network()
    node = node_of(graph, layer)
    sizes = facts.shape(node)[1:]
    if position is None:
        places = [tuple(0 for _ in sizes), tuple(n // 2 for n in sizes), tuple(n - 1 for n in sizes)]
        return [look(graph, facts, node, place) for place in dict.fromkeys(places)]
    return [look(graph, facts, node, position)]


def print_units(
    results: Sequence[Checked], layer: str, position: tuple[int, ...] | None, *, as_json: bool
) -> None:
    """Print what units of a layer see of every input."""
    answers = [(checked, units(checked, layer, position)) for checked in results]
    if as_json:
        _print_json([_document(c, "cnnspec-unit-1", "units", list(map(unit_report, u))) for c, u in answers])
        return
    for _, found in answers:
        for unit in found:
            print("\n".join(unit_sentences(unit)))


def print_sizes(results: Sequence[Checked], *, as_json: bool) -> None:
    """Print the input sizes that fit."""
    answers = [(checked, solve(checked.network()[0])) for checked in results]
    if as_json:
        _print_json(
            [_document(c, "cnnspec-solve-1", "solutions", list(map(solution_report, s))) for c, s in answers]
        )
        return
    for checked, solutions in answers:
        print(f"network {checked.network()[0].name}")
        for solution in solutions:
            print("\n".join(size_sentences(solution)))
        if not solutions:
            print("its inputs have no spatial axes, so there is no size to choose")


def _document(checked: Checked, schema: str, name: str, answers: list[Json]) -> Json:
    graph, _ = checked.network()
    return {"schema": schema, "file": checked.source.name, "network": graph.name, name: answers}


def _print_json(documents: list[Json]) -> None:
    print(json.dumps(documents[0] if len(documents) == 1 else documents, indent=2))


__all__ = ["UnitError", "node_of", "print_sizes", "print_units", "units"]
