"""Immutable values as indented text, for people and golden tests: one field a line, places as line:column."""

from __future__ import annotations

from collections.abc import Mapping

from cnnspec.language.record import shown_fields
from cnnspec.language.source import Source, Span

INDENT = "  "


def dump(value: object, indent: str = "") -> str:
    """A value of the compiler as text, its fields indented below its class name."""
    deeper = indent + INDENT
    if isinstance(value, Span):
        first, last = value.first, value.last
        return f"{first.line}:{first.column}-{last.line}:{last.column}"
    if isinstance(value, Source):
        return f"Source {value.name}"
    if names := shown_fields(value):
        rows = [f"{name}: {dump(getattr(value, name), deeper)}" for name in names]
        return _block(type(value).__name__, rows, deeper)
    if isinstance(value, Mapping):
        return _block("{}", [f"{key}: {dump(item, deeper)}" for key, item in value.items()], deeper)
    if isinstance(value, tuple) and value and not all(isinstance(item, int) for item in value):
        return _block("()", [dump(item, deeper) for item in value], deeper)
    return str(value) if not isinstance(value, str) else repr(value)


def _block(head: str, rows: list[str], indent: str) -> str:
    return "\n".join([head, *(indent + row for row in rows)])
