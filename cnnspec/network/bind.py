"""Arguments to options: makes a declaration (a layer, an optimizer, ...) of the words in a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Generic, TypeVar

from cnnspec.language.diagnostics import Diagnostic, Label, did_you_mean
from cnnspec.language.record import record
from cnnspec.language.syntax import Name
from cnnspec.layers.declaration import Declaration, OptionError, written
from cnnspec.layers.options import Symbol, Value
from cnnspec.network.evaluate import CONSTANTS, UNKNOWN_VALUE, EvaluationError, Scope, Unknown, evaluate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cnnspec.language.source import Span
    from cnnspec.language.syntax import Block, Expression, Identifier, LayerCall, Network

D = TypeVar("D", bound=Declaration)


@record
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
            values[name] = kind.options()[name].accept(_value(kind, name, expression, scope))
        except EvaluationError as error:
            faults += error.findings
        except OptionError as error:
            faults.append(_wrong_value(kind, name, error, expression, scope))
    faults += _missing(kind, call.keyword, places)
    complete = not faults and len(values) == len(places)
    return Bound(kind(**values) if complete else None, places, tuple(faults))


def _value(kind: type[Declaration], name: str, expression: Expression, scope: Scope) -> Value:
    """What an argument stands for.

    A word of the option's own, such as `over=channels`, is that word also where a parameter has that name.
    In a calculation it is the parameter.
    """
    if isinstance(expression, Name) and expression.text in kind.options()[name].words:
        return Symbol(expression.text)
    return evaluate(expression, scope)


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
            f"`{keyword.text}` needs " + ("a value" if kind.sole else f"`{name}`"),
            keyword.span,
            notes=(f"`{keyword.text if kind.sole else name}`: {option.help}",),
            help=(
                (
                    f"for example `{kind.example}`"
                    if kind.sole
                    else f"write `{kind.usage()}`, for example `{kind.example}`"
                ),
            ),
        )
        for name, option in kind.options().items()
        if option.required and name not in given
    ][:1]


def _wrong_value(
    kind: type[Declaration], name: str, error: OptionError, expression: Expression, scope: Scope
) -> Diagnostic:
    help: tuple[str, ...] = (error.help or f"`{name}`: {kind.options()[name].help}",)
    name = kind.keyword if kind.sole else name
    notes: tuple[str, ...] = ()
    if isinstance(expression, Name):
        word = expression.text
        if word in scope.values:
            notes = (f"`{word}` is {written(scope.values[word])} here",)
        elif word in scope.functions:
            help = (f"put a calculation in brackets: `({word}(...))`",)
        else:  # a name without a value may be one that was mistyped
            help = did_you_mean(word, [value for value in scope.values if value not in CONSTANTS]) or help
    return Diagnostic("wrong-value", f"`{name}` {error.message}", expression.span, notes=notes, help=help)


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
    same = [option for option in options if kind.options()[option].help == name.text.replace("_", " ")]
    help = did_you_mean(name.text, options) or tuple(f"did you mean `{option}`?" for option in same)
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


def bind_parameters(
    declared: Block | Network, call: LayerCall, scope: Scope
) -> tuple[dict[str, Value] | None, tuple[Diagnostic, ...]]:
    """Give the parameters of a block the values of a call; a default may use the parameters before it."""
    faults: list[Diagnostic] = []
    parameters = {parameter.name.text: parameter for parameter in declared.parameters}
    given = _pair(declared, call, list(parameters), faults)
    values: dict[str, Value] = {}
    silent: dict[str, Value | Unknown] = {}  # what is reported once, not again by the defaults that use it
    for name, parameter in parameters.items():
        expression = given.get(name, parameter.default)
        if expression is None:
            faults.append(_missing_parameter(declared, call.keyword, name))
            silent[name] = UNKNOWN_VALUE
            continue
        try:
            values[name] = evaluate(expression, scope if name in given else Scope({**silent, **values}))
        except EvaluationError as error:
            faults += error.findings
            silent[name] = UNKNOWN_VALUE
    return None if faults or silent else values, tuple(faults)


def _pair(
    declared: Block | Network, call: LayerCall, names: list[str], faults: list[Diagnostic]
) -> dict[str, Expression]:
    given = dict(zip(names, call.positional, strict=False))
    if len(call.positional) > len(names):
        message = (
            f"`{call.keyword.text}` takes {len(names)} arguments by position, not {len(call.positional)}"
        )
        span, usage = call.positional[len(names)].span, f"write `{signature(declared)}`"
        faults.append(Diagnostic("too-many-arguments", message, span, help=(usage,)))
    for argument in call.named:
        name = argument.name
        if name.text in given:
            faults.append(_given_twice(call.keyword.text, name, given[name.text].span))
        elif name.text in names:
            given[name.text] = argument.value
        else:
            help = did_you_mean(name.text, names) or (f"write `{signature(declared)}`",)
            message = f"`{call.keyword.text}` has no parameter `{name.text}`"
            faults.append(Diagnostic("unknown-option", message, name.span, help=help))
    return given


def _missing_parameter(declared: Block | Network, keyword: Identifier, name: str) -> Diagnostic:
    return Diagnostic(
        "missing-argument",
        f"`{keyword.text}` needs `{name}`",
        keyword.span,
        labels=(Label(declared.name.span, "declared here"),),
        help=(f"write `{signature(declared)}`",),
    )


def signature(declared: Block | Network) -> str:
    """How a block is used: `residual channels [stride=1]`."""
    words = [declared.name.text]
    for parameter in declared.parameters:
        name = parameter.name.text
        words.append(f"[{name}={parameter.default.span.text}]" if parameter.default else name)
    return " ".join(words)


def _of_training(name: str) -> tuple[str, ...]:
    """Help for a name that is no parameter, but a setting of the `train` block."""
    from cnnspec.network.settings import settings_of
    from cnnspec.recipe import Recipe

    if name not in settings_of(Recipe()):
        return ()
    return (
        f"`{name}` is a setting of the `train` block: change it there, or by `cnnspec run --set {name}=...`",
    )


def network_parameters(
    network: Network, given: Mapping[str, Value] | None
) -> tuple[dict[str, Value | Unknown], tuple[Diagnostic, ...]]:
    """The values of a network's parameters: those given from outside, and the defaults of the others."""
    values: dict[str, Value | Unknown] = {}
    faults: list[Diagnostic] = []
    names = [parameter.name.text for parameter in network.parameters]
    for name in given or {}:
        if name not in names:
            own = (f"its parameters are {', '.join(names)}",) if names else ()
            help = _of_training(name) or did_you_mean(name, names) or own
            message = f"network `{network.name.text}` has no parameter `{name}`"
            faults.append(Diagnostic("unknown-parameter", message, network.name.span, help=help))
    for parameter in network.parameters:
        name = parameter.name.text
        values[name] = UNKNOWN_VALUE
        if given and name in given:
            values[name] = given[name]
        elif parameter.default is None:
            help = (f"give it: `--set {name}=...`, or a default: `{name}=...`",)
            message = f"the parameter `{name}` has no value"
            faults.append(Diagnostic("missing-argument", message, parameter.name.span, help=help))
        else:
            try:
                values[name] = evaluate(parameter.default, Scope(values))
            except EvaluationError as error:
                faults += error.findings
    return values, tuple(faults)
