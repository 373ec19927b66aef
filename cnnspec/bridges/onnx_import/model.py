"""A whole ONNX model as the layers of a spec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from cnnspec.bridges.onnx_import.folding import folded
from cnnspec.bridges.onnx_import.layout import Straight, straightened
from cnnspec.bridges.onnx_import.nodes import Cannot, OnnxGraph, OnnxNode, read_graph
from cnnspec.bridges.onnx_import.operators import READERS
from cnnspec.bridges.onnx_import.patterns import PATTERNS, inner_values
from cnnspec.bridges.onnx_import.rewriting import direct, signals
from cnnspec.bridges.onnx_import.table import At, Made
from cnnspec.bridges.onnx_import.versions import REFUSED, alive, in_one_version, opset_of
from cnnspec.bridges.source.names import camel
from cnnspec.bridges.spec import Item, Items
from cnnspec.language.diagnostics import Diagnostic
from cnnspec.language.errors import SpecError
from cnnspec.layers import LayerError, Shape, product
from cnnspec.layers.declaration import OptionError
from cnnspec.layers.dense import Dense, Rbf
from cnnspec.layers.shapes import Flatten, Input

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

OF_SHAPES: Final = ("Shape", "Size", "ConstantOfShape", "Range", "Loop", "If")
"""Operators whose results are no samples."""
PARTS: Final = ("Div", "Neg", "Pow", "Reciprocal", "Sqrt", "Sub")
"""Operators that are parts of layers, which are not found where something before them is unknown."""


def read_model(model: ModelProto, name: str, shape: Shape | None = None) -> Items:
    """The layers of a model, whose first axis is the batch; `name` is what messages call the file.

    `shape` is that of a sample, where the model leaves it open.

    Raises:
        SpecError: some operators have no counterpart, or say what no layer says; all of them are named.
    """
    title = model.graph.name if model.producer_name == "cnnspec" else camel(PurePath(name).stem)
    given = {value.name: _sample(value, shape) for value in model.graph.input}
    known = folded(model, {input: sizes for input, sizes in given.items() if sizes and all(sizes)})
    graph = in_one_version(alive(read_graph(model, known)), known.shapes, opset_of(model))
    return _Reading(_prepared(graph, known.shapes), title, name, shape).run()


def _prepared(graph: OnnxGraph, shapes: Mapping[str, Shape]) -> Straight:
    """A graph with channels first and without detours; one of our own is so already."""
    if graph.own or any(value.name not in shapes for value in graph.inputs):
        return Straight(graph, shapes)
    straight = straightened(direct(graph, shapes), shapes)
    return replace(straight, graph=signals(straight.graph))


class _Reading:
    def __init__(
        self,
        straight: Straight,
        title: str,
        file: str,
        given: Shape | None,
    ) -> None:
        self._graph, self._title, self._file, self._given = straight.graph, title, file, given
        self._sketch, self._turned = straight.shapes, straight.turned
        self._found: dict[str, Made] = {}
        self._items: list[Item] = []
        self._numbers: dict[str, int] = {}
        self._shapes: dict[str, Shape] = {}
        self._unknown: set[str] = set()
        self._faults: list[Diagnostic] = []

    def run(self) -> Items:
        for value in self._graph.inputs:
            self._input(value)
        needed = self._needed()
        self._found = self._patterns(needed)
        inside: set[str] = set()
        for output, made in self._found.items():
            inside |= inner_values(self._graph, self._graph.made_by[output], made)
        for node in self._graph.nodes:
            if node.output in needed and node.output not in inside:
                self._node(node)
        outputs = [name for name in self._graph.outputs if name not in self._unknown]
        if self._faults:
            raise SpecError(self._faults)
        ends = tuple(self._numbers[name] for name in outputs)
        network = Items(self._title, tuple(self._items), ends, self._notes())
        return _without(self._needless(network), network)

    def _notes(self) -> tuple[str, ...]:
        """What a reader of the spec must know of its ends."""
        if not self._turned:
            return ()
        names = ", ".join(f"`{name}`" for name in self._turned)
        return (f"{names}: channels last in the model, channels first here.",)

    def _needless(self, network: Items) -> set[int]:
        """What is flattened for dense layers alone, which flatten by themselves."""
        readers = network.readers()
        return {
            number
            for number, item in enumerate(network.items)
            if isinstance(item.layer, Flatten)
            and number not in network.outputs
            and all(isinstance(network.items[reader].layer, Dense | Rbf) for reader in readers[number])
            and (not self._graph.own or "/" in item.name)
        }

    def _fault(self, message: str, *help: str) -> None:
        self._faults.append(Diagnostic("not-covered", message, None, file=self._file, help=help))

    # --- inputs -----------------------------------------------------------------------------------------

    def _input(self, value: ValueInfoProto) -> None:
        shape = _sample(value, self._given)
        if value.name in self._turned:
            shape = self._sketch[value.name]
        if not shape or any(size < 1 for size in shape):
            self._unknown.add(value.name)
            known = "x".join(str(size) if size > 0 else "?" for size in shape) or "unknown"
            self._fault(
                f"input `{value.name}` is {known}: the model leaves sizes of a sample open",
                "say them: --input 3x224x224",
            )
            return
        self._add(value.name, Made(Input(shape=shape), ()), shape)

    def _add(self, name: str, made: Made, shape: Shape) -> None:
        self._numbers[name] = len(self._items)
        self._shapes[name] = shape
        inputs = tuple(self._numbers[one] for one in made.inputs)
        self._items.append(Item(made.layer, inputs, shape, made.weights, name))

    # --- nodes ------------------------------------------------------------------------------------------

    def _needed(self) -> set[str]:
        """The values on which an output depends; what is computed from shapes alone is none."""
        of_shapes = self._of_shapes()
        if self._graph.own:
            return {node.output for node in self._graph.nodes}
        needed: set[str] = set()
        pending = list(self._graph.outputs)
        while pending:
            name = pending.pop()
            node = self._graph.made_by.get(name)
            if name in needed or node is None or name in of_shapes:
                continue
            needed.add(node.output)
            pending += [one for one in node.inputs if one not in needed]
        return needed

    def _of_shapes(self) -> set[str]:
        found: set[str] = set()
        for node in self._graph.nodes:
            values = [name for name in node.inputs if name and name not in self._graph.constants]
            if node.op in OF_SHAPES or (values and all(name in found for name in values)):
                found.update(node.outputs)
        return found

    def _patterns(self, needed: set[str]) -> dict[str, Made]:
        """The layers that are several operators, by the value that they give."""
        found: dict[str, Made] = {}
        inside: set[str] = set()
        for node in reversed(self._graph.nodes):
            if node.output in needed and node.output not in inside:
                made = self._pattern(node)
                if made is not None:
                    found[node.output] = made
                    inside |= inner_values(self._graph, node, made)
        return found

    def _pattern(self, node: OnnxNode) -> Made | None:
        at = At(self._graph, node, self._sketch)
        for ops, pattern in PATTERNS:
            if node.op in ops:
                try:
                    made = pattern(at)
                except (Cannot, KeyError, OptionError):
                    continue
                if made is not None and self._is_one(node, made):
                    return made
        return None

    def _is_one(self, node: OnnxNode, made: Made) -> bool:
        """Whether a pattern may be one layer: in our own models what a layer makes on the way says so."""
        inner = inner_values(self._graph, node, made)
        return not self._graph.own or all("/" in name for name in inner)

    def _node(self, node: OnnxNode) -> None:
        made = self._made(node)
        if made is None or any(name in self._unknown for name in made.inputs):
            self._unknown.update(node.outputs)
            return
        made = self._as_trained(node, made)
        try:
            shape = made.layer.infer(*(self._shapes[name] for name in made.inputs))
        except LayerError as error:
            self._fault(f"`{node.op}` ({node.place()}) is no `{made.layer.keyword}` here: {error.message}")
            self._unknown.update(node.outputs)
            return
        if (why := self._misfit(made)) is not None:
            self._fault(f"`{node.op}` ({node.place()}) is no `{made.layer.keyword}` here: {why}")
        if not made.flat:
            self._add(node.output, made, shape)
            return
        self._add(f"{node.output}/map", made, shape)
        self._add(node.output, Made(Flatten(), (f"{node.output}/map",)), (product(shape),))

    def _misfit(self, made: Made) -> str | None:
        """What does not fit of the weights, which the format gives any shape."""
        for weight in made.layer.weights(*(self._shapes[name] for name in made.inputs)):
            given = made.weights.get(weight.name)
            if given is not None and given.size != product(weight.shape):
                sizes = "x".join(map(str, given.shape)), "x".join(map(str, weight.shape))
                return f"its {weight.name} is {sizes[0]}, and {sizes[1]} fits"
        return None

    def _as_trained(self, node: OnnxNode, made: Made) -> Made:
        """With the option `trainable` as a model of our own has it."""
        trainable = self._graph.remarks.get(node.output, {}).get("trainable")
        if not isinstance(trainable, bool) or not hasattr(made.layer, "trainable"):
            return made
        return replace(made, layer=made.layer.replaced(trainable=trainable))

    def _made(self, node: OnnxNode) -> Made | None:
        """The layer of a node; what it cannot say is reported."""
        if node.op == REFUSED:
            self._fault(f"{_unsaid(node)}: {node.attributes['why']}")
            return None
        values = [name for name in node.inputs if name and name not in self._graph.constants]
        if any(name in self._unknown for name in values):
            if node.op not in READERS:
                self._fault(f"there is no layer for `{node.op}` ({node.place()})")
            return None
        made = self._found.get(node.output)
        if made is not None and any(name in self._unknown for name in made.inputs):
            return None
        if made is not None and all(name in self._numbers for name in made.inputs):
            return made
        reader = READERS.get(node.op)
        if reader is None and node.op in PARTS and any(name in self._unknown for name in values):
            return None
        if reader is None:
            self._fault(f"there is no layer for `{node.op}` ({node.place()})")
            return None
        if any(name not in self._numbers for name in values):
            self._fault(f"`{node.op}` ({node.place()}) reads what is computed from shapes")
            return None
        try:
            return reader(At(self._graph, node, self._shapes))
        except Cannot as reason:
            self._fault(f"{_unsaid(node)}: {reason}")
        except OptionError as error:
            self._fault(f"{_unsaid(node)}: {error}")
        return None


def _unsaid(node: OnnxNode) -> str:
    """How messages begin of what no layer says: a node, or the order of an input's axes."""
    return (
        f"no layer says `{node.said}` ({node.place()})"
        if node.number
        else f"input `{node.name}` has its channels last"
    )


def _sample(value: ValueInfoProto, given: Shape | None) -> Shape:
    """The shape of a sample of an input, 0 where a size is open; the given one where it fits."""
    sizes = tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)[1:]
    return given if given and _fits(given, sizes) else sizes


def _fits(shape: Shape, sizes: Sequence[int]) -> bool:
    """Whether a shape agrees with the sizes that are known."""
    return not sizes or (
        len(shape) == len(sizes) and all(n == m or m < 1 for n, m in zip(shape, sizes, strict=True))
    )


def _without(needless: set[int], network: Items) -> Items:
    """The network without some items; their readers read what these read."""
    kept = [number for number in range(len(network.items)) if number not in needless]
    places = {number: place for place, number in enumerate(kept)}
    for number in sorted(needless):
        places[number] = places[network.items[number].inputs[0]]
    items = (network.items[number] for number in kept)
    moved = tuple(replace(item, inputs=tuple(places[v] for v in item.inputs)) for item in items)
    outputs = tuple(places[v] for v in network.outputs)
    return replace(network, items=moved, outputs=outputs)
