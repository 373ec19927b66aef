"""Shape claims written for the user: `cnnspec fmt --shapes`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnspec.language.source import Source
from cnnspec.language.syntax import Chain, LayerCall, Number, Sizes
from cnnspec.layers import show

if TYPE_CHECKING:
    from cnnspec.layers import Shape
    from cnnspec.network.graph import Facts, Graph

UNCLAIMED = ("input", "from", "output", "branch")
"""Statements that make no new shape."""


def with_claims(source: Source, graph: Graph, facts: Facts) -> Source:
    """The text with the shape of each statement of the network claimed at its end.

    Old claims are refreshed. A statement within a repetition is claimed where all rounds agree, unless it
    shares its line with the statement around it. Blocks are left alone, since each use may give another
    shape, and so are claims that are calculated.
    """
    shapes: dict[Chain, set[Shape]] = {}
    for chain, end in graph.ends:
        shape = facts.layers[end].shape
        if shape is not None and chain.span.source == source:
            shapes.setdefault(chain, set()).add(shape)
    text = source.text
    for chain, known in sorted(shapes.items(), key=lambda item: -item[0].span.end):
        if len(known) == 1 and _takes_claim(chain):
            (shape,) = known
            start, end = _place(chain)
            text = f"{text[:start]} : {show(shape)}{text[end:]}"
    return Source(source.name, text, source.path)


def _takes_claim(chain: Chain) -> bool:
    if chain.claim is not None:
        return isinstance(chain.claim, Sizes | Number)
    last = chain.links[-1]
    behind = chain.span.source.text[chain.span.end :].split("\n", 1)[0].split("#", 1)[0].strip()
    if behind:
        return False
    return not (isinstance(last, LayerCall) and last.keyword.text in UNCLAIMED)


def _place(chain: Chain) -> tuple[int, int]:
    """Where the claim stands, its colon and the space before included."""
    if chain.claim is None:
        return chain.links[-1].span.end, chain.links[-1].span.end
    text = chain.span.source.text
    start = text.rindex(":", chain.links[-1].span.end, chain.claim.span.start)
    return len(text[:start].rstrip(" \t")), chain.claim.span.end
