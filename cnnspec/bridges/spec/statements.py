"""The statements that say a network: chains, and joins whose branches begin at one value.

A join is written with branches where each of its inputs is computed from one value before it, by layers that
nothing else reads; otherwise the values that it joins get names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cnnspec.layers.shapes import Input

if TYPE_CHECKING:
    from cnnspec.bridges.spec.items import Items

CHAINED = ("activation", "normalization", "regularization")
"""Families that stand behind another layer on its line."""


@dataclass
class Link:
    """One layer of a statement.

    Attributes:
        item: the number of the item.
        branches: the bodies of a join's branches, or nothing.
        named: the items that a join without branches names.
    """

    item: int
    branches: list[list[Statement]] = field(default_factory=list)
    named: tuple[int, ...] = ()


@dataclass
class Statement:
    """A chain of links on one line; `start` is where it begins, if not behind the one before."""

    links: list[Link]
    start: int | None = None
    end: int = -1


@dataclass(frozen=True)
class Told:
    """The statements of a network, and the items that need a name."""

    statements: list[Statement]
    named: frozenset[int]


def statements_of(network: Items) -> Told:
    """The statements of a network in order."""
    return _Structure(network).run()


class _Structure:
    def __init__(self, network: Items) -> None:
        self._network, self._items = network, network.items
        self._readers = network.readers()
        self._joins: dict[int, tuple[int, list[list[int]]]] = {}
        self._depth: dict[int, int] = {}
        self._named: set[int] = set()

    def run(self) -> Told:
        absorbed: set[int] = set()
        for number, item in enumerate(self._items):
            if len(item.inputs) > 1:
                found = self._branches(number)
                inner = [v for branch in found[1] for v in branch] if found else []
                depth = max((self._depth.get(v, 0) for v in inner), default=0) + 1
                if found and depth <= DEEPEST:
                    self._depth[number] = depth
                    self._joins[number] = found
                    absorbed.update(v for branch in found[1] for v in branch)
        whole = [number for number in range(len(self._items)) if number not in absorbed]
        if len(self._network.outputs) > 1 or self._network.outputs[0] != whole[-1]:
            self._named.update(self._network.outputs)
        statements = self._sequence(whole, None)
        return Told(statements, frozenset(self._named))

    # --- joins with branches ----------------------------------------------------------------------------

    def _branches(self, join: int) -> tuple[int, list[list[int]]] | None:
        """Where the branches of a join begin, and the items of each; nothing where it has none."""
        inputs = self._items[join].inputs
        for start in self._befores(inputs[0]):
            branches = [self._within(start, v) for v in inputs]
            if any(branch is None for branch in branches):
                continue
            found = [branch for branch in branches if branch is not None]
            if self._apart(found, inputs, start, join):
                return start, found
        return None

    def _befores(self, item: int) -> Iterator[int]:
        """An item and all before it on which it depends, the nearest first."""
        pending, seen = {item}, set()
        while pending:
            nearest = max(pending)
            pending.discard(nearest)
            if nearest in seen:
                continue
            seen.add(nearest)
            yield nearest
            if len(seen) > LONGEST_BRANCH:
                return
            pending.update(self._items[nearest].inputs)

    def _within(self, start: int, end: int) -> list[int] | None:
        """The items behind `start` up to `end`; nothing where one depends on something else."""
        pending, found = {end} - {start}, set()
        while pending:
            item = pending.pop()
            if item < start or not self._items[item].inputs:
                return None
            found.add(item)
            pending.update(set(self._items[item].inputs) - found - {start})
        return sorted(found)

    def _apart(self, branches: Sequence[list[int]], inputs: Sequence[int], start: int, join: int) -> bool:
        """Whether no item of a branch is read outside of it, but for its end by the join."""
        if not any(branches):
            return False
        for branch, end in zip(branches, inputs, strict=True):
            own = set(branch)
            for item in branch:
                readers = [reader for reader in self._readers[item] if reader not in own]
                if readers != ([join] if item == end else []) or item in self._network.outputs:
                    return False
        return True

    # --- sequences --------------------------------------------------------------------------------------

    def _sequence(self, items: Sequence[int], start: int | None) -> list[Statement]:
        """The statements of a body that begins from `start`."""
        inner: set[int] = set()
        for item in items:
            if item in self._joins:
                inner.update(v for branch in self._joins[item][1] for v in branch)
        statements: list[Statement] = []
        current = start
        for item in items:
            if item in inner:
                continue
            link, source = self._link(item)
            jumps = source is not None and source != current
            if jumps:
                assert source is not None
                self._named.add(source)
            if self._chains(item, statements, jumps):
                statements[-1].links.append(link)
                statements[-1].end = item
            else:
                statements.append(Statement([link], source if jumps else None, item))
            current = item
        return self._split(statements)

    def _link(self, item: int) -> tuple[Link, int | None]:
        """A layer, and the value that it begins from; nothing for an input or a join of named values."""
        inputs = self._items[item].inputs
        if item in self._joins:
            start, branches = self._joins[item]
            return Link(item, [self._sequence(branch, start) for branch in branches]), start
        if len(inputs) > 1 or (inputs and self._items[item].layer.arity is None):
            self._named.update(inputs)
            return Link(item, named=inputs), None
        return Link(item), inputs[0] if inputs else None

    def _chains(self, item: int, statements: Sequence[Statement], jumps: bool) -> bool:
        layer = self._items[item].layer
        if not statements or jumps or layer.family not in CHAINED:
            return False
        before = self._items[statements[-1].end].layer
        return not isinstance(before, Input) and len(statements[-1].links) < LONGEST_CHAIN

    def _split(self, statements: list[Statement]) -> list[Statement]:
        """Statements cut behind every item that needs a name, since a name stands for a statement's end."""
        found = []
        for statement in statements:
            links: list[Link] = []
            start = statement.start
            for link in statement.links:
                links.append(link)
                if link.item in self._named and link is not statement.links[-1]:
                    found.append(Statement(links, start, link.item))
                    links, start = [], None
            found.append(Statement(links, start, statement.end))
        return found


LONGEST_BRANCH = 400
"""Items that are looked through for the beginning of a join's branches."""
DEEPEST = 6
"""Joins within each other's branches that are written so."""
LONGEST_CHAIN = 4
"""Links on one line."""
