"""Checked networks built in Python, without a file."""

from __future__ import annotations

from cnnspec.language.source import Source, Span
from cnnspec.layers import Layer, Shape
from cnnspec.layers.shapes import Input
from cnnspec.network.graph import Facts, Graph, LayerFacts, Node, Origin

NOWHERE = Span(Source("<test>", ""), 0, 0)


def node(name: str, layer: Layer, *inputs: int) -> Node:
    return Node(name, layer, inputs, Origin(NOWHERE, NOWHERE, {}, ()))


def graph_of(nodes: list[Node], *outputs: int) -> tuple[Graph, Facts]:
    """A graph from its nodes; the last is the output unless others are named."""
    graph = Graph("Test", tuple(nodes), outputs or (len(nodes) - 1,), (), (), NOWHERE)
    return graph, facts_of(graph)


def facts_of(graph: Graph) -> Facts:
    facts: list[LayerFacts] = []
    for item in graph.nodes:
        shapes = tuple(facts[v].shape or () for v in item.inputs)
        layer = item.layer
        facts.append(
            LayerFacts(shapes, layer.infer(*shapes), layer.weights(*shapes), layer.macs(*shapes))
            if shapes
            else LayerFacts((), layer.infer())
        )
    return Facts(tuple(facts))


def sequential(shape: Shape, *layers: Layer) -> tuple[Graph, Facts]:
    """An input and the layers one after the other, named `conv1`, `relu1`, `conv2`."""
    nodes = [node("input", Input(shape=shape))]
    counts: dict[str, int] = {}
    for layer in layers:
        counts[layer.keyword] = counts.get(layer.keyword, 0) + 1
        nodes.append(node(f"{layer.keyword}{counts[layer.keyword]}", layer, len(nodes) - 1))
    return graph_of(nodes)
