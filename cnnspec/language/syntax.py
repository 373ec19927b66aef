"""The syntax tree: what a file says, word for word, with the place of every part. It knows no layer.

The kinds of expressions and statements are few and fixed, so they are unions; whoever walks them matches on
the class and ends in `assert_never`.
"""

from __future__ import annotations

from dataclasses import dataclass

from cnnspec.language.source import Source, Span


@dataclass(frozen=True, slots=True)
class Identifier:
    """A name where it is given or used as a keyword."""

    text: str
    span: Span


@dataclass(frozen=True, slots=True)
class Number:
    """`5`, `0.1`, `1e-3`, `61_706`, `5M`."""

    value: int | float
    span: Span


@dataclass(frozen=True, slots=True)
class Sizes:
    """Numbers joined by `x`: `5x5`, `1x28x28`."""

    values: tuple[int, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Text:
    """`"a string"`."""

    value: str
    span: Span


@dataclass(frozen=True, slots=True)
class Name:
    """A name used as a value."""

    text: str
    span: Span


@dataclass(frozen=True, slots=True)
class Group:
    """`(1, 2)` or `[1, 2]`; one expression in round brackets is that expression, not a group."""

    items: tuple[Expression, ...]
    span: Span
    depth: int


@dataclass(frozen=True, slots=True)
class Unary:
    """`-a`, `not a`."""

    operator: str
    operand: Expression
    span: Span
    depth: int


@dataclass(frozen=True, slots=True)
class Binary:
    """`a + b`, `a <= b`, `a and b`."""

    operator: str
    left: Expression
    right: Expression
    span: Span
    depth: int


@dataclass(frozen=True, slots=True)
class Conditional:
    """`a if condition else b`."""

    then: Expression
    condition: Expression
    otherwise: Expression
    span: Span
    depth: int


@dataclass(frozen=True, slots=True)
class Call:
    """`min(a, b)`."""

    function: Identifier
    arguments: tuple[Expression, ...]
    span: Span
    depth: int


@dataclass(frozen=True, slots=True)
class Invalid:
    """Stands for an expression that has no value. Its fault is reported already."""

    span: Span
    depth: int = 1


Expression = Invalid | Number | Sizes | Text | Name | Group | Unary | Binary | Conditional | Call


def depth(expression: Expression) -> int:
    """How deeply an expression nests; 1 for a single number or name."""
    return getattr(expression, "depth", 1)


@dataclass(frozen=True, slots=True)
class NamedArgument:
    """`padding=2`."""

    name: Identifier
    value: Expression


@dataclass(frozen=True, slots=True)
class LayerCall:
    """`conv 6 5x5 padding=2`: a keyword, arguments by position and by name, and for `add { ... }` a body."""

    keyword: Identifier
    positional: tuple[Expression, ...]
    named: tuple[NamedArgument, ...]
    body: Body | None
    span: Span


@dataclass(frozen=True, slots=True)
class Repeat:
    """`repeat 3 { ... }`, `repeat i in 1..3 { ... }`; both ends of the range are included."""

    variable: Identifier | None
    first: Expression | None
    last: Expression
    body: Body
    span: Span


@dataclass(frozen=True, slots=True)
class If:
    """`if condition { ... } else { ... }`, or `else if`."""

    condition: Expression
    then: Body
    otherwise: Body | If | None
    span: Span


Link = LayerCall | Repeat | If
"""What may stand between two `->`."""


@dataclass(frozen=True, slots=True)
class Chain:
    """`[name =] link (-> link)* [: shape]`."""

    name: Identifier | None
    links: tuple[Link, ...]
    claim: Expression | None
    span: Span


@dataclass(frozen=True, slots=True)
class Let:
    """`let name = value`."""

    name: Identifier
    value: Expression
    span: Span


@dataclass(frozen=True, slots=True)
class Expect:
    """`expect condition`."""

    condition: Expression
    span: Span


@dataclass(frozen=True, slots=True)
class Broken:
    """Stands for a statement or an item that could not be read. Its fault is reported already."""

    span: Span


Statement = Chain | Let | Expect | Broken


@dataclass(frozen=True, slots=True)
class Body:
    """`{ ... }`: statements, one a line."""

    statements: tuple[Statement, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a block or network, with its default if it has one."""

    name: Identifier
    default: Expression | None


@dataclass(frozen=True, slots=True)
class Use:
    """`use "blocks.cnn"`: brings in the blocks of another file."""

    path: Text
    span: Span


@dataclass(frozen=True, slots=True)
class Block:
    """`block name(parameters) { ... }`."""

    name: Identifier
    parameters: tuple[Parameter, ...]
    body: Body
    span: Span


@dataclass(frozen=True, slots=True)
class Network:
    """`network name(parameters) { ... }`."""

    name: Identifier
    parameters: tuple[Parameter, ...]
    body: Body
    span: Span


@dataclass(frozen=True, slots=True)
class Train:
    """`train { ... }`: one setting a line."""

    settings: tuple[LayerCall | Broken, ...]
    span: Span


Item = Use | Block | Network | Train | Broken


@dataclass(frozen=True, slots=True)
class File:
    """A whole file."""

    items: tuple[Item, ...]
    source: Source
