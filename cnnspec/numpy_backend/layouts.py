"""The layout of every value: plain, in tiles for the pooling that follows, or with room for padding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnspec.numpy_backend.kernels.base import Layout, Margin, kernel_class

if TYPE_CHECKING:
    from cnnspec.layers import Shape
    from cnnspec.network.graph import Facts, Graph


def choose_layouts(graph: Graph, facts: Facts) -> tuple[Layout, ...]:
    """The layout of each node's output."""
    consumers = graph.consumers()
    tiles = _tiles(graph, facts, consumers)
    return tuple(
        Layout(facts.shape(i), tiles[i])
        if i in tiles
        else Layout(facts.shape(i), margin=_margin(graph, facts, i, consumers[i]))
        for i in range(len(graph.nodes))
    )


def _tiles(graph: Graph, facts: Facts, consumers: tuple[tuple[int, ...], ...]) -> dict[int, Shape]:
    """The tile of each value that lies between a kernel that writes tiles and a pooling that reads them."""
    tiles: dict[int, Shape] = {}
    for node in graph.nodes:
        if not node.inputs:
            continue
        shape = facts.shape(node.inputs[0])
        tile = kernel_class(type(node.layer)).reads_tiles(node.layer, shape)
        chain = _elementwise_chain(graph, consumers, node.inputs[0]) if tile else []
        if not chain:
            continue
        writer = graph.nodes[chain[-1]]
        inputs = facts.layers[chain[-1]].input_shapes
        if inputs and kernel_class(type(writer.layer)).writes_tiles(writer.layer, inputs[0], tile):
            tiles.update(dict.fromkeys(chain, tile))
    return tiles


def _elementwise_chain(graph: Graph, consumers: tuple[tuple[int, ...], ...], last: int) -> list[int]:
    """The values from `last` back to the first that no element-wise kernel makes; none if others read one."""
    chain = [last]
    while kernel_class(type(graph.nodes[chain[-1]].layer)).elementwise:
        chain.append(graph.nodes[chain[-1]].inputs[0])
    if any(len(consumers[i]) != 1 or i in graph.outputs for i in chain):
        return []
    return chain


def _margin(graph: Graph, facts: Facts, i: int, consumers: tuple[int, ...]) -> Margin:
    """The margin that the readers of a value agree on, where its writer can leave one and all can read it."""
    readers = [graph.nodes[c] for c in consumers]
    writer = kernel_class(type(graph.nodes[i].layer))
    if i in graph.outputs or not writer.writes_margin:
        return ()
    if not all(kernel_class(type(reader.layer)).reads_margin for reader in readers):
        return ()
    wanted = {kernel_class(type(r.layer)).margin(r.layer, facts.shape(i)) for r in readers} - {()}
    return wanted.pop() if len(wanted) == 1 else ()
