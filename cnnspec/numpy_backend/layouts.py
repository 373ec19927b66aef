"""The layout of every value: plain, in tiles for the pooling that follows, or with room for padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cnnspec.numpy_backend.kernels.base import Kernel, Layout, Margin, kernel_of

if TYPE_CHECKING:
    from cnnspec.layers import Layer, Shape
    from cnnspec.network.graph import Facts, Graph


Kinds = Sequence[type[Kernel["Layer"]]]


def choose_layouts(graph: Graph, facts: Facts, kinds: Kinds | None = None) -> tuple[Layout, ...]:
    """The layout of each node's output, whose kernels are of these kinds."""
    kinds = kinds or kinds_of(graph, facts)
    consumers = graph.consumers()
    tiles = _tiles(graph, facts, kinds)
    return tuple(
        Layout(facts.shape(i), tiles[i])
        if i in tiles
        else Layout(facts.shape(i), margin=_margin(graph, facts, kinds, i, consumers[i]))
        for i in range(len(graph.nodes))
    )


def kinds_of(graph: Graph, facts: Facts) -> tuple[type[Kernel[Layer]], ...]:
    """The kernel of each node where nothing was chosen."""
    pairs = zip(graph.nodes, facts.layers, strict=True)
    return tuple(kernel_of(node.layer, known.input_shapes) for node, known in pairs)


def tiles_asked(graph: Graph, facts: Facts) -> dict[int, Shape]:
    """For each node before a pooling the tile in which that would like its output."""
    return {chain[-1]: tile for chain, tile in _chains(graph, facts, kinds_of(graph, facts))}


def _tiles(graph: Graph, facts: Facts, kinds: Kinds) -> dict[int, Shape]:
    """The tile of each value that lies between a kernel that writes tiles and a pooling that reads them."""
    tiles: dict[int, Shape] = {}
    for chain, tile in _chains(graph, facts, kinds):
        layer, inputs = graph.nodes[chain[-1]].layer, facts.layers[chain[-1]].input_shapes
        if inputs and kinds[chain[-1]].writes_tiles(layer, inputs[0], tile):
            tiles.update(dict.fromkeys(chain, tile))
    return tiles


def _chains(graph: Graph, facts: Facts, kinds: Kinds) -> Iterator[tuple[list[int], Shape]]:
    """The values before each pooling that reads tiles, back to the one that another kernel makes."""
    consumers = graph.consumers()
    for node, kind in zip(graph.nodes, kinds, strict=True):
        tile = kind.reads_tiles(node.layer, facts.shape(node.inputs[0])) if node.inputs else ()
        chain = _elementwise_chain(graph, kinds, consumers, node.inputs[0]) if tile else []
        if chain:
            yield chain, tile


def _elementwise_chain(
    graph: Graph, kinds: Kinds, consumers: tuple[tuple[int, ...], ...], last: int
) -> list[int]:
    """The values from `last` back to the first that no element-wise kernel makes; none if others read one."""
    chain = [last]
    while kinds[chain[-1]].elementwise:
        chain.append(graph.nodes[chain[-1]].inputs[0])
    if any(len(consumers[i]) != 1 or i in graph.outputs for i in chain):
        return []
    return chain


def _margin(graph: Graph, facts: Facts, kinds: Kinds, i: int, consumers: tuple[int, ...]) -> Margin:
    """The margin that the readers of a value agree on, where its writer can leave one and all can read it."""
    kernels = [kinds[c] for c in consumers]
    if i in graph.outputs or not kinds[i].writes_margin:
        return ()
    if not all(kernel.reads_margin for kernel in kernels):
        return ()
    readers = zip(kernels, (graph.nodes[c].layer for c in consumers), strict=True)
    wanted = {kernel.margin(layer, facts.shape(i)) for kernel, layer in readers} - {()}
    return wanted.pop() if len(wanted) == 1 else ()
