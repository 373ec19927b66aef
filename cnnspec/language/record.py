"""Classes of named fields, as dataclasses make them, without what dataclasses cost at start-up.

The standard library's decorator writes and compiles half a dozen functions for each class, and imports
`inspect`: together a third of what `cnnspec check` may take. Here a class costs a few microseconds. `record`
makes values that never change, `state` what a pass keeps while it is at work:

    @record
    class Span:
        source: Source
        start: int
        end: int = 0
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")
C = TypeVar("C", bound=type)


class _Default:
    """A default that is made anew for each instance, or a field that is left out of dumps."""

    __slots__ = ("make", "shown")

    def __init__(self, make: Callable[[], object], shown: bool) -> None:
        self.make = make
        self.shown = shown


def field(*, default_factory: Callable[[], T], repr: bool = True) -> T:
    """A default that is made anew for each instance; with `repr=False` the field is left out of dumps."""
    return _Default(default_factory, repr)  # type: ignore[return-value]


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: C) -> C:
    """Give a class fields by its annotations. Its instances are immutable, and equal where all fields are."""
    _give(cls, __eq__=_eq, __hash__=_hash, __setattr__=_refuse)
    return cls


@dataclass_transform(field_specifiers=(field,))
def state(cls: C) -> C:
    """Give a class fields by its annotations. Its instances may change, and are compared by identity."""
    _give(cls)
    return cls


def fields(value: object) -> tuple[str, ...]:
    """The names of a record's fields; none where the value is no record."""
    return getattr(type(value), "__match_args__", ()) if hasattr(type(value), "_shown") else ()


def shown_fields(value: object) -> tuple[str, ...]:
    """The names of the fields that a dump shows."""
    return getattr(type(value), "_shown", ())


def replace(value: T, **changes: Any) -> T:  # noqa: ANN401 - fields of any type
    """The same value with some fields changed."""
    state = value.__dict__
    return type(value)(**({name: state[name] for name in fields(value)} | changes))


def _give(cls: type, **methods: Callable[..., Any]) -> None:
    inherited: tuple[str, ...] = getattr(cls, "__match_args__", ())
    own = [name for name, kind in get_annotations(cls).items() if not kind.startswith("ClassVar")]
    names = (*inherited, *(name for name in own if name not in inherited))
    defaults = ((name, getattr(cls, name, None)) for name in names)
    hidden = {name for name, default in defaults if isinstance(default, _Default) and not default.shown}
    cls.__match_args__ = names  # type: ignore[attr-defined, misc]
    cls._shown = tuple(name for name in names if name not in hidden)  # type: ignore[attr-defined]
    for name, method in {"__init__": _init, "__repr__": _repr, **methods}.items():
        if cls.__dict__.get(name) is None:  # a class that compares by `==` has an empty `__hash__`
            setattr(cls, name, method)


def get_annotations(cls: type) -> dict[str, str]:
    """The annotations that a class itself has, as they are written; `inspect` has this, at a price."""
    annotations: dict[str, str] = cls.__dict__.get("__annotations__", {})  # noqa: RUF063
    return annotations


def _init(self: Any, *values: Any, **named: Any) -> None:  # noqa: ANN401 - fields of any type
    names = self.__match_args__
    own = self.__dict__
    own.update(zip(names, values, strict=False))
    own.update(named)
    if len(own) < len(names):
        for name in names:
            if name not in own:
                default = getattr(type(self), name)  # an AttributeError names the field that is missing
                own[name] = default.make() if isinstance(default, _Default) else default
    if len(own) > len(names) or len(values) + len(named) > len(names):
        raise TypeError(f"{type(self).__name__} has the fields {', '.join(names)}")


def _repr(self: Any) -> str:  # noqa: ANN401
    own = self.__dict__
    return f"{type(self).__name__}({', '.join(f'{name}={own[name]!r}' for name in self.__match_args__)})"


def _eq(self: Any, other: object) -> Any:  # noqa: ANN401
    names, mine = self.__match_args__, self.__dict__
    if type(other) is not type(self):
        return NotImplemented
    return mine is other.__dict__ or all(mine[name] == other.__dict__[name] for name in names)


def _hash(self: Any) -> int:  # noqa: ANN401
    own = self.__dict__
    return hash(tuple([own[name] for name in self.__match_args__]))


def _refuse(self: Any, name: str, value: object) -> None:  # noqa: ANN401
    raise AttributeError(f"{type(self).__name__} is immutable")
