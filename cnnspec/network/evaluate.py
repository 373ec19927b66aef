"""Expressions to values."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Final, assert_never

from cnnspec.language.diagnostics import Diagnostic, did_you_mean
from cnnspec.language.limits import MAX_INTEGER_DIGITS
from cnnspec.language.record import record
from cnnspec.language.syntax import (
    Binary,
    Call,
    Conditional,
    Expression,
    Group,
    Invalid,
    Name,
    Number,
    Sizes,
    Text,
    Unary,
)
from cnnspec.layers.options import Symbol, Value, describe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cnnspec.language.source import Span

CONSTANTS: Final[dict[str, Value]] = {"true": True, "false": False}
LARGEST: Final = 10**MAX_INTEGER_DIGITS

_ARITHMETIC: Final[dict[str, Callable[[int | float, int | float], int | float]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
}
_COMPARISONS: Final[dict[str, Callable[[Value, Value], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class EvaluationError(Exception):
    """An expression has no value; `findings` say why, unless that is reported already."""

    def __init__(self, *findings: Diagnostic) -> None:
        super().__init__(*(finding.message for finding in findings))
        self.findings = findings


@record
class Function:
    """A function of the language. `compute` may raise `ValueError` with what it needs.

    A last parameter `...` stands for any number of further arguments.
    """

    parameters: tuple[str, ...]
    compute: Callable[..., Value]

    def takes(self, count: int) -> bool:
        """Whether it may be called with so many arguments."""
        if self.parameters[-1] == "...":
            return count >= len(self.parameters) - 1
        return count == len(self.parameters)


def _numbers(values: tuple[Value, ...]) -> list[int | float]:
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) < len(values):
        wrong = next(
            value for value in values if isinstance(value, bool) or not isinstance(value, int | float)
        )
        raise ValueError(f"needs numbers, not {describe(wrong)}")
    return numbers


def _of_one(compute: Callable[[int | float], int]) -> Function:
    return Function(("number",), lambda value: compute(_numbers((value,))[0]))


FUNCTIONS: Final[Mapping[str, Function]] = {
    "min": Function(("number", "..."), lambda *values: min(_numbers(values))),
    "max": Function(("number", "..."), lambda *values: max(_numbers(values))),
    "round": _of_one(round),
    "ceil": _of_one(math.ceil),
    "floor": _of_one(math.floor),
}
"""The functions that every expression may use. `round` rounds half to even."""


class Unknown:
    """Stands for the value of a name whose own fault is reported already."""


UNKNOWN_VALUE: Final = Unknown()


class Scope:
    """The names and functions that an expression may use.

    A bare name that has no value is a `Symbol` where symbols are allowed (`padding=same`), and an error
    elsewhere. In calculations and conditions every name must have a value.
    """

    __slots__ = ("functions", "symbols", "values")

    def __init__(
        self,
        values: Mapping[str, Value | Unknown] | None = None,
        functions: Mapping[str, Function] | None = None,
        *,
        symbols: bool = True,
    ) -> None:
        self.values: dict[str, Value | Unknown] = {**CONSTANTS, **(values or {})}
        self.functions = {**FUNCTIONS, **(functions or {})}
        self.symbols = symbols

    def having(self, **values: Value | Unknown) -> Scope:
        """A scope with some values more, which hide those of the same name."""
        return Scope({**self.values, **values}, self.functions, symbols=self.symbols)

    def strict(self) -> Scope:
        """The same scope, in which a name without a value is an error."""
        return Scope(self.values, self.functions, symbols=False) if self.symbols else self


def evaluate(expression: Expression, scope: Scope) -> Value:
    """The value of an expression.

    Raises:
        EvaluationError: a name is unknown, an operation does not fit its operands, or a result is too large.
    """
    match expression:
        case Number(value=number):
            return number
        case Text(value=text):
            return text
        case Sizes(values=sizes):
            return sizes
        case Name():
            return _name(expression, scope)
        case Group(items=items):
            return tuple(evaluate(item, scope) for item in items)
        case Unary():
            return _unary(expression, scope)
        case Binary():
            return _binary(expression, scope)
        case Conditional(then=then, condition=condition, otherwise=otherwise):
            return evaluate(then if truth(condition, scope) else otherwise, scope)
        case Call():
            return _call(expression, scope)
        case Invalid():
            raise EvaluationError
        case _:
            assert_never(expression)


def _name(expression: Name, scope: Scope) -> Value:
    if expression.text in scope.values:
        value = scope.values[expression.text]
        if isinstance(value, Unknown):
            raise EvaluationError
        return value
    if scope.symbols:
        return Symbol(expression.text)
    known = [name for name in (*scope.values, *scope.functions) if name not in CONSTANTS]
    names = ", ".join(f"`{name}`" for name in scope.values if name not in CONSTANTS)
    help = did_you_mean(expression.text, known) or ((f"names with a value here: {names}",) if names else ())
    raise _error("unknown-name", f"the name `{expression.text}` has no value", expression.span, help=help)


def _unary(expression: Unary, scope: Scope) -> Value:
    if expression.operator == "not":
        return not truth(expression.operand, scope)
    value = evaluate(expression.operand, scope.strict())
    return -_number(value, expression.operand.span, expression.operator)


def _binary(expression: Binary, scope: Scope) -> Value:
    sign = expression.operator
    if sign == "and":
        return truth(expression.left, scope) and truth(expression.right, scope)
    if sign == "or":
        return truth(expression.left, scope) or truth(expression.right, scope)
    left = evaluate(expression.left, scope.strict())
    compares_symbols = isinstance(left, Symbol) and sign in ("==", "!=")  # `if padding == same`
    right = evaluate(expression.right, scope if compares_symbols else scope.strict())
    if sign in _COMPARISONS:
        return _compare(sign, left, right, expression.span)
    a = _number(left, expression.left.span, sign)
    b = _number(right, expression.right.span, sign)
    if sign == "**" and (abs(b) > 64 or abs(a) > LARGEST):
        raise _too_large(expression.span)
    try:
        result = _ARITHMETIC[sign](a, b)
    except ZeroDivisionError:
        raise _error("division-by-zero", f"`{sign}` divides by zero", expression.right.span) from None
    except OverflowError:
        raise _too_large(expression.span) from None
    if isinstance(result, complex) or abs(result) >= LARGEST or result != result:
        raise _too_large(expression.span)
    return result


def _compare(sign: str, left: Value, right: Value, span: Span) -> bool:
    """Compare two values; a tuple beside a number is compared axis by axis."""
    if isinstance(left, tuple) and not isinstance(right, tuple | str):
        return all(_compare(sign, item, right, span) for item in left)
    if isinstance(right, tuple) and not isinstance(left, tuple | str):
        return all(_compare(sign, left, item, span) for item in right)
    ordered = sign not in ("==", "!=")
    if ordered and (isinstance(left, str | bool) or isinstance(right, str | bool)):
        message = f"`{sign}` does not order {describe(left)} and {describe(right)}"
        raise _error("wrong-operand", message, span)
    if isinstance(left, tuple) and isinstance(right, tuple) and ordered:
        if len(left) != len(right):
            message = f"`{sign}` compares {len(left)} axes with {len(right)}"
            raise _error("wrong-operand", message, span)
        return all(_compare(sign, a, b, span) for a, b in zip(left, right, strict=True))
    return _COMPARISONS[sign](left, right)


def _call(expression: Call, scope: Scope) -> Value:
    function = scope.functions.get(expression.function.text)
    if function is None:
        name = expression.function.text
        help = did_you_mean(name, scope.functions)
        raise _error(
            "unknown-function", f"there is no function `{name}`", expression.function.span, help=help
        )
    arguments = [evaluate(argument, scope.strict()) for argument in expression.arguments]
    if not function.takes(len(arguments)):
        usage = f"{expression.function.text}({', '.join(function.parameters)})"
        message = f"`{usage}` is given {len(arguments)} arguments"
        raise _error("wrong-operand", message, expression.span)
    try:
        return function.compute(*arguments)
    except ValueError as error:
        raise _error("wrong-operand", f"`{expression.function.text}`: {error}", expression.span) from None


def truth(expression: Expression, scope: Scope) -> bool:
    """The value of a condition.

    Raises:
        EvaluationError: it has none, or one that is neither true nor false.
    """
    value = evaluate(expression, scope.strict())
    if isinstance(value, bool):
        return value
    message = f"a condition is true or false, and this is {describe(value)}"
    raise _error("wrong-operand", message, expression.span)


def _number(value: Value, span: Span, sign: str) -> int | float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise _error("wrong-operand", f"`{sign}` needs numbers, not {describe(value)}", span)


def _too_large(span: Span) -> EvaluationError:
    message = f"the result is over the limit of {MAX_INTEGER_DIGITS} digits"
    return _error("integer-too-long", message, span, notes=("limit `MAX_INTEGER_DIGITS`",))


def _error(
    code: str, message: str, span: Span, *, notes: tuple[str, ...] = (), help: tuple[str, ...] = ()
) -> EvaluationError:
    return EvaluationError(Diagnostic(code, message, span, notes=notes, help=help))
