"""`cnnspec check`: shapes, parameters, costs and receptive fields of a file, and everything wrong with it."""

from __future__ import annotations

import argparse
import gc
import json
from typing import TYPE_CHECKING, Final

from cnnspec.cli._output import print_diagnostics, print_table
from cnnspec.cli._parameters import add_parameters, count, position
from cnnspec.cli.main import FINDINGS, OK
from cnnspec.language.errors import SpecError
from cnnspec.language.syntax import Block
from cnnspec.network.bind import signature
from cnnspec.network.check import check_file
from cnnspec.network.report import failed_report, report
from cnnspec.network.table import COLUMNS, layer_rows, total_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cnnspec.language.diagnostics import Diagnostic
    from cnnspec.layers.options import Value
    from cnnspec.network.check import Checked
    from cnnspec.network.report import Json

SUMMARY = "check shapes, parameters, costs and receptive fields, layer by layer"
EXAMPLES = """examples:
  cnnspec check specs/lenet.cnn            the table of layers, and everything that is wrong
  cnnspec check --quiet specs/*.cnn        only what is wrong
  cnnspec check --strict net.cnn           warnings, too, give the exit status 1
  cnnspec check --json net.cnn | jq .totals
  cnnspec check - < net.cnn                from the standard input
  cnnspec check net.cnn --set classes=10   with another value for a parameter
  cnnspec check net.cnn --columns name,output,params,params%,intensity
  cnnspec check net.cnn --depth 1          each use of a block as one row, with its sums
  cnnspec check net.cnn --csv > net.csv    or --markdown
  cnnspec check net.cnn --layer conv2 --unit 4,7    what that unit sees of the input
  cnnspec check net.cnn --solve input      the input sizes at which everything fits
  cnnspec check net.cnn --memory --batch 64    what training at this batch will need
  cnnspec check --format github *.cnn      annotations for a workflow; sarif for code scanning
"""

FORMATS = ("table", "json", "markdown", "csv", "github", "sarif")

