"""Groups with the same code become one class; what differs between them becomes its parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from cnnspec.bridges.source.code import REQUIRED, Arg, literal
from cnnspec.bridges.source.names import Namespace, camel
from cnnspec.bridges.source.outline import Group, Leaf, Loop, Outline, Part, progression

COUNT: Final = "count"


@dataclass(frozen=True)
class Parameter:
    """A parameter of a class: its name, its value in each group, and the default where it has one."""

    name: str
    values: tuple[object, ...]
    default: object = REQUIRED


@dataclass(frozen=True)
class Slot:
    """An argument of a call within a class, with the expression that stands there."""

    arg: Arg
    text: str


@dataclass(frozen=True)
class LoopSlots:
    """A repetition within a class: how often, and the arguments of each round.

    `count` is empty where the rounds are written out, each with arguments of its own.
    """

    count: str
    rounds: tuple[tuple[Slot, ...], ...]


@dataclass
class Class:
    """The class of some groups.

    Attributes:
        name: what it is called.
        groups: the groups, in the order of the network.
        parameters: what differs between them; those without a default first.
        calls: for each part the arguments of its call, or those of a loop.
    """

    name: str
    groups: list[Group]
    parameters: tuple[Parameter, ...] = ()
    calls: list[tuple[Slot, ...] | LoopSlots] = field(default_factory=list)

    def arguments(self, group: Group) -> tuple[Arg, ...]:
        """The arguments with which a group is made."""
        number = next(i for i, one in enumerate(self.groups) if one is group)
        return tuple(
            Arg(p.name, p.values[number], p.default, positional=p.default is REQUIRED)
            for p in self.parameters
        )


class Classes:
    """All classes of an outline, those that others need first."""

    def __init__(self, outline: Outline, taken: Namespace, case: str = "camel") -> None:
        self.outline = outline
        self._by_key: dict[tuple[object, ...], Class] = {}
        self._names, self._case = taken, case
        self._gather(outline.whole)
        for made in self._by_key.values():
            unify(self, made)

    def __iter__(self) -> Iterator[Class]:
        return iter(self._by_key.values())

    def of(self, group: Group) -> Class:
        """The class of a group."""
        return self._by_key[self.outline.skeleton(group)]

    def _gather(self, group: Group) -> None:
        for part in group.parts:
            for inner in part.rounds if isinstance(part, Loop) else (part,):
                if isinstance(inner, Group):
                    self._gather(inner)
                    self._register(inner)

    def _register(self, group: Group) -> None:
        key = self.outline.skeleton(group)
        if key not in self._by_key:
            self._by_key[key] = Class(self._name(group), [])
        self._by_key[key].groups.append(group)

    def _name(self, group: Group) -> str:
        """The block's name; a flag of its own that tells a class from the first stands behind it."""
        others = [made.groups[0] for made in self._by_key.values() if made.groups[0].kind == group.kind]
        flag = ""
        if others:
            first = others[0].arguments
            turned = [n for n, v in group.arguments.items() if v is True and first.get(n) is False]
            flag = f"_{turned[0]}" if turned else ""
        name = f"{group.kind}{flag}"
        return self._names.add(camel(name) if self._case == "camel" else name)


def unify(classes: Classes, made: Class) -> None:
    """Find the parameters of a class and the expressions within it."""
    _Unifier(classes, made).run()


