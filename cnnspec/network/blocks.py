"""The blocks that a file may use: its own, and those of the files that it names with `use`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from cnnspec.language.diagnostics import Diagnostic, Label
from cnnspec.language.errors import SpecError
from cnnspec.language.limits import MAX_NESTING, MAX_USE_DEPTH
from cnnspec.language.parser import parse
from cnnspec.language.reading import STDIN, read
from cnnspec.language.record import field, record, state
from cnnspec.language.syntax import Block, Body, Chain, If, LayerCall, Link, Repeat, Use
from cnnspec.layers import kinds

if TYPE_CHECKING:
    from cnnspec.language.syntax import File

SUFFIX: Final = ".cnn"
STRUCTURE: Final = ("branch", "from", "output")
"""Words that stand where a layer stands and build the graph instead."""

Blocks = Mapping[str, Block]


@record
class BlockTable:
    """The usable blocks by name. `refused` names those whose fault is reported: their uses stay silent."""

    blocks: Blocks
    refused: frozenset[str] = frozenset()


@state
class _Gathering:
    """The blocks found so far, and the files that they came from."""

    blocks: dict[str, Block] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    faults: list[Diagnostic] = field(default_factory=list)


def gather_blocks(file: File) -> tuple[BlockTable, tuple[Diagnostic, ...]]:
    """The usable blocks by name, and what is wrong with the others.

    A block that leads back to itself, or too deep, is left out: nobody can expand it by mistake.
    """
    gathering = _Gathering()
    if file.source.path is not None:
        gathering.seen.add(_real(file.source.path))
    _gather(file, gathering, ())
    declared = set(gathering.blocks)
    faults = [*gathering.faults, *_check_recursion(gathering.blocks)]
    refused = frozenset(declared - set(gathering.blocks))
    return BlockTable(gathering.blocks, refused), tuple(faults)


def _gather(file: File, gathering: _Gathering, uses: tuple[Use, ...]) -> None:
    for item in file.items:
        if isinstance(item, Use):
            _use(item, gathering, uses)
        elif isinstance(item, Block):
            _add(item, gathering)


def _add(block: Block, gathering: _Gathering) -> None:
    name = block.name.text
    if name in kinds() or name in STRUCTURE:
        message = f"the block `{name}` would hide the layer of that name"
        gathering.faults.append(
            Diagnostic("block-hides-layer", message, block.name.span, help=("give the block another name",))
        )
        return
    first = gathering.blocks.setdefault(name, block)
    if first is not block:
        label = Label(first.name.span, "first declared here")
        message = f"the block `{name}` is declared twice"
        gathering.faults.append(Diagnostic("name-given-twice", message, block.name.span, labels=(label,)))
    seen: dict[str, Label] = {}
    for parameter in block.parameters:
        if parameter.name.text in seen:
            message = f"the parameter `{parameter.name.text}` is declared twice"
            labels = (seen[parameter.name.text],)
            gathering.faults.append(
                Diagnostic("name-given-twice", message, parameter.name.span, labels=labels)
            )
        seen[parameter.name.text] = Label(parameter.name.span, "first declared here")


# --- other files ------------------------------------------------------------------------------------------


def _use(use: Use, gathering: _Gathering, uses: tuple[Use, ...]) -> None:
    path = _resolve(use, gathering)
    if path is None or _is_cycle(path, use, gathering, uses):
        return
    if path in gathering.seen:
        return
    gathering.seen.add(path)
    if len(uses) >= MAX_USE_DEPTH:
        message = f"files use files more than {MAX_USE_DEPTH} deep"
        gathering.faults.append(
            Diagnostic("nesting-too-deep", message, use.path.span, notes=("limit `MAX_USE_DEPTH`",))
        )
        return
    try:
        parsed = parse(read(_shown(use, path)))
    except SpecError as error:
        for fault in error.diagnostics:
            gathering.faults.append(Diagnostic(fault.code, fault.message, use.path.span, help=fault.help))
        return
    note = f"`{use.path.value}` is used on line {use.span.line} of {use.span.source.name}"
    gathering.faults += [fault.with_notes(note) for fault in parsed.faults]
    _gather(parsed.tree, gathering, (*uses, use))


def _real(path: str) -> str:
    return os.path.realpath("" if path == STDIN else path)


def _folder(path: str) -> str:
    return os.getcwd() if path == STDIN else os.path.dirname(os.path.realpath(path))


def _shown(use: Use, path: str) -> str:
    """The path as messages show it: from the using file's folder on, as that file was named."""
    name = use.span.source.path
    assert name is not None
    shown = os.path.normpath(os.path.join(os.path.dirname(name), use.path.value))
    return shown if os.path.realpath(shown) == path else path


