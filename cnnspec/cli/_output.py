"""What the commands share in printing: diagnostics, tables, numbers."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

from cnnspec.language.rendering import render_all
from cnnspec.network.table import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnspec.language.diagnostics import Diagnostic
    from cnnspec.network.table import Column, Row


def wants_color(stream: TextIO) -> bool:
    """Whether to write colours: to a terminal, unless NO_COLOR is set (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def print_diagnostics(diagnostics: Sequence[Diagnostic], *, quiet: bool = False) -> None:
    """Print findings on the standard error; to a terminal, unless quiet, also where to read more."""
    print(render_all(diagnostics, color=wants_color(sys.stderr)), file=sys.stderr)
    if diagnostics and sys.stderr.isatty() and not quiet:
        first = next((finding for finding in diagnostics if finding.is_error), diagnostics[0])
        print(f"for more on this: cnnspec explain {first.code}", file=sys.stderr)


def print_table(columns: Sequence[Column], rows: Sequence[Row], *, dim: Sequence[int] = ()) -> None:
    """Print a table on the standard output: drawn to fit on a terminal, plain aligned text in a pipe.

    `dim` names rows that step back, such as layers without parameters.
    """
    if not sys.stdout.isatty():
        print(plain(columns, rows))
        return
    from shutil import get_terminal_size

    from cnnspec.cli._drawing import draw

    print(draw(columns, rows, get_terminal_size().columns, dim, styled=wants_color(sys.stdout)))


def grouped(number: int) -> str:
    """`61,706`."""
    return f"{number:,}"
