"""The graph under construction: nodes, claims, expectations and faults are put together here.

`lower.py` walks the statements and calls these parts in order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cnnspec.language.diagnostics import Diagnostic, Label
from cnnspec.language.record import field, record, replace, state
from cnnspec.language.syntax import (
    Chain,
    Expect,
    Expression,
    Identifier,
    LayerCall,
    Name,
    Network,
)
from cnnspec.layers import Layer
from cnnspec.layers.declaration import OptionError
from cnnspec.layers.options import Symbol, Value, sample_shape
from cnnspec.layers.shapes import Input
from cnnspec.network.bind import bind
from cnnspec.network.blocks import BlockTable
from cnnspec.network.evaluate import EvaluationError, Scope, Unknown, evaluate
from cnnspec.network.graph import Claim, Expectation, Graph, Node, Origin, UseSite
from cnnspec.network.misuse import unknown_value
from cnnspec.network.names import Names

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


@state
class Frame:
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

    def inner(self, **changes: object) -> Frame:
        """A frame within this one, which sees its values."""
        return replace(self, **{"values": dict(self.values), "given": {}, **changes})


@state
class Assembly:
    """The graph as far as it is built, and what is wrong so far."""

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

    def report(self, fault: Diagnostic, frame: Frame) -> None:
        """Keep a fault, once for each place however often the block is used, with the uses that led there."""
        key = (fault.code, fault.span, fault.message)
        if key not in self.faults:
            self.faults[key] = fault.with_notes(*(use.note() for use in reversed(frame.uses)))

    def finish(self, current: Current) -> Lowered:
        """The graph of all nodes."""
        if not any(isinstance(node.layer, Input) for node in self.nodes) and not self.broken:
            self.report(self._missing_input(None), Frame(Names("", frozenset(), {}), Scope()))
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

    def unknown(self) -> int:
        """The value of what could not be lowered; its fault is reported already."""
        self.broken = True
        return UNKNOWN

    def report_all(self, error: EvaluationError, frame: Frame) -> None:
        """Keep the findings of an expression without a value."""
        self.broken = True
        for finding in error.findings:
            self.report(finding, frame)

    def declare(self, name: Identifier, frame: Frame) -> None:
        """Note that a name is given here, and report a second time."""
        if name.text in frame.given:
            first = Label(frame.given[name.text], "first given here")
            message = f"the name `{name.text}` is given twice"
            self.report(Diagnostic("name-given-twice", message, name.span, labels=(first,)), frame)
        frame.given.setdefault(name.text, name.span)

    def feed(self, call: LayerCall, frame: Frame, current: Current) -> tuple[int, ...]:
        """The value before a layer, as its input."""
        if current is not None:
            return (current,)
        if not self.broken:
            self.report(self._missing_input(call.keyword.span), frame)
        self.broken = True
        return (UNKNOWN,)

    def layer(
        self, kind: type[Layer], call: LayerCall, frame: Frame, inputs: tuple[int, ...], name: str
    ) -> Current:
        """Bind the options of a layer and add its node."""
        bound = bind(kind, call, frame.scope)
        for fault in bound.faults:
            self.report(fault, frame)
        if bound.declaration is None:
            return self.unknown()
        origin = Origin(call.keyword.span, call.span, bound.arguments, frame.uses)
        self.nodes.append(Node(name, bound.declaration, inputs, origin))
        return len(self.nodes) - 1

    def value(self, operand: Expression, frame: Frame) -> int:
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
            self.report(unknown_value(operand, frame), frame)
        self.broken = True
        return UNKNOWN

    def add_outputs(self, call: LayerCall, ends: list[int], frame: Frame) -> None:
        """Make values outputs of the network, each once."""
        for operand, end in zip(call.positional, ends, strict=True):
            if end == UNKNOWN or end not in self.outputs:
                self.outputs.append(end)
                continue
            message = f"`{operand.span.text}` is an output already"
            self.report(Diagnostic("given-twice", message, operand.span, help=("name it once",)), frame)

    def claim(self, expression: Expression, frame: Frame, current: Current) -> None:
        """Keep a claim for the value before it."""
        try:
            shape = sample_shape(evaluate(expression, frame.scope))
        except EvaluationError as error:
            self.report_all(error, frame)
        except OptionError as error:
            message = f"a claimed shape {error.message}"
            self.report(Diagnostic("wrong-value", message, expression.span), frame)
        else:
            if current is not None and current != UNKNOWN:
                self.claims.append(Claim(current, shape, expression.span, frame.uses))

    def expect(self, expect: Expect, frame: Frame, current: Current) -> None:
        """Keep an expectation with all that its condition may name."""
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

    def _layer_names(self, frame: Frame) -> dict[str, Value]:
        """The named values, as the names of the layers that give them."""
        known = {name: node for name, node in frame.values.items() if node != UNKNOWN}
        return {name: Symbol(self.nodes[node].name) for name, node in known.items()}

    def _missing_input(self, span: Span | None) -> Diagnostic:
        help = ("begin with the shape of one sample: `input 1x28x28`",)
        if span is not None:
            return Diagnostic("missing-input", "this layer comes before the input", span, help=help)
        message = f"network `{self.network.name.text}` has no input"
        return Diagnostic("missing-input", message, self.network.name.span, help=help)
