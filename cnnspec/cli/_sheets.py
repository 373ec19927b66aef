"""The layers of a check with columns of choice: as a table, as Markdown, as comma-separated values."""

from __future__ import annotations

import csv
import sys
from typing import TYPE_CHECKING, Final

from cnnspec.cli._output import print_table
from cnnspec.network.columns import CHOICES, USUAL, cells, choose, entries, texts
from cnnspec.network.table import total_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnspec.network.check import Checked
    from cnnspec.network.columns import Choice, Entry
    from cnnspec.network.graph import Facts, Graph
    from cnnspec.network.table import Column, Row

IN_FULL: Final = ("name", "kind", "line", "what", "input", "output", "params", "trainable", "macs", "field")
"""The columns of comma-separated values, unless others are chosen."""


def column_help() -> str:
    """Every column with what it shows, one a line."""
    width = max(len(choice.name) for choice in CHOICES)
    return "\n".join(f"  {choice.name:<{width}}  {choice.help}" for choice in CHOICES)


def print_sheets(results: Sequence[Checked], format: str, columns: str | None, depth: int | None) -> None:
    """Print the layers of every network.

    Raises:
        ValueError: there is no such column.
    """
    usual = IN_FULL if format == "csv" else USUAL
    choices = choose(columns or ",".join(usual))
    networks = [(c.source.name, c.graph, c.facts) for c in results if c.graph]
    if format == "csv":
        _print_csv(networks, choices, depth)
        return
    for number, (_, graph, facts) in enumerate(networks):
        if number:
            print()
        rows = entries(graph, facts, depth)
        shown = texts(choices, rows, facts.totals())
        if format == "markdown":
            _print_markdown(graph, facts, [choice.column for choice in choices], shown)
        else:
            _print_table(graph, facts, choices, rows, shown)


def _print_table(
    graph: Graph, facts: Facts, choices: Sequence[Choice], rows: Sequence[Entry], shown: list[Row]
) -> None:
    print(f"network {graph.name}")
    step_back = [i for i, entry in enumerate(rows) if not entry.has_weights]
    print_table([choice.column for choice in choices], shown, dim=step_back)
    if _all_known(facts):
        print("\n".join(["", *total_lines(graph, facts)]))


def _print_markdown(graph: Graph, facts: Facts, columns: Sequence[Column], shown: list[Row]) -> None:
    print(f"## {graph.name}\n")
    print("\n".join(markdown_table(columns, shown)))
    if _all_known(facts):
        print()
        for line in total_lines(graph, facts):
            word, _, rest = line.partition(" ")
            print(f"* {word}: {rest.strip()}")


def _all_known(facts: Facts) -> bool:
    return bool(facts.layers) and all(layer.shape is not None for layer in facts.layers)


def markdown_table(columns: Sequence[Column], rows: Sequence[Row]) -> list[str]:
    """The lines of a table in GitHub's Markdown, its columns as wide as what they hold."""
    escaped = [tuple(cell.replace("|", "\\|") for cell in row) for row in rows]
    sizes = [max(3, len(column.title), *(len(row[i]) for row in escaped)) for i, column in enumerate(columns)]
    rule = [
        "-" * (size - 1) + (":" if column.align == "right" else "-")
        for column, size in zip(columns, sizes, strict=True)
    ]
    titles = tuple(column.title for column in columns)
    return ["| " + " | ".join(map(_padded, row, columns, sizes)) + " |" for row in (titles, rule, *escaped)]


def _padded(cell: str, column: Column, size: int) -> str:
    return cell.rjust(size) if column.align == "right" else cell.ljust(size)


def _print_csv(
    networks: Sequence[tuple[str, Graph, Facts]], choices: Sequence[Choice], depth: int | None
) -> None:
    """Plain numbers under the names of the columns; of several networks, each with its file before."""
    several = len(networks) > 1
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([*(["file"] if several else []), *(choice.name for choice in choices)])
    for name, graph, facts in networks:
        for row in cells(choices, entries(graph, facts, depth), facts.totals()):
            writer.writerow([*([name] if several else []), *row])
