"""The table of a network's layers: columns and cells as text, for a terminal, a pipe and `print(network)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from cnnspec.language.record import record
from cnnspec.layers import product, show
from cnnspec.network.receptive_field import LONGEST_PERIOD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnspec.network.graph import Facts, Graph, LayerFacts, ReceptiveField

Row = tuple[str, ...]


@record
class Column:
    """A column of a table."""

    title: str
    align: Literal["left", "right"] = "left"
    optional: bool = False
    """Left out where there is no room for the whole table."""
    wide: bool = False
    """Wrapped, or put below its row, where there is still none."""


COLUMNS: Final = (
    Column("layer"),
    Column("what it is", wide=True),
    Column("output", "right"),
    Column("weights + biases", "right", optional=True),
    Column("params", "right"),
    Column("MACs", "right"),
    Column("receptive field", "right"),
)


def layer_rows(graph: Graph, facts: Facts) -> list[Row]:
    """The cells of every layer, in the order of `COLUMNS`."""
    rows = zip(graph.nodes, facts.layers, origins(graph, facts), strict=True)
    return [_row(node.name, node.layer.written(), layer, source) for node, layer, source in rows]


def origins(graph: Graph, facts: Facts) -> list[LayerFacts | None]:
    """For each node the network's input that it is made from, the largest where there are several."""
    found: list[LayerFacts | None] = []
    for node, layer in zip(graph.nodes, facts.layers, strict=True):
        before = [source for v in node.inputs if v >= 0 and (source := found[v]) is not None]
        found.append(max(before, key=_extent, default=None) if node.inputs else layer)
    return found


def _extent(source: LayerFacts) -> tuple[int, int]:
    """More axes first, then more positions."""
    sizes = (source.shape or ())[1:]
    return len(sizes), product(sizes)


def _row(name: str, written: str, layer: LayerFacts, source: LayerFacts | None) -> Row:
    if layer.shape is None:
        return (name, written, "?", "", "", "", "")
    weights, biases = (sum(w.size for w in layer.weights if w.role == role) for role in ("weight", "bias"))
    return (
        name,
        written,
        show(layer.shape),
        f"{weights:,} + {biases:,}" if layer.params else "",
        f"{layer.params:,}" if layer.params else "",
        f"{layer.macs:,}" if layer.macs else "",
        field_text(layer, source) if source else "",
    )


def field_text(layer: LayerFacts, source: LayerFacts) -> str:
    """The size of the receptive field, the largest where it varies; `all` where it holds the whole input.

    It is `unknown` where the fields of neighbouring units return to their pattern after too many units.
    """
    if layer.receptive_field is None and layer.shape is not None:
        return "unknown"
    if not layer.receptive_field or not source.shape:
        return ""
    sizes = source.shape[1:]
    whole = len(layer.receptive_field) == len(sizes) and all(
        not axis.varies and axis.start <= 0 and axis.start + axis.size >= n
        for axis, n in zip(layer.receptive_field, sizes, strict=True)
    )
    return "all" if whole else seen(layer.receptive_field)


def seen(field: ReceptiveField) -> str:
    """The size of a receptive field: `14x14`, or `up to 14x14` where it depends on the position."""
    size = show(tuple(axis.size for axis in field))
    return f"up to {size}" if any(axis.varies for axis in field) else size


def total_lines(graph: Graph, facts: Facts) -> list[str]:
    """What stands under the table: the sums, and how much of the input the last convolution sees."""
    totals = facts.totals()
    frozen = totals.params - totals.trainable_params
    lines = [
        f"parameters   {totals.params:,}" + (f", {frozen:,} not trained" if frozen else ""),
        f"MACs         {totals.macs:,} multiply-accumulates an input ({2 * totals.macs:,} FLOPs)",
        f"memory       {in_bytes(totals.weight_bytes)} of weights, "
        f"{in_bytes(totals.activation_bytes)} of activations an input, in float32",
    ]
    sight = _last_convolution(graph, facts)
    if any(layer.receptive_field is None and layer.shape is not None for layer in facts.layers):
        lines.append(
            f"unknown      receptive fields whose pattern takes more than {LONGEST_PERIOD} units to return"
        )
    return [*lines, f"sight        {sight}"] if sight else lines


def _last_convolution(graph: Graph, facts: Facts) -> str | None:
    """How much of the input the last convolution sees; ideally all of it."""
    places = [i for i, node in enumerate(graph.nodes) if node.layer.family == "convolution"]
    source = origins(graph, facts)[places[-1]] if places else None
    field = facts.layers[places[-1]].receptive_field if places else None
    if not field or not source or not source.shape:
        return None
    name = graph.nodes[places[-1]].name
    return f"`{name}`, the last convolution, sees {seen(field)} of the {show(source.shape[1:])} input"


def in_bytes(count: int) -> str:
    """A number of bytes in a person's words: `246.8 kB`."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def plain(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """A table as aligned text without lines."""
    sizes = widths(columns, rows)
    lines = []
    for cells in ([column.title for column in columns], *rows):
        aligned = (
            cell.rjust(size) if column.align == "right" else cell.ljust(size)
            for cell, size, column in zip(cells, sizes, columns, strict=True)
        )
        lines.append("  ".join(aligned).rstrip())
    return "\n".join(lines)


def widths(columns: Sequence[Column], rows: Sequence[Row]) -> list[int]:
    """Characters that each column needs."""
    return [max([len(column.title), *(len(row[i]) for row in rows)]) for i, column in enumerate(columns)]
