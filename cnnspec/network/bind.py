"""Arguments to options: makes a declaration (a layer, an optimizer, ...) of the words in a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import ValidationError

from cnnspec.language.diagnostics import Diagnostic, Label, did_you_mean
from cnnspec.layers.options import Declaration, OptionError, Value
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
    values: dict[str, Value] = {}
    places: dict[str, Span] = {}
    for name, expression in _assign(kind, call, faults):
        places[name] = expression.span
        try:
            values[name] = evaluate(expression, scope)
        except EvaluationError as error:
            faults.append(error.diagnostic)
    faults += _missing(kind, call.keyword, places)
    declaration = None
    if not faults or len(values) == len(places):
        declaration, wrong = _validate(kind, values, places, call.keyword)
        faults += wrong
    return Bound(None if faults else declaration, places, tuple(faults))


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
            f"`{keyword.text}` needs `{name}`: {field.description}",
            keyword.span,
            help=(f"write `{kind.usage()}`", f"for example `{kind.example}`"),
        )
        for name, field in kind.options().items()
        if field.is_required() and name not in given
    ][:1]


def _validate(
    kind: type[D], values: Mapping[str, Value], places: Mapping[str, Span], keyword: Identifier
) -> tuple[D | None, list[Diagnostic]]:
    try:
        return kind.model_validate(dict(values)), []
    except ValidationError as error:
        wrong = [detail for detail in error.errors(include_url=False) if detail["type"] != "missing"]
    faults = []
    for detail in wrong:
        name = str(detail["loc"][0]) if detail["loc"] else ""
        cause = detail.get("ctx", {}).get("error")
        message, help = detail["msg"].lower(), None
        if isinstance(cause, OptionError):
            message, help = cause.message, cause.help
        field = kind.options().get(name)
        if help is None and field is not None:
            help = f"`{name}` is the {field.description}"
        subject = f"`{name}` " if name else ""
        span = places.get(name, keyword.span)
        faults.append(Diagnostic("wrong-value", f"{subject}{message}", span, help=(help,) if help else ()))
    return None, faults


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
