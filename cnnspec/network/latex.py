"""Formulas of layers as LaTeX: `floor((n + p - k) / s) + 1` with its brackets and fractions."""

from __future__ import annotations

import ast
import re
from typing import Final

_BRACKETS: Final = {
    "floor": (r"\left\lfloor ", r" \right\rfloor"),
    "ceil": (r"\left\lceil ", r" \right\rceil"),
    "min": (r"\min(", ")"),
    "max": (r"\max(", ")"),
}
_SUM, _PRODUCT, _SIGN, _ATOM = range(4)
"""How tightly an expression holds together."""


def latex(expression: str) -> str:
    """An expression of the language of formulas, in symbols or in numbers."""
    return _write(ast.parse(expression, mode="eval").body, _SUM)


def symbol(name: str) -> str:
    r"""A symbol with its index: `k_{h}`, `r_{\mathrm{out}}`."""
    letter, _, index = name.partition("_")
    if not index:
        return letter
    if len(index) == 1:
        return f"{letter}_{{{index}}}"
    return rf"{letter}_{{\mathrm{{{index.replace('_', ',')}}}}}"


def number(text: str) -> str:
    """A number with its thousands set apart: `3{,}692{,}640`."""
    return re.sub(r"(?<=\d)(?=(\d{3})+$)", "{,}", text)


def _write(node: ast.expr, needed: int) -> str:
    text, tightness = _parts(node)
    return rf"\left({text}\right)" if tightness < needed else text


def _parts(node: ast.expr) -> tuple[str, int]:
    match node:
        case ast.Constant(value=value):
            return number(str(value)), _ATOM
        case ast.Name(id=name):
            return symbol(name), _ATOM
        case ast.UnaryOp(operand=operand):
            return f"-{_write(operand, _ATOM)}", _SIGN - 2
        case ast.Call(func=ast.Name(id=name), args=arguments):
            opening, closing = _BRACKETS[name]
            return opening + ", ".join(_write(a, _SUM) for a in arguments) + closing, _ATOM
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return rf"\frac{{{_write(left, _SUM)}}}{{{_write(right, _SUM)}}}", _ATOM
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return rf"{_write(left, _PRODUCT)} \cdot {_write(right, _SIGN)}", _PRODUCT
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return f"{_write(left, _SUM)} + {_write(right, _PRODUCT)}", _SUM
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return f"{_write(left, _SUM)} - {_write(right, _PRODUCT)}", _SUM
        case _:
            raise ValueError(f"no formula: {ast.unparse(node)}")
