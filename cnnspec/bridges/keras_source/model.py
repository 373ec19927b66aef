"""The source file of a whole network: its blocks as functions, then the model."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cnnspec.bridges.keras_source import (  # noqa: F401 - importing them fills the table
    pointwise,
    weighted,
)
from cnnspec.bridges.keras_source.helpers import HELPERS
from cnnspec.bridges.keras_source.table import CODES, KerasCode
from cnnspec.bridges.source.bodies import POOL, Line, body
from cnnspec.bridges.source.classes import Class, Classes, LoopSlots, Slot, unify
from cnnspec.bridges.source.code import REQUIRED, WIDTH, call, literal, written_args
from cnnspec.bridges.source.expressions import filled, names_in
from cnnspec.bridges.source.file import SourceFile, WeightName
from cnnspec.bridges.source.names import Namespace, comments, identifier
from cnnspec.bridges.source.outline import Group, Leaf, Loop, Outline, Part
from cnnspec.bridges.table import each_node
from cnnspec.layers import show

if TYPE_CHECKING:
    from cnnspec.layers import Shape
    from cnnspec.network.graph import Facts, Graph

TAKEN: Final = ("keras", "layers", "ops", "math", "load_weights", *HELPERS)
"""Names of the file's own that no function may take."""
WITHIN: Final = ("inputs", "name", "i", *POOL)
"""Names within functions, which a function of that name would confuse."""
LOADER: Final = '''
def load_weights(model: keras.Model, path: str) -> None:
    """Take the weights of a safetensors file: `conv1/kernel`, `conv1/bias`, ..."""
    from safetensors.numpy import load_file

    for name, array in load_file(path).items():
        layer, _, variable = name.rpartition("/")
        own = {weight.name: weight for weight in model.get_layer(layer).weights}
        own[variable].assign(array)
'''


def to_source(graph: Graph, facts: Facts, about: Sequence[str] = ()) -> SourceFile:
    """A checked network as a file with a Keras 3 model on maps `N x H x W x C`.

    `about` are lines that become comments at the head.

    Raises:
        SpecError: Keras cannot say some of the layers; all of them are named.
    """
    codes = each_node(
        graph,
        "Keras",
        lambda index, node: (
            CODES.of(node.layer)(node.layer, *facts.layers[index].input_shapes) if node.inputs else None
        ),
    )
    return _Model(graph, facts, codes).source(about)


def _last(shape: Shape) -> Shape:
    """The channels behind the positions."""
    return (*shape[1:], shape[0])


