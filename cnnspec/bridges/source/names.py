"""Names and texts of a spec in generated code: nothing in them can become code."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Final

MOST_COMMENT: Final = 120
"""Characters of a comment's line that are kept."""


def identifier(name: str) -> str:
    """A Python identifier in ASCII made of any text: `stage2.1.conv` is `stage2_1_conv`."""
    plain = re.sub(r"[^A-Za-z0-9_]", "_", name) or "_"
    return f"_{plain}" if plain[0].isdigit() else plain


def is_reserved(name: str) -> bool:
    """Whether a name means something in Python by itself: a keyword, a builtin, `__name__`."""
    words = keyword.iskeyword(name) or keyword.issoftkeyword(name) or hasattr(builtins, name)
    return words or name == "self" or name.startswith("__")


class Namespace:
    """Identifiers of one scope, each given once.

    One that is taken gets a line behind it and then a number, or with `counted` a number at once.
    """

    def __init__(self, taken: Iterable[str] = (), *, counted: bool = False) -> None:
        self._taken = set(taken)
        self._candidates = _counted if counted else _lined

    def add(self, name: str) -> str:
        """The identifier for a name, which is taken from now on."""
        plain = identifier(name)
        plain = f"n{plain}" if plain == "_" or plain.startswith("__") else plain
        chosen = next(
            one for one in self._candidates(plain) if one not in self._taken and not is_reserved(one)
        )
        self._taken.add(chosen)
        return chosen


def _lined(name: str) -> Iterator[str]:
    yield name
    yield f"{name}_"
    yield from (f"{name}_{number}" for number in count(2))


def _counted(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}{number}" for number in count(2))


def camel(name: str) -> str:
    """The name of a class: `dense_block` is `DenseBlock`."""
    parts = [part for part in identifier(name).split("_") if part]
    return "".join(part[0].upper() + part[1:] for part in parts) or "Block"


def harmless(text: str) -> str:
    """A text on one line of a comment: what is not printable is written as an escape."""
    plain = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return plain if len(plain) <= MOST_COMMENT else f"{plain[: MOST_COMMENT - 3]}..."


def comments(lines: Iterable[str]) -> list[str]:
    """Texts as lines of comments, which cannot end before their line does."""
    return [f"# {harmless(line)}".rstrip() for line in lines]
