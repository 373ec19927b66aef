"""A small document of sentences, formulas and grids of numbers, and its three forms."""

from __future__ import annotations

from fractions import Fraction
from itertools import groupby
from textwrap import wrap
from typing import TYPE_CHECKING, Final, assert_never

from cnnspec.language.record import record
from cnnspec.layers.formulas import Formula, Symbol, number_text
from cnnspec.network.latex import latex, number, symbol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cnnspec.network.report import Json


WIDTH: Final = 100
"""Columns that sentences are set in for a terminal."""


@record
class Text:
    """A sentence."""

    text: str


@record
class Grid:
    """Numbers in rows and columns under a title, beside each other."""

    titles: tuple[str, ...]
    grids: tuple[tuple[tuple[str, ...], ...], ...]


@record
class Dot:
    """A sum of products or the like, written out: what is computed, and what comes out."""

    left: str
    result: str


Line = Text | Formula | Grid | Dot


@record
class Section:
    """Lines under a heading."""

    title: str
    lines: tuple[Line, ...]


@record
class Document:
    """Sections under a title."""

    title: str
    sections: tuple[Section, ...]


def grouped(value: int | Fraction) -> str:
    """A result with its thousands set apart."""
    return f"{value:,}" if isinstance(value, int) else number_text(value)


def _once(lines: Sequence[Line]) -> Iterator[tuple[Line, tuple[Symbol, ...]]]:
    """Every line with the symbols that no line before it has told the meaning of."""
    told: set[Symbol] = set()
    for line in lines:
        symbols = line.symbols if isinstance(line, Formula) else ()
        yield line, tuple(symbol for symbol in symbols if symbol not in told)
        told.update(symbols)


# --- for a terminal -----------------------------------------------------------------------------------------


def as_text(document: Document) -> str:
    """The document for a terminal or a pipe."""
    blocks = [document.title]
    for section in document.sections:
        lines = [line for item in _once(section.lines) for line in _text(item)]
        blocks.append("\n".join([section.title, *(f"  {line}".rstrip() for line in lines)]))
    return "\n\n".join(blocks) + "\n"


def _text(item: tuple[Line, tuple[Symbol, ...]]) -> Iterator[str]:
    line, untold = item
    match line:
        case Text(text=text):
            yield from wrap(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)
        case Formula():
            yield f"{line.quantity}:"
            margin = " " * len(line.left)
            yield f"  {line.left} = {line.right}"
            if line.numbers != str(line.result):
                yield f"  {margin} = {line.numbers}"
            yield f"  {margin} = {grouped(line.result)}"
            for letter in untold:
                yield f"    {letter.name} = {number_text(letter.value)}: {letter.meaning}"
            if line.note:
                yield f"    ({line.note})"
        case Grid():
            yield from (f"  {row}" for row in _beside(line))
        case Dot(left=left, result=result):
            yield f"  {left} = {result}"
        case _:
            assert_never(line)


def _beside(grid: Grid) -> list[str]:
    """Grids next to each other, each column as wide as its numbers."""
    columns = []
    for title, rows in zip(grid.titles, grid.grids, strict=True):
        width = max(len(cell) for row in rows for cell in row)
        lines = [title, *("  ".join(cell.rjust(width) for cell in row) for row in rows)]
        size = max(map(len, lines))
        columns.append([line.ljust(size) for line in lines])
    height = max(map(len, columns))
    padded = [column + [" " * len(column[0])] * (height - len(column)) for column in columns]
    return ["    ".join(cells).rstrip() for cells in zip(*padded, strict=True)]


# --- as Markdown --------------------------------------------------------------------------------------------


def as_markdown(document: Document) -> str:
    """The document as Markdown with LaTeX formulas between dollars."""
    blocks = [f"## {document.title}"]
    for section in document.sections:
        blocks.append(f"### {section.title[:1].upper()}{section.title[1:]}")
        blocks += _paragraphs(section.lines)
    return "\n\n".join(blocks) + "\n"


def _paragraphs(lines: Sequence[Line]) -> Iterator[str]:
    """Each line a paragraph; sentences next to each other are one list."""
    for sentences, group in groupby(_once(lines), lambda item: isinstance(item[0], Text)):
        parts = map(_markdown, group)
        yield from ["\n".join(f"* {part.strip()}" for part in parts)] if sentences else parts


def _markdown(item: tuple[Line, tuple[Symbol, ...]]) -> str:
    line, untold = item
    match line:
        case Text(text=text):
            return text
        case Formula():
            return _formula(line, untold)
        case Grid():
            return "```\n" + "\n".join(_beside(line)) + "\n```"
        case Dot(left=left, result=result):
            return f"```\n{left} = {result}\n```"
        case _:
            assert_never(line)


def _formula(line: Formula, untold: Sequence[Symbol]) -> str:
    steps = [latex(line.right), latex(line.numbers), number(number_text(line.result))]
    steps = list(dict.fromkeys(steps))
    shown = f"$$ {symbol(line.left)} = {' = '.join(steps)} $$"
    letters = ", ".join(f"${symbol(s.name)} = {number_text(s.value)}$ ({s.meaning})" for s in untold)
    note = f" ({line.note})" if line.note else ""
    meaning = f"\n\nwith {letters}{note}." if letters else ""
    return f"{line.quantity[:1].upper()}{line.quantity[1:]}:\n\n{shown}{meaning}"


# --- as data ------------------------------------------------------------------------------------------------


def as_data(document: Document) -> Json:
    """The document as plain data."""
    return {
        "title": document.title,
        "sections": [
            {"title": section.title, "lines": [_data(line) for line in section.lines]}
            for section in document.sections
        ],
    }


def _data(line: Line) -> Json:
    match line:
        case Text(text=text):
            return {"text": text}
        case Formula():
            return {
                "quantity": line.quantity,
                "symbol": line.left,
                "symbols": line.right,
                "numbers": line.numbers,
                "result": _number(line.result),
                "where": [
                    {"symbol": s.name, "value": _number(s.value), "meaning": s.meaning} for s in line.symbols
                ],
                "latex": latex(line.right),
                "note": line.note or None,
            }
        case Grid(titles=titles, grids=grids):
            return {"grids": [_grid(title, rows) for title, rows in zip(titles, grids, strict=True)]}
        case Dot(left=left, result=result):
            return {"terms": left, "result": result}
        case _:
            assert_never(line)


def _grid(title: str, rows: Sequence[Sequence[str]]) -> Json:
    return {"title": title, "rows": [list(row) for row in rows]}


def _number(value: int | Fraction) -> int | float:
    return value if isinstance(value, int) else float(value)
