"""The types of options: each function accepts a value and returns it in its type, or raises `OptionError`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, TypeVar

from cnnspec.layers.declaration import OptionError, written

Value = int | float | bool | str | tuple["Value", ...]
"""What an argument evaluates to: a number, a flag, a string, a bare name (`Symbol`) or a tuple of these."""

Accept = TypeVar("Accept", bound=Callable[[object], object])

Extent = int | tuple[int, ...]
"""A size along every spatial axis: one number for all of them, or one for each."""

Padding = Extent | Literal["same"]
"""Padding: a number, one for each axis, both ends of each axis, or `same`."""


class Symbol(str):
    """A bare name used as a value, such as `same` in `padding=same`."""

    __slots__ = ()


class Listed(tuple[float | str, ...]):
    """Items of a list, which is written in square brackets: `[30, 60]`, `[conv1, "stage1.*"]`."""

    __slots__ = ()

    def __str__(self) -> str:
        return "[" + ", ".join(map(written, self)) + "]"


def describe(value: object) -> str:
    """A value as messages name it: ``the name `foo` ``, `2.5`, `5x5`."""
    if isinstance(value, Symbol):
        return f"the name `{value}`"
    if isinstance(value, str):
        return f'the text "{value}"'
    return f"`{written(value)}`"


def whole_number(value: object, *, least: int) -> int:
    """A whole number of at least `least`."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise OptionError(f"must be a whole number, not {describe(value)}")
    if value < least:
        raise OptionError(f"must be at least {least}, not {value}")
    return value


def count(value: object) -> int:
    """A whole number of at least 1."""
    return whole_number(value, least=1)


def natural(value: object) -> int:
    """A whole number of at least 0."""
    return whole_number(value, least=0)


def _per_axis(value: object, *, least: int) -> Extent:
    if isinstance(value, tuple):
        if not value:
            raise OptionError("must not be empty")
        return tuple(whole_number(item, least=least) for item in value)
    return whole_number(value, least=least)


def extent(value: object) -> Extent:
    """Whole numbers of at least 1: one for all spatial axes, or one for each, as `5x3` or `(5, 3)`."""
    return _per_axis(value, least=1)


def natural_extent(value: object) -> Extent:
    """Whole numbers of at least 0: one for all spatial axes, or one for each."""
    return _per_axis(value, least=0)


def optional_extent(value: object) -> Extent | None:
    """An extent, or nothing where it follows from something else."""
    return None if value is None else extent(value)


def takes_words(*words: str) -> Callable[[Accept], Accept]:
    """Mark a type that has words of its own: such a word is taken even where a name of the file is alike."""

    def mark(accept: Accept) -> Accept:
        accept.__dict__["words"] = words
        return accept

    return mark


@takes_words("same")
def padding_size(value: object) -> Padding:
    """A number, one for each axis, `(top, bottom, left, right)`, or `same`."""
    if isinstance(value, str):
        if value == "same":
            return "same"
        help = "no padding is `padding=0`, the default" if value == "valid" else None
        raise OptionError(f"must be a number, a pair, four numbers or `same`, not {describe(value)}", help)
    return _per_axis(value, least=0)


def flag(value: object) -> bool:
    """`true` or `false`."""
    if isinstance(value, bool):
        return value
    raise OptionError(f"must be `true` or `false`, not {describe(value)}")


def real_number(value: object) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise OptionError(f"must be a number, not {describe(value)}")
    return value


def fraction(value: object) -> float:
    """A number from 0 to below 1: a probability, a momentum."""
    number = real_number(value)
    if not 0 <= number < 1:
        help = f"write {written(value)} % as `{number / 100:g}`" if 2 <= number <= 100 else None
        raise OptionError(f"must be at least 0 and below 1, not {written(value)}", help)
    return number


def positive(value: object) -> float:
    """A number above 0."""
    number = real_number(value)
    if number <= 0:
        raise OptionError(f"must be above 0, not {written(value)}")
    return number


def non_negative(value: object) -> float:
    """A number of at least 0."""
    number = real_number(value)
    if number < 0:
        raise OptionError(f"must be at least 0, not {written(value)}")
    return number


def _numbers(value: object, accept: Callable[[object], float]) -> Listed:
    items = value if isinstance(value, tuple) else (value,)
    if not items:
        raise OptionError("must not be empty")
    return Listed(accept(item) for item in items)


def positive_numbers(value: object) -> Listed:
    """Numbers above 0, as `[30, 60]`."""
    return _numbers(value, positive)


def numbers_of_at_least_0(value: object) -> Listed | None:
    """Numbers of at least 0, as `[1, 2.5]`, one of them above 0; or nothing."""
    if value is None:
        return None
    numbers = _numbers(value, non_negative)
    if not any(numbers):
        raise OptionError("must not all be 0")
    return numbers


def layer_names(value: object) -> Listed | None:
    """Names of layers, or patterns: `conv1`, `"stage1.*"`, `[conv1, conv2]`; or nothing."""
    if value is None:
        return None
    items = value if isinstance(value, tuple) else (value,)
    for item in items:
        if not isinstance(item, str) or not item:
            help = 'put a name with dots or a pattern in quotes: `"stage1.*"`'
            raise OptionError(f"must be names of layers, not {describe(item)}", help)
    return Listed(map(str, items))


def one_of(*names: str) -> Callable[[object], str]:
    """One of these names."""

    @takes_words(*names)
    def accept(value: object) -> str:
        if isinstance(value, str) and value in names:
            return str(value)
        allowed = " or ".join(f"`{name}`" for name in names)
        raise OptionError(f"must be {allowed}, not {describe(value)}")

    return accept


def sample_shape(value: object) -> tuple[int, ...]:
    """The shape of a sample, channel first: `1x28x28`, or a number for a vector."""
    if isinstance(value, str):
        example = "a shape such as `1x28x28` or a length such as `400`"
        raise OptionError(f"must be {example}, not {describe(value)}")
    result = _per_axis(value, least=1)
    return (result,) if isinstance(result, int) else result
