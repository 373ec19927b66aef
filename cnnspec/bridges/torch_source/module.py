"""The source file of a whole network: its blocks as classes, then the network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from cnnspec.bridges.source.bodies import POOL, Body, body
from cnnspec.bridges.source.classes import Class, Classes, LoopSlots, Slot, unify
from cnnspec.bridges.source.code import REQUIRED, Code, call, literal, written_args
from cnnspec.bridges.source.expressions import filled, names_in, needs_i
from cnnspec.bridges.source.file import SourceFile, WeightName
from cnnspec.bridges.source.names import Namespace, comments, identifier
from cnnspec.bridges.source.outline import Group, Leaf, Loop, Outline, Part
from cnnspec.bridges.table import each_node
from cnnspec.bridges.torch_source import (  # noqa: F401 - importing them fills the table
    activations,
    layers,
    structure,
)
from cnnspec.bridges.torch_source.helpers import HELPERS
from cnnspec.bridges.torch_source.table import CODES
from cnnspec.layers import show

if TYPE_CHECKING:
    from cnnspec.network.graph import Facts, Graph

TAKEN: Final = ("torch", "nn", "F", "Tensor", "math", *HELPERS)
"""Names of the file's own that no class may take."""
WITHIN: Final = ("forward", *POOL)
"""Names within classes, which a class of that name would confuse."""
_MEMBERS: Final = """T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda
    double dump_patches eval extra_repr float forward get_buffer get_extra_state get_parameter get_submodule
    half ipu load_state_dict modules mtia named_buffers named_children named_modules named_parameters
    parameters register_backward_hook register_buffer register_forward_hook register_forward_pre_hook
    register_full_backward_hook register_full_backward_pre_hook register_load_state_dict_post_hook
    register_load_state_dict_pre_hook register_module register_parameter register_state_dict_post_hook
    register_state_dict_pre_hook requires_grad_ set_extra_state set_submodule share_memory state_dict to
    to_empty train training type xpu zero_grad"""
MEMBERS: Final = frozenset(_MEMBERS.split())
"""Members of `nn.Module`, which no layer may hide; those that begin with a line are told apart by it."""


def to_source(graph: Graph, facts: Facts, about: Sequence[str] = ()) -> SourceFile:
    """A checked network as a file with a PyTorch module, whose `forward` takes `N x C x H x W`.

    `about` are lines that become comments at the head, such as where the network comes from.

    Raises:
        SpecError: PyTorch cannot say some of the layers; all of them are named.
    """
    codes = each_node(
        graph,
        "PyTorch",
        lambda index, node: (
            CODES.of(node.layer)(node.layer, *facts.layers[index].input_shapes) if node.inputs else None
        ),
    )
    return _Module(graph, facts, codes).source(about)