class _Unifier:
    """Finds the parameters of one class and the expressions within it."""

    def __init__(self, classes: Classes, made: Class) -> None:
        self._classes, self._class = classes, made
        self._groups = made.groups
        self._found: dict[tuple[object, ...], Parameter] = {}
        self._names = Namespace({"self", "x", "name", "i"})
        self._given = self._given_values()

    def run(self) -> None:
        for number, part in enumerate(self._groups[0].parts):
            parts = [group.parts[number] for group in self._groups]
            if isinstance(part, Loop):
                self._class.calls.append(self._loop([one for one in parts if isinstance(one, Loop)]))
            else:
                self._class.calls.append(self._slots([call_args(self._classes, one) for one in parts]))
        self._class.parameters = tuple(sorted(self._found.values(), key=lambda p: p.default is not REQUIRED))

    def _given_values(self) -> dict[str, tuple[object, ...]]:
        """The values of the block's own parameters, in each group."""
        names = self._groups[0].arguments
        found = {name: tuple(group.arguments.get(name) for group in self._groups) for name in names}
        return {name: values for name, values in found.items() if all(map(_plain, values))}

    def _slots(self, calls: Sequence[Sequence[Arg]]) -> tuple[Slot, ...]:
        rows = zip(*calls, strict=True)
        return tuple(
            Slot(args[0], self._expression(tuple(arg.value for arg in args), args[0])) for args in rows
        )

    def _loop(self, loops: Sequence[Loop]) -> LoopSlots:
        """A loop whose arguments grow evenly, or all its rounds one by one."""
        if not all(map(self._classes.outline.is_even, loops)):
            rounds = range(len(loops[0].rounds))
            return LoopSlots("", tuple(self._slots([self._call(loop, i) for loop in loops]) for i in rounds))
        counts = tuple(len(loop.rounds) for loop in loops)
        count = self._expression(counts, Arg(COUNT, counts[0]))
        columns = [self._progressions(loop) for loop in loops]
        slots = []
        for args in zip(*columns, strict=True):
            arg = args[0][0]
            first = self._expression(tuple(start for _, start, _ in args), arg)
            step = self._expression(tuple(step for _, _, step in args), Arg(f"{arg.name}_step", 0))
            slots.append(Slot(arg, first if step == "0" else f"{first} + {_factor(step)} * i"))
        return LoopSlots(count, (tuple(slots),))

    def _progressions(self, loop: Loop) -> list[tuple[Arg, object, int]]:
        """For each argument its first value, and what is added in each round."""
        rounds = [self._call(loop, i) for i in range(len(loop.rounds))]
        found = []
        for column in zip(*rounds, strict=True):
            grows = progression([arg.value for arg in column])
            assert grows is not None
            found.append((column[0], *grows))
        return found

    def _call(self, loop: Loop, number: int) -> Sequence[Arg]:
        return call_args(self._classes, loop.rounds[number])

    # --- expressions ------------------------------------------------------------------------------------

    def _expression(self, values: tuple[object, ...], arg: Arg) -> str:
        """What stands for these values, one a group: a literal, a parameter, or a multiple of one."""
        if all(_same(value, values[0]) for value in values):
            return literal(values[0])
        key = _key(values)
        if key in self._found:
            return self._found[key].name
        for name, given in self._given.items():
            if _key(given) == key:
                return self._add(name, values, arg.default).name
        multiple = self._multiple(values)
        return multiple or self._add(arg.name, values, arg.default).name

    def _multiple(self, values: tuple[object, ...]) -> str:
        """`4 * channels`, where a parameter of the block is that."""
        for name, given in self._given.items():
            factor = _ratio(values, given)
            if factor is not None:
                found = self._found.get(_key(given)) or self._add(name, given, REQUIRED)
                return f"{factor} * {found.name}"
        return ""

    def _add(self, name: str, values: tuple[object, ...], default: object) -> Parameter:
        parameter = Parameter(self._names.add(name), values, default)
        self._found[_key(values)] = parameter
        return parameter


def call_args(classes: Classes, part: Part) -> Sequence[Arg]:
    """The arguments with which a part is made."""
    if isinstance(part, Leaf):
        code = classes.outline.codes[part.node]
        return code.args if code else ()
    assert isinstance(part, Group)
    return classes.of(part).arguments(part)


def _plain(value: object) -> bool:
    """Whether a value may be an argument in generated code."""
    return isinstance(value, bool | int | float) or (isinstance(value, tuple) and all(map(_plain, value)))


def _same(one: object, other: object) -> bool:
    return one == other and type(one) is type(other)


def _key(values: tuple[object, ...]) -> tuple[object, ...]:
    """Values as a key, which tells 1 from True and from 1.0."""
    return tuple((type(value), value) for value in values)


def _ratio(values: tuple[object, ...], given: tuple[object, ...]) -> int | None:
    """The whole number that all values are times the given ones."""
    factors = set()
    for value, base in zip(values, given, strict=True):
        whole = type(value) is type(base) is int
        if not whole or not base or not isinstance(value, int) or not isinstance(base, int) or value % base:
            return None
        factors.add(value // base)
    return factors.pop() if len(factors) == 1 and factors != {1} else None


def _factor(text: str) -> str:
    return text if text.isidentifier() or text.isdigit() else f"({text})"
