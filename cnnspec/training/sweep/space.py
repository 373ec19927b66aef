"""What a sweep tries: for each name an axis, a range of numbers or a list of values.

lr=1e-3..1e-1        numbers of a range, by orders of magnitude where its end is 100 times its beginning
lr=0.01..0.5:log     so in any case; `:linear` in no case
width=8..64          whole numbers, where both ends are
dropout=0.1..0.5:0.1 in steps
kernel=3,5,7         a list of anything that `--set` takes
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

from cnnspec.layers.declaration import written
from cnnspec.network.assignment import read_assignment

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    from cnnspec.layers.options import Value

Held = int | float | str
"""A value as Optuna keeps it: a number, or the text of anything else."""

NAME: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
MAGNITUDES: Final = 100
"""The end of a range over its beginning from which on its numbers are spread by orders of magnitude."""
MOST_DIGITS: Final = 18
HOW: Final = "write it as lr=1e-3..1e-1, width=8..64 or kernel=3,5,7"


class SpaceError(ValueError):
    """A `--param` cannot be used; `help` says what to write."""

    def __init__(self, message: str, help: str = HOW) -> None:
        super().__init__(message)
        self.help = help


@dataclass(frozen=True, slots=True)
class Choices:
    """One of a list, as it was written."""

    name: str
    items: tuple[str, ...]

    @property
    def text(self) -> str:
        """As on the command line."""
        return ",".join(self.items)

    def values(self) -> tuple[Held, ...]:
        """All of them: numbers, and the text of anything else."""
        return tuple(_held(item) for item in self.items)

    def distribution(self) -> BaseDistribution:
        """As Optuna names it."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.values())

    @property
    def size(self) -> int:
        """How many values there are."""
        return len(self.items)

    @property
    def probes(self) -> tuple[Held, ...]:
        """Values by which it is seen whether it can be used at all."""
        return self.values()

    @property
    def first(self) -> Held:
        """The first value."""
        return self.values()[0]


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from `low` to `high`, both included; whole ones have a step, others may have one."""

    name: str
    text: str
    low: Decimal
    high: Decimal
    step: Decimal | None
    whole: bool
    log: bool

    def values(self) -> tuple[Held, ...]:
        """All of them, where they can be counted."""
        kind = int if self.whole else float
        return tuple(kind(self.low + self._step * i) for i in range(self.size or 0))

    @property
    def probes(self) -> tuple[Held, ...]:
        """Values by which it is seen whether it can be used at all: both ends."""
        kind = int if self.whole else float
        return kind(self.low), kind(self.high)

    @property
    def first(self) -> Held:
        """The lowest value."""
        return self.probes[0]

    @property
    def _step(self) -> Decimal:
        return self.step or Decimal(1)

    @property
    def size(self) -> int | None:
        """How many values there are; nothing where they cannot be counted."""
        if self.step is None and not self.whole:
            return None
        return int((self.high - self.low) / self._step) + 1

    def distribution(self) -> BaseDistribution:
        """As Optuna names it; the end is the last step that does not go beyond it."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.whole:
            last = self.low + self._step * ((self.size or 1) - 1)
            return IntDistribution(int(self.low), int(last), log=self.log, step=int(self._step))
        if self.step is None:
            return FloatDistribution(float(self.low), float(self.high), log=self.log)
        last = self.low + self.step * ((self.size or 1) - 1)
        return FloatDistribution(float(self.low), float(last), step=float(self.step))


Axis = Choices | Range


def read_axis(text: str) -> Axis:
    """An axis from `name=range` or `name=list`.

    Raises:
        SpaceError: it is neither, or it is empty.
    """
    name, equals, rest = (part.strip() for part in text.partition("="))
    if not equals or not NAME.fullmatch(name):
        raise SpaceError("there is no name before `=`" if equals else "there is no `=`")
    if not rest:
        raise SpaceError(f"`{name}` has no values")
    if ".." in rest and not rest.startswith(('"', "[", "(")):
        return _range(name, rest)
    return _choices(name, rest)


