"""Expressions of generated code: put together, and looked into."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Final

WHOLE: Final = re.compile(r"(?:(?<=[(\[])|(?<=, ))\{(\d)\}(?=[)\],])")
"""Inputs that are whole arguments of a call."""


def filled(form: str, me: str, inputs: Sequence[str]) -> str:
    """The expression of a layer; a sum gets brackets unless it is a whole argument."""
    whole = set(WHOLE.findall(form))
    shown = [f"({t})" if str(i) not in whole and _is_sum(t) else t for i, t in enumerate(inputs)]
    return form.format(*shown, me=me)


def _is_sum(text: str) -> bool:
    return not isinstance(
        ast.parse(text, mode="eval").body, ast.Name | ast.Call | ast.Attribute | ast.Subscript
    )


def needs_i(text: str) -> bool:
    """Whether an argument counts the rounds of a loop."""
    return "i" in names_in(text.partition("=")[2] if "=" in text else text)


def names_in(source: str) -> set[str]:
    """All names in a source text."""
    return {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
