"""The findings of a check as plain data: what `cnnspec check --json` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnspec.language.diagnostics import Diagnostic
    from cnnspec.network.check import Checked
    from cnnspec.network.graph import LayerFacts, Node, ReceptiveField

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None

SCHEMA: Final = "cnnspec-check-1"


def report(checked: Checked) -> dict[str, Json]:
    """One file: findings, layers and totals. A layer behind an error has the shape `null`."""
    graph, facts = checked.graph, checked.facts
    layers = zip(graph.nodes, facts.layers, strict=True) if graph else ()
    totals = facts.totals()
    return {
        "schema": SCHEMA,
        "file": checked.source.name,
        "network": graph.name if graph else None,
        "ok": checked.ok,
        "diagnostics": [_diagnostic(diagnostic) for diagnostic in checked.diagnostics],
        "layers": [_layer(node, layer) for node, layer in layers],
        "totals": {
            "params": totals.params,
            "trainable_params": totals.trainable_params,
            "macs": totals.macs,
            "activation_bytes": totals.activation_bytes,
            "weight_bytes": totals.weight_bytes,
        },
    }


def failed_report(name: str, diagnostics: Sequence[Diagnostic]) -> dict[str, Json]:
    """A file that could not be read."""
    return {
        "schema": SCHEMA,
        "file": name,
        "network": None,
        "ok": False,
        "diagnostics": [_diagnostic(diagnostic) for diagnostic in diagnostics],
        "layers": [],
        "totals": None,
    }


def _diagnostic(diagnostic: Diagnostic) -> Json:
    first = diagnostic.span.first if diagnostic.span else (None, None)
    last = diagnostic.span.last if diagnostic.span else (None, None)
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity.value,
        "message": diagnostic.message,
        "label": diagnostic.label,
        "notes": list(diagnostic.notes),
        "help": list(diagnostic.help),
        "file": diagnostic.where,
        "line": first[0],
        "column": first[1],
        "end_line": last[0],
        "end_column": last[1],
    }


def _layer(node: Node, facts: LayerFacts) -> Json:
    return {
        "name": node.name,
        "kind": node.layer.keyword,
        "line": node.origin.keyword.line,
        "input_shapes": [list(shape) for shape in facts.input_shapes],
        "output_shape": None if facts.shape is None else list(facts.shape),
        "params": facts.params,
        "trainable_params": facts.trainable_params,
        "macs": facts.macs,
        "receptive_field": _field(facts.receptive_field),
    }


def _field(field: ReceptiveField | None) -> Json:
    """Whole numbers, but for a jump that is a fraction; `varies` where the size is that of the largest."""
    if not field:
        return None
    shown: dict[str, Json] = {
        "size": [axis.size for axis in field],
        "jump": [axis.jump if isinstance(axis.jump, int) else float(axis.jump) for axis in field],
        "start": [axis.start for axis in field],
    }
    if any(axis.varies for axis in field):
        shown["varies"] = [axis.varies for axis in field]
    return shown
