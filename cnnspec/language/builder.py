"""Syntax nodes from the parts that the parser reduces: one method a rule of the grammar that makes a node."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, cast

from cnnspec.language.diagnostics import Diagnostic
from cnnspec.language.limits import MAX_AXES, MAX_INTEGER_DIGITS, MAX_NESTING, MAX_VALUES
from cnnspec.language.record import replace
from cnnspec.language.syntax import (
    Binary,
    Block,
    Body,
    Broken,
    Call,
    Chain,
    Conditional,
    Expect,
    Expression,
    File,
    Group,
    Identifier,
    If,
    Invalid,
    Item,
    LayerCall,
    Let,
    Link,
    Name,
    NamedArgument,
    Network,
    Number,
    Parameter,
    Repeat,
    Sizes,
    Statement,
    Text,
    Train,
    Unary,
    Use,
    depth,
)
from cnnspec.language.tokens import NEWLINE, Token

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnspec.language.source import Source, Span
    from cnnspec.language.tables import Rule

Tree = Expression | NamedArgument | Link | Body | Parameter | Statement | Item | File
Children = list["Tree | Token"]


class Part(NamedTuple):
    """What lies on the parser's stack: a token, a node or the nodes of a repetition, with its place."""

    value: Token | Tree | Children | None
    start: int
    end: int


_SUFFIXES = {"k": 1_000, "M": 1_000_000, "G": 1_000_000_000}
_INTEGER = re.compile(r"[0-9]+(?:_[0-9]+)*")
_SIZES = re.compile(r"[0-9]+(?:x[0-9]+)+")
_DECIMAL = re.compile(r"([0-9]+(?:_[0-9]+)*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")


_METHODS = {"if": "if_"}
"""Rules whose name is a word of Python."""


