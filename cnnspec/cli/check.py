"""`cnnspec check`: shapes, parameters, costs and receptive fields of a file, and everything wrong with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cnnspec.cli._output import print_diagnostics, print_table
from cnnspec.cli._parameters import add_parameters
from cnnspec.cli.main import FINDINGS, OK
from cnnspec.language.diagnostics import SpecError
from cnnspec.language.syntax import Block
from cnnspec.network.bind import signature
from cnnspec.network.check import check_file
from cnnspec.network.report import failed_report, report
from cnnspec.network.table import COLUMNS, layer_rows, total_lines

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from cnnspec.language.diagnostics import Diagnostic
    from cnnspec.layers.options import Value
    from cnnspec.network.check import Checked

SUMMARY = "check shapes, parameters, costs and receptive fields, layer by layer"
EXAMPLES = """examples:
  cnnspec check specs/lenet.cnn            the table of layers, and everything that is wrong
  cnnspec check --quiet specs/*.cnn        only what is wrong
  cnnspec check --json net.cnn | jq .totals
  cnnspec check - < net.cnn                from the standard input
  cnnspec check net.cnn --set classes=10   with another value for a parameter
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="a .cnn file, or - for the standard input")
    add_parameters(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of tables")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but findings")
    parser.add_argument(
        "--emit",
        choices=("tree", "graph", "facts"),
        help="print what stands between two steps of the compiler, and stop there",
    )


def run(arguments: argparse.Namespace) -> int:
    """Check every file; 1 if any has errors."""
    results = [_check(name, arguments.set) for name in arguments.files]
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
        print_diagnostics(diagnostics, quiet=arguments.quiet)
    return FINDINGS if any(finding.is_error for finding in diagnostics) else OK


def _check(name: str, parameters: Mapping[str, Value]) -> tuple[Checked | None, Sequence[Diagnostic]]:
    try:
        checked = check_file(name, parameters)
    except SpecError as error:
        return None, error.diagnostics
    return checked, checked.diagnostics


def _emit(results: Sequence[Checked], stage: str) -> None:
    from cnnspec.language.dumping import dump

    for checked in results:
        print(dump({"tree": checked.tree, "graph": checked.graph, "facts": checked.facts}[stage]))


def _print_tables(results: Sequence[Checked]) -> None:
    for checked in results:
        if checked.graph is None and (
            blocks := [item for item in checked.tree.items if isinstance(item, Block)]
        ):
            print(f"{checked.source.name}: blocks {', '.join(signature(block) for block in blocks)}")
    networks = [(checked.graph, checked.facts) for checked in results if checked.graph]
    for number, (graph, facts) in enumerate(networks):
        if number:
            print()
        print(f"network {graph.name}")
        without_weights = [i for i, layer in enumerate(facts.layers) if not layer.weights]
        print_table(COLUMNS, layer_rows(graph, facts), dim=without_weights)
        if facts.layers and all(layer.shape for layer in facts.layers):
            print("\n".join(["", *total_lines(graph, facts)]))
