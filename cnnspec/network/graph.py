"""The network as a graph, and the tables of facts beside it. All of it immutable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnspec.language.record import field, record
from cnnspec.layers import product

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction

    from cnnspec.language.source import Span
    from cnnspec.language.syntax import Chain, Expression
    from cnnspec.layers import Layer, Shape, Weight
    from cnnspec.layers.options import Value
    from cnnspec.network.evaluate import Unknown


@record
class UseSite:
    """A place where a block is used. `name` is that of the use; names of the layers within begin with it."""

    block: str
    span: Span
    name: str

    def note(self) -> str:
        """How messages name it."""
        return f"in `{self.block}`, used on line {self.span.line} of {self.span.source.name}"


@record
class Origin:
    """Where a node was written: its keyword with its arguments, and each argument that was given.

    `arguments` maps the name of an option to the place of its value, and `uses` are the uses of blocks that
    it was expanded from, the outermost first. Nothing has a default, so that nobody can drop it.
    """

    keyword: Span
    layer: Span
    arguments: Mapping[str, Span]
    uses: tuple[UseSite, ...]

    def place(self, option: str | None) -> Span:
        """Where an option was written; the keyword where it was left to its default."""
        if option is None:
            return self.keyword
        return self.arguments.get(option, self.keyword)


@record
class Node:
    """One use of a layer. `inputs` are indices of earlier nodes; the name is unique and stable."""

    name: str
    layer: Layer
    inputs: tuple[int, ...]
    origin: Origin


@record
class Claim:
    """A shape that the file states for a node's output."""

    node: int
    shape: Shape
    span: Span
    uses: tuple[UseSite, ...]


@record
class Expectation:
    """A condition that the file puts on a network or on each use of a block, judged by the facts.

    Attributes:
        condition: what must hold.
        values: the names that have a value where it stands.
        prefix: what the names of the layers around it begin with.
        nodes: the nodes of the network or of the block's use.
        output: the node at their end.
        uses: the uses of blocks that led there.
    """

    condition: Expression
    values: Mapping[str, Value | Unknown]
    prefix: str
    nodes: range
    output: int
    uses: tuple[UseSite, ...]


@record
class Graph:
    """A network: its nodes in an order in which every node follows its inputs."""

    name: str
    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    claims: tuple[Claim, ...]
    expectations: tuple[Expectation, ...]
    span: Span
    ends: tuple[tuple[Chain, int], ...] = field(default_factory=tuple, repr=False)
    """The statements of the network that were walked, and the node at the end of each."""
    parameters: Mapping[str, Value | Unknown] = field(default_factory=dict)
    """The parameters of the network with their values."""

    def consumers(self) -> tuple[tuple[int, ...], ...]:
        """For each node the nodes that read its output, in order."""
        readers: list[list[int]] = [[] for _ in self.nodes]
        for index, node in enumerate(self.nodes):
            for source in node.inputs:
                readers[source].append(index)
        return tuple(map(tuple, readers))

    def sources(self) -> tuple[int, ...]:
        """The nodes that are inputs of the network."""
        return tuple(index for index, node in enumerate(self.nodes) if not node.inputs)


@record
class AxisField:
    """The receptive field of a unit along one axis of the input, in input positions.

    Attributes:
        size: positions from the first to the last that it sees; the most that any unit sees.
        jump: distance between the fields of neighbouring units, the effective stride; the mean distance
            where it varies, which may be a fraction.
        start: the first position that unit 0 sees; negative inside the padding.
        pattern: where fields vary from unit to unit (behind a transposed convolution, say): for each unit
            of a period the first position that it sees and the one behind the last, or nothing.
    """

    size: int
    jump: int | Fraction
    start: int
    pattern: tuple[tuple[int, int] | None, ...] = field(default_factory=tuple, repr=False)

    @property
    def varies(self) -> bool:
        """Whether units see differently many positions, so that `size` is the largest."""
        return len({stop - start for start, stop in (field or (0, 0) for field in self.pattern)}) > 1

    @property
    def centre(self) -> float:
        """The middle of unit 0's field, in input positions."""
        start, stop = (self.pattern and self.pattern[0]) or (self.start, self.start + self.size)
        return (start + stop - 1) / 2


ReceptiveField = tuple[AxisField, ...]
"""One `AxisField` for each spatial axis of the input; empty where the input has none."""


@record
class LayerFacts:
    """What is known of one node. Without a shape where an error before it leaves it unknown."""

    input_shapes: tuple[Shape, ...] = ()
    shape: Shape | None = None
    weights: tuple[Weight, ...] = ()
    macs: int = 0
    receptive_field: ReceptiveField | None = None

    @property
    def params(self) -> int:
        """The number of parameters. State that a layer keeps itself is not counted."""
        return sum(weight.size for weight in self.weights if weight.role != "state")

    @property
    def trainable_params(self) -> int:
        """The number of parameters that training changes."""
        return sum(weight.size for weight in self.weights if weight.learned)


FLOAT_BYTES = 4
"""Bytes of a float32, the type of every array."""


@record
class Totals:
    """Sums over the layers.

    `activation_bytes` are those of every output of one sample, `weight_bytes` of all parameters and of the
    state that layers keep, in float32.
    """

    params: int
    trainable_params: int
    macs: int
    activation_bytes: int
    weight_bytes: int


@record
class Facts:
    """The facts of a graph, one entry a node."""

    layers: tuple[LayerFacts, ...] = field(default_factory=tuple)

    def totals(self) -> Totals:
        """Sums over the layers."""
        params = sum(layer.params for layer in self.layers)
        elements = sum(product(layer.shape) for layer in self.layers if layer.shape)
        return Totals(
            params=params,
            trainable_params=sum(layer.trainable_params for layer in self.layers),
            macs=sum(layer.macs for layer in self.layers),
            activation_bytes=elements * FLOAT_BYTES,
            weight_bytes=sum(w.size for layer in self.layers for w in layer.weights) * FLOAT_BYTES,
        )

    def shape(self, node: int) -> Shape:
        """The output shape of a node of a network that was checked."""
        shape = self.layers[node].shape
        assert shape is not None, "facts of an unchecked network"
        return shape
