"""The NumPy file of a whole network: the lessons that it needs, then its layers in order."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from cnnspec.bridges.numpy_source.table import LESSONS
from cnnspec.bridges.source.file import SourceFile, WeightName
from cnnspec.bridges.source.names import Namespace, comments, identifier
from cnnspec.bridges.table import each_node
from cnnspec.layers import show

if TYPE_CHECKING:
    from cnnspec.network.graph import Facts, Graph

WIDTH: Final = 110
"""Columns of a line, where a break is possible."""
PARTS: Final = (
    "layer",
    "windows",
    "dense",
    "pooling",
    "normalization",
    "activations",
    "joins",
    "network",
)
"""The files of `lessons/`, in the order in which a written file has what they hold."""
IMPORTED: Final = ("np", "math", "json", "Any", "Iterator")
WITHIN: Final = ("inputs", "outputs", "frozen", "y", "labels")
"""Names within the network's class, which a class of that name would confuse."""


def to_source(graph: Graph, facts: Facts, about: Sequence[str] = ()) -> SourceFile:
    """A checked network as one file of NumPy, with forward, backward and a step of training.

    `about` are lines that become comments at the head. Names stand in the file as quoted texts.

    Raises:
        SpecError: some layers cannot be said; all of them are named.
    """
    calls = each_node(
        graph,
        "NumPy",
        lambda index, node: (
            LESSONS.of(node.layer)(node.layer, *facts.layers[index].input_shapes) if node.inputs else ""
        ),
    )
    known = _lessons()
    name = Namespace((*known, *IMPORTED, *WITHIN), counted=True).add(identifier(graph.name))
    whole = list(_network(graph, facts, name, calls))
    needed = _needed("\n".join(whole))
    head = [f'"""{name} in NumPy, written by cnnspec: forward, backward and a step of training."""', ""]
    head += [*comments(about), ""] if about else []
    lessons = [line for lesson in known if lesson in needed for line in _spaced(known[lesson])]
    imports = _imports("\n".join(lessons))
    text = "\n".join([*head, *imports, *lessons, "", "", *whole]) + "\n"
    pairs = zip(graph.nodes, facts.layers, strict=True)
    names = [f"{node.name}.{weight.name}" for node, layer in pairs for weight in layer.weights]
    return SourceFile(text, name, {own: WeightName(own) for own in names})


def _network(graph: Graph, facts: Facts, name: str, calls: Sequence[str]) -> Iterator[str]:
    """The class of the network."""
    inputs, outputs = (_quoted(graph, nodes) for nodes in (graph.sources(), graph.outputs))
    given, gives = (
        " and ".join(show(facts.shape(i)) for i in nodes) for nodes in (graph.sources(), graph.outputs)
    )
    yield f"class {name}(Network):"
    yield f'    """From {given} to {gives}, for any number N of samples: N x C x H x W."""'
    yield ""
    yield f"    inputs = ({inputs},)"
    yield f"    outputs = ({outputs},)"
    frozen = [i for i, layer in enumerate(facts.layers) if _is_frozen(layer.weights)]
    if frozen:
        yield f"    frozen = ({_quoted(graph, frozen)},)"
    yield ""
    yield "    def __init__(self) -> None:"
    yield "        self.layers = [  # name, layer, the values that it reads, and the shape that it gives"
    for index, node in enumerate(graph.nodes):
        if node.inputs:
            read = f"[{_quoted(graph, node.inputs)}]"
            line = f"            ({_text(node.name)}, {calls[index]}, {read}),  # {show(facts.shape(index))}"
            yield from _fitted(line)
    yield "        ]"
    yield ""
    yield "    def loss(self, y: Array, labels: Array) -> tuple[float, Array]:"
    yield '        """The loss and its gradient."""'
    yield f"        return {_loss(graph, facts)}(y, labels)"


def _is_frozen(weights: Sequence[object]) -> bool:
    """Whether a layer has weights and none of them is trained."""
    own = [weight for weight in weights if getattr(weight, "role", "") != "state"]
    return bool(own) and not any(getattr(weight, "trainable", True) for weight in own)


def _fitted(line: str) -> list[str]:
    """A layer on one line, or with its parts on a line each where it would be too long."""
    if len(line) <= WIDTH:
        return [line]
    entry, _, comment = line.strip().rpartition(",  # ")
    parts = ast.parse(entry, mode="eval").body
    assert isinstance(parts, ast.Tuple)
    texts = [ast.get_source_segment(entry, part) for part in parts.elts]
    return [f"            (  # {comment}", *(f"                {text}," for text in texts), "            ),"]


def _quoted(graph: Graph, nodes: Iterable[int]) -> str:
    return ", ".join(_text(graph.nodes[i].name) for i in nodes)


def _text(name: str) -> str:
    """A name as a text of Python in ASCII, in the quotes that formatters like."""
    return f'"{name}"' if identifier(name.replace(".", "_")) == name.replace(".", "_") else ascii(name)


def _loss(graph: Graph, facts: Facts) -> str:
    """The loss that goes with the network's end."""
    keyword = graph.nodes[graph.outputs[0]].layer.keyword
    vector = len(graph.outputs) == 1 and len(facts.shape(graph.outputs[0])) == 1
    if not vector or facts.shape(graph.outputs[0])[0] == 1:
        return "of_numbers"
    return {"softmax": "of_probabilities", "log_softmax": "of_logarithms"}.get(keyword, "of_logits")


# --- lessons --------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _lessons() -> dict[str, str]:
    """The source of each class and function of the lessons by its name, in order."""
    folder = files("cnnspec.bridges.numpy_source.lessons")
    texts = [folder.joinpath(f"{part}.py").read_text("utf-8") for part in PARTS]
    return {name: source for text in texts for name, source in _defined(text)}


def _defined(text: str) -> Iterator[tuple[str, str]]:
    for node in ast.parse(text).body:
        source = ast.get_source_segment(text, node) or ""
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name, source
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, source


def _needed(text: str) -> set[str]:
    """The lessons that a text uses, those that they use included."""
    known, found = _lessons(), set[str]()
    pending = ["Array", *(name for name in _used(text) if name in known)]
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += [other for other in _used(known[name]) if other in known]
    return found


@lru_cache(maxsize=256)
def _used(text: str) -> frozenset[str]:
    return frozenset(_names(text))


def _names(text: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}


def _spaced(source: str) -> list[str]:
    """A definition behind two empty lines, an assignment behind one."""
    lines = [line.replace("  # noqa: ANN401 - one array or several", "") for line in source.splitlines()]
    return [*([""] if source[:5] not in ("class", "def p") and " = " in lines[0] else ["", ""]), *lines]


def _imports(text: str) -> list[str]:
    used = _used(text)
    lines = ["from __future__ import annotations", ""]
    lines += [f"import {name}" for name in ("json", "math") if name in used]
    lines += ["from collections.abc import Iterator"] if "Iterator" in used else []
    return [*lines, "from typing import Any", "", "import numpy as np"]