class Builder:
    """Builds the nodes of one file and gathers the faults of its literals."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.faults: list[Diagnostic] = []

    def build(self, rule: Rule, parts: list[Part], start: int, end: int) -> Tree | Children | Token:
        """The value of a reduced rule: a node, the only part, or the list of a repetition."""
        children: Children = []
        if parts and not rule.action and isinstance(parts[0].value, list):
            children, parts = parts[0].value, parts[1:]  # a repetition grows in place
        for part in parts:
            if isinstance(part.value, list):
                children.extend(part.value)
            elif not (isinstance(part.value, Token) and part.value.kind == NEWLINE):
                children.append(cast("Tree | Token", part.value))
        if not rule.action:
            return children
        if rule.passes_one and len(children) == 1:
            return children[0]
        make = cast(
            "Callable[[Children, Span], Tree | Children]",
            getattr(self, _METHODS.get(rule.action, rule.action)),
        )
        return make(children, self.source.span(start, end))

    # --- the file ------------------------------------------------------------------------------------------

    def start(self, children: Children, span: Span) -> File:
        """All items."""
        return File(cast("tuple[Item, ...]", tuple(children)), self.source)

    def use(self, children: Children, span: Span) -> Use:
        """`use "blocks.cnn"`."""
        token = children[0]
        assert isinstance(token, Token)
        return Use(Text(token.text[1:-1], self.source.span(token.start, token.end)), span)

    def block(self, children: Children, span: Span) -> Block:
        """`block NAME(parameters) { ... }`."""
        return Block(*self._headed(children), span)

    def network(self, children: Children, span: Span) -> Network:
        """`network NAME(parameters) { ... }`."""
        return Network(*self._headed(children), span)

    def _headed(self, children: Children) -> tuple[Identifier, tuple[Parameter, ...], Body]:
        name, *parameters, body = children
        assert isinstance(body, Body)
        return self._identifier(name), cast("tuple[Parameter, ...]", tuple(parameters)), body

    def parameters(self, children: Children, span: Span) -> Children:
        """`(channels, stride=1)`: passed on one by one."""
        for extra in children[MAX_VALUES : MAX_VALUES + 1]:
            assert isinstance(extra, Parameter)
            self.faults.append(too_many_values(extra.name.span))
        return children[:MAX_VALUES]

    def parameter(self, children: Children, span: Span) -> Parameter:
        """`stride=1`."""
        name, *default = children
        return Parameter(self._identifier(name), cast("Expression", default[0]) if default else None)

    def train(self, children: Children, span: Span) -> Train:
        """`train { ... }`."""
        return Train(cast("tuple[LayerCall | Broken, ...]", tuple(children)), span)

    def body(self, children: Children, span: Span) -> Body:
        """`{ ... }`."""
        return Body(cast("tuple[Statement, ...]", tuple(children)), span)

    def chain(self, children: Children, span: Span) -> Chain:
        """`[name =] link (-> link)* [: claim]`."""
        name = self._identifier(children[0]) if isinstance(children[0], Token) else None
        links = tuple(child for child in children if isinstance(child, LayerCall | Repeat | If))
        last = children[-1]
        claim = None if isinstance(last, LayerCall | Repeat | If) else cast("Expression", last)
        return Chain(name, links, claim, span)

    def let(self, children: Children, span: Span) -> Let:
        """`let name = value`."""
        name, value = children
        return Let(self._identifier(name), cast("Expression", value), span)

    def expect(self, children: Children, span: Span) -> Expect:
        """`expect condition`."""
        return Expect(cast("Expression", children[0]), span)

    def layer(self, children: Children, span: Span) -> LayerCall:
        """`conv 6 5x5 padding=2`."""
        keyword, *arguments = children
        named = tuple(argument for argument in arguments if isinstance(argument, NamedArgument))
        positional = tuple(argument for argument in arguments if not isinstance(argument, NamedArgument))
        values = cast("tuple[Expression, ...]", positional)
        return LayerCall(self._identifier(keyword), values, named, None, span)

    def composite(self, children: Children, span: Span) -> LayerCall:
        """`add { ... }`."""
        layer, body = children
        assert isinstance(layer, LayerCall)
        assert isinstance(body, Body)
        return replace(layer, body=body, span=span)

    def repeat(self, children: Children, span: Span) -> Repeat:
        """`repeat 3 { ... }`, `repeat i in 1..3 { ... }`."""
        *header, last, body = children
        assert isinstance(body, Body)
        variable, first = header if header else (None, None)
        return Repeat(
            self._identifier(variable) if variable else None,
            cast("Expression | None", first),
            cast("Expression", last),
            body,
            span,
        )

    def if_(self, children: Children, span: Span) -> If:
        """`if condition { ... } else ...`."""
        condition, then, *otherwise = children
        assert isinstance(then, Body)
        rest = cast("Body | If", otherwise[0]) if otherwise else None
        return If(cast("Expression", condition), then, rest, span)

    def named(self, children: Children, span: Span) -> NamedArgument:
        """`padding=2`."""
        name, value = children
        return NamedArgument(self._identifier(name), cast("Expression", value))

    # --- expressions ---------------------------------------------------------------------------------------

    def literal(self, children: Children, span: Span) -> Expression:
        """A number, sizes or a string."""
        token = children[0]
        assert isinstance(token, Token)
        if token.kind == "STRING":
            return Text(token.text[1:-1], span)
        return self._numeric(token.text, span)

    def name(self, children: Children, span: Span) -> Name:
        """A name used as a value."""
        return Name(self._identifier(children[0]).text, span)

    def negative(self, children: Children, span: Span) -> Unary:
        """`-5` given by position."""
        token = children[0]
        assert isinstance(token, Token)
        operand = self._numeric(token.text, self.source.span(token.start, token.end))
        return Unary("-", operand, span, 2)

    def group(self, children: Children, span: Span) -> Expression:
        """`(a, b)`, `(a,)` and anything in square brackets."""
        items = cast("tuple[Expression, ...]", tuple(children))
        return self._limited(Group(items, span, _depth(*items)))

    def unary(self, children: Children, span: Span) -> Expression:
        """`-a`, `not a`."""
        operator, operand = children
        assert isinstance(operator, Token)
        value = cast("Expression", operand)
        return self._limited(Unary(operator.text, value, span, _depth(value)))

    def binary(self, children: Children, span: Span) -> Expression:
        """`a + b`."""
        left, operator, right = children
        assert isinstance(operator, Token)
        sides = cast("Expression", left), cast("Expression", right)
        return self._limited(Binary(operator.text, *sides, span, _depth(*sides)))

    def conditional(self, children: Children, span: Span) -> Expression:
        """`a if condition else b`."""
        then, condition, otherwise = cast("list[Expression]", children)
        parts = (then, condition, otherwise)
        return self._limited(Conditional(*parts, span, _depth(*parts)))

    def call(self, children: Children, span: Span) -> Expression:
        """`min(a, b)`."""
        function, *arguments = children
        values = cast("tuple[Expression, ...]", tuple(arguments))
        return self._limited(Call(self._identifier(function), values, span, _depth(*values)))

    # --- parts ---------------------------------------------------------------------------------------------

    def _identifier(self, token: Tree | Token) -> Identifier:
        assert isinstance(token, Token)
        return Identifier(token.text, self.source.span(token.start, token.end))

    def _limited(self, expression: Group | Unary | Binary | Conditional | Call) -> Expression:
        """The expression, unless it nests too deeply for those who will walk it."""
        if expression.depth <= MAX_NESTING:
            return expression
        if expression.depth == MAX_NESTING + 1:  # what is deeper holds one that is reported already
            message = f"the expression nests deeper than {MAX_NESTING} operations"
            self.faults.append(
                Diagnostic("nesting-too-deep", message, expression.span, notes=("limit `MAX_NESTING`",))
            )
        return Invalid(expression.span, expression.depth)

    def _numeric(self, text: str, span: Span) -> Expression:
        """`5`, `61_706`, `5M`, `0.1`, `1e-3`, `5x5`."""
        if _SIZES.fullmatch(text):
            values = text.split("x")
            if len(values) > MAX_AXES:
                message = f"a shape of {len(values)} axes is over the limit of {MAX_AXES}"
                self.faults.append(Diagnostic("too-many-axes", message, span, notes=("limit `MAX_AXES`",)))
                return Invalid(span)
            sizes = [self._integer(value, span) for value in values]
            return Invalid(span) if None in sizes else Sizes(tuple(n for n in sizes if n is not None), span)
        scale = _SUFFIXES.get(text[-1], 1)
        digits = text[:-1] if scale > 1 else text
        if _INTEGER.fullmatch(digits):
            number = self._integer(digits, span, scale)
            return Invalid(span) if number is None else Number(number, span)
        match = _DECIMAL.fullmatch(digits)
        if match is None:
            self.faults.append(_malformed(text, span))
            return Invalid(span)
        value = self._decimal(digits.replace("_", ""), scale)
        if value < 10**MAX_INTEGER_DIGITS:
            return Number(value, span)
        message = f"`{text}` is over the limit of {MAX_INTEGER_DIGITS} digits"
        self.faults.append(
            Diagnostic("integer-too-long", message, span, notes=("limit `MAX_INTEGER_DIGITS`",))
        )
        return Invalid(span)

    def _integer(self, digits: str, span: Span, scale: int = 1) -> int | None:
        plain = digits.replace("_", "").lstrip("0") or "0"
        length = len(plain) + len(str(scale)) - 1
        if length <= MAX_INTEGER_DIGITS:
            return int(plain) * scale
        message = f"an integer of {length} digits is over the limit of {MAX_INTEGER_DIGITS}"
        self.faults.append(
            Diagnostic("integer-too-long", message, span, notes=("limit `MAX_INTEGER_DIGITS`",))
        )
        return None

    def _decimal(self, digits: str, scale: int) -> int | float:
        """A decimal with a suffix is exact: `1.5M` is the integer 1,500,000."""
        if scale == 1:
            return float(digits)
        from decimal import Decimal

        value = Decimal(digits) * scale
        return int(value) if value == value.to_integral_value() and value.adjusted() < 18 else float(value)


def _depth(*parts: Expression) -> int:
    return 1 + max(map(depth, parts), default=0)


def too_many_values(span: Span) -> Diagnostic:
    """The report for a name beyond those that may have a value at one place."""
    message = f"more than {MAX_VALUES} names have a value here"
    return Diagnostic("too-many-values", message, span, notes=("limit `MAX_VALUES`",))


def _malformed(text: str, span: Span) -> Diagnostic:
    help = "numbers are written `5`, `0.1`, `1e-3`, `61_706` or `5M`, and sizes `5x5`"
    lower = text.lower()
    if _SIZES.fullmatch(lower):
        help = f"write `{lower}`"
    elif _SIZES.match(lower) or lower.rstrip("x") != lower:
        help = "write sizes as numbers joined by `x`: `5x5`, `1x28x28`"
    return Diagnostic("malformed-number", f"`{text}` is neither a number nor a shape", span, help=(help,))
