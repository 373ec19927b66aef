"""Syntax tree to graph: blocks and repetitions are expanded, every layer call becomes a node.

The options of a layer are checked here; shapes come later. Where something cannot be lowered it is reported,
and what follows from it stays silent: its value is unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from cnnspec.language.builder import too_many_values
from cnnspec.language.diagnostics import Diagnostic, Label, did_you_mean
from cnnspec.language.limits import MAX_LAYERS, MAX_REPEAT, MAX_VALUES
from cnnspec.language.record import field, record, replace, state
from cnnspec.language.syntax import (
    Body,
    Broken,
    Chain,
    Expect,
    Expression,
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
from cnnspec.layers.declaration import OptionError
from cnnspec.layers.options import Symbol, Value, sample_shape
from cnnspec.layers.shapes import Input
from cnnspec.network.bind import bind, bind_parameters
from cnnspec.network.blocks import STRUCTURE, BlockTable
from cnnspec.network.evaluate import UNKNOWN_VALUE, EvaluationError, Scope, Unknown, evaluate
from cnnspec.network.graph import Claim, Expectation, Graph, Node, Origin, UseSite
from cnnspec.network.names import Names, given_names
from cnnspec.network.size import TooLargeError, check_size, choose, repetitions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnspec.language.source import Span

UNKNOWN: Final = -1
"""The input of a node whose value could not be lowered."""

Current = int | None
"""The node whose value the next layer takes: `UNKNOWN`, or nothing before the input."""


@record
class Lowered:
    """A graph, as much of it as could be made, and the faults."""

    graph: Graph
    faults: tuple[Diagnostic, ...]


def lower(network: Network, table: BlockTable, parameters: Mapping[str, Value | Unknown]) -> Lowered:
    """Turn the statements of a network into nodes; `parameters` are the values of its parameters."""
    lowering = _Lowering(network, table, parameters)
    scope = Scope(parameters)
    frame = _Frame(Names("", given_names(network.body), lowering.taken), scope)
    try:
        check_size(network.body, scope, table)
    except TooLargeError as error:
        lowering.report(_too_many_layers(error.span), frame)
        lowering.broken = True
        return lowering.finish(UNKNOWN)
    return lowering.finish(lowering.body(network.body, frame, None))


@state
class _Frame:
    """Where the walk is: in a network, a block's use, a repetition or a branch.

    Attributes:
        names: gives names to layers.
        scope: the values of names in expressions.
        values: the nodes that `from` and `add` may name.
        uses: the uses of blocks that led here, the outermost first.
        suffix: what sets the names given in a repetition apart.
        first: the first node that belongs to the network or block.
        branches: the ends of the branches, directly inside `add` and the like.
    """

    names: Names
    scope: Scope
    values: dict[str, int] = field(default_factory=dict)
    uses: tuple[UseSite, ...] = ()
    suffix: str = ""
    first: int = 0
    branches: list[int] | None = None
    given: dict[str, Span] = field(default_factory=dict)

    def inner(self, **changes: object) -> _Frame:
        """A frame within this one, which sees its values."""
        return replace(self, **{"values": dict(self.values), "given": {}, **changes})


@state
class _Lowering:
    """What is known while the statements are walked in order."""

    network: Network
    table: BlockTable
    parameters: Mapping[str, Value | Unknown]
    nodes: list[Node] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    expectations: list[Expectation] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    ends: list[tuple[Chain, int]] = field(default_factory=list)
    faults: dict[tuple[str, Span | None, str], Diagnostic] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)
    broken: bool = False

    def report(self, fault: Diagnostic, frame: _Frame) -> None:
        """Keep a fault, once for each place however often the block is used, with the uses that led there."""
        key = (fault.code, fault.span, fault.message)
        if key not in self.faults:
            self.faults[key] = fault.with_notes(*(use.note() for use in reversed(frame.uses)))

    def finish(self, current: Current) -> Lowered:
        """The graph of all nodes."""
        if not any(isinstance(node.layer, Input) for node in self.nodes) and not self.broken:
            self.report(self._missing_input(None), _Frame(Names("", frozenset(), {}), Scope()))
        ends = self.outputs or ([] if current is None else [current])
        graph = Graph(
            name=self.network.name.text,
            nodes=tuple(self.nodes),
            outputs=tuple(end for end in ends if end != UNKNOWN),
            claims=tuple(self.claims),
            expectations=tuple(self.expectations),
            span=self.network.name.span,
            ends=tuple((chain, end) for chain, end in self.ends if end != UNKNOWN),
            parameters=self.parameters,
        )
        return Lowered(graph, tuple(self.faults.values()))

    # --- statements ----------------------------------------------------------------------------------------

    def body(self, body: Body, frame: _Frame, current: Current) -> Current:
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
                    current = self._unknown()
                    if statement.name is not None:
                        frame.values[statement.name] = UNKNOWN
                        frame.scope = frame.scope.having(**{statement.name: UNKNOWN_VALUE})
                case _:
                    assert_never(statement)
        for expect in expects:
            self._expect(expect, frame, current)
        return current

    def chain(self, chain: Chain, frame: _Frame, current: Current) -> Current:
        """Lower the links of a chain, each on the value before it."""
        name = chain.name.text + frame.suffix if chain.name else None
        if chain.name:
            self._declare(chain.name, frame)
        for position, link in enumerate(chain.links):
            given = name
            if name is not None and position > 0:
                given = f"{name}.{link.keyword.text if isinstance(link, LayerCall) else position + 1}"
            current = self.link(link, frame, current, given)
        if chain.name and current is not None:
            frame.values[chain.name.text] = current
        if chain.claim is not None:
            self._claim(chain.claim, frame, current)
        if current is not None and not frame.uses:
            self.ends.append((chain, current))
        return current

    def let(self, let: Let, frame: _Frame) -> None:
        """Give a name a value for the statements that follow."""
        value: Value | Unknown = UNKNOWN_VALUE
        if len(frame.scope.values) >= MAX_VALUES:
            self.broken = True
            self.report(too_many_values(let.name.span), frame)
            return
        try:
            value = evaluate(let.value, frame.scope)
        except EvaluationError as error:
            self._report_all(error, frame)
        frame.scope = frame.scope.having(**{let.name.text: value})

    def link(self, link: Link, frame: _Frame, current: Current, name: str | None) -> Current:
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

    def conditional(self, conditional: If, frame: _Frame, current: Current) -> Current:
        """Lower the body that the conditions select, if any."""
        try:
            chosen = choose(conditional, frame.scope)
        except EvaluationError as error:
            self._report_all(error, frame)
            return UNKNOWN
        return current if chosen is None else self.body(chosen, frame, current)

    def repeat(self, repeat: Repeat, frame: _Frame, current: Current, name: str | None) -> Current:
        """Lower the body as often as it says; a named repetition names its rounds `name.1`, `name.2`."""
        try:
            rounds = repetitions(repeat, frame.scope)
        except EvaluationError as error:
            self._report_all(error, frame)
            return self._unknown()
        except ValueError:
            message = "`repeat` needs a whole number"
            self.report(Diagnostic("wrong-operand", message, repeat.last.span), frame)
            return self._unknown()
        if len(rounds) > MAX_REPEAT:
            self.report(_too_many_rounds(repeat), frame)
            return self._unknown()
        instance = frame.names.unique(name) if name else None
        for number, value in enumerate(rounds, 1):
            inner = frame.inner(suffix=f"{frame.suffix}.{number}")
            if instance:
                inner.names, inner.suffix = frame.names.inner(f"{instance}.{number}", repeat.body), ""
            if repeat.variable is not None and value is not None:
                inner.scope = frame.scope.having(**{repeat.variable.text: value})
            current = self.body(repeat.body, inner, current)
        return current

    # --- what stands where a layer stands ------------------------------------------------------------------

    def call(self, call: LayerCall, frame: _Frame, current: Current, name: str | None) -> Current:
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
            return self._unknown()
        if keyword in self.table.blocks:
            return self._use(call, frame, current, name)
        kind = kinds().get(keyword)
        if kind is None:
            frame.names.made(keyword)
            self.report(unknown_layer(call.keyword, self.table), frame)
            return self._unknown()
        if kind is Input:
            return self._input(call, frame, current, name)
        full = frame.names.unique(name) if name else frame.names.made(keyword)
        if kind.arity is None:
            return self._merge(kind, call, frame, current, full)
        if call.body is not None:
            self.report(_no_body(call), frame)
        return self._layer(kind, call, frame, self._feed(call, frame, current), full)

    def _structure(self, call: LayerCall, frame: _Frame, current: Current) -> Current:
        keyword = call.keyword.text
        if keyword == "branch":
            return self._branch(call, frame, current)
        if call.named or call.body:
            span = call.named[0].name.span if call.named else call.keyword.span
            message = f"`{keyword}` takes the names of values, and nothing else"
            self.report(Diagnostic("unknown-option", message, span), frame)
        ends = [self._value(operand, frame) for operand in call.positional]
        if not ends or (keyword == "from" and len(ends) > 1):
            needs = "the name of one value" if keyword == "from" else "the names of values"
            self.report(Diagnostic("missing-argument", f"`{keyword}` needs {needs}", call.span), frame)
            return self._unknown()
        if keyword == "output":
            self._outputs(call, ends, frame)
        return ends[-1]

    def _outputs(self, call: LayerCall, ends: list[int], frame: _Frame) -> None:
        for operand, end in zip(call.positional, ends, strict=True):
            if end == UNKNOWN or end not in self.outputs:
                self.outputs.append(end)
                continue
            message = f"`{operand.span.text}` is an output already"
            self.report(Diagnostic("given-twice", message, operand.span, help=("name it once",)), frame)

    def _layer(
        self, kind: type[Layer], call: LayerCall, frame: _Frame, inputs: tuple[int, ...], name: str
    ) -> Current:
        bound = bind(kind, call, frame.scope)
        for fault in bound.faults:
            self.report(fault, frame)
        if bound.declaration is None:
            return self._unknown()
        origin = Origin(call.keyword.span, call.span, bound.arguments, frame.uses)
        self.nodes.append(Node(name, bound.declaration, inputs, origin))
        return len(self.nodes) - 1

    def _feed(self, call: LayerCall, frame: _Frame, current: Current) -> tuple[int, ...]:
        """The value before a layer, as its input."""
        if current is not None:
            return (current,)
        if not self.broken:
            self.report(self._missing_input(call.keyword.span), frame)
        self.broken = True
        return (UNKNOWN,)

    def _input(self, call: LayerCall, frame: _Frame, current: Current, name: str | None) -> Current:
        """`input 1x28x28`, `input left 1x28x28`."""
        label = call.positional[0] if call.positional else None
        if isinstance(label, Name) and label.text not in frame.scope.values:
            self._declare(Identifier(label.text, label.span), frame)
            call, name = replace(call, positional=call.positional[1:]), label.text
        inputs = [node for node in self.nodes if isinstance(node.layer, Input)]
        if frame.uses or (self.nodes and not inputs) or (inputs and name is None):
            self.report(_misplaced_input(call, inputs, bool(frame.uses)), frame)
            return current
        full = frame.names.unique(name or call.keyword.text)
        node = self._layer(Input, call, frame, (), full)
        if name and node is not None:
            frame.values[name] = node
        return node

    def _use(self, call: LayerCall, frame: _Frame, current: Current, name: str | None) -> Current:
        """Expand one use of a block."""
        block = self.table.blocks[call.keyword.text]
        instance = frame.names.unique(name) if name else frame.names.made(call.keyword.text)
        values, faults = bind_parameters(block, call, frame.scope)
        if call.body is not None:
            self.report(_no_body(call), frame)
        for fault in faults:
            self.report(fault, frame)
        (start,) = self._feed(call, frame, current)
        if values is None:
            return self._unknown()
        inner = _Frame(
            names=frame.names.inner(instance, block.body),
            scope=Scope(values),
            uses=(*frame.uses, UseSite(block.name.text, call.span, instance)),
            first=len(self.nodes),
        )
        inner.names.prefix = f"{instance}."
        return self.body(block.body, inner, start)

    # --- branches ------------------------------------------------------------------------------------------

    def _merge(
        self, kind: type[Layer], call: LayerCall, frame: _Frame, current: Current, name: str
    ) -> Current:
        """`add { branch { ... } branch { ... } }`, `add skip` (with the value before), `concat a b c`."""
        options = replace(call, positional=(), body=None)
        if call.body is None:
            inputs = [self._value(operand, frame) for operand in call.positional]
            if len(inputs) == 1:
                inputs = [*self._feed(call, frame, current), *inputs]
        else:
            inputs = self._branches(call, frame, current)
        if not inputs:
            keyword = call.keyword.text
            message = f"`{keyword}` joins nothing"
            branches = f"{keyword} {{ branch {{ ... }} branch {{ ... }} }}"
            help = f"write `{branches}`, or name a value: `{keyword} skip`"
            self.report(Diagnostic("missing-argument", message, call.keyword.span, help=(help,)), frame)
            return self._unknown()
        return self._layer(kind, options, frame, tuple(inputs), name)

    def _branches(self, call: LayerCall, frame: _Frame, current: Current) -> list[int]:
        assert call.body is not None
        if call.positional:
            message = f"`{call.keyword.text}` joins branches or named values, not both"
            help = f"let it be a branch: `branch {{ from {call.positional[0].span.text} }}`"
            self.report(
                Diagnostic("too-many-arguments", message, call.positional[0].span, help=(help,)), frame
            )
        (start,) = self._feed(call, frame, current)
        branches: list[int] = []
        self.body(call.body, frame.inner(branches=branches), start)
        return branches

    def _branch(self, call: LayerCall, frame: _Frame, current: Current) -> Current:
        if frame.branches is None or call.body is None:
            inside = "stands inside `add`, `concat`, `multiply` or `mean`"
            message = (
                f"`branch` {inside}" if frame.branches is None else "`branch` needs a body: `branch { ... }`"
            )
            self.report(Diagnostic("misplaced-layer", message, call.keyword.span), frame)
            if frame.branches is not None:
                frame.branches.append(self._unknown())
            return current
        if call.positional or call.named:
            message = "`branch` takes no arguments"
            span = call.positional[0].span if call.positional else call.named[0].name.span
            help = "write `branch { ... }`"
            self.report(Diagnostic("too-many-arguments", message, span, help=(help,)), frame)
        end = self.body(call.body, frame.inner(branches=None), current)
        frame.branches.append(UNKNOWN if end is None else end)
        return current

    def _value(self, operand: Expression, frame: _Frame) -> int:
        """The node that a name stands for."""
        if not isinstance(operand, Name):
            message = f"`{operand.span.text}` is no name of a value"
            help = "name a value first: `skip = conv 64 3x3`"
            self.report(Diagnostic("wrong-operand", message, operand.span, help=(help,)), frame)
            return UNKNOWN
        if operand.text in frame.values:
            return frame.values[operand.text]
        full = frame.names.prefix + operand.text
        made = {node.name: index for index, node in enumerate(self.nodes)}
        if full in made:
            return made[full]
        if operand.text not in frame.names.reserved or not self.broken:
            self.report(_unknown_value(operand, frame), frame)
        self.broken = True
        return UNKNOWN

    # --- parts ---------------------------------------------------------------------------------------------

    def _unknown(self) -> int:
        self.broken = True
        return UNKNOWN

    def _declare(self, name: Identifier, frame: _Frame) -> None:
        if name.text in frame.given:
            first = Label(frame.given[name.text], "first given here")
            message = f"the name `{name.text}` is given twice"
            self.report(Diagnostic("name-given-twice", message, name.span, labels=(first,)), frame)
        frame.given.setdefault(name.text, name.span)

    def _claim(self, expression: Expression, frame: _Frame, current: Current) -> None:
        try:
            shape = sample_shape(evaluate(expression, frame.scope))
        except EvaluationError as error:
            self._report_all(error, frame)
        except OptionError as error:
            message = f"a claimed shape {error.message}"
            self.report(Diagnostic("wrong-value", message, expression.span), frame)
        else:
            if current is not None and current != UNKNOWN:
                self.claims.append(Claim(current, shape, expression.span, frame.uses))

    def _expect(self, expect: Expect, frame: _Frame, current: Current) -> None:
        self.expectations.append(
            Expectation(
                condition=expect.condition,
                values={**frame.scope.values, **self._layer_names(frame)},
                prefix=frame.names.prefix,
                nodes=range(frame.first, len(self.nodes)),
                output=UNKNOWN if current is None else current,
                uses=frame.uses,
            )
        )

    def _layer_names(self, frame: _Frame) -> dict[str, Value]:
        """The named values, as the names of the layers that give them."""
        known = {name: node for name, node in frame.values.items() if node != UNKNOWN}
        return {name: Symbol(self.nodes[node].name) for name, node in known.items()}

    def _report_all(self, error: EvaluationError, frame: _Frame) -> None:
        self.broken = True
        for finding in error.findings:
            self.report(finding, frame)

    def _missing_input(self, span: Span | None) -> Diagnostic:
        help = ("begin with the shape of one sample: `input 1x28x28`",)
        if span is not None:
            return Diagnostic("missing-input", "this layer comes before the input", span, help=help)
        message = f"network `{self.network.name.text}` has no input"
        return Diagnostic("missing-input", message, self.network.name.span, help=help)


# --- the words for what goes wrong ------------------------------------------------------------------------


def unknown_layer(keyword: Identifier, table: BlockTable) -> Diagnostic:
    """The report for a keyword that names neither a layer kind nor a block."""
    known = [*kinds(), *table.blocks, *STRUCTURE]
    help = did_you_mean(keyword.text, known)
    if not help:
        help = ("`cnnspec explain --list` names every layer",)
    return Diagnostic("unknown-layer", f"there is no layer `{keyword.text}`", keyword.span, help=help)


def _unknown_value(operand: Name, frame: _Frame) -> Diagnostic:
    help = did_you_mean(operand.text, frame.values) or (
        ("values that have a name here: " + ", ".join(f"`{name}`" for name in frame.values),)
        if frame.values
        else ("name a value first: `skip = conv 64 3x3`",)
    )
    return Diagnostic("unknown-value", f"there is no value `{operand.text}`", operand.span, help=help)


def _misplaced_input(call: LayerCall, inputs: list[Node], in_block: bool) -> Diagnostic:
    labels = tuple(Label(node.origin.layer, "an input is declared here") for node in inputs[:1])
    message, help = "the input comes before every layer", "put it first"
    if in_block:
        message, help = "an input stands in the network, not in a block", "move it into the network"
    elif inputs:
        message, help = "a second input needs a name", "name it: `input left 1x28x28`"
    return Diagnostic("misplaced-input", message, call.span, labels=labels, help=(help,))


def _no_body(call: LayerCall) -> Diagnostic:
    assert call.body is not None
    message = f"`{call.keyword.text}` takes no `{{ ... }}`"
    span = call.body.span.source.span(call.body.span.start, call.body.span.start + 1)
    return Diagnostic(
        "unexpected-body", message, span, help=("only `add`, `concat` and their like have branches",)
    )


def _too_many_layers(span: Span) -> Diagnostic:
    message = f"the network has more than {MAX_LAYERS} layers"
    return Diagnostic("too-many-layers", message, span, notes=("limit `MAX_LAYERS`",))


def _too_many_rounds(repeat: Repeat) -> Diagnostic:
    message = f"`repeat` goes over the limit of {MAX_REPEAT} rounds"
    return Diagnostic("too-many-rounds", message, repeat.last.span, notes=("limit `MAX_REPEAT`",))
