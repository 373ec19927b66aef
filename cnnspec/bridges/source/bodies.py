"""Lines that compute a body: each value in a variable with a short name, small steps on one line."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from cnnspec.bridges.source.code import WIDTH
from cnnspec.bridges.source.names import Namespace
from cnnspec.bridges.source.outline import Group, Leaf, Loop, Outline, Part

POOL: Final = ("x", "y", "z", "w", "v", "u")
"""Names of values that do not live long."""
MADE: Final = re.compile(r"[a-z_]+[0-9]+")
"""What a name looks like that the file does not give."""
ROOM: Final = 24
"""Columns that a line keeps free for its target and its comment."""


@dataclass(frozen=True)
class Line:
    """One assignment: its variables, the expression, and the part that is at its end."""

    targets: tuple[str, ...]
    text: str
    part: Part


@dataclass(frozen=True)
class Body:
    """The variables of a body's sources, its lines, and the expressions that it gives."""

    sources: tuple[str, ...]
    lines: tuple[Line, ...]
    gives: tuple[str, ...]


def body(
    outline: Outline,
    group: Group,
    say: Callable[[int, Part, Sequence[str]], str],
    names: Namespace,
    sources: Sequence[str] | None = None,
    *,
    loops_apart: bool = False,
) -> Body:
    """The lines of a group; `say` gives the expression of a part of some number for its inputs.

    With `loops_apart`, a repetition is a line of its own.
    """
    writer = _Writer(outline, group, say, names, sources)
    writer.loops_apart = loops_apart
    return writer.run()


class _Writer:
    def __init__(
        self,
        outline: Outline,
        group: Group,
        say: Callable[[int, Part, Sequence[str]], str],
        names: Namespace,
        sources: Sequence[str] | None,
    ) -> None:
        self._outline, self._group, self._say, self._names = outline, group, say, names
        self.loops_apart = False
        live = [(i, p) for i, p in enumerate(group.parts) if any(n in outline.live for n in p.nodes)]
        self._parts = [(i, p) for i, p in live if outline.sources_of(p)]
        self._readers: dict[int, list[int]] = {}
        for place, (_, part) in enumerate(self._parts):
            for v in outline.sources_of(part):
                self._readers.setdefault(v, []).append(place)
        for v in group.gives:
            self._readers.setdefault(v, []).append(len(self._parts))
        self._text: dict[int, str] = {}
        self._held: dict[str, int] = {}
        self._pending: set[int] = set()
        pool = [names.add(name) for name in POOL]
        given = list(sources or pool)
        self._pool = pool
        self._sources = tuple(given[: len(group.sources)])
        if len(self._sources) < len(group.sources):
            more = range(len(group.sources) - len(self._sources))
            self._sources += tuple(names.add(f"x{number}") for number in more)
        for name, v in zip(self._sources, group.sources, strict=True):
            self._text[v], self._held[name] = name, v

    def run(self) -> Body:
        lines: list[Line] = []
        for place, (number, part) in enumerate(self._parts):
            inputs = [self._text[v] for v in self._outline.sources_of(part)]
            text = self._say(number, part, inputs)
            gives = self._outline.gives_of(part)
            if self._goes_on(place, part, text) and len(gives) == 1:
                self._text[gives[0]] = text
                self._pending.add(gives[0])
                continue
            self._release(place)
            targets = tuple(self._variable(v, place, part) for v in gives)
            lines.append(Line(targets, text, part))
        return Body(self._sources, tuple(lines), tuple(self._text[v] for v in self._group.gives))

    def _goes_on(self, place: int, part: Part, text: str) -> bool:
        """Whether the next part alone reads this one, and may stand around it."""
        if self.loops_apart and isinstance(part, Loop):
            return False
        gives = self._outline.gives_of(part)
        if len(gives) != 1 or place + 1 >= len(self._parts) or self._readers[gives[0]] != [place + 1]:
            return False
        after = self._parts[place + 1][1]
        code = self._outline.codes[after.node] if isinstance(after, Leaf) else None
        return code is not None and code.nested and len(text) < WIDTH - 2 * ROOM

    def _release(self, place: int) -> None:
        """Free the variables that nothing reads after a place."""
        done = [name for name, v in self._held.items() if max(self._readers.get(v, [-1])) <= place]
        for name in done:
            del self._held[name]

    def _variable(self, v: int, place: int, part: Part) -> str:
        last = max(self._readers.get(v, [place]))
        given = part.name and not MADE.fullmatch(part.name)
        free = [name for name in self._pool if name not in self._held]
        long = last > place + 1 and self._readers[v][0] > place + 1
        name = self._names.add(part.name) if (given and long) or not free else free[0]
        self._held[name], self._text[v] = v, name
        return name