SELDOM: Final = (50_000, 20, 100)
"""Thresholds of the search for garbage."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("files", nargs="*", metavar="FILE", help="a .cnn file, or - for the standard input")
    add_parameters(parser)
    parser.add_argument(
        "--format", choices=FORMATS, default="table", help="how to print: a table unless given"
    )
    for name in ("json", "markdown", "csv"):
        text = (
            "print one JSON document instead of tables" if name == "json" else f"the same as --format {name}"
        )
        parser.add_argument(f"--{name}", action="store_const", const=name, dest="format", help=text)
    parser.add_argument(
        "--columns",
        metavar="NAMES",
        help="columns to show, such as name,output,params; --columns help lists them",
    )
    parser.add_argument(
        "--depth",
        type=_level,
        metavar="N",
        help="fold uses of blocks: 1 shows each as one row, 2 opens them once",
    )
    parser.add_argument("--layer", metavar="LAYER", help="tell what units of this layer see of the input")
    parser.add_argument(
        "--unit", type=position, metavar="Y,X", help="with --layer: the unit at this position"
    )
    parser.add_argument("--solve", choices=("input",), help="list the input sizes at which everything fits")
    parser.add_argument("--memory", action="store_true", help="tell what training will need, by what for")
    parser.add_argument(
        "--batch", type=count, metavar="N", help="with --memory: images in a step, where not the file's"
    )
    parser.set_defaults(usage_error=parser.error)
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but findings")
    parser.add_argument("--strict", action="store_true", help="let warnings count as errors: exit status 1")
    parser.add_argument(
        "--emit",
        choices=("tree", "graph", "facts"),
        help="print what stands between two steps of the compiler, and stop there",
    )


def _level(text: str) -> int:
    """A number of at least 1."""
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"must be a number of at least 1, not `{text}`")


def run(arguments: argparse.Namespace) -> int:
    """Check every file; 1 if any has errors, or with `--strict` warnings."""
    if arguments.columns == "help":
        from cnnspec.cli._sheets import column_help

        print(column_help())
        return OK
    if not arguments.files:
        arguments.usage_error("the following arguments are required: FILE")
    if arguments.unit is not None and arguments.layer is None:
        arguments.usage_error("--unit needs --layer, which names the unit's layer")
    if arguments.batch is not None and not arguments.memory:
        arguments.usage_error("--batch needs --memory, which is told for a batch")
    if arguments.memory and arguments.format not in ("table", "json"):
        arguments.usage_error(f"--memory goes with a table or with --json, not with {arguments.format}")
    if arguments.format in ("json", "github", "sarif") and (arguments.columns or arguments.depth):
        arguments.usage_error(f"--columns and --depth shape a table, and {arguments.format} is none")
    results = _check_all(arguments)
    diagnostics = [finding for _, findings in results for finding in findings]
    if arguments.emit:
        _emit([checked for checked, _ in results if checked], arguments.emit)
    elif arguments.layer is not None or arguments.solve:
        _answer([checked for checked, _ in results if checked and checked.ok and checked.graph], arguments)
    elif arguments.format in ("github", "sarif"):
        _annotate(diagnostics, arguments.format)
    elif arguments.format == "json":
        documents = [
            _document(checked, arguments) if checked else failed_report(name, findings)
            for name, (checked, findings) in zip(arguments.files, results, strict=True)
        ]
        print(json.dumps(documents[0] if len(documents) == 1 else documents, indent=2))
    elif not arguments.quiet:
        _print_tables([checked for checked, _ in results if checked], arguments)
        if arguments.memory:
            _print_memory([checked for checked, _ in results if checked], arguments.batch)
    if diagnostics:
        print_diagnostics(diagnostics, quiet=arguments.quiet)
    return FINDINGS if any(finding.is_error or arguments.strict for finding in diagnostics) else OK


def _check_all(arguments: argparse.Namespace) -> list[tuple[Checked | None, Sequence[Diagnostic]]]:
    """Check the files, looking for garbage seldom: nearly all that is made is kept.

    With Python's own thresholds the search takes a third of the time of a file of 10,000 layers.
    """
    usual = gc.get_threshold()
    gc.set_threshold(*SELDOM)
    try:
        return [_check(name, arguments.set) for name in arguments.files]
    finally:
        gc.set_threshold(*usual)


def _document(checked: Checked, arguments: argparse.Namespace) -> Json:
    document = report(checked)
    if arguments.memory:
        from cnnspec.cli._memory import memory_report

        document["memory"] = memory_report(checked, arguments.batch)
    return document


def _answer(results: Sequence[Checked], arguments: argparse.Namespace) -> None:
    from cnnspec.cli._questions import print_sizes, print_units

    as_json = arguments.format == "json"
    if arguments.solve:
        print_sizes(results, as_json=as_json)
        return
    try:
        print_units(results, arguments.layer, arguments.unit, as_json=as_json)
    except ValueError as error:
        arguments.usage_error(str(error))


def _annotate(diagnostics: Sequence[Diagnostic], format: str) -> None:
    from cnnspec.cli._annotations import sarif, workflow_commands

    if format == "sarif":
        print(json.dumps(sarif(diagnostics), indent=2))
    else:
        for line in workflow_commands(diagnostics):
            print(line)


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


def _print_memory(results: Sequence[Checked], batch: int | None) -> None:
    from cnnspec.cli._memory import memory_lines

    for checked in results:
        if checked.ok and checked.graph:
            print("\n".join(["", *memory_lines(checked, batch)]))


def _print_tables(results: Sequence[Checked], arguments: argparse.Namespace) -> None:
    if arguments.format != "table" or arguments.columns or arguments.depth:
        from cnnspec.cli._sheets import print_sheets

        try:
            print_sheets(results, arguments.format, arguments.columns, arguments.depth)
        except ValueError as error:
            arguments.usage_error(str(error))
        return
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
