"""Budgets: the `expect` lines of a network, evaluated with its facts."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from cnnspec.language.diagnostics import Diagnostic, did_you_mean
from cnnspec.language.limits import MAX_FINDINGS
from cnnspec.language.record import record
from cnnspec.language.syntax import Binary, Call, Conditional, Expression, Group, Name, Number, Unary
from cnnspec.layers.declaration import written
from cnnspec.layers.options import Symbol, Value
from cnnspec.network.evaluate import EvaluationError, Function, Scope, Unknown, evaluate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from cnnspec.language.source import Span
    from cnnspec.network.graph import Expectation, Facts, Graph


@record
class _Known:
    """What all expectations ask of a network; `sums[what][n]` is that of the first n nodes."""

    graph: Graph
    facts: Facts
    places: Mapping[str, int]
    sums: Mapping[str, Sequence[int]]


def check_expectations(graph: Graph, facts: Facts) -> tuple[Diagnostic, ...]:
    """The expectations that do not hold. Needs the facts of every node.

    A repetition may hold thousands of expectations: each looks up the names that it uses, and nobody reads
    more than the first `MAX_FINDINGS` that fail.
    """
    if not graph.expectations:
        return ()
    known = _known(graph, facts)
    faults: dict[tuple[Span | None, str, str], Diagnostic] = {}
    failed = 0
    for line in graph.expectations:
        if failed > MAX_FINDINGS:
            break
        if line.output < 0 or facts.layers[line.output].shape is None or _holds(line, known):
            continue
        failed += 1
        for fault in _check(line, _scope(line, known, _names_of(line, graph)), graph, facts):
            notes = (use.note() for use in reversed(line.uses))
            faults.setdefault((fault.span, fault.message, fault.label), fault.with_notes(*notes))
    return tuple(faults.values())


def _known(graph: Graph, facts: Facts) -> _Known:
    counts = {
        "params": [layer.params for layer in facts.layers],
        "trainable_params": [layer.trainable_params for layer in facts.layers],
        "macs": [layer.macs for layer in facts.layers],
    }
    return _Known(
        graph=graph,
        facts=facts,
        places={node.name: index for index, node in enumerate(graph.nodes)},
        sums={what: list(accumulate(numbers, initial=0)) for what, numbers in counts.items()},
    )


def _holds(line: Expectation, known: _Known) -> bool:
    try:
        return evaluate(line.condition, _scope(line, known, _mentioned(line, known))) is True
    except EvaluationError:
        return False


def _scope(line: Expectation, known: _Known, names: Iterable[tuple[str, str]]) -> Scope:
    """The values that an expectation sees; `names` are those of layers, as it says them and in full."""
    totals = {what: sums[line.nodes.stop] - sums[line.nodes.start] for what, sums in known.sums.items()}
    output = known.facts.shape(line.output)
    values: dict[str, Value | Unknown] = {
        **totals,
        "flops": 2 * totals["macs"],
        "output": output[0] if len(output) == 1 else output,
    }
    for name, full in names:
        values.setdefault(name, Symbol(full))
    functions = {"receptive_field": Function(("layer",), _receptive_field(line, known))}
    return Scope({**line.values, **values}, functions, symbols=False)


def _names_of(line: Expectation, graph: Graph) -> Iterator[tuple[str, str]]:
    """Every layer that the expectation may name."""
    for index in line.nodes:
        name = graph.nodes[index].name
        yield name.removeprefix(line.prefix), name


def _mentioned(line: Expectation, known: _Known) -> Iterator[tuple[str, str]]:
    """The layers that its condition does name."""
    for part in _names(line.condition):
        wanted = (line.prefix + part.text, part.text)
        found = [full for full in wanted if known.places.get(full, -1) in line.nodes]
        if found:
            yield part.text, min(found, key=known.places.__getitem__)


def _receptive_field(line: Expectation, known: _Known) -> Callable[[Value], Value]:
    """The size of a layer's receptive field, by its name: `conv2`, or `"stage.1.conv2"`."""
    facts, places = known.facts, known.places

    def size(name: Value) -> Value:
        if not isinstance(name, str):
            raise ValueError("needs the name of a layer, such as `receptive_field(conv2)`")
        place = places.get(line.prefix + name, places.get(name))
        if place is None:
            close = did_you_mean(name, places)
            raise ValueError(f"there is no layer `{name}`" + "".join(f"; {help}" for help in close))
        field = facts.layers[place].receptive_field
        if field is None:
            raise ValueError(f"that of `{name}` is unknown: its pattern returns after too many units")
        sizes = tuple(axis.size for axis in field)
        if not sizes:
            raise ValueError(f"`{name}` has none, since the input has no spatial axes")
        return sizes[0] if len(set(sizes)) == 1 else sizes

    return size


def _check(line: Expectation, scope: Scope, graph: Graph, facts: Facts) -> Iterator[Diagnostic]:
    try:
        holds = evaluate(line.condition, scope)
    except EvaluationError as error:
        yield from error.findings
        return
    if holds is True:
        return
    condition = line.condition
    if holds is not False:
        message = f"`expect` needs a condition, and `{condition.span.text}` is {written(holds)}"
        help = f"compare it: `expect {condition.span.text} <= {written(holds)}`"
        known = isinstance(condition, Number)  # comparing a number with itself helps nobody
        yield Diagnostic("not-a-condition", message, condition.span, help=() if known else (help,))
        return
    yield Diagnostic(
        "budget",
        f"the network breaks its budget `{condition.span.text}`",
        condition.span,
        label=_numbers(condition, scope),
        notes=tuple(_largest(line, graph, facts)),
    )


def _numbers(condition: Expression, scope: Scope) -> str:
    """The comparison with its values: `61706 <= 60000 is false`."""
    if not isinstance(condition, Binary) or condition.operator in ("and", "or"):
        return "false"
    left, right = (evaluate(side, scope) for side in (condition.left, condition.right))
    return f"{_grouped(left)} {condition.operator} {_grouped(right)} is false"


def _grouped(value: Value) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:_}"
    return written(value)


def _largest(line: Expectation, graph: Graph, facts: Facts) -> Iterator[str]:
    """The layer that counts most in a broken budget of parameters or MACs."""
    names = {part.text for part in _names(line.condition)}
    layers = facts.layers[line.nodes.start : line.nodes.stop]
    for what, counts in (
        ("params", [layer.params for layer in layers]),
        ("macs", [layer.macs for layer in layers]),
    ):
        total = sum(counts)
        if what in names and total:
            most = max(range(len(counts)), key=counts.__getitem__)
            if counts[most] == total:
                continue
            share = 100 * counts[most] / total
            name = graph.nodes[line.nodes[most]].name
            yield f"`{name}` has {counts[most]:_} of the {total:_} {what}, {share:.0f} %"


def _names(expression: Expression) -> Iterator[Name]:
    """Every name in an expression."""
    parts: tuple[Expression, ...]
    match expression:
        case Name():
            yield expression
            return
        case Unary(operand=operand):
            parts = (operand,)
        case Binary(left=left, right=right):
            parts = (left, right)
        case Conditional(then=then, condition=condition, otherwise=otherwise):
            parts = (then, condition, otherwise)
        case Call(arguments=arguments):
            parts = arguments
        case Group(items=items):
            parts = items
        case _:
            return
    for part in parts:
        yield from _names(part)
