"""Lints of the whole network: where its parameters are, and layers that lead nowhere."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from cnnspec.layers import product, show
from cnnspec.network.lint.registry import Remark, Subject, lint

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAVY_SHARE: Final = 0.75
"""The share of all parameters from which on a dense layer is heavy: it outweighs all others three to one."""

HEAVY_LEAST: Final = 1_000_000
"""Parameters below which nobody needs to save: 4 MB, which train in seconds and need no large data set."""


@lint
def heavy_layer(subject: Subject) -> Iterator[Remark]:
    """One dense layer behind a map that holds most of the parameters."""
    total = subject.facts.totals().params
    if total < HEAVY_LEAST:
        return
    for index, node in enumerate(subject.nodes):
        facts = subject.facts.layers[index]
        dense = node.layer.family == "dense" and subject.windows[index] == "everything"
        if not dense or not facts.receptive_field or facts.params <= HEAVY_SHARE * total:
            continue
        inputs = product(facts.input_shapes[0])
        yield Remark(
            f"`{node.name}` holds {100 * facts.params // total} % of the {total:,} parameters",
            node.origin.keyword,
            label=f"{inputs:,} inputs * {subject.facts.shape(index)[0]:,} units",
            notes=(f"its input is {_source(subject, index)}",),
            help=("convolutions share their weights; `globalavgpool` before it leaves one input a channel",),
            uses=node.origin.uses,
        )


@lint
def dead_layers(subject: Subject) -> Iterator[Remark]:
    """Layers whose result reaches no output of the network. A name in `expect` is no use of a result."""
    live = _live(subject)
    for index, node in enumerate(subject.nodes):
        if live[index] or subject.readers[index]:
            continue
        before = _only_for(subject, index, live)
        kept = [name for name in before if name != node.name]
        what = "the input" if not node.inputs else "the result of"
        yield Remark(
            f"{what} `{node.name}` reaches no output",
            node.origin.layer,
            label=f"the output is that of `{subject.nodes[subject.graph.outputs[-1]].name}`",
            notes=(f"computed for it alone: {', '.join(f'`{name}`' for name in kept[:6])}",) if kept else (),
            help=("join it by `add` or `concat`, name it in `output`, or remove it",),
            uses=node.origin.uses,
        )


def _source(subject: Subject, index: int) -> str:
    """The map that a dense layer flattens: what stands before the last change of shape."""
    before = subject.nodes[index].inputs[0]
    while subject.nodes[before].layer.family in ("shape", "regularization"):
        before = subject.nodes[before].inputs[0]
    return f"the {show(subject.facts.shape(before))} of `{subject.nodes[before].name}`"


def _live(subject: Subject) -> list[bool]:
    """Which nodes an output is computed from."""
    live = [False] * len(subject.nodes)
    for index in subject.graph.outputs:
        live[index] = True
    for index in reversed(range(len(subject.nodes))):
        if live[index]:
            for before in subject.nodes[index].inputs:
                live[before] = True
    return live


def _only_for(subject: Subject, end: int, live: list[bool]) -> list[str]:
    """The names of the nodes that lead nowhere but to this end."""
    found = {end}
    pending = sorted(
        -before for before in subject.nodes[end].inputs
    )  # the last of them first, after all its readers
    while pending:
        index = -heappop(pending)
        if index not in found and not live[index] and found.issuperset(subject.readers[index]):
            found.add(index)
            for before in subject.nodes[index].inputs:
                heappush(pending, -before)
    return [subject.nodes[index].name for index in sorted(found)]
