"""From a checked network to DOT, the text that Graphviz draws. Pure: the same network gives the same text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cnnspec.render.boxes import Box, fold
from cnnspec.render.labels import TEXT, Direction, Labels
from cnnspec.render.markup import font, label
from cnnspec.render.theme import FONT, THEMES

if TYPE_CHECKING:
    from graphviz import Digraph  # type: ignore[import-untyped]

    from cnnspec.network.graph import Facts, Graph

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_RANKDIR = {"down": "TB", "right": "LR"}


def to_dot(graph: Graph, facts: Facts, *, theme: str = "light", direction: Direction = "down") -> str:
    """The diagram of a checked network as DOT text.

    Each layer is a box with its name, what it is, its output shape, its parameters and its receptive field;
    element-wise layers are strips in the box before. The title has the totals, the legend the colours.
    """
    labels = Labels(graph, facts, THEMES[theme], direction)
    boxes = fold(graph, facts)
    drawing = _page(labels)
    columns = _columns(labels, boxes)
    with drawing.subgraph(name="cluster_network") as body:
        body.attr(label=labels.legend(), labelloc="b", labeljust="c", color="none", margin="12")
        for box, widths in zip(boxes, columns, strict=True):
            body.node(_id(graph, box.head), label=labels.box(box, widths), tooltip=labels.hover(box))
        _connect(body, labels, boxes)
    return str(drawing.source)


def _page(labels: Labels) -> Digraph:
    """An empty drawing with its title and its defaults."""
    from graphviz import Digraph

    theme = labels.theme
    name = labels.graph.name
    drawing = Digraph(name if _NAME.fullmatch(name) else "network", comment="drawn by cnnspec")
    drawing.attr(
        rankdir=_RANKDIR[labels.direction],
        bgcolor=theme.page.fill,
        fontname=FONT,
        label=labels.title(),
        labelloc="t",
        nodesep="0.4",
        ranksep="0.3",
        pad="0.2",
        tooltip=" ",
    )
    drawing.attr("node", shape="plain", fontname=FONT)
    drawing.attr("edge", fontname=FONT, color=theme.line, penwidth="1.4", arrowsize="0.8", tooltip=" ")
    return drawing


def _columns(labels: Labels, boxes: tuple[Box, ...]) -> list[tuple[int, int]]:
    """The widths of each box's columns: in a diagram that runs down all boxes are alike."""
    widths = [labels.widths(box) for box in boxes]
    if labels.direction == "right":
        return widths
    left, right = (max(column) for column in zip(*widths, strict=True))
    return [(left, right)] * len(boxes)


def _connect(body: Digraph, labels: Labels, boxes: tuple[Box, ...]) -> None:
    """The arrows, from box to box. They carry no text: shapes stand in the boxes, which dot packs better."""
    graph = labels.graph
    leaving = {index: box.head for box in boxes for index in box.nodes}
    for box in boxes:
        for source in graph.nodes[box.head].inputs:
            body.edge(_id(graph, leaving[source]), _id(graph, box.head))
    for output in _marked_outputs(graph):
        end = f"output {output}"
        body.node(end, label=label(font("output", TEXT, labels.theme.page.ink)))
        body.edge(_id(graph, leaving[output]), end)


def _marked_outputs(graph: Graph) -> tuple[int, ...]:
    """The outputs, where the picture alone would not tell: several, or one that other layers read."""
    readers = graph.consumers()
    unclear = len(graph.outputs) > 1 or any(readers[output] for output in graph.outputs)
    return graph.outputs if unclear else ()


def _id(graph: Graph, index: int) -> str:
    """The identifier of a node in the text: its name, unless DOT could misread that."""
    name = graph.nodes[index].name
    return name if _NAME.fullmatch(name) else f"layer {index}"
