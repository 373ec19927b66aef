"""What a table of layers can show beside its usual columns, and blocks folded into one row each.

`cnnspec check --columns name,output,params --depth 1`. Bytes are those of float32.

The arithmetic intensity of a layer is its MACs for each byte of weights, inputs and outputs, every array
counted once for one input: the operational intensity of Williams, Waterman & Patterson 2009, with MACs where
they count floating-point operations.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

from cnnspec.language.diagnostics import did_you_mean
from cnnspec.language.record import record
from cnnspec.layers import product, show
from cnnspec.network.graph import FLOAT_BYTES
from cnnspec.network.table import Column, field_text, origins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cnnspec.network.graph import Facts, Graph, LayerFacts, Node, Totals
    from cnnspec.network.table import Row

Cell = str | int | float | None
"""A value of a cell, nothing where the column does not apply."""


@record
class Entry:
    """A row: a layer, or a block's use with all layers of it. Counts are sums over its layers.

    Attributes:
        name: the name of the layer or of the block's use.
        kind: the keyword.
        written: the layer or the use as it is written.
        line: where.
        parts: the layers, as nodes with their facts.
        source: the facts of the network's input that it is made from.
    """

    name: str
    kind: str
    written: str
    line: int
    parts: tuple[tuple[Node, LayerFacts], ...]
    source: LayerFacts | None

    @property
    def last(self) -> LayerFacts:
        """The facts of the last layer: its output is that of a block."""
        return self.parts[-1][1]

    @property
    def known(self) -> bool:
        """Whether the shapes of all layers are known."""
        return all(facts.shape is not None for _, facts in self.parts)

    def total(self, count: Callable[[LayerFacts], int]) -> int:
        """A sum over the layers."""
        return sum(count(facts) for _, facts in self.parts)

    def role(self, role: str) -> int:
        """Elements of the weights of one role."""
        return self.total(lambda facts: sum(w.size for w in facts.weights if w.role == role))

    @property
    def has_weights(self) -> bool:
        """Whether a layer has weights."""
        return any(facts.weights for _, facts in self.parts)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one input."""
        return self.total(lambda facts: facts.macs)

    @property
    def params(self) -> int:
        """The number of parameters."""
        return self.total(lambda facts: facts.params)

    @property
    def activation_bytes(self) -> int:
        """Bytes of all outputs of one input."""
        return FLOAT_BYTES * self.total(lambda facts: product(facts.shape) if facts.shape else 0)

    @property
    def weight_bytes(self) -> int:
        """Bytes of all parameters, and of the state that layers keep."""
        return FLOAT_BYTES * self.total(lambda facts: sum(w.size for w in facts.weights))

    @property
    def touched_bytes(self) -> int:
        """Bytes of weights, inputs and outputs, each counted once for every layer that touches it."""
        inputs = FLOAT_BYTES * self.total(lambda facts: sum(map(product, facts.input_shapes)))
        return self.weight_bytes + inputs + self.activation_bytes


@record
class Choice:
    """A column that can be asked for: its name on the command line, its heading, and its cells."""

    name: str
    column: Column
    help: str
    cell: Callable[[Entry, Totals], Cell]


def entries(graph: Graph, facts: Facts, depth: int | None = None) -> list[Entry]:
    """The rows of a table: every layer, or with `depth` the uses of blocks folded below that level.

    At depth 1 each use of a block in the network is one row; at depth 2 those are open and the uses of blocks
    within them are one row each.
    """
    sources = origins(graph, facts)
    pairs = list(enumerate(zip(graph.nodes, facts.layers, strict=True)))

    def fold(pair: tuple[int, tuple[Node, LayerFacts]]) -> object:
        number, (node, _) = pair
        uses = node.origin.uses
        return number if depth is None or len(uses) < depth else uses[depth - 1].name

    return [
        _entry([part for _, part in rows], key, depth, sources[rows[-1][0]])
        for key, rows in ((key, list(group)) for key, group in groupby(pairs, fold))
    ]


def _entry(
    given: Sequence[tuple[Node, LayerFacts]], key: object, depth: int | None, source: LayerFacts | None
) -> Entry:
    parts = tuple(given)
    node = parts[0][0]
    if depth is None or not isinstance(key, str):
        return Entry(
            node.name,
            node.layer.keyword,
            node.layer.written(),
            node.origin.keyword.line,
            parts,
            source,
        )
    use = node.origin.uses[depth - 1]
    written = " ".join(use.span.text.split())
    return Entry(use.name, use.block, written, use.span.line, parts, source)


def _share(part: int, whole: int) -> float | None:
    """A part of the whole, in percent."""
    return 100 * part / whole if part and whole else None


