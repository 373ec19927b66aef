"""Which kernel computes each node: of several the one that is asked for, or the fastest by an estimate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnspec.numpy_backend.costs import Conditions, seconds
from cnnspec.numpy_backend.kernels.base import Kernel, kernel_of
from cnnspec.numpy_backend.layouts import tiles_asked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnspec.layers import Layer, Shape
    from cnnspec.network.graph import Facts, Graph

Kind = type[Kernel["Layer"]]


@dataclass(frozen=True, slots=True)
class Selection:
    """The kernel of a node.

    Attributes:
        kind: its class.
        rivals: all that could compute it, by name; empty where there is only one way.
        estimates: the seconds that each is estimated to take for a piece.
        why: the reason in a phrase, where there was a choice.
    """

    kind: Kind
    rivals: tuple[str, ...] = ()
    estimates: tuple[float, ...] = ()
    why: str = ""


class UnknownAlgorithm(ValueError):  # noqa: N818 - it reads as what it is
    """A choice names a layer that is not there, or an algorithm that cannot compute it."""


def select_kernels(
    graph: Graph, facts: Facts, conditions: Conditions, asked: Mapping[str, str]
) -> tuple[Selection, ...]:
    """The kernel of every node; `asked` names algorithms by layer.

    Raises:
        UnknownAlgorithm: one of them cannot be had.
        NotImplementedError: a layer kind has no kernel.
    """
    unknown = asked.keys() - {node.name for node in graph.nodes}
    if unknown:
        raise UnknownAlgorithm(f"the network has no layer `{min(unknown)}`")
    tiles = tiles_asked(graph, facts)
    found = []
    for i, (node, known) in enumerate(zip(graph.nodes, facts.layers, strict=True)):
        kinds = ways(node.layer, known.input_shapes, tiles.get(i, ()), conditions.training)
        found.append(
            _selected(node.layer, known.input_shapes, tiles.get(i, ()), kinds, conditions)
            if node.name not in asked
            else _as_asked(node.name, asked[node.name], kinds)
        )
    return tuple(found)


def ways(layer: Layer, inputs: tuple[Shape, ...], tile: Shape, training: bool) -> tuple[Kind, ...]:
    """The kernels that can compute a layer, of which its reader would like the output in such tiles."""
    kinds = kernel_of(layer, inputs).candidates(layer, inputs, tile)
    return tuple(kind for kind in kinds if kind.learns or not training)


def _selected(
    layer: Layer, inputs: tuple[Shape, ...], tile: Shape, kinds: tuple[Kind, ...], conditions: Conditions
) -> Selection:
    """The cheapest by the estimates."""
    if len(kinds) == 1:
        return Selection(kinds[0])
    estimates = [
        seconds(kind.priced_as, kind.work(layer, inputs, tile, conditions.images), conditions)
        for kind in kinds
    ]
    order = sorted(range(len(kinds)), key=lambda k: estimates[k])
    kind, names = kinds[order[0]], tuple(kind.name for kind in kinds)
    others = ", ".join(f"{names[k]} {_times(estimates[k] / estimates[order[0]])}" for k in order[1:])
    images = "an image" if conditions.images == 1 else f"{conditions.images} images"
    why = f"estimated {in_time(estimates[order[0]])} for {images}; {others}"
    return Selection(kind, names, tuple(estimates), why)


def _as_asked(name: str, algorithm: str, kinds: tuple[Kind, ...]) -> Selection:
    names = tuple(kind.name for kind in kinds)
    if algorithm not in names:
        ways = f"the ways are {', '.join(names)}" if any(names) else "there is but one way"
        raise UnknownAlgorithm(f"`{name}` cannot be computed by `{algorithm}`: {ways}")
    return Selection(kinds[names.index(algorithm)], names, why="as chosen")


def _times(ratio: float) -> str:
    return f"{ratio:.2g} times" if ratio < 10 else f"{ratio:.0f} times"


def in_time(seconds: float) -> str:
    """Seconds for reading: `1.2 ms`."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} us"
