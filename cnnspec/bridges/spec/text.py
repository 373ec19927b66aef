"""The text of a spec for a network from elsewhere, and its weights under the names of the spec."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cnnspec.bridges.source.names import comments, identifier
from cnnspec.bridges.spec.blocks import Blocks, FoundBlock, items_of
from cnnspec.bridges.spec.statements import Link, Statement, statements_of
from cnnspec.language.formatter import format_source
from cnnspec.language.limits import MAX_NAME_LENGTH
from cnnspec.language.source import Source
from cnnspec.layers.connections import Connections
from cnnspec.layers.declaration import written
from cnnspec.network.check import check_source
from cnnspec.network.claims import with_claims

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cnnspec.bridges.spec.items import Items
    from cnnspec.layers import Layer

INDENT: Final = "    "
_KEYWORDS: Final = """network block train use repeat if else let expect true false none and or not in from
    output branch input"""
KEYWORDS: Final = frozenset(_KEYWORDS.split())
LONGEST_ROUND: Final = 60
"""Statements of a repetition that is looked for."""
NAME_ROOM: Final = 16
"""Letters that are kept free in a name for what tells it from others."""


@dataclass(frozen=True)
class Written:
    """The text of a spec, and the weights under the names that they have there."""

    text: str
    weights: dict[str, NDArray[np.float32]]


def to_spec(network: Items, about: Sequence[str] = ()) -> Written:
    """A network as a spec: repeated joins are blocks, equal statements in a row are `repeat`."""
    return _Writer(network).run(about)


class _Writer:
    def __init__(self, network: Items) -> None:
        self._network = network
        told = statements_of(network)
        self._statements, self._marked = told.statements, told.named
        self._blocks = Blocks(network, self._statements, told.named)
        self._names = {item: f"v{number}" for number, item in enumerate(sorted(told.named), 1)}
        sources = [n for n, item in enumerate(network.items) if not item.inputs]
        if len(sources) > 1:
            for number, item in enumerate(sources, 1):
                self._names[item] = f"input{number}"

    def run(self, about: Sequence[str]) -> Written:
        lines = comments([*about, *self._network.notes])
        for block in self._blocks.found:
            parameters = f"({', '.join(block.parameters)})" if block.parameters else ""
            body = self._plain(block.statement, 1, block)
            lines += [f"block {block.name}{parameters} {{", *body, "}", ""]
        lines += [f"network {self._name()} {{", *self._body(self._statements, 1)]
        if self._outputs():
            lines.append(f"{INDENT}output {' '.join(self._outputs())}")
        lines.append("}")
        source = format_source_text("\n".join(lines) + "\n")
        checked = check_source(source)
        graph, facts = checked.network()
        order = [item for statement in self._statements for item in items_of(statement)]
        items = [self._network.items[number] for number in order]
        assert [item.shape for item in items] == [facts.shape(i) for i in range(len(graph.nodes))]
        weights = {
            f"{node.name}.{name}": array
            for node, item in zip(graph.nodes, items, strict=True)
            for name, array in item.weights.items()
        }
        claimed = format_source(with_claims(source, graph, facts))
        return Written(claimed, weights)

    def _name(self) -> str:
        name = identifier(self._network.name)[: MAX_NAME_LENGTH - NAME_ROOM].strip("_") or "Network"
        name = name if name[0].isalpha() else f"Network{name}"
        return f"{name}_" if name in KEYWORDS else name

    def _outputs(self) -> list[str]:
        last = self._statements[-1].end
        outputs = self._network.outputs
        return [] if outputs == (last,) else [self._names[item] for item in outputs]

    # --- statements -------------------------------------------------------------------------------------

    def _body(self, statements: Sequence[Statement], depth: int) -> list[str]:
        """The lines of a body, equal rounds in a row as `repeat`."""
        texts = [tuple(self._statement(statement, depth)) for statement in statements]
        free = [self._repeats(statement) for statement in statements]
        lines: list[str] = []
        index = 0
        while index < len(texts):
            period, count = _rounds(texts, free, index)
            if count == 1:
                lines += texts[index]
                index += 1
                continue
            inner = [line for text in texts[index : index + period] for line in text]
            space = INDENT * depth
            if len(inner) == 1:
                lines.append(f"{space}repeat {count} {{ {inner[0].strip()} }}")
            else:
                lines += [f"{space}repeat {count} {{", *(f"{INDENT}{line}" for line in inner), f"{space}}}"]
            index += period * count
        return lines

    def _repeats(self, statement: Statement) -> bool:
        """Whether a statement may be a round: nothing in it has a name."""
        inner = list(items_of(statement))
        named = any(item in self._names for item in inner)
        return statement.start is None and not named and not self._names_something(statement)

    def _names_something(self, statement: Statement) -> bool:
        return any(
            link.named or any(self._names_something(one) for branch in link.branches for one in branch)
            for link in statement.links
        )

    def _statement(self, statement: Statement, depth: int) -> list[str]:
        use = self._blocks.uses.get(statement.end)
        if use is None:
            return self._plain(statement, depth, None)
        text = f"{use.name} {use.arguments}".strip()
        return [INDENT * depth + self._head(statement) + text]

    def _head(self, statement: Statement) -> str:
        name = self._names.get(statement.end, "")
        start = "" if statement.start is None else f"from {self._names[statement.start]} -> "
        is_input = not self._network.items[statement.end].inputs
        return (f"{name} = " if name and not is_input else "") + start

    def _plain(self, statement: Statement, depth: int, block: FoundBlock | None) -> list[str]:
        """A statement in full; within a block its parameters stand in the places of what differs."""
        space = INDENT * depth
        counter = _Counter()
        head = "" if block else self._head(statement)
        return self._links(statement, depth, block, counter, space + head)

    def _links(
        self, statement: Statement, depth: int, block: FoundBlock | None, counter: _Counter, head: str
    ) -> list[str]:
        lines = [head]
        for number, link in enumerate(statement.links):
            arrow = " -> " if number else ""
            if not link.branches:
                lines[-1] += arrow + self._layer(link, block, counter.next())
                continue
            body = [line for branch in link.branches for line in self._branch(branch, depth, block, counter)]
            layer = self._layer(link, block, counter.next())
            lines[-1] += f"{arrow}{layer} {{"
            lines += [*body, f"{INDENT * depth}}}"]
        return lines

    def _branch(
        self, branch: Sequence[Statement], depth: int, block: FoundBlock | None, counter: _Counter
    ) -> Iterator[str]:
        space = INDENT * (depth + 1)
        if not branch:
            yield f"{space}branch {{ }}"
            return
        inner = INDENT * (depth + 2)
        lines: list[str] = []
        if block is None:
            lines = self._body(branch, depth + 2)
            for statement in branch:
                counter.skip(len(list(items_of(statement))))
        else:
            for statement in branch:
                lines += self._links(statement, depth + 2, block, counter, inner)
        if len(lines) == 1 and len(lines[0]) < SHORT:
            yield f"{space}branch {{ {lines[0].strip()} }}"
            return
        yield from (f"{space}branch {{", *lines, f"{space}}}")

    def _layer(self, link: Link, block: FoundBlock | None, number: int) -> str:
        layer = self._network.items[link.item].layer
        if not self._network.items[link.item].inputs:
            name = self._names.get(link.item)
            return f"input {name} {_value(layer.values()['shape'])}" if name else layer.written()
        names = [self._names[item] for item in link.named]
        text = _written(layer, {} if block is None else _of_layer(block, number))
        return " ".join([text, *names])


class _Counter:
    """Counts the layers of a statement in the order of its text."""

    def __init__(self) -> None:
        self._count = -1

    def next(self) -> int:
        self._count += 1
        return self._count

    def skip(self, count: int) -> None:
        self._count += count


SHORT: Final = 70
"""Columns up to which the only statement of a branch stands on its line."""


def _of_layer(block: FoundBlock, number: int) -> dict[str, str]:
    return {option: text for (place, option), text in block.values.items() if place == number}


def _written(layer: Layer, parameters: dict[str, str]) -> str:
    """A layer as the language writes it, with parameters in the place of some options."""
    words = [layer.keyword]
    for name, option in layer.options().items():
        value = layer.values()[name]
        if name not in parameters and not option.required and value == option.default:
            continue
        text = parameters.get(name) or _value(value)
        words.append(text if option.positional else f"{name}={text}")
    return " ".join(words)


def _value(value: object) -> str:
    if isinstance(value, Connections):
        return "[" + ", ".join(f"[{', '.join(map(str, one))}]" for one in value.lists) + "]"
    text = written(value)
    return f"({text})" if text.startswith("-") else text


def _rounds(texts: Sequence[tuple[str, ...]], free: Sequence[bool], index: int) -> tuple[int, int]:
    """The repetition that begins at a statement: statements in a round, and the number of rounds."""
    best = (1, 1)
    for period in range(1, min((len(texts) - index) // 2, LONGEST_ROUND) + 1):
        if not all(free[index : index + period]):
            break
        first, count = texts[index : index + period], 1
        while texts[index + count * period : index + (count + 1) * period] == first and all(
            free[index + count * period : index + (count + 1) * period]
        ):
            count += 1
        if count > 1 and period * count > best[0] * best[1]:
            best = (period, count)
    return best


def format_source_text(text: str) -> Source:
    """A text in the canonical form."""
    return Source("model.cnn", format_source(Source("model.cnn", text)))
