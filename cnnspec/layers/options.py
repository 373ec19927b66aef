"""Options: what a person may write after a keyword, and what is said when it is wrong.

A *declaration* is a pydantic class whose fields are the options of one keyword of the language: a layer
kind, an optimizer, a data set. The language, the help texts and the JSON schema are read from these fields,
so that an option's name, type, default and help live in one place.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.fields import FieldInfo

Value = int | float | bool | str | tuple["Value", ...]
"""What an argument evaluates to: a number, a flag, a string, a bare name (`Symbol`) or a tuple of these."""


class Symbol(str):
    """A bare name used as a value, such as `same` in `padding=same`."""

    __slots__ = ()


class OptionError(ValueError):
    """An option has a value that it cannot take.

    `message` completes the sentence "`stride` ..."; `help` says what to write instead.
    """

    def __init__(self, message: str, help: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.help = help


def option(
    help: str,
    default: Any = ...,  # noqa: ANN401 - pydantic's own signature
    *,
    positional: bool = False,
) -> Any:  # noqa: ANN401 - stands where a field's default stands
    """Describe one option: its help text, its default, and whether it may be given by position."""
    return Field(default, description=help, json_schema_extra={"positional": positional})


class Declaration(BaseModel):
    """Base of everything that a keyword of the language stands for. Immutable, compared by value."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    keyword: ClassVar[str] = ""
    example: ClassVar[str] = ""
    summary: ClassVar[str] = ""

    @classmethod
    def options(cls) -> dict[str, FieldInfo]:
        """The options by name, in the order of declaration."""
        return cls.model_fields

    @classmethod
    def positional(cls) -> tuple[str, ...]:
        """Names of the options that may be given by position, in order."""
        return tuple(name for name, field in cls.model_fields.items() if is_positional(field))

    @classmethod
    def usage(cls) -> str:
        """How the keyword is written: `conv channels kernel [stride=1] ...`."""
        words = [cls.keyword]
        for name, field in cls.model_fields.items():
            word = name if is_positional(field) else f"{name}={written(field.default)}"
            words.append(word if field.is_required() else f"[{word}]")
        return " ".join(words)

    def written(self) -> str:
        """The declaration as it would be written in a file, defaults left out: `conv 6 5x5 padding=2`."""
        words = [self.keyword]
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if not field.is_required() and value == field.default:
                continue
            words.append(written(value) if is_positional(field) else f"{name}={written(value)}")
        return " ".join(words)

    def __str__(self) -> str:
        return self.written()

    def replaced(self, **changes: Value) -> Self:
        """The same declaration with some options changed, validated again."""
        return type(self).model_validate({**dict(self), **changes})


def is_positional(field: FieldInfo) -> bool:
    """Whether the option may be given by position."""
    extra = field.json_schema_extra
    return isinstance(extra, dict) and extra.get("positional") is True


def written(value: object) -> str:
    """A value as the language writes it: `true`, `5x5`, `(0, 1, 0, 1)`, `"text"`, `0.1`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        if len(value) > 1 and all(isinstance(item, int) and item > 0 for item in value):
            return "x".join(map(str, value))
        return "(" + ", ".join(map(written, value)) + ")"
    if value is None:
        return "none"
    if isinstance(value, Declaration):
        return value.written()
    return str(value)


def name_keyword(declaration: type[Declaration]) -> str:
    """Give a declaration its keyword, the snake case of its name unless it names one, and return it."""
    if "keyword" not in declaration.__dict__:
        declaration.keyword = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", declaration.__name__).lower()
    declaration.summary = (declaration.__doc__ or "").strip().partition("\n")[0]
    return declaration.keyword


# --- the types of options ---------------------------------------------------------------------------------


def describe(value: object) -> str:
    """A value as messages name it: ``the name `foo` ``, `2.5`, `5x5`."""
    if isinstance(value, Symbol):
        return f"the name `{value}`"
    if isinstance(value, str):
        return f'the text "{value}"'
    return f"`{written(value)}`"


def whole_number(value: object, *, least: int) -> int:
    """Accept a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise OptionError(f"must be a whole number, not {describe(value)}")
    if isinstance(value, float):
        if not value.is_integer():
            raise OptionError(f"must be a whole number, not {describe(value)}")
        value = int(value)
    if value < least:
        raise OptionError(f"must be at least {least}, not {value}")
    return value


def _per_axis(value: object, *, least: int) -> int | tuple[int, ...]:
    if isinstance(value, tuple):
        if not value:
            raise OptionError("must not be empty")
        return tuple(whole_number(item, least=least) for item in value)
    return whole_number(value, least=least)


def _count(value: object) -> int:
    return whole_number(value, least=1)


def _natural(value: object) -> int:
    return whole_number(value, least=0)


def _extent(value: object) -> int | tuple[int, ...]:
    return _per_axis(value, least=1)


def _optional_extent(value: object) -> int | tuple[int, ...] | None:
    return None if value is None else _extent(value)


def _padding(value: object) -> int | tuple[int, ...] | str:
    if isinstance(value, str):
        if value == "same":
            return "same"
        raise OptionError(f"must be a number, a pair, four numbers or `same`, not {describe(value)}")
    return _per_axis(value, least=0)


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise OptionError(f"must be `true` or `false`, not {describe(value)}")


def real_number(value: object) -> float:
    """Accept a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise OptionError(f"must be a number, not {describe(value)}")
    return float(value)


def _probability(value: object) -> float:
    number = real_number(value)
    if not 0 <= number < 1:
        raise OptionError(f"must be at least 0 and below 1, not {written(value)}")
    return number


def _positive(value: object) -> float:
    number = real_number(value)
    if number <= 0:
        raise OptionError(f"must be above 0, not {written(value)}")
    return number


def _fraction(value: object) -> float:
    return _probability(value)


Count = Annotated[int, BeforeValidator(_count)]
"""A whole number of at least 1."""
Natural = Annotated[int, BeforeValidator(_natural)]
"""A whole number of at least 0."""
Extent = Annotated[int | tuple[int, ...], BeforeValidator(_extent)]
"""A size along every spatial axis: one number for all of them, or one for each, as `5x3` or `(5, 3)`."""
OptionalExtent = Annotated[int | tuple[int, ...] | None, BeforeValidator(_optional_extent)]
"""An `Extent`, or nothing where it follows from something else."""
Padding = Annotated[int | tuple[int, ...] | Literal["same"], BeforeValidator(_padding)]
"""Padding: a number, one for each axis, `(top, bottom, left, right)`, or `same`."""
Flag = Annotated[bool, BeforeValidator(_flag)]
"""`true` or `false`."""
Probability = Annotated[float, BeforeValidator(_probability)]
"""A number from 0 to below 1."""
Fraction = Annotated[float, BeforeValidator(_fraction)]
"""A number from 0 to below 1 that is no probability, such as a momentum."""
Positive = Annotated[float, BeforeValidator(_positive)]
"""A number above 0."""

MAX_INTEGER_DIGITS: Final = 18
"""The longest integer that the language takes, and the largest that an expression may reach."""