def _resolve(use: Use, gathering: _Gathering) -> str | None:
    """The real path of a used file, which must be a spec within the folder of the file that uses it."""
    home, name = use.span.source.path, use.path.value
    problem = None
    if home is None:
        problem, help = "a text that comes from no file cannot use others", "save it in a file"
    elif "\0" in name or not name.endswith(SUFFIX):
        problem, help = f"`use` takes the name of a `{SUFFIX}` file", 'write `use "blocks.cnn"`'
    elif os.path.isabs(name):
        problem, help = "`use` takes a path from the folder of this file on", "write it relative"
    else:
        folder = _folder(home)
        path = os.path.realpath(os.path.join(folder, name))
        if os.path.commonpath([folder, path]) == folder:
            return path
        problem, help = f"`{name}` leads out of the folder of this file", "put the file beside this one"
    gathering.faults.append(Diagnostic("use-refused", problem, use.path.span, help=(help,)))
    return None


def _is_cycle(path: str, use: Use, gathering: _Gathering, uses: tuple[Use, ...]) -> bool:
    chain = [_real(earlier.span.source.path or "") for earlier in (*uses, use)]
    if path not in chain:
        return False
    names = [os.path.basename(step) for step in (*chain[chain.index(path) :], path)]
    message = "files use each other in a circle: " + " -> ".join(names)
    gathering.faults.append(Diagnostic("use-cycle", message, use.path.span))
    return True


# --- recursion --------------------------------------------------------------------------------------------


def _check_recursion(blocks: dict[str, Block]) -> list[Diagnostic]:
    """Remove the blocks that reach themselves or nest too deep, and report them."""
    faults = []
    depths: dict[str, int] = {}
    for name in list(blocks):
        cycle = _measure(name, blocks, depths)
        if cycle:
            faults.append(_recursion(cycle, blocks))
            for member in cycle:
                depths[member] = 0
    for name in [name for name, depth in depths.items() if depth == 0]:
        del blocks[name]
    deep = [name for name, depth in depths.items() if depth > MAX_NESTING]
    for name in deep[:1]:
        message = f"the block `{name}` nests blocks more than {MAX_NESTING} deep"
        span = blocks[name].name.span
        faults.append(Diagnostic("nesting-too-deep", message, span, notes=("limit `MAX_NESTING`",)))
    for name in deep:
        del blocks[name]
    return faults


def _measure(start: str, blocks: Blocks, depths: dict[str, int]) -> list[str]:
    """Fill in how deep blocks nest below `start`, without recursion; the cycle met on the way, if any."""
    path = [start]
    pending = [iter(_callees(start, blocks))]
    if start in depths:
        return []
    while path:
        callee = next(pending[-1], None)
        if callee is None:
            name = path.pop()
            pending.pop()
            below = [depths.get(other, 0) for other in _callees(name, blocks)]
            depths[name] = 1 + max(below, default=0)
        elif callee in path:
            return path[path.index(callee) :]
        elif callee not in depths:
            path.append(callee)
            pending.append(iter(_callees(callee, blocks)))
    return []


def _callees(name: str, blocks: Blocks) -> list[str]:
    calls = [call.keyword.text for call in calls_in(blocks[name].body)]
    return [callee for callee in dict.fromkeys(calls) if callee in blocks]


def calls_in(body: Body) -> Iterator[LayerCall]:
    """Every layer call of a body, in bodies within it too."""
    for statement in body.statements:
        if isinstance(statement, Chain):
            for link in statement.links:
                yield from _calls_in_link(link)


def _calls_in_link(link: Link) -> Iterator[LayerCall]:
    if isinstance(link, LayerCall):
        yield link
        if link.body is not None:
            yield from calls_in(link.body)
    elif isinstance(link, Repeat):
        yield from calls_in(link.body)
    else:
        branch: Body | If | None = link
        while isinstance(branch, If):
            yield from calls_in(branch.then)
            branch = branch.otherwise
        if branch is not None:
            yield from calls_in(branch)


def _recursion(cycle: list[str], blocks: Blocks) -> Diagnostic:
    first = blocks[cycle[0]]
    closing = next(call for call in calls_in(blocks[cycle[-1]].body) if call.keyword.text == cycle[0])
    way = " -> ".join(f"`{name}`" for name in (*cycle, cycle[0]))
    return Diagnostic(
        "recursive-block",
        f"the block `{cycle[0]}` uses itself: {way}",
        closing.keyword.span,
        labels=(Label(first.name.span, "declared here"),),
        help=("use `repeat` for layers that follow each other",),
    )
