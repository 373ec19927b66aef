"""The network as a graph, and the tables of facts beside it. All of it immutable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnspec.language.record import field, record
from cnnspec.layers import product

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from fractions import Fraction

    from cnnspec.language.source import Span
    from cnnspec.language.syntax import Chain, Expression
    from cnnspec.layers import Layer, Shape, Weight
    from cnnspec.layers.options import Value
    from cnnspec.network.evaluate import Unknown


@record
class UseSite:
    """A place where a block is used. `name` is that of the use; names of the layers within begin with it.

    `arguments` are the values that the block's parameters have there.
    """

    block: str
    span: Span
    name: str
    arguments: Mapping[str, Value | Unknown] = field(default_factory=dict, repr=False)

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


Interval = tuple[int, int]
"""The first position of a field, and the one behind its last."""


@record
class Way:
    """Fields that return: unit `u + len(pattern)` sees what unit `u` sees, `len(pattern) * jump` further on.

    The pattern says what each of its units sees, `None` where that is nothing.
    """

    jump: int | Fraction
    pattern: tuple[Interval | None, ...]

    def seen(self, unit: int) -> Interval | None:
        """What a unit sees; any whole number is one, also beyond the edges of a map."""
        cycle, phase = divmod(unit, len(self.pattern))
        interval, shift = self.pattern[phase], int(cycle * len(self.pattern) * self.jump)
        return (interval[0] + shift, interval[1] + shift) if interval else None


@record
class AxisField:
    """The receptive field of a layer's units along one axis of the input, in input positions.

    What a unit sees reaches into the padding and over the edges, as though every map before it went on there
    as it began. The numbers are those of the units that the layer has, and of no others.

    Where all units see alike, unit `u` sees `size` positions from `start + u * jump` on. Where it depends on
    the position, `ways` tell what each unit sees. One way repeats a pattern, behind a transposed convolution,
    say; several of them, each with a jump of its own, were joined, and a unit sees from the first position
    of any of them to the last.

    Attributes:
        size: positions from the first to the last that a unit sees; where it varies the most that one of the
            layer's units sees.
        jump: distance between the fields of neighbouring units, the effective stride; in a pattern the mean
            distance, which may be a fraction; where ways jump differently the shortest, but for 0.
        start: the first position that unit 0 sees, or the first unit that sees any; negative inside the
            padding.
        varies: whether units see differently many positions, so that `size` is the largest.
        ways: empty where all units see alike.
    """

    size: int
    jump: int | Fraction
    start: int
    varies: bool = field(default_factory=bool, repr=False)
    ways: tuple[Way, ...] = field(default_factory=tuple, repr=False)

    def seen(self, unit: int) -> Interval | None:
        """The first position that a unit sees and the one behind the last, or nothing."""
        if not self.ways:
            start = int(self.start + unit * self.jump)
            return start, start + self.size
        return hull([way.seen(unit) for way in self.ways])

    @property
    def centre(self) -> float:
        """The middle of unit 0's field, in input positions."""
        start, stop = self.seen(0) or (self.start, self.start + self.size)
        return (start + stop - 1) / 2


def hull(intervals: Sequence[Interval | None]) -> Interval | None:
    """From the first position in any of them to the last, or nothing."""
    known = [interval for interval in intervals if interval is not None]
    return (min(start for start, _ in known), max(stop for _, stop in known)) if known else None


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