class _Module:
    """The writing of one file."""

    def __init__(self, graph: Graph, facts: Facts, codes: Sequence[Code | None]) -> None:
        self._graph, self._facts, self._codes = graph, facts, codes
        self._outline = Outline(graph, codes)
        names = Namespace((*TAKEN, *WITHIN), counted=True)
        self._name = names.add(identifier(graph.name))
        self._classes = Classes(self._outline, names)
        self._whole = Class(self._name, [self._outline.whole])
        self._attributes: dict[int, list[str]] = {}

    def source(self, about: Sequence[str]) -> SourceFile:
        """The whole file."""
        classes = [line for made in self._classes for line in ("", "", *self._class(made, self._uses(made)))]
        whole = self._class(self._unified(), self._head())
        helpers = [line for name in self._helpers() for line in ("", "", *HELPERS[name].strip().splitlines())]
        lines = [*helpers, *classes, "", "", *whole]
        text = "\n".join([*self._top(about, lines), *lines]) + "\n"
        weights = dict(self._weights())
        return SourceFile(text, self._name, weights)

    def _unified(self) -> Class:
        """The network's own class, which has no parameters."""
        unify(self._classes, self._whole)
        return self._whole

    def _top(self, about: Sequence[str], lines: Sequence[str]) -> Iterator[str]:
        used = names_in("\n".join(lines))
        yield f'"""{self._name} as a PyTorch module, written by cnnspec."""'
        yield ""
        if about:
            yield from comments(about)
            yield ""
        if "math" in used:
            yield from ("import math", "")
        yield "import torch"
        if "F" in used:
            yield "import torch.nn.functional as F"
        yield "from torch import Tensor, nn"

    def _helpers(self) -> list[str]:
        return sorted({name for code in self._codes if code for name in code.helpers})

    # --- classes ----------------------------------------------------------------------------------------

    def _uses(self, made: Class) -> str:
        first = made.groups[0]
        count = len(made.groups)
        what = f"Block `{identifier(first.kind)}`" if first.name else "One round of a repetition"
        shapes = f"from {self._shapes(first.sources)} to {self._shapes(first.gives)}"
        if count == 1:
            return f"{what}, {shapes}."
        return f"{what}, {count} times; the shapes are those of the first."

    def _head(self) -> str:
        given, made = self._shapes(self._graph.sources()), self._shapes(self._graph.outputs)
        return f"From {given} to {made}, for any number N of samples: N x C x H x W."

    def _shapes(self, nodes: Iterable[int]) -> str:
        return " and ".join(show(self._facts.shape(node)) for node in nodes)

    def _class(self, made: Class, doc: str) -> Iterator[str]:
        group = made.groups[0]
        attributes = self._name_attributes(made)
        yield f"class {made.name}(nn.Module):"
        yield f'    """{doc}"""'
        yield ""
        yield from self._constructor(made, group, attributes)
        yield ""
        yield from self._forward(group, attributes)

    def _name_attributes(self, made: Class) -> list[str]:
        names = Namespace(MEMBERS)
        attributes = [names.add(part.name.lstrip("_") or "layer") for part in made.groups[0].parts]
        for group in made.groups:
            self._attributes[id(group)] = attributes
        return attributes

    def _constructor(self, made: Class, group: Group, attributes: Sequence[str]) -> Iterator[str]:
        parameters = [
            f"{p.name}: {_annotation(p.values)}"
            + ("" if p.default is REQUIRED else f" = {literal(p.default)}")
            for p in made.parameters
        ]
        yield from call("def __init__", ["self", *parameters], " -> None:", indent=4)
        yield "        super().__init__()"
        for part, attribute, slots in zip(group.parts, attributes, made.calls, strict=True):
            yield from self._made(part, attribute, slots)

    def _made(self, part: Part, attribute: str, slots: tuple[Slot, ...] | LoopSlots) -> Iterator[str]:
        """The lines that make one part."""
        comment = self._shapes(self._outline.gives_of(part))
        if isinstance(part, Loop):
            assert isinstance(slots, LoopSlots)
            yield from self._loop(part, attribute, slots, comment)
            return
        assert not isinstance(slots, LoopSlots)
        head = self._callee(part)
        if head:
            yield from call(f"self.{attribute} = {head}", _texts(slots), comment=comment)
        code = self._codes[part.node] if isinstance(part, Leaf) else None
        if code and code.frozen:
            yield f"        self.{attribute}.requires_grad_(False)"

    def _callee(self, part: Part) -> str | None:
        if isinstance(part, Leaf):
            code = self._codes[part.node]
            return code.callee if code else None
        assert isinstance(part, Group)
        return self._classes.of(part).name

    def _loop(self, loop: Loop, attribute: str, slots: LoopSlots, comment: str) -> Iterator[str]:
        """A sequence of rounds: by a comprehension where they are made alike, or one by one."""
        head = self._callee(loop.rounds[0])
        if head is None:
            return
        if slots.count:
            texts = _texts(slots.rounds[0])
            made = f"{head}({', '.join(texts)})"
            variable = "i" if any(needs_i(text) for text in texts) else "_"
            alike = f"{made} for {variable} in range({slots.count})"
            yield from call(f"self.{attribute} = nn.Sequential", [f"*({alike})"], comment=comment)
            return
        rounds = [f"{head}({', '.join(_texts(one))})" for one in slots.rounds]
        yield from call(f"self.{attribute} = nn.Sequential", rounds, comment=comment)

    # --- forward ----------------------------------------------------------------------------------------

    def _forward(self, group: Group, attributes: Sequence[str]) -> Iterator[str]:
        names = Namespace(("torch", "nn", "F", "Tensor", "math"))
        whole = group is self._outline.whole
        given = (
            [names.add(self._graph.nodes[v].name) for v in group.sources]
            if whole and len(group.sources) > 1
            else None
        )

        def say(number: int, part: Part, inputs: Sequence[str]) -> str:
            return self._expression(part, attributes[number], inputs)

        written = body(self._outline, group, say, names, given)
        parameters = [f"{name}: Tensor" for name in written.sources]
        result = "Tensor" if len(group.gives) == 1 else f"tuple[{', '.join(['Tensor'] * len(group.gives))}]"
        comment = self._shapes(group.sources)
        yield from call("def forward", ["self", *parameters], f" -> {result}:", comment=comment, indent=4)
        yield from self._lines(written, group)

    def _expression(self, part: Part, attribute: str, inputs: Sequence[str]) -> str:
        me = f"self.{attribute}"
        if isinstance(part, Leaf):
            code = self._codes[part.node]
            assert code is not None
            return filled(code.form, me, inputs)
        if isinstance(part, Loop) and self._callee(part.rounds[0]) is None:
            text = inputs[0]
            for _ in part.rounds:
                text = self._expression(part.rounds[0], attribute, [text])
            return text
        return f"{me}({', '.join(inputs)})"

    def _lines(self, written: Body, group: Group) -> Iterator[str]:
        last = written.lines[-1] if written.lines else None
        returned = last is not None and written.gives == last.targets and len(written.gives) == 1
        for line in written.lines:
            comment = f"  # {self._shapes(self._outline.gives_of(line.part))}"
            if line is last and returned:
                yield f"        return {line.text}{comment}"
            else:
                yield f"        {', '.join(line.targets)} = {line.text}{comment}"
        if not returned:
            yield f"        return {', '.join(written.gives)}"

    # --- weights ----------------------------------------------------------------------------------------

    def _weights(self) -> Iterator[tuple[str, WeightName]]:
        yield from self._weights_of(self._outline.whole, "")

    def _weights_of(self, group: Group, path: str) -> Iterator[tuple[str, WeightName]]:
        for part, attribute in zip(group.parts, self._attributes_of(group), strict=True):
            here = f"{path}{attribute}"
            rounds = part.rounds if isinstance(part, Loop) else (part,)
            for number, one in enumerate(rounds):
                place = f"{here}.{number}." if isinstance(part, Loop) else f"{here}."
                if isinstance(one, Group):
                    yield from self._weights_of(one, place)
                else:
                    yield from self._weights_at(one.node, place)

    def _attributes_of(self, group: Group) -> list[str]:
        return self._attributes[id(group)]

    def _weights_at(self, node: int, place: str) -> Iterator[tuple[str, WeightName]]:
        code, name = self._codes[node], self._graph.nodes[node].name
        for weight in self._facts.layers[node].weights:
            assert code is not None
            there = code.weights.get(weight.name, weight.name)
            yield f"{name}.{weight.name}", WeightName(f"{place}{there}")


def _texts(slots: Sequence[Slot]) -> list[str]:
    return written_args([(slot.arg, slot.text) for slot in slots])


def _annotation(values: Sequence[object]) -> str:
    kinds = dict.fromkeys(_kind(value) for value in values)
    return " | ".join(kinds)


def _kind(value: object) -> str:
    return "tuple[int, ...]" if isinstance(value, tuple) else type(value).__name__
