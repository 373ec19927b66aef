"""`cnnspec fmt`: the canonical form of a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cnnspec.cli._output import print_diagnostics
from cnnspec.cli._parameters import add_parameters
from cnnspec.cli.main import FINDINGS, OK, CommandError
from cnnspec.language.errors import SpecError
from cnnspec.language.formatter import format_source
from cnnspec.language.reading import STDIN, read
from cnnspec.language.saving import save
from cnnspec.language.source import Source

if TYPE_CHECKING:
    import argparse

SUMMARY = "bring files into one canonical form, and write shape claims"
EXAMPLES = """examples:
  cnnspec fmt specs/*.cnn            rewrite the files in place
  cnnspec fmt --check specs/*.cnn    change nothing; exit with 1 if a file would change
  cnnspec fmt --diff net.cnn         show what would change
  cnnspec fmt --shapes net.cnn       write the shape of every statement at its end, and refresh old ones
  cnnspec fmt - < net.cnn            from the standard input to the standard output

A file with syntax errors is reported and left as it is.
"""


MENDED = ("wrong-claim", "budget")
"""Findings that do not stand in the way of writing claims."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="a .cnn file, or - for the standard input")
    parser.add_argument("--check", action="store_true", help="only tell which files would change")
    parser.add_argument("--diff", action="store_true", help="only show what would change")
    parser.add_argument("--shapes", action="store_true", help="write and refresh shape claims")
    parser.add_argument("-q", "--quiet", action="store_true", help="do not list the files that change")
    add_parameters(parser)


def run(arguments: argparse.Namespace) -> int:
    """Format every file; 1 if one is broken or, with --check, would change."""
    status = OK
    for name in arguments.files:
        try:
            changed = _format(name, arguments)
        except SpecError as error:
            print_diagnostics(error.diagnostics, quiet=arguments.quiet)
            status = FINDINGS
        else:
            status = FINDINGS if changed and arguments.check else status
    return status


def _format(name: str, arguments: argparse.Namespace) -> bool:
    """Format one file; whether it changes."""
    source = read(name)
    formatted = format_source(_claimed(source, arguments) if arguments.shapes else source)
    changed = formatted != source.text
    if arguments.diff:
        _print_diff(source, formatted)
    elif arguments.check:
        if changed and not arguments.quiet:
            print(f"{source.name} would change")
    elif name == STDIN:
        sys.stdout.write(formatted)
    elif changed:
        _replace(Path(name), formatted)
        if not arguments.quiet:
            print(f"formatted {name}")
    return changed


def _claimed(source: Source, arguments: argparse.Namespace) -> Source:
    """The text with claims, in its canonical form, in which each statement has a line of its own to end.

    Raises:
        SpecError: the file has faults; they are told at their places in the text as it was written.
    """
    from cnnspec.network.check import check_source
    from cnnspec.network.claims import with_claims

    checked = check_source(source, arguments.set)
    errors = [fault for fault in checked.diagnostics if fault.is_error and fault.code not in MENDED]
    if errors or checked.graph is None:
        raise SpecError(errors or checked.diagnostics)
    tidy = Source(source.name, format_source(source), source.path)
    if tidy.text != source.text:
        checked = check_source(tidy, arguments.set)
    assert checked.graph is not None, "what is formatted is the same network"
    return with_claims(tidy, checked.graph, checked.facts)


def _replace(path: Path, text: str) -> None:
    try:
        save(path, text.encode())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CommandError(f"cannot write `{path}`: {reason}", "the file is as it was") from None


def _print_diff(source: Source, formatted: str) -> None:
    from difflib import unified_diff

    lines = unified_diff(
        source.text.splitlines(keepends=True),
        formatted.splitlines(keepends=True),
        source.name,
        f"{source.name} formatted",
    )
    sys.stdout.writelines(line if line.endswith("\n") else line + "\n" for line in lines)