def _range(name: str, text: str) -> Range:
    ends, _, spread = text.partition(":")
    first, _, last = ends.partition("..")
    low, high = _end(name, first), _end(name, last)
    if high < low:
        raise SpaceError(f"the range of `{name}` is the wrong way round", f"write {name}={last}..{first}")
    if high == low:
        raise SpaceError(
            f"the range of `{name}` holds nothing but {first}", f"write --set {name}={first} instead"
        )
    whole = _is_whole(first) and _is_whole(last)
    if spread not in ("", "log", "linear"):
        return _stepped(name, text, low, high, spread, whole)
    if spread == "log" and low <= 0:
        raise SpaceError(
            f"`{name}` cannot be spread by orders of magnitude: {first} is not above 0",
            "begin above 0, or leave out `:log`",
        )
    log = spread == "log" or (spread == "" and low > 0 and high / low >= MAGNITUDES)
    return Range(name, text, low, high, None, whole, log)


def _stepped(name: str, text: str, low: Decimal, high: Decimal, spread: str, whole: bool) -> Range:
    try:
        step = _end(name, spread)
    except SpaceError:
        message = f"`:{spread}` says nothing of how `{name}` is spread"
        raise SpaceError(message, "write `:log`, `:linear`, or a step such as `:8`") from None
    if not 0 < step <= high - low:
        raise SpaceError(
            f"the step of `{name}` must be above 0 and at most {high - low}, not {spread}",
            "write a smaller step, or none",
        )
    return Range(name, text, low, high, step, whole and _is_whole(spread), False)


def _end(name: str, text: str) -> Decimal:
    try:
        number = Decimal(text.replace("_", ""))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or len(number.as_tuple().digits) > MOST_DIGITS or abs(number) > 10**MOST_DIGITS:
        raise SpaceError(f"`{text}` is no number that the range of `{name}` could begin or end with")
    return number


def _is_whole(text: str) -> bool:
    return re.fullmatch(r"[+-]?[0-9_]+", text.strip(), re.ASCII) is not None


def _choices(name: str, text: str) -> Choices:
    items = tuple(item.strip() for item in _split(text))
    if "" in items:
        raise SpaceError(f"a value of `{name}` is missing between two commas")
    values = [_held(item) for item in items]
    twice = next((item for i, item in enumerate(items) if values[i] in values[:i]), None)
    if twice is not None:
        raise SpaceError(f"`{name}` has the value {twice} twice", "leave one of them out")
    return Choices(name, items)


def _split(text: str) -> list[str]:
    """The parts between commas that stand in no brackets and no quotes."""
    parts, depth, quoted = [""], 0, False
    for letter in text:
        quoted ^= letter == '"'
        depth += 0 if quoted else (letter in "([") - (letter in ")]")
        if letter == "," and depth <= 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _held(item: str) -> Held:
    value = read_value(item)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else item


def read_value(text: str) -> Value:
    """A value as `--set` would read it; what is no expression, such as `adam lr=0.1`, is a text."""
    try:
        return read_assignment(f"_ = {text}")[1]
    except ValueError:
        return text


# --- all of them together ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Space:
    """Everything that a sweep may try."""

    axes: tuple[Axis, ...]

    @property
    def size(self) -> int | None:
        """How many combinations there are; nothing where they cannot be counted."""
        sizes = [axis.size for axis in self.axes]
        return None if None in sizes else math.prod(size for size in sizes if size is not None)

    def combinations(self) -> list[dict[str, Held]]:
        """All of them."""
        names = [axis.name for axis in self.axes]
        columns = (axis.values() for axis in self.axes)
        return [dict(zip(names, row, strict=True)) for row in itertools.product(*columns)]

    def distributions(self) -> dict[str, BaseDistribution]:
        """As Optuna names them."""
        return {axis.name: axis.distribution() for axis in self.axes}

    def written(self) -> dict[str, str]:
        """Each as on the command line."""
        return {axis.name: axis.text for axis in self.axes}


def make_space(axes: Sequence[Axis]) -> Space:
    """A space of axes with different names.

    Raises:
        SpaceError: two have the same name.
    """
    names = [axis.name for axis in axes]
    for name in names:
        if names.count(name) > 1:
            raise SpaceError(f"`{name}` is given twice", "give each --param once, with all its values")
    return Space(tuple(axes))


def values_of(held: Mapping[str, Held]) -> dict[str, Value]:
    """The values that a network and a recipe take."""
    return {name: read_value(one) if isinstance(one, str) else one for name, one in held.items()}


def assignments(held: Mapping[str, Held]) -> list[str]:
    """What `--set` is given for them."""
    return [f"{name}={_expression(one)}" for name, one in held.items()]


def _expression(held: Held) -> str:
    """An expression for a value; a text that is none goes in quotes."""
    if not isinstance(held, str):
        return written(held)
    try:
        read_assignment(f"_ = {held}")
    except ValueError:
        return f'"{held}"'
    return held
