"""Which layer of one network is which of another, for `cnnspec diff`.

The rule. Layers at the two ends that agree in kind, options and output shape belong together. Of the rest,
that alignment in order is taken which has the highest score: a pair of one kind scores 8, of equal options 4,
of equal output shape 2, of one name 1, or 16 where the file gives that name; layers of two kinds are a pair
only under one given name. What is left over is moved where kind, options and output shape agree, and
otherwise removed or added.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from cnnspec.language.record import record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnspec.layers import Layer, Shape
    from cnnspec.network.graph import Facts, Graph

MOST_CELLS: Final = 1_000_000
"""Pairs of layers that are scored; where there would be more, layers belong together by name."""


@record
class Match:
    """A layer of one network and the one of the other; nothing where there is none."""

    before: int | None
    after: int | None
    moved: bool = False


@record
class _Trait:
    """What is compared of a layer."""

    name: str
    layer: Layer
    shape: Shape | None

    @property
    def given(self) -> bool:
        """Whether the file gives the name; the others are counted, `conv2`."""
        return not re.fullmatch(rf"{self.layer.keyword}\d*", self.name.rpartition(".")[2])

    def like(self, other: _Trait) -> bool:
        """Whether kind, options and output shape agree."""
        return self.layer == other.layer and self.shape == other.shape

    def score(self, other: _Trait) -> int:
        """How well the two belong together; 0 where they do not."""
        named = self.name == other.name
        if self.layer.keyword != other.layer.keyword:
            return 16 if named and self.given else 0
        name = (16 if self.given else 1) if named else 0
        return 8 + 4 * (self.layer == other.layer) + 2 * (self.shape == other.shape) + name


def align(before: tuple[Graph, Facts], after: tuple[Graph, Facts]) -> list[Match]:
    """Every layer of both networks once, in the order of the second, removed ones where they were."""
    one, other = _traits(*before), _traits(*after)
    head = _common(one, other)
    tail = _common(one[head:][::-1], other[head:][::-1])
    middle = _middle(one[head : len(one) - tail], other[head : len(other) - tail])
    matches = [Match(i, i) for i in range(head)]
    matches += [Match(_moved_by(a, head), _moved_by(b, head)) for a, b in middle]
    matches += [Match(len(one) - i, len(other) - i) for i in range(tail, 0, -1)]
    return _with_moves(matches, one, other)


def _traits(graph: Graph, facts: Facts) -> list[_Trait]:
    pairs = zip(graph.nodes, facts.layers, strict=True)
    return [_Trait(node.name, node.layer, layer.shape) for node, layer in pairs]


def _common(one: Sequence[_Trait], other: Sequence[_Trait]) -> int:
    """Layers at the start that are alike."""
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if not a.like(b)), min(len(one), len(other)))


def _moved_by(index: int | None, offset: int) -> int | None:
    return None if index is None else index + offset


def _middle(one: Sequence[_Trait], other: Sequence[_Trait]) -> list[tuple[int | None, int | None]]:
    if len(one) * len(other) > MOST_CELLS:
        return _by_name(one, other)
    best = _scores(one, other)
    pairs: list[tuple[int | None, int | None]] = []
    i = j = 0
    while i < len(one) and j < len(other):
        score = one[i].score(other[j])
        if score and best[i][j] == best[i + 1][j + 1] + score:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            pairs.append((i, None))
            i += 1
        else:
            pairs.append((None, j))
            j += 1
    return [*pairs, *((k, None) for k in range(i, len(one))), *((None, k) for k in range(j, len(other)))]


def _scores(one: Sequence[_Trait], other: Sequence[_Trait]) -> list[list[int]]:
    """The highest score of an alignment of `one[i:]` with `other[j:]`, at `[i][j]`."""
    best = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i in range(len(one) - 1, -1, -1):
        row, below, trait = best[i], best[i + 1], one[i]
        for j in range(len(other) - 1, -1, -1):
            score = trait.score(other[j])
            row[j] = max(below[j], row[j + 1], below[j + 1] + score if score else 0)
    return best


def _by_name(one: Sequence[_Trait], other: Sequence[_Trait]) -> list[tuple[int | None, int | None]]:
    """Layers of one name, as long as their order is the same; the others removed or added."""
    places = {trait.name: j for j, trait in enumerate(other)}
    pairs: list[tuple[int | None, int | None]] = []
    done = 0
    for i, trait in enumerate(one):
        j = places.get(trait.name, -1)
        if j < done:
            pairs.append((i, None))
            continue
        pairs += [(None, k) for k in range(done, j)]
        pairs.append((i, j))
        done = j + 1
    return [*pairs, *((None, k) for k in range(done, len(other)))]


def _with_moves(matches: list[Match], one: Sequence[_Trait], other: Sequence[_Trait]) -> list[Match]:
    """Removed and added layers that are alike, made one."""
    removed = [match.before for match in matches if match.after is None and match.before is not None]
    moved: dict[int, int] = {}
    for match in matches:
        if match.before is None and match.after is not None:
            found = [i for i in removed if one[i].like(other[match.after])]
            named = [i for i in found if one[i].name == other[match.after].name]
            if found:
                moved[match.after] = (named or found)[0]
                removed.remove(moved[match.after])
    gone = set(moved.values())
    return [
        Match(moved[match.after], match.after, True)
        if match.before is None and match.after in moved
        else match
        for match in matches
        if match.after is not None or match.before not in gone
    ]
