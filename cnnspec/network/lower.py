"""Syntax tree to graph: blocks and repetitions are expanded, every layer call becomes a node.

The options of a layer are checked here; shapes come later. Where something cannot be lowered it is reported,
and what follows from it stays silent: its value is unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from cnnspec.language.builder import too_many_values
from cnnspec.language.diagnostics import Diagnostic
from cnnspec.language.limits import MAX_REPEAT, MAX_VALUES
from cnnspec.language.record import replace, state
from cnnspec.language.syntax import (
    Body,
    Broken,
    Chain,
    Expect,
    Identifier,
    If,
    LayerCall,
    Let,
    Link,
    Name,
    Network,
    Repeat,
)
from cnnspec.layers import Layer, kinds
from cnnspec.layers.options import Value
from cnnspec.layers.shapes import Input
from cnnspec.network.assembly import UNKNOWN, Assembly, Current, Frame, Lowered
from cnnspec.network.bind import bind_parameters
from cnnspec.network.blocks import STRUCTURE, BlockTable
from cnnspec.network.evaluate import UNKNOWN_VALUE, EvaluationError, Scope, Unknown, evaluate
from cnnspec.network.graph import UseSite
from cnnspec.network.misuse import misplaced_input, no_body, too_many_layers, too_many_rounds, unknown_layer
from cnnspec.network.names import Names, given_names
from cnnspec.network.size import TooLargeError, check_size, choose, repetitions

if TYPE_CHECKING:
    from collections.abc import Mapping


def lower(network: Network, table: BlockTable, parameters: Mapping[str, Value | Unknown]) -> Lowered:
    """Turn the statements of a network into nodes; `parameters` are the values of its parameters."""
    lowering = _Lowering(network, table, parameters)
    scope = Scope(parameters)
    frame = Frame(Names("", given_names(network.body), lowering.taken), scope)
    try:
        check_size(network.body, scope, table)
    except TooLargeError as error:
        lowering.report(too_many_layers(error.span), frame)
        lowering.broken = True
        return lowering.finish(UNKNOWN)
    return lowering.finish(lowering.body(network.body, frame, None))


@state
class _Lowering(Assembly):
    """The walk over the statements, in order."""

    def body(self, body: Body, frame: Frame, current: Current) -> Current:
        """Lower the statements of a body, each on the value before it; the value at the end."""
        expects: list[Expect] = []
        for statement in body.statements:
            match statement:
                case Chain():
                    current = self.chain(statement, frame, current)
                case Let():
                    self.let(statement, frame)
                case Expect():
                    expects.append(statement)
                case Broken():
                    current = self.unknown()
                    if statement.name is not None:
                        frame.values[statement.name] = UNKNOWN
                        frame.scope = frame.scope.having(**{statement.name: UNKNOWN_VALUE})
                case _:
                    assert_never(statement)
        for expect in expects:
            self.expect(expect, frame, current)
        return current

    def chain(self, chain: Chain, frame: Frame, current: Current) -> Current:
        """Lower the links of a chain, each on the value before it."""
        name = chain.name.text + frame.suffix if chain.name else None
        if chain.name:
            self.declare(chain.name, frame)
        for position, link in enumerate(chain.links):
            given = name
            if name is not None and position > 0:
                given = f"{name}.{link.keyword.text if isinstance(link, LayerCall) else position + 1}"
            current = self.link(link, frame, current, given)
        if chain.name and current is not None:
            frame.values[chain.name.text] = current
        if chain.claim is not None:
            self.claim(chain.claim, frame, current)
        if current is not None and not frame.uses:
            self.ends.append((chain, current))
        return current

    def let(self, let: Let, frame: Frame) -> None:
        """Give a name a value for the statements that follow."""
        value: Value | Unknown = UNKNOWN_VALUE
        if len(frame.scope.values) >= MAX_VALUES:
            self.broken = True
            self.report(too_many_values(let.name.span), frame)
            return
        try:
            value = evaluate(let.value, frame.scope)
        except EvaluationError as error:
            self.report_all(error, frame)
        frame.scope = frame.scope.having(**{let.name.text: value})

    def link(self, link: Link, frame: Frame, current: Current, name: str | None) -> Current:
        """Lower one link of a chain."""
        match link:
            case LayerCall():
                return self.call(link, frame, current, name)
            case Repeat():
                return self.repeat(link, frame, current, name)
            case If():
                return self.conditional(link, frame, current)
            case _:
                assert_never(link)

    def conditional(self, conditional: If, frame: Frame, current: Current) -> Current:
        """Lower the body that the conditions select, if any."""
        try:
            chosen = choose(conditional, frame.scope)
        except EvaluationError as error:
            self.report_all(error, frame)
            return UNKNOWN
        if chosen is None:
            return current
        scope = frame.scope
        current = self.body(chosen, frame, current)
        frame.scope = scope  # what `let` says within holds within
        return current

    def repeat(self, repeat: Repeat, frame: Frame, current: Current, name: str | None) -> Current:
        """Lower the body as often as it says; a named repetition names its rounds `name.1`, `name.2`."""
        try:
            rounds = repetitions(repeat, frame.scope)
        except EvaluationError as error:
            self.report_all(error, frame)
            return self.unknown()
        except ValueError:
            message = "`repeat` needs a whole number"
            self.report(Diagnostic("wrong-operand", message, repeat.last.span), frame)
            return self.unknown()
        if len(rounds) > MAX_REPEAT:
            self.report(too_many_rounds(repeat), frame)
            return self.unknown()
        instance = frame.names.unique(name) if name else None
        for number, value in enumerate(rounds, 1):
            inner = frame.inner(suffix=f"{frame.suffix}.{number}", first=len(self.nodes))
            if instance:
                inner.names, inner.suffix = frame.names.inner(f"{instance}.{number}", repeat.body), ""
            if repeat.variable is not None and value is not None:
                inner.scope = frame.scope.having(**{repeat.variable.text: value})
            current = self.body(repeat.body, inner, current)
        return current

    def call(self, call: LayerCall, frame: Frame, current: Current, name: str | None) -> Current:
        """Lower a layer, a block's use, or a word that builds the graph."""
        keyword = call.keyword.text
        if frame.branches is not None and keyword != "branch":
            message = f"`{keyword}` stands between the branches"
            help = "put it into a `branch { ... }`, or behind the closing brace"
            self.report(Diagnostic("misplaced-layer", message, call.keyword.span, help=(help,)), frame)
            return current
        if keyword in STRUCTURE:
            return self._structure(call, frame, current)
        if keyword in self.table.refused:
            return self.unknown()
        if keyword in self.table.blocks:
            return self._use(call, frame, current, name)
        kind = kinds().get(keyword)
        if kind is None:
            frame.names.made(keyword)
            self.report(unknown_layer(call.keyword, self.table), frame)
            return self.unknown()
        if kind is Input:
            return self._input(call, frame, current, name)
        full = frame.names.unique(name) if name else frame.names.made(keyword)
        if kind.arity is None:
            return self._merge(kind, call, frame, current, full)
        if call.body is not None:
            self.report(no_body(call), frame)
        return self.layer(kind, call, frame, self.feed(call, frame, current), full)

    def _structure(self, call: LayerCall, frame: Frame, current: Current) -> Current:
        keyword = call.keyword.text
        if keyword == "branch":
            return self._branch(call, frame, current)
        if call.named or call.body:
            span = call.named[0].name.span if call.named else call.keyword.span
            message = f"`{keyword}` takes the names of values, and nothing else"
            self.report(Diagnostic("unknown-option", message, span), frame)
        ends = [self.value(operand, frame) for operand in call.positional]
        if not ends or (keyword == "from" and len(ends) > 1):
            needs = "the name of one value" if keyword == "from" else "the names of values"
            self.report(Diagnostic("missing-argument", f"`{keyword}` needs {needs}", call.span), frame)
            return self.unknown()
        if keyword == "output":
            self.add_outputs(call, ends, frame)
        return ends[-1]

    def _input(self, call: LayerCall, frame: Frame, current: Current, name: str | None) -> Current:
        """`input 1x28x28`, `input left 1x28x28`."""
        label = call.positional[0] if call.positional else None
        if isinstance(label, Name) and label.text not in frame.scope.values:
            self.declare(Identifier(label.text, label.span), frame)
            call, name = replace(call, positional=call.positional[1:]), label.text
        inputs = [node for node in self.nodes if isinstance(node.layer, Input)]
        if frame.uses or (self.nodes and not inputs) or (inputs and name is None):
            self.report(misplaced_input(call, inputs, bool(frame.uses)), frame)
            return current
        full = frame.names.unique(name or call.keyword.text)
        node = self.layer(Input, call, frame, (), full)
        if name and node is not None:
            frame.values[name] = node
        return node

    def _use(self, call: LayerCall, frame: Frame, current: Current, name: str | None) -> Current:
        """Expand one use of a block."""
        block = self.table.blocks[call.keyword.text]
        instance = frame.names.unique(name) if name else frame.names.made(call.keyword.text)
        values, faults = bind_parameters(block, call, frame.scope)
        if call.body is not None:
            self.report(no_body(call), frame)
        for fault in faults:
            self.report(fault, frame)
        (start,) = self.feed(call, frame, current)
        if values is None:
            return self.unknown()
        inner = Frame(
            names=frame.names.inner(instance, block.body),
            scope=Scope(values),
            uses=(*frame.uses, UseSite(block.name.text, call.span, instance, values)),
            first=len(self.nodes),
        )
        inner.names.prefix = f"{instance}."
        return self.body(block.body, inner, start)

    def _merge(
        self, kind: type[Layer], call: LayerCall, frame: Frame, current: Current, name: str
    ) -> Current:
        """`add { branch { ... } branch { ... } }`, `add skip` (with the value before), `concat a b c`."""
        options = replace(call, positional=(), body=None)
        if call.body is None:
            inputs = [self.value(operand, frame) for operand in call.positional]
            if len(inputs) == 1:
                inputs = [*self.feed(call, frame, current), *inputs]
        else:
            inputs = self._branches(call, frame, current)
        if not inputs:
            keyword = call.keyword.text
            message = f"`{keyword}` joins nothing"
            branches = f"{keyword} {{ branch {{ ... }} branch {{ ... }} }}"
            help = f"write `{branches}`, or name a value: `{keyword} skip`"
            self.report(Diagnostic("missing-argument", message, call.keyword.span, help=(help,)), frame)
            return self.unknown()
        return self.layer(kind, options, frame, tuple(inputs), name)

    def _branches(self, call: LayerCall, frame: Frame, current: Current) -> list[int]:
        assert call.body is not None
        if call.positional:
            message = f"`{call.keyword.text}` joins branches or named values, not both"
            help = f"let it be a branch: `branch {{ from {call.positional[0].span.text} }}`"
            self.report(
                Diagnostic("too-many-arguments", message, call.positional[0].span, help=(help,)), frame
            )
        (start,) = self.feed(call, frame, current)
        branches: list[int] = []
        self.body(call.body, frame.inner(branches=branches), start)
        return branches

    def _branch(self, call: LayerCall, frame: Frame, current: Current) -> Current:
        if frame.branches is None or call.body is None:
            inside = "stands inside `add`, `concat`, `multiply` or `mean`"
            message = (
                f"`branch` {inside}" if frame.branches is None else "`branch` needs a body: `branch { ... }`"
            )
            self.report(Diagnostic("misplaced-layer", message, call.keyword.span), frame)
            if frame.branches is not None:
                frame.branches.append(self.unknown())
            return current
        if call.positional or call.named:
            message = "`branch` takes no arguments"
            span = call.positional[0].span if call.positional else call.named[0].name.span
            help = "write `branch { ... }`"
            self.report(Diagnostic("too-many-arguments", message, span, help=(help,)), frame)
        end = self.body(call.body, frame.inner(branches=None), current)
        frame.branches.append(UNKNOWN if end is None else end)
        return current
