"""Text for Graphviz: escaped so that no name or value can become markup, and the tables of labels."""

from __future__ import annotations

import re
from textwrap import wrap
from typing import Final

_ENTITIES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;", "\\": "&#92;&#92;"}
_MAX_TEXT: Final = 48
"""The longest name that is shown whole, in characters."""

_WIDTH: Final = {False: 0.66, True: 0.76}
"""The width of a character in ems, regular and bold, on the wide side in DejaVu Sans, the widest of the usual
fonts. A box that is laid out for it holds its text in every browser."""


def printable(text: str) -> str:
    """The text on one line, with a replacement mark for each character that cannot be shown."""
    one_line = " ".join(text.split())
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in one_line)


def escape(text: str) -> str:
    r"""The text as the content of an HTML-like label.

    A backslash is doubled because Graphviz replaces `\N`, `\G` and others in these labels too.
    """
    return "".join(_ENTITIES.get(char, char) for char in printable(text))


def tooltip(*lines: str) -> str:
    """Lines as a tooltip, written in DOT between double quotes.

    Graphviz reads the escapes and entities of a tooltip twice, so that there is no way to write a
    backslash; a character that looks alike stands for it.
    """
    safe = (printable(line).replace("\\", "\N{REVERSE SOLIDUS OPERATOR}") for line in lines)
    return "\\n".join(line.replace("&", "&amp;").replace('"', "&quot;") for line in safe)


def shorten(text: str) -> str:
    """The text, with its middle left out where it is too long for a diagram."""
    text = printable(text)
    if len(text) <= _MAX_TEXT:
        return text
    half = (_MAX_TEXT - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def times(text: str) -> str:
    """The text with a multiplication sign in each shape: `5x5` becomes `5×5`."""
    return re.sub(r"(?<=[0-9])x(?=[0-9])", "×", text)


def lines(text: str, width: int) -> tuple[str, ...]:
    """The text in at most four lines of about `width` characters, broken between words if it can be."""
    found = wrap(printable(text), width, break_on_hyphens=False)
    return (*found[:3], shorten(" ".join(found[3:]))) if len(found) > 3 else tuple(found)


def width(text: str, size: float, *, bold: bool = False) -> int:
    """An upper estimate of the width of a line of text, in points."""
    return round(len(text) * size * _WIDTH[bold] + 0.5)


def font(text: str, size: float, color: str, *, bold: bool = False) -> str:
    """One line of text in a size and a colour; the text is escaped here and nowhere else."""
    content = escape(text) or " "
    if bold:
        content = f"<B>{content}</B>"
    return f'<FONT POINT-SIZE="{size:g}" COLOR="{color}">{content}</FONT>'


def cell(*content: str, **attributes: object) -> str:
    """A cell of a table; `content` is finished markup, one piece a line."""
    if "align" in attributes:
        attributes["balign"] = attributes["align"]
    return _tag("TD", "<BR/>".join(content), attributes)


def row(*cells: str) -> str:
    """A row of cells."""
    return f"<TR>{''.join(cells)}</TR>"


def table(*rows: str, **attributes: object) -> str:
    """A table of rows."""
    return _tag("TABLE", "".join(rows), attributes)


def label(markup: str) -> str:
    """Finished markup as a label of the DOT builder, which takes text in angle brackets for markup."""
    return f"<{markup}>"


def _tag(name: str, content: str, attributes: dict[str, object]) -> str:
    words = "".join(f' {key.upper()}="{value}"' for key, value in attributes.items())
    return f"<{name}{words}>{content}</{name}>"
