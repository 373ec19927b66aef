"""Budgets: the `expect` lines of a network, evaluated with its facts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnspec.language.diagnostics import Diagnostic, did_you_mean
from cnnspec.language.syntax import Binary, Expression, Name
from cnnspec.layers.declaration import written
from cnnspec.layers.options import Symbol, Value
from cnnspec.network.evaluate import EvaluationError, Function, Scope, Unknown, evaluate
from cnnspec.network.graph import Facts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cnnspec.language.source import Span
    from cnnspec.network.graph import Expectation, Graph


def check_expectations(graph: Graph, facts: Facts) -> tuple[Diagnostic, ...]:
    """The expectations that do not hold. Needs the facts of every node."""
    faults: dict[tuple[Span | None, str, str], Diagnostic] = {}
    for line in graph.expectations:
        if line.output < 0 or facts.layers[line.output].shape is None:
            continue
        for fault in _check(line, _scope(line, graph, facts), graph, facts):
            notes = (use.note() for use in reversed(line.uses))
            faults.setdefault((fault.span, fault.message, fault.label), fault.with_notes(*notes))
    return tuple(faults.values())


def _scope(line: Expectation, graph: Graph, facts: Facts) -> Scope:
    totals = Facts(facts.layers[line.nodes.start : line.nodes.stop]).totals()
    output = facts.shape(line.output)
    values: dict[str, Value | Unknown] = {
        "params": totals.params,
        "trainable_params": totals.trainable_params,
        "macs": totals.macs,
        "flops": 2 * totals.macs,
        "output": output[0] if len(output) == 1 else output,
    }
    for index in line.nodes:
        name = graph.nodes[index].name
        values.setdefault(name.removeprefix(line.prefix), Symbol(name))
    functions = {"receptive_field": Function(("layer",), _receptive_field(line, graph, facts))}
    return Scope({**line.values, **values}, functions, symbols=False)


def _receptive_field(line: Expectation, graph: Graph, facts: Facts) -> Callable[[Value], Value]:
    """The size of a layer's receptive field, by its name: `conv2`, or `"stage.1.conv2"`."""
    places = {node.name: index for index, node in enumerate(graph.nodes)}

    def size(name: Value) -> Value:
        if not isinstance(name, str):
            raise ValueError("needs the name of a layer, such as `receptive_field(conv2)`")
        place = places.get(line.prefix + name, places.get(name))
        if place is None:
            close = did_you_mean(name, places)
            raise ValueError(f"there is no layer `{name}`" + "".join(f"; {help}" for help in close))
        sizes = tuple(axis.size for axis in facts.layers[place].receptive_field or ())
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
        yield Diagnostic("not-a-condition", message, condition.span, help=(help,))
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
            share = 100 * counts[most] / total
            name = graph.nodes[line.nodes[most]].name
            yield f"`{name}` has {counts[most]:_} of the {total:_} {what}, {share:.0f} %"


def _names(expression: Expression) -> Iterator[Name]:
    match expression:
        case Name():
            yield expression
        case Binary(left=left, right=right):
            yield from _names(left)
            yield from _names(right)
        case _:
            return
