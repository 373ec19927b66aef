"""What the commands share in printing: diagnostics, tables, numbers."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TextIO

from cnnspec.language.rendering import render_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnspec.language.diagnostics import Diagnostic


def wants_color(stream: TextIO) -> bool:
    """Whether to write colours: to a terminal, unless NO_COLOR is set (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def print_diagnostics(diagnostics: Sequence[Diagnostic]) -> None:
    """Print findings on the standard error."""
    print(render_all(diagnostics, color=wants_color(sys.stderr)), file=sys.stderr)


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    title: str
    align: Literal["left", "right"] = "left"
    optional: bool = False
    """Left out where the terminal is too narrow for the whole table."""


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], *, dim: Sequence[int] = ()) -> None:
    """Print a table on the standard output: drawn by rich on a terminal, plain aligned text in a pipe.

    `dim` names rows that step back, such as layers without parameters.
    """
    if sys.stdout.isatty():
        _draw(columns, rows, dim)
        return
    widths = _widths(columns, rows)
    for cells in ([column.title for column in columns], *rows):
        aligned = (
            cell.rjust(width) if column.align == "right" else cell.ljust(width)
            for cell, width, column in zip(cells, widths, columns, strict=True)
        )
        print("  ".join(aligned).rstrip())


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max([len(column.title), *(len(row[i]) for row in rows)]) for i, column in enumerate(columns)]


def _draw(columns: Sequence[Column], rows: Sequence[Sequence[str]], dim: Sequence[int]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    fits = sum(_widths(columns, rows)) + 3 * len(columns) <= console.width
    shown = [i for i, column in enumerate(columns) if fits or not column.optional]
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for i in shown:
        table.add_column(columns[i].title, justify=columns[i].align, overflow="fold")
    for number, row in enumerate(rows):
        table.add_row(*(Text(row[i]) for i in shown), style="dim" if number in dim else "")
    console.print(table)


def grouped(number: int) -> str:
    """`61,706`."""
    return f"{number:,}"


def size(count: int) -> str:
    """A number of bytes in a person's words: `246.8 kB`."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
