"""The layout of every value: plain, in tiles for the pooling that follows, or with room for padding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnspec.numpy_backend.kernels.base import Kernel, Layout, Margin, kernel_of

if TYPE_CHECKING:
    from cnnspec.layers import Layer, Shape
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
    for i, node in enumerate(graph.nodes):
        if not node.inputs:
            continue
        tile = _kernel(graph, facts, i).reads_tiles(node.layer, facts.shape(node.inputs[0]))
        chain = _elementwise_chain(graph, facts, consumers, node.inputs[0]) if tile else []
        if not chain:
            continue
        writer = graph.nodes[chain[-1]]
        inputs = facts.layers[chain[-1]].input_shapes
        if inputs and _kernel(graph, facts, chain[-1]).writes_tiles(writer.layer, inputs[0], tile):
            tiles.update(dict.fromkeys(chain, tile))
    return tiles


def _elementwise_chain(
    graph: Graph, facts: Facts, consumers: tuple[tuple[int, ...], ...], last: int
) -> list[int]:
    """The values from `last` back to the first that no element-wise kernel makes; none if others read one."""
    chain = [last]
    while _kernel(graph, facts, chain[-1]).elementwise:
        chain.append(graph.nodes[chain[-1]].inputs[0])
    if any(len(consumers[i]) != 1 or i in graph.outputs for i in chain):
        return []
    return chain


def _margin(graph: Graph, facts: Facts, i: int, consumers: tuple[int, ...]) -> Margin:
    """The margin that the readers of a value agree on, where its writer can leave one and all can read it."""
    kernels = [_kernel(graph, facts, c) for c in consumers]
    if i in graph.outputs or not _kernel(graph, facts, i).writes_margin:
        return ()
    if not all(kernel.reads_margin for kernel in kernels):
        return ()
    readers = zip(kernels, (graph.nodes[c].layer for c in consumers), strict=True)
    wanted = {kernel.margin(layer, facts.shape(i)) for kernel, layer in readers} - {()}
    return wanted.pop() if len(wanted) == 1 else ()


def _kernel(graph: Graph, facts: Facts, i: int) -> type[Kernel[Layer]]:
    return kernel_of(graph.nodes[i].layer, facts.layers[i].input_shapes)
