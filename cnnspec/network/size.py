"""How many layers a network will have, counted before anything is expanded.

Blocks are counted once for each set of arguments, so that forty blocks each of which uses the next one twice
take forty steps and not a million million.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from cnnspec.language.limits import MAX_LAYERS, MAX_REPEAT, MAX_VALUES
from cnnspec.language.syntax import Body, Broken, Chain, Expect, If, LayerCall, Let, Link, Repeat
from cnnspec.network.bind import bind_parameters
from cnnspec.network.blocks import STRUCTURE
from cnnspec.network.evaluate import UNKNOWN_VALUE, EvaluationError, Scope, evaluate, truth

if TYPE_CHECKING:
    from cnnspec.language.source import Span
    from cnnspec.language.syntax import Expression
    from cnnspec.layers.options import Value
    from cnnspec.network.blocks import BlockTable


MAX_STEPS: Final = 10 * MAX_LAYERS
"""Bodies looked at while counting; a network within the limit of layers needs fewer."""


class TooLargeError(Exception):
    """A body expands to more layers than the limit, or takes more steps than that to count."""

    def __init__(self, span: Span) -> None:
        super().__init__()
        self.span = span


def repetitions(repeat: Repeat, scope: Scope) -> list[int | None]:
    """The values of the variable, or as many `None` as there are repetitions; at most one over the limit.

    Raises:
        EvaluationError: an end of the range has no value.
        ValueError: it is no whole number.
    """
    last = _whole(repeat.last, scope)
    if repeat.first is None:
        return [None] * min(max(last, 0), MAX_REPEAT + 1)
    first = _whole(repeat.first, scope)
    return list(range(first, min(last, first + MAX_REPEAT) + 1))


def _whole(expression: Expression, scope: Scope) -> int:
    value = evaluate(expression, scope.strict())
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError
    return value


def check_size(body: Body, scope: Scope, table: BlockTable) -> None:
    """Count the layers of a network's body.

    Raises:
        TooLargeError: there are more than `MAX_LAYERS`.
    """
    _Counter(table).body(body, scope)


class _Counter:
    """Counts layers. What has no value counts nothing: it is reported when it is lowered."""

    def __init__(self, table: BlockTable) -> None:
        self.table = table
        self.known: dict[tuple[str, tuple[Value, ...]], int] = {}
        self.steps = 0

    def body(self, body: Body, scope: Scope) -> int:
        """The layers of a body; at least 1, since expanding an empty one costs time too."""
        total = 0
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise TooLargeError(body.span)
        for statement in body.statements:
            match statement:
                case Chain(links=links):
                    for link in links:
                        total += self.link(link, scope)
                        if total > MAX_LAYERS:
                            raise TooLargeError(link.span)
                case Let(name=name, value=value):
                    scope = _with_let(scope, name.text, value)
                case Expect() | Broken():
                    pass
                case _:
                    assert_never(statement)
        return max(total, 1)

    def link(self, link: Link, scope: Scope) -> int:
        match link:
            case LayerCall():
                return self.call(link, scope)
            case Repeat():
                return self.repeat(link, scope)
            case If():
                return self.conditional(link, scope)
            case _:
                assert_never(link)

    def call(self, call: LayerCall, scope: Scope) -> int:
        within = 0 if call.body is None else self.body(call.body, scope)
        block = self.table.blocks.get(call.keyword.text)
        if block is None:
            return within + (call.keyword.text not in STRUCTURE)
        values, _ = bind_parameters(block, call, scope)
        if values is None:
            return 0
        key = (block.name.text, tuple(values.values()))
        if key not in self.known:
            self.known[key] = self.body(block.body, Scope(values))
        return self.known[key]

    def conditional(self, conditional: If, scope: Scope) -> int:
        try:
            chosen = choose(conditional, scope)
        except EvaluationError:
            return 0
        return 0 if chosen is None else self.body(chosen, scope)

    def repeat(self, repeat: Repeat, scope: Scope) -> int:
        try:
            values = repetitions(repeat, scope)
        except (EvaluationError, ValueError):
            return 0
        if repeat.variable is None:
            return len(values) * self.body(repeat.body, scope) if values else 0
        name = repeat.variable.text
        total = 0
        for value in values[: MAX_REPEAT + 1]:
            assert value is not None
            total += self.body(repeat.body, scope.having(**{name: value}))
            if total > MAX_LAYERS:
                raise TooLargeError(repeat.span)
        return total


def _with_let(scope: Scope, name: str, value: Expression) -> Scope:
    if len(scope.values) >= MAX_VALUES:
        return scope
    try:
        return scope.having(**{name: evaluate(value, scope)})
    except EvaluationError:
        return scope.having(**{name: UNKNOWN_VALUE})


def choose(conditional: If, scope: Scope) -> Body | None:
    """The body that the conditions select, if any.

    Raises:
        EvaluationError: a condition has no truth value.
    """
    branch: Body | If | None = conditional
    while isinstance(branch, If):
        branch = branch.then if truth(branch.condition, scope) else branch.otherwise
    return branch
