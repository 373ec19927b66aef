"""What a layer is in generated code, and how calls are written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

WIDTH: Final = 110
"""Columns that a line of generated code takes at most, where a break is possible."""

REQUIRED: Final = object()


@dataclass(frozen=True)
class Arg:
    """An argument of a call: its name, its value, and the value that may be left out.

    `positional` ones are written without their name.
    """

    name: str
    value: object
    default: object = REQUIRED
    positional: bool = False


@dataclass(frozen=True)
class Code:
    """One layer in generated code.

    Attributes:
        form: the expression of its output: `{me}` is what `callee` made, `{0}` the first input.
        callee: what is called once to make the layer; nothing where the expression is all.
        args: the arguments of that call.
        helpers: names of definitions that the expression and the call need.
        nested: whether it may stand around the expression of its input on one line.
        weights: what the layer's weights are called, where that is not their own name.
        frozen: whether its parameters are left alone by training.
    """

    form: str
    callee: str | None = None
    args: tuple[Arg, ...] = ()
    helpers: tuple[str, ...] = ()
    nested: bool = False
    weights: Mapping[str, str] = field(default_factory=dict)
    frozen: bool = False

    @property
    def shape(self) -> tuple[object, ...]:
        """What is the same in all layers that one line of code stands for."""
        return self.form, self.callee, tuple(arg.name for arg in self.args), self.frozen


def literal(value: object) -> str:
    """A value as Python writes it."""
    if isinstance(value, bool | int | str | type(None)):
        return json.dumps(value) if isinstance(value, str) else repr(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, tuple | list):
        inner = ", ".join(map(literal, value))
        if isinstance(value, list):
            return f"[{inner}]"
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    raise TypeError(f"{type(value).__name__} is no literal")


def _number(value: float) -> str:
    if value in (float("inf"), -float("inf")):
        return 'float("-inf")' if value < 0 else 'float("inf")'
    return repr(float(value))


def call(
    head: str, arguments: Sequence[str], tail: str = "", comment: str = "", indent: int = 8
) -> list[str]:
    """A call on one line, or with its arguments on a line each where it would be too long."""
    space = " " * indent
    note = f"  # {comment}" if comment else ""
    line = f"{space}{head}({', '.join(arguments)}){tail}"
    if len(line + note) <= WIDTH or not arguments:
        return [line + note]
    inner = " " * (indent + 4)
    joined = f"{inner}{', '.join(arguments)}"
    body = [joined] if len(joined) <= WIDTH else [f"{inner}{argument}," for argument in arguments]
    return [f"{space}{head}({note}", *body, f"{space}){tail}"]


def written_args(args: Sequence[tuple[Arg, str]]) -> list[str]:
    """Arguments as they are written, each with its expression; what is left to its default is left out."""
    kept = [(arg, text) for arg, text in args if arg.default is REQUIRED or text != literal(arg.default)]
    return [text if arg.positional else f"{arg.name}={text}" for arg, text in kept]
