"""HTML as text, in which whatever comes from outside is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

VOID: Final = ("img", "meta")
"""Elements without content."""


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def element(tag: str, *content: str, **attributes: object) -> Html:
    """One element. Content is escaped unless it is `Html`; `class_` stands for `class`."""
    words = [tag]
    for name, value in attributes.items():
        if value is not None:
            words.append(f'{name.rstrip("_").replace("_", "-")}="{escape(str(value))}"')
    head = " ".join(words)
    return Html(f"<{head}>" if tag in VOID else f"<{head}>{joined(content)}</{tag}>")


def joined(parts: Iterable[str]) -> Html:
    """Parts one after the other, each escaped unless it is `Html`."""
    return Html("".join(part if isinstance(part, Html) else escape(part) for part in parts))


def section(title: str, *content: str) -> Html:
    """A part of the page with its heading."""
    name = "-".join(title.lower().split())
    return element("section", element("h2", title), *content, id=name)


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Iterable[int] = (), caption: str = ""
) -> Html:
    """A table; `numbers` are the columns that are set to the right."""
    right = set(numbers)
    heading = [element("th", title, scope="col", class_=_side(i, right)) for i, title in enumerate(head)]
    body = [
        element("tr", *(element("td", cell, class_=_side(i, right)) for i, cell in enumerate(row)))
        for row in rows
    ]
    parts = [element("caption", caption)] if caption else []
    parts += [element("thead", element("tr", *heading))] if any(head) else []
    return element("div", element("table", *parts, element("tbody", *body)), class_="scroll")


def _side(column: int, right: set[int]) -> str | None:
    return "number" if column in right else None
