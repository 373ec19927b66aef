"""Lints of what is written: names that nothing uses, and claims that are missing among others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cnnspec.language.record import fields
from cnnspec.language.source import Source, Span
from cnnspec.language.syntax import Block, Body, Chain, LayerCall, Let, Name, Network, Repeat
from cnnspec.layers import show
from cnnspec.network.claims import UNCLAIMED
from cnnspec.network.lint.registry import Remark, Subject, lint

if TYPE_CHECKING:
    from collections.abc import Iterator

CLAIMED: Final = 4
"""A claim is missed where at most one in so many statements that change the shape has none."""


@lint
def unused_name(subject: Subject) -> Iterator[Remark]:
    """A parameter, a `let`, a variable of a `repeat` or a block that nothing uses.

    A block may be there for other files where this one holds no network. The name of a layer always has a
    use: it names weights.
    """
    declared = [item for item in subject.tree.items if isinstance(item, Block | Network)]
    for item in declared:
        yield from _parameters(item)
    for part in _parts(subject.tree.items):
        if isinstance(part, Repeat) and part.variable and part.variable.text not in _names(part.body):
            yield _unused(
                f"the variable `{part.variable.text}` is never used",
                part.variable.span,
                f"write `repeat {part.last.span.text}`"
                if part.first and part.first.span.text == "1"
                else "remove it",
            )
        elif isinstance(part, Body):
            yield from _lets(part)
    if any(isinstance(item, Network) for item in declared):
        called = {part.keyword.text for part in _parts(subject.tree.items) if isinstance(part, LayerCall)}
        for item in declared:
            if isinstance(item, Block) and item.name.text not in called:
                message = f"the block `{item.name.text}` is never used"
                yield _unused(message, item.name.span, "use it like a layer, or remove it")


@lint
def missing_claim(subject: Subject) -> Iterator[Remark]:
    """A statement of the network without a claim, where nearly all others have one.

    Statements that leave the shape as it was need none, nor do those in blocks, repetitions and branches.
    """
    networks = [item for item in subject.tree.items if isinstance(item, Network)]
    ends = {id(statement): end for statement, end in subject.graph.ends}
    before = None
    claimed, without = 0, []
    for statement in networks[0].body.statements if networks else ():
        if not isinstance(statement, Chain) or id(statement) not in ends:
            continue
        shape = subject.facts.shape(ends[id(statement)])
        if statement.claim is not None:
            claimed += 1
        elif shape != before and not _is_structure(statement):
            without.append((statement, shape))
        before = shape
    if CLAIMED * len(without) <= claimed + len(without):
        for statement, shape in without:
            span = statement.links[-1].span
            yield Remark(
                "this statement claims no shape, and the others do",
                span if "\n" not in span.text else span.source.span(span.end - 1, span.end),
                label=f"{claimed} of {claimed + len(without)} statements have a claim",
                help=(f"add `: {show(shape)}`, or run `cnnspec fmt --shapes`",),
            )


def _is_structure(chain: Chain) -> bool:
    last = chain.links[-1]
    return isinstance(last, LayerCall) and last.keyword.text in UNCLAIMED


def _parameters(item: Block | Network) -> Iterator[Remark]:
    kind = "block" if isinstance(item, Block) else "network"
    used = _names(item.body) | _names(tuple(parameter.default for parameter in item.parameters))
    for parameter in item.parameters:
        if parameter.name.text not in used:
            message = f"the parameter `{parameter.name.text}` of {kind} `{item.name.text}` is never used"
            yield _unused(message, parameter.name.span, "remove it, or write it where its value is meant")


def _lets(body: Body) -> Iterator[Remark]:
    for number, statement in enumerate(body.statements):
        if isinstance(statement, Let) and statement.name.text not in _names(body.statements[number + 1 :]):
            message = f"the value of `{statement.name.text}` is never used"
            yield _unused(message, statement.name.span, "remove the line, or use the name where it is meant")


def _unused(message: str, span: Span, help: str) -> Remark:
    return Remark(message, span, help=(help,))


def _names(part: object) -> set[str]:
    """The names that stand as values in a part of the tree."""
    return {found.text for found in _parts(part) if isinstance(found, Name)}


def _parts(part: object) -> Iterator[object]:
    """A part of the tree and every part of it; without recursion, however long a chain of `else if`."""
    pending = [part]
    while pending:
        found = pending.pop()
        if isinstance(found, tuple):
            pending += reversed(found)
        elif not isinstance(found, Span | Source):
            yield found
            pending += (getattr(found, name) for name in reversed(fields(found)))
