"""Statements that are alike but for some numbers become a block, whose parameters are those numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cnnspec.layers.connections import Connections
from cnnspec.layers.declaration import written

if TYPE_CHECKING:
    from cnnspec.bridges.spec.items import Items
    from cnnspec.bridges.spec.statements import Statement
    from cnnspec.layers.declaration import Option

FEWEST_USES: Final = 2
WORDS: Final = {"add": "residual", "concat": "inception", "multiply": "gated", "mean": "averaged"}
"""What a block around a join is called."""

Place = tuple[int, str]
"""A layer of a statement, counted in the order of its text, and one of its options."""


@dataclass
class BlockUse:
    """A block in place of a statement: its name and its arguments as they are written."""

    name: str
    arguments: str


@dataclass
class FoundBlock:
    """A block: its parameters with their defaults, the first of its statements, and what stands there.

    Attributes:
        values: for each option that differs, the expression that stands in its place.
    """

    name: str
    parameters: list[str]
    statement: Statement
    values: dict[Place, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Parameter:
    name: str
    values: tuple[object, ...]
    option: Option

    @property
    def default(self) -> bool:
        return not self.option.required and self.option.default is not None


class Blocks:
    """The blocks of a network.

    Attributes:
        found: the blocks in the order of their first use.
        uses: the use that stands for a statement, by the item at its end.
    """

    def __init__(self, network: Items, statements: Sequence[Statement], named: frozenset[int]) -> None:
        self._network, self._named = network, named
        self.found: list[FoundBlock] = []
        self.uses: dict[int, BlockUse] = {}
        alike: dict[object, list[Statement]] = {}
        for statement in statements:
            if self._is_candidate(statement):
                alike.setdefault(self._key([statement]), []).append(statement)
        for group in alike.values():
            if len(group) >= FEWEST_USES:
                self._add(group)

    def _is_candidate(self, statement: Statement) -> bool:
        joins = [link for link in statement.links if link.branches]
        inner = list(items_of(statement))
        return bool(joins) and not any(item in self._named for item in inner if item != statement.end)

    def _key(self, statements: Sequence[Statement]) -> object:
        """What statements of one block share: their layers, joins and what can be no argument."""
        return tuple(
            (
                statement.start is None,
                tuple(
                    (
                        type(self._network.items[link.item].layer),
                        self._fixed(link.item),
                        tuple(self._key(branch) for branch in link.branches),
                        link.named,
                    )
                    for link in statement.links
                ),
            )
            for statement in statements
        )

    def _fixed(self, item: int) -> tuple[object, ...]:
        """Values of options that no parameter can take."""
        values = self._network.items[item].layer.values().items()
        return tuple((name, value) for name, value in values if not _may_vary(value))

    def _add(self, group: Sequence[Statement]) -> None:
        layers = [[self._network.items[item].layer for item in items_of(one)] for one in group]
        parameters: dict[tuple[object, ...], _Parameter] = {}
        places: dict[Place, str] = {}
        for number, column in enumerate(zip(*layers, strict=True)):
            for name, option in column[0].options().items():
                values = tuple(layer.values()[name] for layer in column)
                if not _all_same(values):
                    places[number, name] = self._expression(values, name, option, parameters)
        join = next(link for link in group[0].links if link.branches)
        word = WORDS.get(self._network.items[join.item].layer.keyword, "block")
        name = self._free(word)
        ordered = sorted(parameters.values(), key=lambda p: p.default)
        heads = [p.name + (f"={written(p.option.default)}" if p.default else "") for p in ordered]
        self.found.append(FoundBlock(name, heads, group[0], places))
        for number, statement in enumerate(group):
            self.uses[statement.end] = BlockUse(name, " ".join(_arguments(ordered, number)))

    def _free(self, word: str) -> str:
        taken = [block.name for block in self.found]
        number = sum(name == word or name.startswith(f"{word}_") for name in taken)
        return word if not number else f"{word}_{number + 1}"

    def _expression(
        self,
        values: tuple[object, ...],
        name: str,
        option: Option,
        parameters: dict[tuple[object, ...], _Parameter],
    ) -> str:
        """A parameter that has these values, or a multiple of one."""
        key = tuple((type(value), value) for value in values)
        if key in parameters:
            return parameters[key].name
        for parameter in parameters.values():
            factor = _factor(values, parameter.values)
            if factor:
                return f"({factor} * {parameter.name})"
        taken = {parameter.name for parameter in parameters.values()}
        names = (name, *(f"{name}{number}" for number in range(2, len(taken) + 3)))
        free = next(one for one in names if one not in taken)
        parameters[key] = _Parameter(free, values, option)
        return free


def items_of(statement: Statement) -> Iterator[int]:
    """The items of a statement in the order of its text, a join behind its branches."""
    for link in statement.links:
        for branch in link.branches:
            for inner in branch:
                yield from items_of(inner)
        yield link.item


def _arguments(parameters: Sequence[_Parameter], number: int) -> Iterator[str]:
    for parameter in parameters:
        value = parameter.values[number]
        if not parameter.default:
            yield written(value)
        elif value != parameter.option.default:
            yield f"{parameter.name}={written(value)}"


def _may_vary(value: object) -> bool:
    return value is not None and not isinstance(value, Connections | str)


def _all_same(values: Sequence[object]) -> bool:
    return all(value == values[0] and type(value) is type(values[0]) for value in values)


def _factor(values: Sequence[object], given: Sequence[object]) -> int | None:
    """The whole number that all values are times the given ones."""
    found = set()
    for value, base in zip(values, given, strict=True):
        if type(value) is not int or type(base) is not int or not base or value % base:
            return None
        found.add(value // base)
    return found.pop() if len(found) == 1 else None
