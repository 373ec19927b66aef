"""Tables as wide as a terminal: what does not fit is left out, wrapped, put below, or told in words."""

from __future__ import annotations

import textwrap
from itertools import zip_longest
from typing import TYPE_CHECKING, Final, TypeVar

from cnnspec.network.table import widths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnspec.network.table import Column, Row

Some = TypeVar("Some")

GAP: Final = "  "
"""What stands between two columns."""
LEAST: Final = 24
"""Characters of a column that wraps, at least."""
NOTHING: Final = ("", ".")
"""Cells that are passed over where a row is told in words."""
BOLD: Final = "\x1b[1m"
DIM: Final = "\x1b[2m"
PLAIN: Final = "\x1b[0m"


def draw(
    columns: Sequence[Column],
    rows: Sequence[Row],
    width: int,
    dim: Sequence[int] = (),
    *,
    styled: bool = True,
) -> str:
    """The table in lines of at most `width` characters, if words allow; `dim` names rows that step back."""
    head, blocks = _lay_out(*_without_optional(columns, rows, width), width)
    if not styled:
        return "\n".join(line for block in (head, *blocks) for line in block)
    lines = [f"{BOLD}{line}{PLAIN}" for line in head]
    for number, block in enumerate(blocks):
        lines += [f"{DIM}{line}{PLAIN}" for line in block] if number in dim else block
    return "\n".join(lines)


def _without_optional(
    columns: Sequence[Column], rows: Sequence[Row], width: int
) -> tuple[Sequence[Column], Sequence[Row]]:
    """Without as many optional columns, from the last one on, as it takes to fit."""
    optional = [i for i, column in enumerate(columns) if column.optional]
    while optional and _total(widths(columns, rows)) > width:
        last = optional.pop()
        columns, rows = _without(columns, last), [_without(row, last) for row in rows]
    return columns, rows


def _without(cells: Sequence[Some], place: int) -> tuple[Some, ...]:
    return (*cells[:place], *cells[place + 1 :])


def _total(sizes: Sequence[int]) -> int:
    return sum(sizes) + len(GAP) * (len(sizes) - 1)


def _lay_out(columns: Sequence[Column], rows: Sequence[Row], width: int) -> tuple[list[str], list[list[str]]]:
    """The lines of the head, and those of each row."""
    sizes = _wrapped(columns, widths(columns, rows), width)
    if _total(sizes) <= width:
        return _head(columns, sizes), [_lines(columns, row, sizes) for row in rows]
    wide = [i for i, column in enumerate(columns) if column.wide]
    if len(wide) == 1:
        others, cells = _without(columns, wide[0]), [_without(row, wide[0]) for row in rows]
        sizes = widths(others, cells)
        if _total(sizes) <= width:
            below = [_below(row, wide[0], width) for row in rows]
            pairs = zip(cells, below, strict=True)
            return _head(others, sizes), [[*_lines(others, row, sizes), *more] for row, more in pairs]
    return [], [_in_words(columns, row, width) for row in rows]


def _wrapped(columns: Sequence[Column], sizes: list[int], width: int) -> list[int]:
    """The sizes with wide columns made narrower, the widest first, down to `LEAST`."""
    wide = [i for i, column in enumerate(columns) if column.wide and sizes[i] > LEAST]
    while wide and _total(sizes) > width:
        widest = max(wide, key=sizes.__getitem__)
        if sizes[widest] <= LEAST:
            break
        sizes[widest] -= 1
    return sizes


def _head(columns: Sequence[Column], sizes: Sequence[int]) -> list[str]:
    return [*_lines(columns, [column.title for column in columns], sizes), "─" * _total(sizes)]


def _lines(columns: Sequence[Column], row: Sequence[str], sizes: Sequence[int]) -> list[str]:
    """The lines of a row, with its cells wrapped at blanks."""
    parts = [_cut(cell, size) for cell, size in zip(row, sizes, strict=True)]
    lines = []
    for cells in zip_longest(*parts, fillvalue=""):
        placed = zip(columns, cells, sizes, strict=True)
        aligned = (cell.rjust(size) if c.align == "right" else cell.ljust(size) for c, cell, size in placed)
        lines.append(GAP.join(aligned).rstrip())
    return lines


def _cut(cell: str, size: int) -> list[str]:
    return [cell] if len(cell) <= size else textwrap.wrap(cell, size, break_on_hyphens=False)


def _below(row: Row, place: int, width: int) -> list[str]:
    """A wide cell under its row, unless a name such as `relu1` has said it all."""
    return [] if row[place] in row[0] else _indented(row[place], width)


def _in_words(columns: Sequence[Column], row: Row, width: int) -> list[str]:
    """The first cell, and below it the others with their titles."""
    first, *others = zip(columns, row, strict=True)
    told = [
        f"{column.title}: {cell}" if column.title else cell for column, cell in others if cell not in NOTHING
    ]
    name = f"{first[0].title} {first[1]}" if first[0].align == "right" else first[1]
    return [name, *_indented("; ".join(told), width)]


def _indented(text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, max(width, 10), initial_indent=GAP, subsequent_indent=GAP, break_on_hyphens=False
    )
