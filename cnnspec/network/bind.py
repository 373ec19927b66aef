"""Arguments to options: makes a declaration (a layer, an optimizer, ...) of the words in a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from cnnspec.language.diagnostics import Diagnostic, Label, did_you_mean
from cnnspec.layers.declaration import Declaration, OptionError
from cnnspec.network.evaluate import EvaluationError, Scope, evaluate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cnnspec.language.source import Span
    from cnnspec.language.syntax import Expression, Identifier, LayerCall

D = TypeVar("D", bound=Declaration)


@dataclass(frozen=True)
class Bound(Generic[D]):
    """A declaration, if its arguments allow one, where each argument stands, and the faults."""

    declaration: D | None
    arguments: Mapping[str, Span]
    faults: tuple[Diagnostic, ...]


def bind(kind: type[D], call: LayerCall, scope: Scope) -> Bound[D]:
    """Give the options of a kind the values of a call's arguments. All faults are found in one go."""
    faults: list[Diagnostic] = []
    values: dict[str, object] = {}
    places: dict[str, Span] = {}
    for name, expression in _assign(kind, call, faults):
        places[name] = expression.span
        try:
            values[name] = kind.options()[name].accept(evaluate(expression, scope))
        except EvaluationError as error:
            faults += error.findings
        except OptionError as error:
            faults.append(_wrong_value(kind, name, error, expression.span))
    faults += _missing(kind, call.keyword, places)
    complete = not faults and len(values) == len(places)
    return Bound(kind(**values) if complete else None, places, tuple(faults))


def _assign(
    kind: type[Declaration], call: LayerCall, faults: list[Diagnostic]
) -> Iterator[tuple[str, Expression]]:
    """Pair each argument with the option that it is for."""
    keyword = call.keyword.text
    positional = kind.positional()
    given: dict[str, Span] = {}
    for name, expression in zip(positional, call.positional, strict=False):
        given[name] = expression.span
        yield name, expression
    if len(call.positional) > len(positional):
        faults.append(_too_many(kind, call))
    for argument in call.named:
        name = argument.name.text
        if name not in kind.options():
            faults.append(_unknown_option(kind, keyword, argument.name))
        elif name in given:
            faults.append(_given_twice(keyword, argument.name, given[name]))
        else:
            given[name] = argument.value.span
            yield name, argument.value


def _missing(kind: type[Declaration], keyword: Identifier, given: Mapping[str, Span]) -> list[Diagnostic]:
    return [
        Diagnostic(
            "missing-argument",
            f"`{keyword.text}` needs `{name}`",
            keyword.span,
            notes=(f"`{name}`: {option.help}",),
            help=(f"write `{kind.usage()}`, for example `{kind.example}`",),
        )
        for name, option in kind.options().items()
        if option.required and name not in given
    ][:1]


def _wrong_value(kind: type[Declaration], name: str, error: OptionError, span: Span) -> Diagnostic:
    help = error.help or f"`{name}`: {kind.options()[name].help}"
    return Diagnostic("wrong-value", f"`{name}` {error.message}", span, help=(help,))


def _too_many(kind: type[Declaration], call: LayerCall) -> Diagnostic:
    most = len(kind.positional())
    extra = call.positional[most]
    count = f"{most} argument{'' if most == 1 else 's'}" if most else "no arguments"
    return Diagnostic(
        "too-many-arguments",
        f"`{call.keyword.text}` takes {count} by position, not {len(call.positional)}",
        extra.span,
        help=(f"write `{kind.usage()}`",),
    )


def _unknown_option(kind: type[Declaration], keyword: str, name: Identifier) -> Diagnostic:
    options = list(kind.options())
    help = did_you_mean(name.text, options)
    if not help:
        known = ", ".join(f"`{option}`" for option in options)
        help = (f"its options are {known}" if options else f"`{keyword}` has no options",)
    return Diagnostic("unknown-option", f"`{keyword}` has no option `{name.text}`", name.span, help=help)


def _given_twice(keyword: str, name: Identifier, first: Span) -> Diagnostic:
    return Diagnostic(
        "given-twice",
        f"`{keyword}` is given `{name.text}` twice",
        name.span,
        labels=(Label(first, "first given here"),),
    )
