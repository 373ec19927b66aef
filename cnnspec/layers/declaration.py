"""Declarations: what a keyword of the language stands for, with its options.

A layer kind, an optimizer, a data set is one class whose fields are its options. The language, the help texts
and the completion read them from here, so that an option's name, type, default and help live in one place:

    class Dense(Layer):
        units: int = option(count, "number of units", positional=True)
        bias: bool = option(flag, "whether a bias is added to each unit", default=True)

These classes are not pydantic models: one model with one field costs as much start-up time as `cnnspec check`
may take in all (CONTRIBUTING.md has the figures). A declaration takes 20 microseconds to define.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Self, TypeVar, dataclass_transform

from cnnspec.language.record import record

T = TypeVar("T")

REQUIRED: Final = object()
"""The default of an option that must be given."""


class OptionError(ValueError):
    """An option has a value that it cannot take.

    `message` completes the sentence "`stride` ..."; `help` says what to write instead.
    """

    def __init__(self, message: str, help: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.help = help


@record
class Option:
    """One option: how a value is accepted, what it means, its default, and whether it may go by position."""

    accept: Callable[[object], object]
    help: str
    default: object
    positional: bool

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is REQUIRED

    @property
    def words(self) -> tuple[str, ...]:
        """The words of its own that it takes, such as `same`."""
        return getattr(self.accept, "words", ())


def option(
    accept: Callable[[object], T],
    help: str,
    *,
    default: Any = REQUIRED,  # noqa: ANN401 - any value that `accept` takes
    positional: bool = False,
) -> T:
    """Declare an option: `accept` turns a value into the option's type or raises `OptionError`."""
    return Option(accept, help, default, positional)  # type: ignore[return-value]


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(option,))
class Declaration:
    """Base of everything that a keyword stands for. Immutable; equal where class and options are equal."""

    keyword: ClassVar[str] = ""
    example: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    sole: ClassVar[bool] = False
    """Whether its one option has no name of its own for the user: `batch 64`."""
    _options: ClassVar[Mapping[str, Option]] = {}

    def __init_subclass__(cls) -> None:
        """Gather the options, those by position first, and name the keyword.

        It is the snake case of the class name unless given.
        """
        own = {name: value for name, value in cls.__dict__.items() if isinstance(value, Option)}
        for name in own:
            delattr(cls, name)
        options = {**cls._options, **own}
        cls._options = dict(sorted(options.items(), key=lambda item: not item[1].positional))
        if "keyword" not in cls.__dict__:
            cls.keyword = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
        cls.summary = (cls.__doc__ or "").strip().partition("\n")[0]

    def __init__(self, **values: object) -> None:
        """Accept a value for each option.

        Raises:
            OptionError: a value does not fit; the message begins with the option's name.
            TypeError: an option is missing or does not exist.
        """
        for name, option in self._options.items():
            value = values.pop(name, option.default)
            if value is REQUIRED:
                raise TypeError(f"`{self.keyword}` needs `{name}`")
            try:
                self.__dict__[name] = option.accept(value)
            except OptionError as error:
                raise OptionError(f"`{name}` {error.message}", error.help) from None
        if values:
            raise TypeError(f"`{self.keyword}` has no option `{next(iter(values))}`")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"`{self.keyword}` is immutable; use `replaced({name}=...)`")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.__dict__ == self.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *self.__dict__.values()))

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"{type(self).__name__}({values})"

    def __str__(self) -> str:
        return self.written()

    def values(self) -> dict[str, object]:
        """The value of every option by name."""
        return dict(self.__dict__)

    def replaced(self, **changes: object) -> Self:
        """The same declaration with some options changed.

        Raises:
            OptionError: a value does not fit.
        """
        return type(self)(**{**self.__dict__, **changes})

    @classmethod
    def options(cls) -> Mapping[str, Option]:
        """The options by name, in the order of declaration."""
        return cls._options

    @classmethod
    def positional(cls) -> tuple[str, ...]:
        """Names of the options that may be given by position, in order."""
        return tuple(name for name, option in cls._options.items() if option.positional)

    @classmethod
    def usage(cls) -> str:
        """How the keyword is written: `conv channels kernel [stride=1] ...`."""
        words = [cls.keyword]
        for name, option in cls._options.items():
            default = "..." if option.default is None else written(option.default)
            word = name if option.positional or option.required else f"{name}={default}"
            words.append(word if option.required else f"[{word}]")
        return " ".join(words)

    def written(self) -> str:
        """The declaration as it would be written in a file, defaults left out: `conv 6 5x5 padding=2`."""
        words = [self.keyword]
        for name, option in self._options.items():
            value = self.__dict__[name]
            if option.required or value != option.default:
                words.append(written(value) if option.positional else f"{name}={written(value)}")
        return " ".join(words)


def written(value: object) -> str:
    """A value as the language writes it: `true`, `5x5`, `(0, 1, 0, 1)`, `0.1`, `none`."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value if value.isidentifier() else f'"{value}"'
    if isinstance(value, tuple) and type(value) is tuple:
        if len(value) == 1 and isinstance(value[0], int):
            return str(value[0])
        if len(value) > 1 and all(isinstance(item, int) and item > 0 for item in value):
            return "x".join(map(str, value))
        return "(" + ", ".join(map(written, value)) + ")"
    return str(value)
