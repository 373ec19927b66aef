"""`cnnspec check`: shapes, parameters, costs and receptive fields of a file, and everything wrong with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cnnspec.cli._output import Column, grouped, print_diagnostics, print_table, size
from cnnspec.cli.main import FINDINGS, OK
from cnnspec.language.diagnostics import SpecError
from cnnspec.layers import show
from cnnspec.network.check import check_file
from cnnspec.network.report import failed_report, last_convolution, report

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from cnnspec.language.diagnostics import Diagnostic
    from cnnspec.network.check import Checked
    from cnnspec.network.graph import Facts, Graph, LayerFacts

SUMMARY = "check shapes, parameters, costs and receptive fields, layer by layer"
EXAMPLES = """examples:
  cnnspec check specs/lenet.cnn            the table of layers, and everything that is wrong
  cnnspec check --quiet specs/*.cnn        only what is wrong
  cnnspec check --json net.cnn | jq .totals
  cnnspec check - < net.cnn                from the standard input
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="a .cnn file, or - for the standard input")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of tables")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but findings")
    parser.add_argument(
        "--emit",
        choices=("tree", "graph", "facts"),
        help="print what stands between two steps of the compiler, and stop there",
    )


def run(arguments: argparse.Namespace) -> int:
    """Check every file; 1 if any has errors."""
    results = [_check(name) for name in arguments.files]
    diagnostics = [finding for _, findings in results for finding in findings]
    if arguments.json:
        documents = [
            report(checked) if checked else failed_report(name, findings)
            for name, (checked, findings) in zip(arguments.files, results, strict=True)
        ]
        print(json.dumps(documents[0] if len(documents) == 1 else documents, indent=2))
    elif arguments.emit:
        _emit([checked for checked, _ in results if checked], arguments.emit)
    elif not arguments.quiet:
        _print_tables([checked for checked, _ in results if checked])
    if diagnostics:
        print_diagnostics(diagnostics)
    return FINDINGS if any(finding.is_error for finding in diagnostics) else OK


def _check(name: str) -> tuple[Checked | None, Sequence[Diagnostic]]:
    try:
        checked = check_file(name)
    except SpecError as error:
        return None, error.diagnostics
    return checked, checked.diagnostics


def _emit(results: Sequence[Checked], stage: str) -> None:
    from cnnspec.language.dumping import dump

    for checked in results:
        print(dump({"tree": checked.tree, "graph": checked.graph, "facts": checked.facts}[stage]))


# --- the table --------------------------------------------------------------------------------------------

COLUMNS = (
    Column("layer"),
    Column("what it is"),
    Column("output", "right"),
    Column("weights + biases", "right", optional=True),
    Column("params", "right"),
    Column("MACs", "right"),
    Column("receptive field", "right"),
)


def _print_tables(results: Sequence[Checked]) -> None:
    for number, checked in enumerate(results):
        if checked.graph is None:
            continue
        if number:
            print()
        _print_network(checked.graph, checked.facts)


def _print_network(graph: Graph, facts: Facts) -> None:
    print(f"network {graph.name}")
    rows = [_row(graph, facts, index) for index in range(len(graph.nodes))]
    print_table(COLUMNS, rows, dim=[i for i, layer in enumerate(facts.layers) if not layer.weights])
    if all(layer.shape for layer in facts.layers):
        _print_totals(graph, facts)


def _row(graph: Graph, facts: Facts, index: int) -> tuple[str, ...]:
    node, layer = graph.nodes[index], facts.layers[index]
    if layer.shape is None:
        return (node.name, node.layer.written(), "?", "", "", "", "")
    sizes = {role: sum(w.size for w in layer.weights if w.role == role) for role in ("weight", "bias")}
    split = f"{grouped(sizes['weight'])} + {grouped(sizes['bias'])}" if layer.weights else ""
    return (
        node.name,
        node.layer.written(),
        show(layer.shape),
        split,
        grouped(layer.params) if layer.weights else "",
        grouped(layer.macs) if layer.macs else "",
        _field(layer, facts.layers[graph.sources()[0]]),
    )


def _field(layer: LayerFacts, source: LayerFacts) -> str:
    """The size of the receptive field; `all` where it holds the whole input."""
    if not layer.receptive_field or not source.shape:
        return ""
    whole = all(
        axis.start <= 0 and axis.start + axis.size >= n
        for axis, n in zip(layer.receptive_field, source.shape[1:], strict=True)
    )
    return "all" if whole else show(tuple(axis.size for axis in layer.receptive_field))


def _print_totals(graph: Graph, facts: Facts) -> None:
    totals = facts.totals()
    frozen = totals.params - totals.trainable_params
    print()
    print(f"parameters   {grouped(totals.params)}" + (f", {grouped(frozen)} not trained" if frozen else ""))
    print(
        f"MACs         {grouped(totals.macs)} multiply-accumulates an input ({grouped(2 * totals.macs)} FLOPs)"
    )
    print(
        f"memory       {size(totals.weight_bytes)} of weights, "
        f"{size(totals.activation_bytes)} of activations an input, in float32"
    )
    if sight := last_convolution(graph, facts):
        print(f"sight        {sight}")
