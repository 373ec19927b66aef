"""Every diagnostic code that the package can report, read from its source."""

import ast
import re
from pathlib import Path

from cnnspec.recipe import ROLES

PACKAGE = Path(__file__).parent.parent.parent / "cnnspec"
ROOMS = ("language", "layers", "network", "bridges")
MAKERS = {"Diagnostic", "LayerError", "_error"}
SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def declared_codes():
    """The codes written in the rooms that find faults: the first argument of what makes one, and lints."""
    files = [file for room in ROOMS for file in sorted((PACKAGE / room).rglob("*.py"))]
    return {code for file in files for code in _codes(ast.parse(file.read_text(encoding="utf-8")))}


def _codes(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and "lint" in map(ast.unparse, node.decorator_list):
            yield node.name.replace("_", "-")  # a lint is called as its warnings are
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MAKERS:
            for given in [*node.args[:1], *(k.value for k in node.keywords if k.arg == "code")]:
                yield from _slugs(given)


def _slugs(expression):
    match expression:
        case ast.Constant(value=str(code)):
            assert SLUG.fullmatch(code), code
            yield code
        case ast.JoinedStr(
            values=[ast.Constant(value=before), ast.FormattedValue(value=ast.Name(id="role"))]
        ):
            yield from (f"{before}{role}" for role in ROLES)
        case ast.IfExp(body=one, orelse=other):
            yield from (*_slugs(one), *_slugs(other))
        case ast.Attribute(attr="code") | ast.Name(id="code"):
            pass  # handed on
        case _:
            raise AssertionError(f"a code that cannot be read: {ast.unparse(expression)}")
