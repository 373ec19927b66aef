"""`cnnspec diff`: what changed from one network to another."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cnnspec.cli._output import print_diagnostics
from cnnspec.cli._parameters import add_parameters
from cnnspec.cli.main import FINDINGS, OK, USAGE
from cnnspec.language.errors import SpecError
from cnnspec.network.check import check_file
from cnnspec.network.diff import compare, diff_columns, diff_notes, diff_report, diff_rows
from cnnspec.network.table import plain

if TYPE_CHECKING:
    import argparse

    from cnnspec.network.diff import Difference

SUMMARY = "tell what changed from one network to another, layer by layer"
EXAMPLES = """examples:
  cnnspec diff old.cnn new.cnn                      shapes, parameters, MACs, receptive fields, options
  cnnspec diff net.cnn net.cnn --set-b width=2      the same file with another parameter
  git show HEAD:net.cnn | cnnspec diff - net.cnn    since the last commit
  cnnspec diff old.cnn new.cnn --markdown           for a comment under a change
  cnnspec diff old.cnn new.cnn --json | jq .totals

- and + are a layer's row before and after; < and > that of a layer which moved. Layers belong together by
their place in the order, kind, options, output shape and name, so that renaming a layer does not hide it.
Exit status: 0 nothing differs, 1 something does, 2 a file cannot be compared.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("before", metavar="A", help="a .cnn file, or - for the standard input")
    parser.add_argument("after", metavar="B", help="the file to compare with it")
    add_parameters(parser, of="both networks")
    add_parameters(parser, "--set-a", "the first network")
    add_parameters(parser, "--set-b", "the second network")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    parser.add_argument("--markdown", action="store_true", help="print Markdown with a `diff` block")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing: the exit status says it")


def run(arguments: argparse.Namespace) -> int:
    """Compare two files; 1 if anything differs."""
    try:
        before = check_file(arguments.before, {**arguments.set, **arguments.set_a})
        after = check_file(arguments.after, {**arguments.set, **arguments.set_b})
        difference = compare(before, after)
    except SpecError as error:
        print_diagnostics(error.diagnostics, quiet=arguments.quiet)
        return USAGE
    if arguments.json:
        print(json.dumps(diff_report(difference), indent=2))
    elif not arguments.quiet:
        _print(difference, arguments.markdown)
    return OK if difference.same else FINDINGS


def _print(difference: Difference, markdown: bool) -> None:
    old, new = difference.before.network()[0].name, difference.after.network()[0].name
    title = f"network {old}" if old == new else f"network {old} -> {new}"
    rows = diff_rows(difference)
    table = plain(diff_columns(), rows) if rows else "no layer changed"
    print(f"## {title}\n" if markdown else title)
    if not rows or not markdown:
        print(table)
    else:
        print(f"```diff\n{table}\n```")
    print()
    for note in diff_notes(difference):
        word, _, rest = note.partition(" ")
        print(f"* {word}: {rest.strip()}" if markdown else note)
