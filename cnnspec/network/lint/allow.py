"""Silencing warnings by comments in the file.

    # allow: dropped-border, bias-before-batchnorm (a reason)
    # allow-file: missing-claim

The first allows them on its line, or standing alone on a line, in the statement, block or network below.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from cnnspec.language.diagnostics import Diagnostic, Severity, did_you_mean
from cnnspec.language.parser import parse
from cnnspec.language.record import record
from cnnspec.language.syntax import Block, Body, Chain, If, Network
from cnnspec.network.lint.registry import codes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from cnnspec.language.source import Source, Span
    from cnnspec.language.syntax import Item, Link, Statement
    from cnnspec.language.tokens import Token

_COMMENT: Final = re.compile(r"#\s*allow(?P<file>-file)?:(?P<codes>[^(]*)")
_WORD: Final = re.compile(r"[^\s,]+")


@record
class Allowance:
    """A code that is allowed, where it is written, and the lines on which it is."""

    code: str
    span: Span
    lines: range


def silenced(findings: Iterable[Diagnostic], source: Source, *, useless: bool) -> Iterator[Diagnostic]:
    """The findings that no comment allows, and what is wrong with the comments of the file itself.

    A comment stands in the file that the finding is in, such as that of a block. With `useless`, one that
    silences nothing is reported.
    """
    own = allowances(source)
    places = {source: _by_line(own)}
    used: set[tuple[str, range]] = set()
    for finding in findings:
        assert finding.span is not None
        origin = finding.span.source
        if origin not in places:
            places[origin] = _by_line(allowances(origin))
        silencing = places[origin].get((finding.code, finding.span.line))
        if silencing is None:
            yield finding
        elif origin == source:
            used |= {(finding.code, lines) for lines in silencing}
    for allowance in own:
        if allowance.code not in codes():
            yield _unknown(allowance)
        elif useless and (allowance.code, allowance.lines) not in used:
            yield _useless(allowance)


def _by_line(known: Sequence[Allowance]) -> dict[tuple[str, int], set[range]]:
    """For a code and a line, the ranges of lines for which comments allow it there."""
    found: dict[tuple[str, int], set[range]] = {}
    for code, lines in {
        (allowance.code, allowance.lines) for allowance in known if allowance.code in codes()
    }:
        for line in lines:
            found.setdefault((code, line), set()).add(lines)
    return found


def allowances(source: Source) -> tuple[Allowance, ...]:
    """The allowances of a file."""
    if not _COMMENT.search(source.text):
        return ()
    parsed = parse(source)
    ends = dict(_last_lines(parsed.tree.items))
    alone = {source.position(comment.start).line for comment in parsed.comments if _is_alone(comment, source)}
    below: dict[int, int] = {}  # the line after a comment that stands alone, and after those that follow it
    for line in sorted(alone, reverse=True):
        below[line] = below.get(line + 1, line + 1)
    found = []
    for comment in parsed.comments:
        match = _COMMENT.match(comment.text)
        if match is None:
            continue
        line = source.position(comment.start).line
        lines = range(line, line + 1)
        if match["file"]:
            lines = range(1, source.position(len(source.text)).line + 1)
        elif line in alone:
            first = below[line]
            lines = range(first, ends.get(first, first) + 1)
        for word in _WORD.finditer(match["codes"]):
            start = comment.start + match.start("codes") + word.start()
            found.append(Allowance(word.group(), source.span(start, start + len(word.group())), lines))
    return tuple(found)


def _is_alone(comment: Token, source: Source) -> bool:
    """Whether nothing stands before a comment on its line."""
    position = source.position(comment.start)
    return not source.line(position.line)[: position.column - 1].strip()


def _last_lines(parts: Sequence[Item | Statement]) -> Iterator[tuple[int, int]]:
    """For each line on which an item or a statement begins, the line on which it ends; outer ones last."""
    for part in parts:
        yield from _within(part)
        yield part.span.line, part.span.source.position(max(part.span.end - 1, part.span.start)).line


def _within(part: Item | Statement) -> Iterator[tuple[int, int]]:
    if isinstance(part, Chain):
        for link in part.links:
            for body in _bodies(link):
                yield from _last_lines(body.statements)
    elif isinstance(part, Block | Network):
        yield from _last_lines(part.body.statements)


def _bodies(link: Link) -> Iterator[Body]:
    branch: Body | If | None = link if isinstance(link, If) else link.body
    while isinstance(branch, If):
        yield branch.then
        branch = branch.otherwise
    if branch is not None:
        yield branch


def _unknown(allowance: Allowance) -> Diagnostic:
    help = did_you_mean(allowance.code, codes()) or (
        "only warnings can be allowed; `cnnspec explain --list` shows every code",
    )
    message = f"there is no warning `{allowance.code}`"
    return Diagnostic("unknown-allow", message, allowance.span, help=help, severity=Severity.WARNING)


def _useless(allowance: Allowance) -> Diagnostic:
    lines = allowance.lines
    where = f"line {lines[0]}" if len(lines) == 1 else f"lines {lines[0]} to {lines[-1]}"
    message = f"there is no `{allowance.code}` to allow on {where}"
    help = ("remove it",)
    return Diagnostic("useless-allow", message, allowance.span, help=help, severity=Severity.WARNING)
