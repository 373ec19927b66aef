"""The syntax tree: what a file says, word for word, with the place of every part. It knows no layer.

The kinds of expressions and statements are few and fixed, so they are unions; whoever walks them matches on
the class and ends in `assert_never`.
"""

from __future__ import annotations

from cnnspec.language.record import record
from cnnspec.language.source import Source, Span


@record
class Identifier:
    """A name where it is given or used as a keyword."""

    text: str
    span: Span


@record
class Number:
    """`5`, `0.1`, `1e-3`, `61_706`, `5M`."""

    value: int | float
    span: Span


@record
class Sizes:
    """Numbers joined by `x`: `5x5`, `1x28x28`."""

    values: tuple[int, ...]
    span: Span


@record
class Text:
    """`"a string"`."""

    value: str
    span: Span


@record
class Name:
    """A name used as a value."""

    text: str
    span: Span


@record
class Group:
    """`(1, 2)` or `[1, 2]`; one expression in round brackets is that expression, not a group."""

    items: tuple[Expression, ...]
    span: Span
    depth: int


@record
class Unary:
    """`-a`, `not a`."""

    operator: str
    operand: Expression
    span: Span
    depth: int


@record
class Binary:
    """`a + b`, `a <= b`, `a and b`."""

    operator: str
    left: Expression
    right: Expression
    span: Span
    depth: int


@record
class Conditional:
    """`a if condition else b`."""

    then: Expression
    condition: Expression
    otherwise: Expression
    span: Span
    depth: int


@record
class Call:
    """`min(a, b)`."""

    function: Identifier
    arguments: tuple[Expression, ...]
    span: Span
    depth: int


@record
class Invalid:
    """Stands for an expression that has no value. Its fault is reported already."""

    span: Span
    depth: int = 1


Expression = Invalid | Number | Sizes | Text | Name | Group | Unary | Binary | Conditional | Call


def depth(expression: Expression) -> int:
    """How deeply an expression nests; 1 for a single number or name."""
    return getattr(expression, "depth", 1)


@record
class NamedArgument:
    """`padding=2`."""

    name: Identifier
    value: Expression


@record
class LayerCall:
    """`conv 6 5x5 padding=2`: a keyword, arguments by position and by name, and for `add { ... }` a body."""

    keyword: Identifier
    positional: tuple[Expression, ...]
    named: tuple[NamedArgument, ...]
    body: Body | None
    span: Span


@record
class Repeat:
    """`repeat 3 { ... }`, `repeat i in 1..3 { ... }`; both ends of the range are included."""

    variable: Identifier | None
    first: Expression | None
    last: Expression
    body: Body
    span: Span


@record
class If:
    """`if condition { ... } else { ... }`, or `else if`."""

    condition: Expression
    then: Body
    otherwise: Body | If | None
    span: Span


Link = LayerCall | Repeat | If
"""What may stand between two `->`."""


@record
class Chain:
    """`[name =] link (-> link)* [: shape]`."""

    name: Identifier | None
    links: tuple[Link, ...]
    claim: Expression | None
    span: Span


@record
class Let:
    """`let name = value`."""

    name: Identifier
    value: Expression
    span: Span


@record
class Expect:
    """`expect condition`."""

    condition: Expression
    span: Span


@record
class Broken:
    """Stands for a statement or an item that could not be read. Its fault is reported already.

    `name` is the name that the statement gives, if it was read so far: uses of it stay silent.
    """

    span: Span
    name: str | None = None


Statement = Chain | Let | Expect | Broken


@record
class Body:
    """`{ ... }`: statements, one a line."""

    statements: tuple[Statement, ...]
    span: Span


@record
class Parameter:
    """A parameter of a block or network, with its default if it has one."""

    name: Identifier
    default: Expression | None


@record
class Use:
    """`use "blocks.cnn"`: brings in the blocks of another file."""

    path: Text
    span: Span


@record
class Block:
    """`block name(parameters) { ... }`."""

    name: Identifier
    parameters: tuple[Parameter, ...]
    body: Body
    span: Span


@record
class Network:
    """`network name(parameters) { ... }`."""

    name: Identifier
    parameters: tuple[Parameter, ...]
    body: Body
    span: Span


@record
class Train:
    """`train { ... }`: one setting a line."""

    settings: tuple[LayerCall | Broken, ...]
    span: Span


Item = Use | Block | Network | Train | Broken


@record
class File:
    """A whole file."""

    items: tuple[Item, ...]
    source: Source