class _Model:
    """The writing of one file."""

    def __init__(self, graph: Graph, facts: Facts, codes: Sequence[KerasCode | None]) -> None:
        self._graph, self._facts, self._codes = graph, facts, codes
        self._outline = Outline(graph, codes)
        names = Namespace((*TAKEN, *WITHIN), counted=True)
        self._name = names.add(_snake(graph.name))
        self._classes = Classes(self._outline, names, case="snake")
        self._whole = Class(self._name, [self._outline.whole])
        unify(self._classes, self._whole)

    def source(self, about: Sequence[str]) -> SourceFile:
        """The whole file."""
        blocks = [line for made in self._classes for line in ("", "", *self._function(made))]
        helpers = sorted({name for code in self._codes if code for name in code.helpers})
        lines = [line for name in helpers for line in ("", "", *HELPERS[name].strip().splitlines())]
        lines += [*blocks, "", "", *self._model(), "", "", *LOADER.strip().splitlines()]
        used = names_in("\n".join(lines))
        head = [f'"""{self._name} as a Keras 3 model, written by cnnspec."""', ""]
        head += [*comments(about), ""] if about else []
        head += ["import math", ""] if "math" in used else []
        head += ["import keras"]
        found = [name for name in ("layers", "ops") if name in used]
        head += [f"from keras import {', '.join(found)}"] if found else []
        text = "\n".join([*head, *lines]) + "\n"
        return SourceFile(text, self._name, dict(self._weights(self._outline.whole, "")))

    # --- functions --------------------------------------------------------------------------------------

    def _shapes(self, nodes: Iterable[int]) -> str:
        return " and ".join(show(_last(self._facts.shape(node))) for node in nodes)

    def _function(self, made: Class) -> Iterator[str]:
        """A block as a function of its input, of what differs, and of the beginning of its layers' names."""
        group = made.groups[0]
        lines, sources, gives = self._body(group, made, "{name}-")
        parameters = [
            p.name + ("" if p.default is REQUIRED else f"={literal(p.default)}") for p in made.parameters
        ]
        yield from call(f"def {made.name}", [*sources, *_sorted(parameters)], ":", indent=0)
        what = f"Block `{identifier(group.kind)}`" if group.name else "One round of a repetition"
        count = len(made.groups)
        uses = f", {count} times; the shapes are those of the first" if count > 1 else ""
        yield f'    """{what}{uses}: from {self._shapes(group.sources)} to {self._shapes(group.gives)}."""'
        yield from _returning(lines, gives)

    def _model(self) -> Iterator[str]:
        group = self._outline.whole
        lines, sources, gives = self._body(group, self._whole, "")
        given, made = self._shapes(self._graph.sources()), self._shapes(self._graph.outputs)
        yield f"def {self._name}() -> keras.Model:"
        yield f'    """From {given} to {made}, for any number N of samples: N x H x W x C."""'
        names = Namespace(TAKEN)
        inputs = []
        for source, node in zip(sources, group.sources, strict=True):
            label = names.add(self._graph.nodes[node].name)
            inputs.append("inputs" if len(sources) == 1 else f"input_{source}")
            shape = literal(_last(self._facts.shape(node)))
            made_input = f'keras.Input({shape}, name="{label}")'
            yield f"    {source} = {inputs[-1]} = {made_input}"
        yield from lines
        given_all = inputs[0] if len(inputs) == 1 else f"[{', '.join(inputs)}]"
        made_all = gives if len(self._graph.outputs) == 1 else f"[{gives}]"
        yield f'    return keras.Model({given_all}, {made_all}, name="{self._name}")'

    def _attributes(self, group: Group) -> list[str]:
        names = Namespace()
        return [names.add(part.name) for part in group.parts]

    def _body(self, group: Group, made: Class, prefix: str) -> tuple[list[str], Sequence[str], str]:
        """The lines of a function, the variables that it takes, and what it gives."""
        attributes = self._attributes(group)
        names = Namespace({*TAKEN, "inputs", "name", "i", *(p.name for p in made.parameters)})
        places = {id(part): number for number, part in enumerate(group.parts)}

        def label(number: int, more: str = "") -> str:
            text = f"{prefix}{attributes[number]}{more}"
            return f'f"{text}"' if "{" in text else f'"{text}"'

        def say(number: int, part: Part, inputs: Sequence[str]) -> str:
            slots = made.calls[number]
            if isinstance(part, Loop):
                return inputs[0]
            assert not isinstance(slots, LoopSlots)
            return self._made(part, slots, inputs, label(number))

        written = body(self._outline, group, say, names, loops_apart=True)
        lines: list[str] = []
        for line in written.lines:
            if isinstance(line.part, Loop):
                number = places[id(line.part)]
                slots = made.calls[number]
                assert isinstance(slots, LoopSlots)
                lines += self._loop(line, slots, lambda more, number=number: label(number, more))
            else:
                comment = self._shapes(self._outline.gives_of(line.part))
                lines += _assigned(", ".join(line.targets), line.text, comment)
        return lines, written.sources, ", ".join(written.gives)

    def _made(self, part: Leaf | Group, slots: Sequence[Slot], inputs: Sequence[str], label: str) -> str:
        """The expression of a layer or of a block's use."""
        args = written_args([(slot.arg, slot.text) for slot in slots])
        if isinstance(part, Group):
            return (
                f"{self._classes.of(part).name}({', '.join([*inputs, *_sorted([*args, f'name={label}'])])})"
            )
        code = self._codes[part.node]
        assert code is not None
        me = f"{code.callee}({', '.join([*args, f'name={label}'])})"
        return filled(code.form, me, inputs)

    def _loop(self, line: Line, slots: LoopSlots, label: object) -> Iterator[str]:
        """Rounds that are made alike in a loop, others one by one."""
        assert callable(label)
        assert isinstance(line.part, Loop)
        target = line.targets[0]
        comment = self._shapes(self._outline.gives_of(line.part))
        if target != line.text:
            yield f"    {target} = {line.text}"
        first = line.part.rounds[0]
        if slots.count:
            yield f"    for i in range({slots.count}):  # {comment}"
            text = self._made(first, slots.rounds[0], [target], label("-{i}"))
            yield f"        {target} = {text}"
            return
        for number, one in enumerate(slots.rounds):
            yield f"    {target} = {self._made(first, one, [target], label(f'-{number}'))}  # {comment}"

    # --- weights ----------------------------------------------------------------------------------------

    def _weights(self, group: Group, path: str) -> Iterator[tuple[str, WeightName]]:
        for part, attribute in zip(group.parts, self._attributes(group), strict=True):
            rounds = part.rounds if isinstance(part, Loop) else (part,)
            for number, one in enumerate(rounds):
                here = f"{path}{attribute}" + (f"-{number}" if isinstance(part, Loop) else "")
                if isinstance(one, Group):
                    yield from self._weights(one, f"{here}-")
                    continue
                code, name = self._codes[one.node], self._graph.nodes[one.node].name
                for weight in self._facts.layers[one.node].weights:
                    assert code is not None
                    there = code.variables[weight.name]
                    yield f"{name}.{weight.name}", replace(there, name=f"{here}/{there.name}")


def _assigned(target: str, text: str, comment: str = "") -> list[str]:
    """A chain of calls given to a variable: on one line or, where that is too long, step by step."""
    line = f"    {target} = {text}" + (f"  # {comment}" if comment else "")
    chain = ast.parse(text, mode="eval").body
    inner = chain.args[0] if isinstance(chain, ast.Call) and chain.args else None
    if len(line) <= WIDTH or not isinstance(inner, ast.Call) or not inner.end_col_offset:
        return [line]
    rest = text[: inner.col_offset], text[inner.end_col_offset :]
    if target in names_in("0".join(rest)):
        return [line]
    first = _assigned(target, text[inner.col_offset : inner.end_col_offset])
    return [*first, *_assigned(target, target.join(rest), comment)]


def _returning(lines: Sequence[str], gives: str) -> list[str]:
    """The lines of a function, the last of which returns what it makes."""
    start = f"    {gives} = "
    if lines and lines[-1].startswith(start):
        return [*lines[:-1], lines[-1].replace(start, "    return ", 1)]
    return [*lines, f"    return {gives}"]


def _sorted(arguments: Sequence[str]) -> list[str]:
    """Arguments by position, then `name`, then those with a default."""
    plain = [text for text in arguments if "=" not in text]
    named = [text for text in arguments if "=" in text]
    if any(text.startswith("name=") for text in named):
        return [*plain, *named]
    return [*plain, "*", "name", *named]


def _snake(name: str) -> str:
    """The name of a function: `ResNet18` is `resnet18`."""
    return identifier(name).lower()
