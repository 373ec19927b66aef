"""Source texts and places in them."""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property
from typing import NamedTuple

from cnnspec.language.record import record


class Position(NamedTuple):
    """A place as a person counts: line and column, both from 1, columns in characters."""

    line: int
    column: int


@record
class Source:
    """A named text. `name` is what messages show: a path, or `<stdin>`.

    `path` is where it was read from; a text from elsewhere has none, and cannot `use` other files.
    """

    name: str
    text: str
    path: str | None = None

    @cached_property
    def _starts(self) -> list[int]:
        starts = [0]
        find = self.text.find
        while (found := find("\n", starts[-1])) >= 0:
            starts.append(found + 1)
        return starts

    def position(self, offset: int) -> Position:
        """The line and column of a character offset."""
        line = bisect_right(self._starts, offset)
        return Position(line, offset - self._starts[line - 1] + 1)

    def line(self, number: int) -> str:
        """The text of a line, counted from 1, without its end."""
        start = self._starts[number - 1]
        end = self._starts[number] - 1 if number < len(self._starts) else len(self.text)
        return self.text[start:end].removesuffix("\r")

    def span(self, start: int, end: int) -> Span:
        """The place from offset `start` up to `end`."""
        return Span(self, start, end)


@record
class Span:
    """A half-open range of characters of a source."""

    source: Source
    start: int
    end: int

    @property
    def first(self) -> Position:
        """Position of the first character."""
        return self.source.position(self.start)

    @property
    def last(self) -> Position:
        """Position behind the last character."""
        return self.source.position(self.end)

    @property
    def line(self) -> int:
        """The line it begins on, from 1."""
        return self.first.line

    @property
    def text(self) -> str:
        """The characters it covers."""
        return self.source.text[self.start : self.end]

    def to(self, other: Span) -> Span:
        """The range from the start of this one to the end of another."""
        return Span(self.source, self.start, max(self.end, other.end))

    def __repr__(self) -> str:
        return f"Span({self.start}, {self.end})"
