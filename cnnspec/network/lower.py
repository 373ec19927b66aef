"""Syntax tree to graph: every layer call becomes a node with its options checked; shapes come later.

Where something cannot be lowered it is reported, and what follows from it stays silent: its value is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, assert_never

from cnnspec.language.diagnostics import Diagnostic, Label, did_you_mean
from cnnspec.language.syntax import Broken, Chain, Expect, Expression, Identifier, LayerCall, Network
from cnnspec.layers import Layer, kinds
from cnnspec.layers.declaration import OptionError
from cnnspec.layers.options import sample_shape
from cnnspec.layers.shapes import Input
from cnnspec.network.bind import bind
from cnnspec.network.evaluate import EvaluationError, Scope, evaluate
from cnnspec.network.graph import Claim, Expectation, Graph, Node, Origin

if TYPE_CHECKING:
    from cnnspec.language.source import Span

UNKNOWN: Final = -1
"""The input of a node whose value could not be lowered."""


@dataclass(frozen=True)
class Lowered:
    """A graph, as much of it as could be made, and the faults."""

    graph: Graph
    faults: tuple[Diagnostic, ...]


def lower(network: Network) -> Lowered:
    """Turn the statements of a network into nodes."""
    lowering = _Lowering(network)
    for statement in network.statements:
        match statement:
            case Chain():
                lowering.chain(statement)
            case Expect(condition=condition, span=span):
                lowering.expectations.append(Expectation(condition, span))
            case Broken():
                lowering.current = UNKNOWN
                lowering.broken = True
            case _:
                assert_never(statement)
    return lowering.finish()


@dataclass
class _Lowering:
    """What is known while the statements are walked in order."""

    network: Network
    nodes: list[Node] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    expectations: list[Expectation] = field(default_factory=list)
    faults: list[Diagnostic] = field(default_factory=list)
    current: int | None = None
    broken: bool = False

    def __post_init__(self) -> None:
        self.scope = Scope()
        self.given: dict[str, Span] = {}
        self.counts: dict[str, int] = {}
        chains = [statement for statement in self.network.statements if isinstance(statement, Chain)]
        self.reserved = {chain.name.text for chain in chains if chain.name}

    def chain(self, chain: Chain) -> None:
        """Lower the layers of a chain, each on the value before it."""
        for position, call in enumerate(chain.layers):
            name = chain.name.text if chain.name else None
            if chain.name and position == 0:
                self._declare(chain.name)
            if name is not None and position > 0:
                name = f"{name}.{call.keyword.text}"
            self._layer(call, name)
        if chain.claim is not None:
            self._claim(chain.claim)

    def finish(self) -> Lowered:
        """The graph of all nodes."""
        if not any(isinstance(node.layer, Input) for node in self.nodes) and not self.broken:
            self._missing_input()
        outputs = (self.current,) if self.current is not None and self.current != UNKNOWN else ()
        graph = Graph(
            name=self.network.name.text,
            nodes=tuple(self.nodes),
            outputs=outputs,
            claims=tuple(self.claims),
            expectations=tuple(self.expectations),
            span=self.network.name.span,
        )
        return Lowered(graph, tuple(self.faults))

    def _layer(self, call: LayerCall, name: str | None) -> None:
        kind = kinds().get(call.keyword.text)
        if kind is None:
            self.faults.append(unknown_layer(call.keyword))
            self._name(call.keyword.text)
            self.current, self.broken = UNKNOWN, True
            return
        name = self._unique(name) if name else self._name(call.keyword.text)
        bound = bind(kind, call, self.scope)
        self.faults += bound.faults
        if bound.declaration is None:
            self.current, self.broken = UNKNOWN, True
            return
        inputs = self._inputs(bound.declaration, call)
        if inputs is None:
            return
        origin = Origin(call.keyword.span, call.span, bound.arguments)
        self.nodes.append(Node(name, bound.declaration, inputs, origin))
        self.current = len(self.nodes) - 1

    def _inputs(self, layer: Layer, call: LayerCall) -> tuple[int, ...] | None:
        if layer.arity == 0:
            if self.nodes:
                self.faults.append(self._second_input(call))
                return None
            return ()
        if self.current is None:
            if not self.broken:
                self._missing_input(call.keyword.span)
            self.current, self.broken = UNKNOWN, True
        assert self.current is not None
        return (self.current,)

    def _name(self, keyword: str) -> str:
        """`conv1`, `conv2`, ...: the keyword counted, passing over the names that are given in the file."""
        if keyword == Input.keyword:
            return self._unique(keyword)
        while True:
            self.counts[keyword] = self.counts.get(keyword, 0) + 1
            name = f"{keyword}{self.counts[keyword]}"
            if name not in self.reserved:
                return name

    def _unique(self, name: str) -> str:
        """A name of a chain's later layer, counted from the second of its kind on."""
        taken = {node.name for node in self.nodes}
        if name not in taken:
            return name
        count = next(n for n in range(2, len(self.nodes) + 3) if f"{name}{n}" not in taken)
        return f"{name}{count}"

    def _declare(self, name: Identifier) -> None:
        if name.text in self.given:
            first = Label(self.given[name.text], "first given here")
            message = f"the name `{name.text}` is given twice"
            self.faults.append(Diagnostic("name-given-twice", message, name.span, labels=(first,)))
        self.given.setdefault(name.text, name.span)

    def _claim(self, expression: Expression) -> None:
        try:
            shape = sample_shape(evaluate(expression, self.scope))
        except EvaluationError as error:
            self.faults += error.findings
        except OptionError as error:
            message = f"a claimed shape {error.message}"
            self.faults.append(Diagnostic("wrong-value", message, expression.span))
        else:
            if self.current is not None and self.current != UNKNOWN:
                self.claims.append(Claim(self.current, shape, expression.span))

    def _missing_input(self, span: Span | None = None) -> None:
        help = ("begin with the shape of one sample: `input 1x28x28`",)
        self.broken = True
        message = f"network `{self.network.name.text}` has no input"
        if span is not None:
            message = "this layer comes before the input"
        self.faults.append(Diagnostic("missing-input", message, span or self.network.name.span, help=help))

    def _second_input(self, call: LayerCall) -> Diagnostic:
        first = next((node.origin.layer for node in self.nodes if isinstance(node.layer, Input)), None)
        labels = (Label(first, "the input is declared here"),) if first else ()
        message = "the input comes first, and only once"
        return Diagnostic("misplaced-input", message, call.span, labels=labels)


def unknown_layer(keyword: Identifier) -> Diagnostic:
    """The report for a keyword that names no layer kind."""
    help = did_you_mean(keyword.text, kinds())
    if not help:
        help = ("the layers are " + ", ".join(f"`{name}`" for name in sorted(kinds())),)
    return Diagnostic("unknown-layer", f"there is no layer `{keyword.text}`", keyword.span, help=help)
