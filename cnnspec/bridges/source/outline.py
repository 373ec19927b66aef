"""The outline of a network: uses of blocks and repetitions, found again in the flat graph.

The nodes of a block's use lie next to each other, and every node knows the uses that it came from. Rounds of
a repetition were written at the same place; they are taken together where each reads the one before alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cnnspec.bridges.source.code import Code
    from cnnspec.network.graph import Graph

LONGEST_ROUND: Final = 200
"""Parts of a round that is looked for."""
FEWEST_ROUNDS: Final = 3
"""Rounds of layers from which on a repetition is a loop; with a block in them, two are enough."""


@dataclass(frozen=True)
class Leaf:
    """One node."""

    name: str
    node: int

    @property
    def nodes(self) -> range:
        """The node alone."""
        return range(self.node, self.node + 1)


@dataclass(frozen=True)
class Group:
    """The use of a block, or a round of a repetition.

    Attributes:
        name: what it is called within what is around it.
        kind: the name of the block.
        parts: what it consists of, in order.
        nodes: the nodes within.
        sources: the nodes outside that it reads, in the order in which it does.
        gives: its nodes that are read outside.
        arguments: the values of the block's parameters.
        full: its whole name.
    """

    name: str
    kind: str
    parts: tuple[Part, ...]
    nodes: range
    sources: tuple[int, ...]
    gives: tuple[int, ...]
    arguments: Mapping[str, object] = field(default_factory=dict, compare=False)
    full: str = ""


@dataclass(frozen=True)
class Loop:
    """A repetition, each round of which reads the one before; all rounds have the same code."""

    name: str
    rounds: tuple[Leaf | Group, ...]

    @property
    def nodes(self) -> range:
        """The nodes of all rounds."""
        return range(self.rounds[0].nodes.start, self.rounds[-1].nodes.stop)


Part = Leaf | Group | Loop


class Outline:
    """Finds the parts of a graph.

    Attributes:
        whole: the network as a group of parts.
        live: the nodes on which an output depends.
    """

    def __init__(self, graph: Graph, codes: Sequence[Code | None]) -> None:
        self.graph, self.codes = graph, codes
        self.readers = graph.consumers()
        self.live = _live(graph)
        nodes = range(len(graph.nodes))
        parts = self._parts(nodes, 0, "", "")
        self.whole = Group(graph.name, graph.name, parts, nodes, graph.sources(), graph.outputs)

    # --- uses of blocks ---------------------------------------------------------------------------------

    def _parts(self, nodes: range, depth: int, prefix: str, label: str) -> tuple[Part, ...]:
        """The parts of a stretch of nodes that share `depth` uses, their repetitions folded."""
        parts: list[Part] = []
        index = nodes.start
        while index < nodes.stop:
            node = self.graph.nodes[index]
            if len(node.origin.uses) <= depth:
                parts.append(Leaf(_below(node.name, prefix), index))
                index += 1
                continue
            use, stop = node.origin.uses[depth], index
            while stop < nodes.stop and _use(self.graph, stop, depth) == use.name:
                stop += 1
            inner = self._parts(range(index, stop), depth + 1, f"{use.name}.", use.block)
            name = _below(use.name, prefix)
            group = self._group(name, use.block, inner, range(index, stop), use.name)
            parts.append(replace(group, arguments=dict(use.arguments)))
            index = stop
        return tuple(self._fold(parts, depth, label))

    def _group(self, name: str, kind: str, parts: tuple[Part, ...], nodes: range, full: str) -> Group:
        sources = [v for i in nodes if i in self.live for v in self.graph.nodes[i].inputs if v not in nodes]
        gives = [i for i in nodes if i in self.live and self._read_outside(i, nodes)]
        return Group(name, kind, parts, nodes, tuple(dict.fromkeys(sources)), tuple(gives), {}, full)

    def _read_outside(self, index: int, nodes: range) -> bool:
        readers = (reader for reader in self.readers[index] if reader in self.live)
        return index in self.graph.outputs or any(reader not in nodes for reader in readers)

    # --- repetitions ------------------------------------------------------------------------------------

    def _fold(self, parts: Sequence[Part], depth: int, label: str) -> Iterator[Part]:
        """The parts with rounds that follow each other as one loop."""
        keys = [self._key(part, depth) for part in parts]
        index = 0
        while index < len(parts):
            loop, length = self._loop_at(parts, keys, index, depth, label)
            yield parts[index] if loop is None else loop
            index += length

    def _key(self, part: Part, depth: int) -> object:
        """Where a part was written; only rounds of a repetition were written at the same place."""
        origin = self.graph.nodes[part.nodes.start].origin
        span = origin.layer if isinstance(part, Leaf) else origin.uses[depth].span
        if span.start == span.end:
            return part.nodes.start
        return span.source.name, span.start, span.end

    def _loop_at(
        self, parts: Sequence[Part], keys: Sequence[object], index: int, depth: int, label: str
    ) -> tuple[Loop | None, int]:
        """The longest repetition that begins here, and the parts that it takes."""
        best: tuple[Loop | None, int] = (None, 1)
        for period in range(1, min((len(parts) - index) // 2, LONGEST_ROUND) + 1):
            count = 1
            first = keys[index : index + period]
            while keys[index + count * period : index + (count + 1) * period] == first:
                count += 1
            if count == 1 or count * period <= best[1]:
                continue
            rounds = [parts[index + i * period : index + (i + 1) * period] for i in range(count)]
            loop = self._loop(rounds, depth, label)
            best = (loop, count * period) if loop else best
        return best

    def _loop(self, rounds: Sequence[Sequence[Part]], depth: int, label: str) -> Loop | None:
        """The rounds as a loop, where each reads the one before alone and all have the same code."""
        names, stem = _names(rounds[0])
        made = [self._round(parts, rounds[0], names, depth, label) for parts in rounds]
        kept = [one for one in made if one is not None]
        blocks = any(isinstance(part, Group) for part in rounds[0])
        if len(kept) < len(made) or len(made) < (2 if blocks else FEWEST_ROUNDS):
            return None
        groups = [self._group("", "", (), one.nodes, "") for one in kept]
        chained = all(len(one.sources) == len(one.gives) == 1 for one in groups)
        if not chained or any(b.sources != a.gives for a, b in pairwise(groups)):
            return None
        if len({self.skeleton(one) for one in kept}) > 1:
            return None
        name = stem or (f"{_stem(rounds[0][0].name)}s" if len(rounds[0]) == 1 else "layers")
        return Loop(name, tuple(kept))

    def _round(
        self, parts: Sequence[Part], first: Sequence[Part], names: Sequence[str], depth: int, label: str
    ) -> Leaf | Group | None:
        """One round; its parts are called as those of the first."""
        if any(type(one) is not type(other) for one, other in zip(parts, first, strict=True)):
            return None
        named = tuple(replace(part, name=name) for part, name in zip(parts, names, strict=True))
        if len(named) == 1:
            return None if isinstance(named[0], Loop) else named[0]
        kept = tuple(self._fold(named, depth, label))
        nodes = range(parts[0].nodes.start, parts[-1].nodes.stop)
        return self._group("", f"{label}_layer" if label else "layer", kept, nodes, "")

    # --- what is alike ----------------------------------------------------------------------------------

    def skeleton(self, part: Part) -> tuple[object, ...]:
        """What two parts have in common that are instances of the same code."""
        match part:
            case Leaf():
                code = self.codes[part.node]
                return (code.shape if code else None, part.node in self.live)
            case Loop():
                return (
                    "loop",
                    len(part.rounds) if not self.is_even(part) else 0,
                    self.skeleton(part.rounds[0]),
                )
            case Group():
                return (part.kind, len(part.sources), self._wiring(part))

    def is_even(self, loop: Loop) -> bool:
        """Whether every number in its code is the same in all rounds, or grows evenly in at least three.

        Then the number of rounds may be a parameter.
        """
        columns = zip(*(self._values(one) for one in loop.rounds), strict=True)
        grows = [progression(column) for column in columns]
        still = all(found is not None and found[1] == 0 for found in grows)
        return still or (None not in grows and len(loop.rounds) >= FEWEST_ROUNDS)

    def _values(self, part: Part) -> list[object]:
        """The arguments of all calls within."""
        codes = (self.codes[node] for node in part.nodes)
        return [arg.value for code in codes if code for arg in code.args]

    def _wiring(self, group: Group) -> tuple[object, ...]:
        places: dict[int, object] = {v: ("in", k) for k, v in enumerate(group.sources)}
        rows: list[object] = []
        for number, part in enumerate(group.parts):
            inputs = tuple(places.get(v) for v in self.sources_of(part))
            rows.append((part.name, self.skeleton(part), inputs))
            places.update({v: (number, k) for k, v in enumerate(self.gives_of(part))})
        return (*rows, tuple(places.get(v) for v in group.gives))

    def sources_of(self, part: Part) -> tuple[int, ...]:
        """The nodes outside that a part reads."""
        match part:
            case Leaf():
                return self.graph.nodes[part.node].inputs
            case Group():
                return part.sources
            case Loop():
                return self.sources_of(part.rounds[0])

    def gives_of(self, part: Part) -> tuple[int, ...]:
        """The nodes of a part that are read outside."""
        match part:
            case Leaf():
                return (part.node,)
            case Group():
                return part.gives
            case Loop():
                return self._group("", "", (), part.rounds[-1].nodes, "").gives


def _live(graph: Graph) -> frozenset[int]:
    live = set(graph.outputs)
    for index in range(len(graph.nodes) - 1, -1, -1):
        if index in live:
            live.update(graph.nodes[index].inputs)
    return frozenset(live)


def _use(graph: Graph, index: int, depth: int) -> str | None:
    uses = graph.nodes[index].origin.uses
    return uses[depth].name if len(uses) > depth else None


def _below(name: str, prefix: str) -> str:
    return name.removeprefix(prefix) or name


def _stem(name: str) -> str:
    """A name without the number that was counted: `basic1` is `basic`, `stage.1` is `stage`."""
    return name.rstrip("0123456789").rstrip("._") or name


def _names(parts: Sequence[Part]) -> tuple[list[str], str]:
    """What the parts of a first round are called, and the name of a named repetition: `x.1.conv1`."""
    names = [part.name for part in parts]
    stem, mark, _ = names[0].partition(".1.")
    if mark and all(name.startswith(f"{stem}.1.") for name in names):
        return [name.removeprefix(f"{stem}.1.") for name in names], stem
    return names, ""


def progression(values: Sequence[object]) -> tuple[object, int] | None:
    """The first of some values and what is added from each to the next; nothing where that varies."""
    first = values[0]
    if all(value == first and type(value) is type(first) for value in values):
        return first, 0
    numbers = [value for value in values if isinstance(value, int) and not isinstance(value, bool)]
    steps = {b - a for a, b in pairwise(numbers)}
    return (first, steps.pop()) if len(numbers) == len(values) and len(steps) == 1 else None