def _axes(entry: Entry, name: str) -> str | None:
    """A number of the receptive field, along all axes or along each."""
    numbers = [str(getattr(axis, name)) for axis in entry.last.receptive_field or ()]
    if not numbers:
        return None
    return numbers[0] if len(set(numbers)) == 1 else ", ".join(numbers)


def _output(entry: Entry, totals: Totals) -> Cell:
    return show(entry.last.shape) if entry.last.shape is not None else "?"


def _input(entry: Entry, totals: Totals) -> Cell:
    return ", ".join(map(show, entry.parts[0][1].input_shapes)) or None


def _intensity(entry: Entry, totals: Totals) -> Cell:
    return entry.macs / entry.touched_bytes if entry.macs else None


def _number(title: str) -> Column:
    return Column(title, "right")


CHOICES: Final = (
    Choice("name", Column("layer"), "name of the layer", lambda e, t: e.name),
    Choice("what", Column("what it is", wide=True), "the layer as it is written", lambda e, t: e.written),
    Choice("kind", Column("kind"), "keyword of the layer or block", lambda e, t: e.kind),
    Choice("line", _number("line"), "line on which it is written", lambda e, t: e.line),
    Choice("input", _number("input"), "shapes of the inputs", _input),
    Choice("output", _number("output"), "shape of the output", _output),
    Choice(
        "weights",
        _number("weights + biases"),
        "parameters of the two kinds",
        lambda e, t: f"{e.role('weight'):,} + {e.role('bias'):,}" if e.has_weights else None,
    ),
    Choice("params", _number("params"), "parameters", lambda e, t: e.params if e.has_weights else None),
    Choice(
        "params%", _number("of params"), "share in all parameters", lambda e, t: _share(e.params, t.params)
    ),
    Choice(
        "trainable",
        _number("trainable"),
        "parameters that training changes",
        lambda e, t: e.total(lambda f: f.trainable_params) if e.has_weights else None,
    ),
    Choice("macs", _number("MACs"), "multiply-accumulates of an input", lambda e, t: e.macs or None),
    Choice("macs%", _number("of MACs"), "share in all MACs", lambda e, t: _share(e.macs, t.macs)),
    Choice("flops", _number("FLOPs"), "2 for each MAC", lambda e, t: 2 * e.macs or None),
    Choice(
        "field",
        _number("receptive field"),
        "size of the receptive field; `all` where it holds the whole input",
        lambda e, t: field_text(e.last, e.source) if e.source else None,
    ),
    Choice(
        "jump", _number("jump"), "input positions between neighbouring units", lambda e, t: _axes(e, "jump")
    ),
    Choice("start", _number("start"), "first position that unit 0 sees", lambda e, t: _axes(e, "start")),
    Choice("centre", _number("centre"), "middle of what unit 0 sees", lambda e, t: _axes(e, "centre")),
    Choice(
        "activations",
        _number("activation bytes"),
        "bytes of the outputs of one input, in float32",
        lambda e, t: e.activation_bytes,
    ),
    Choice(
        "weight_bytes",
        _number("weight bytes"),
        "bytes of weights and state, in float32",
        lambda e, t: e.weight_bytes or None,
    ),
    Choice(
        "intensity",
        _number("MACs a byte"),
        "MACs for each byte of weights, inputs and outputs",
        _intensity,
    ),
)
USUAL: Final = ("name", "what", "output", "weights", "params", "macs", "field")
"""The columns of the table, unless others are chosen."""


def choose(names: str) -> tuple[Choice, ...]:
    """The columns that a list such as `name,output,params` asks for.

    Raises:
        ValueError: there is no such column; the text suggests one, or lists all.
    """
    known = {choice.name: choice for choice in CHOICES}
    wanted = [name.strip() for name in names.split(",")]
    for name in wanted:
        if name not in known:
            close = "; ".join(did_you_mean(name, known)) or f"the columns are {', '.join(known)}"
            raise ValueError(f"there is no column `{name}`\nhelp: {close}")
    return tuple(known[name] for name in wanted)


def cells(choices: Sequence[Choice], rows: Sequence[Entry], totals: Totals) -> Iterator[tuple[Cell, ...]]:
    """The values of every row."""
    for entry in rows:
        yield tuple(choice.cell(entry, totals) for choice in choices)


def texts(choices: Sequence[Choice], rows: Sequence[Entry], totals: Totals) -> list[Row]:
    """The cells as people read them: thousands set apart, shares in percent."""
    return [
        tuple(_text(choice, value) for choice, value in zip(choices, values, strict=True))
        for values in cells(choices, rows, totals)
    ]


def _text(choice: Choice, value: Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.1f} %" if choice.name.endswith("%") else f"{value:.2f}"
    if isinstance(value, int) and choice.name != "line":
        return f"{value:,}"
    return str(value)
