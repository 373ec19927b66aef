"""The labels of a diagram: what each box, the title and the legend say."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal, get_args

from cnnspec.layers.windows import axis_names
from cnnspec.network.table import seen
from cnnspec.render.markup import cell, font, label, lines, row, shorten, table, times, tooltip, width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnspec.layers import Shape
    from cnnspec.network.graph import Facts, Graph, ReceptiveField
    from cnnspec.render.boxes import Box
    from cnnspec.render.theme import Paint, Theme

Direction = Literal["down", "right"]
"""Where the network flows: down a page, or to the right across a slide."""
DIRECTIONS: Final = get_args(Direction)

NAME: Final = 15
TEXT: Final = 12
TITLE: Final = 24
_WRAP: Final = {"down": 34, "right": 18}
"""Characters in a line of what a layer is, before it is broken."""
_LEGEND_COLUMNS: Final = {"down": 3, "right": 9}
_PAD: Final = 5
"""Points between a text and the edge of its cell."""
_GAP: Final = 12
"""Points at least between the left and the right column."""


def shape_text(shape: Shape | None) -> str:
    """A shape as the diagram shows it: `6×28×28`."""
    return "×".join(map(str, shape)) if shape else "?"


@dataclass(frozen=True)
class Labels:
    """Writes the labels of one diagram."""

    graph: Graph
    facts: Facts
    theme: Theme
    direction: Direction

    # --- boxes ---------------------------------------------------------------------------------------------

    def box(self, box: Box, widths: tuple[int, int]) -> str:
        """A header in the family's colour, the facts below, and a strip for each folded layer."""
        if self.direction == "down":
            rows = self._down(box.head, widths)
        else:
            rows = self._right(box.head, sum(widths))
        rows += [self._strip(index, widths) for index in box.strips]
        return label(
            table(*rows, border=0, cellborder=1, cellspacing=0, cellpadding=0, color=self.theme.line)
        )

    def widths(self, box: Box) -> tuple[int, int]:
        """The least widths of the two columns of a box, in points; in one column the second is 0."""
        name, shape, left, right = self._texts(box.head)
        strips = [width(self._strip_text(index), TEXT) for index in box.strips]
        names = [width(text, NAME, bold=True) for text in (name, shape)]
        lefts, rights = ([width(text, TEXT) for text in texts] for texts in (left, right))
        if self.direction == "right":
            return max(*names, *strips, *lefts, *rights), 0
        first, second = max([names[0], *lefts]), max([names[1], *rights])
        return max([first, *(strip - second for strip in strips)]), second

    def hover(self, box: Box) -> str:
        """What a browser shows while the pointer rests on a box."""
        return tooltip(*(line for index in box.nodes for line in self._details(index)))

    def _down(self, index: int, widths: tuple[int, int]) -> list[str]:
        """Two columns: name and description at the left, shape and numbers at the right."""
        name, shape, left, right = self._texts(index)
        paint, body = self._paint(index), self.theme.body
        head = (font(name, NAME, paint.ink, bold=True), font(shape, NAME, paint.ink, bold=True))
        rows = [row(self._pair(head[:1], head[1:], widths, paint.fill))]
        if left or right:
            rows.append(row(self._pair(_texts(left, body), _texts(right, body), widths, body.fill)))
        return rows

    def _pair(self, left: Sequence[str], right: Sequence[str], widths: tuple[int, int], fill: str) -> str:
        """A cell with lines at its left and at its right."""
        cells = (
            cell(*left, align="left", valign="top", width=widths[0] + _GAP + 2 * _PAD),
            cell(*right, align="right", valign="top", width=widths[1] + 2 * _PAD),
        )
        return cell(table(row(*cells), border=0, cellborder=0, cellspacing=0, cellpadding=_PAD), bgcolor=fill)

    def _right(self, index: int, wide: int) -> list[str]:
        """One column: the name and the shape above, everything else centred below."""
        name, shape, left, right = self._texts(index)
        paint, body = self._paint(index), self.theme.body
        style = {"width": wide + 2 * _PAD + 2, "cellpadding": _PAD}
        head = [font(name, NAME, paint.ink, bold=True), font(shape, NAME, paint.ink, bold=True)]
        texts = _texts((*left, *right), body)
        rows = [row(cell(*head, bgcolor=paint.fill, **style))]
        return [*rows, row(cell(*texts, bgcolor=body.fill, **style))] if texts else rows

    def _strip(self, index: int, widths: tuple[int, int]) -> str:
        paint = self._paint(index)
        text = font(self._strip_text(index), TEXT, paint.ink)
        if self.direction == "right":
            return row(cell(text, bgcolor=paint.fill, cellpadding=3))
        return row(cell(text, align="left", bgcolor=paint.fill, cellpadding=_PAD))

    # --- what is said --------------------------------------------------------------------------------------

    def _texts(self, index: int) -> tuple[str, str, tuple[str, ...], tuple[str, ...]]:
        """Name, shape, the lines that describe a node and the lines of its numbers."""
        node, facts = self.graph.nodes[index], self.facts.layers[index]
        name, shape = shorten(node.name), shape_text(facts.shape)
        if not node.inputs:
            return name, shape, (), ()
        said = list(lines(times(node.layer.written()), _WRAP[self.direction]))
        if len(node.inputs) > 1:
            said += lines(f"of {', '.join(map(shape_text, facts.input_shapes))}", _WRAP[self.direction])
        return name, shape, tuple(said), (self._params(index), *self._field(index))

    def _params(self, index: int) -> str:
        params = self.facts.layers[index].params
        return f"{params:,} params" if params else "no params"

    def _field(self, index: int) -> tuple[str, ...]:
        field = self.facts.layers[index].receptive_field
        if not field:
            return ()
        if all(axis.jump == 0 for axis in field) and self._covers(field):
            return ("RF whole input",)
        return (f"RF {times(seen(field))}",)

    def _covers(self, field: ReceptiveField) -> bool:
        """Whether the field of unit 0 holds every position of the first input."""
        sizes = self._input_shape[1:]
        return all(
            axis.start <= 0 and axis.start + axis.size >= n for axis, n in zip(field, sizes, strict=False)
        )

    def _strip_text(self, index: int) -> str:
        """What the layer is, after its name where that says more than its keyword and a number."""
        node = self.graph.nodes[index]
        params = self.facts.layers[index].params
        text = times(node.layer.written())
        own = node.name.rpartition(".")[2]  # without the block and the chain that it belongs to
        if own.removeprefix(node.layer.keyword).strip("0123456789"):
            text = f"{shorten(node.name)}: {text}"
        return shorten(text) + (f", {params:,} params" if params else "")

    def _details(self, index: int) -> list[str]:
        node, facts = self.graph.nodes[index], self.facts.layers[index]
        said = [f"{node.name}: {node.layer.written()}", f"output {shape_text(facts.shape)}"]
        if facts.params or facts.macs:
            said.append(f"{facts.params:,} parameters, {facts.macs:,} multiply-accumulates")
        for axis, name in zip(facts.receptive_field or (), self._axes(), strict=False):
            size = f"up to {axis.size}" if axis.varies else axis.size
            said.append(f"receptive field along {name}: {size}, jump {axis.jump}, start {axis.start}")
        return said

    def _paint(self, index: int) -> Paint:
        return self.theme.family(self.graph.nodes[index].layer.family)

    @cached_property
    def _input_shape(self) -> Shape:
        """The shape of the network's first input."""
        return self.facts.layers[self.graph.sources()[0]].shape or ()

    def _axes(self) -> tuple[str, ...]:
        """The names of the spatial axes of the first input."""
        shape = self._input_shape
        return axis_names(len(shape) - 1) if len(shape) > 1 else ()

    # --- title and legend ----------------------------------------------------------------------------------

    def title(self) -> str:
        """The network's name and its totals."""
        totals, ink = self.facts.totals(), self.theme.page.ink
        said = [f"{totals.params:,} parameters", f"{totals.macs:,} multiply-accumulates (MACs)"]
        if self.direction == "right":
            said = [" · ".join(said)]
        rows = [row(cell(font(shorten(self.graph.name), TITLE, ink, bold=True)))]
        rows += [row(cell(font(text, NAME, ink))) for text in said]
        return label(table(*rows, border=0, cellborder=0, cellspacing=0, cellpadding=3))

    def legend(self) -> str:
        """A swatch for each family that occurs, and what a box's numbers mean."""
        families: list[str] = list(dict.fromkeys(node.layer.family for node in self.graph.nodes))
        columns = _LEGEND_COLUMNS[self.direction]
        parts = [families[start : start + columns] for start in range(0, len(families), columns)]
        swatches = table(*map(self._swatches, parts), border=0, cellborder=0, cellspacing=3, cellpadding=2)
        rows = [row(cell(swatches))]
        rows += [row(cell(font(text, TEXT - 1, self.theme.muted))) for text in self._caption()]
        return label(table(*rows, border=0, cellborder=0, cellspacing=0, cellpadding=2))

    def _swatches(self, families: Sequence[str]) -> str:
        """One row of the legend."""
        cells = []
        for family in families:
            fill = self.theme.family(family).fill
            style = {"fixedsize": "true", "width": NAME + 2, "height": TEXT, "color": self.theme.line}
            cells.append(cell(border=1, bgcolor=fill, **style))
            cells.append(cell(font(family, TEXT, self.theme.page.ink), align="left"))
        return row(*cells)

    def _caption(self) -> list[str]:
        axes = self._axes()
        said = [f"shape: {' × '.join(('channels', *axes))}"] if axes else []
        if any(facts.receptive_field for facts in self.facts.layers):
            said.append("RF: receptive field in the input")
        return said


def _texts(lines: Sequence[str], paint: Paint) -> list[str]:
    return [font(line, TEXT, paint.ink) for line in lines]
