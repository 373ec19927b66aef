"""Whether two generated programs are the same but for names: every statement, call, attribute and import."""

from __future__ import annotations

import ast
import copy

MARK = "zebra"
"""What stands in the plain program for the names and texts that differ."""


class DiffersError(AssertionError):
    """Something is in one program alone."""


def assert_alike(plain: str, text: str) -> None:
    """Compare two programs part by part.

    A name or text with the mark in it may be any other, the same one everywhere, and none that means
    something else; all that is left must be equal. How many steps stand on a line depends on the length of
    names, so variables of straight functions are replaced by their values first.

    Raises:
        DiffersError: with the two parts.
    """
    one, other = ast.parse(plain).body, ast.parse(text).body
    lines, others = plain.split("\n"), text.split("\n")
    pairing = _Pairing()
    if len(one) != len(other):
        raise DiffersError(f"{len(one)} statements, {len(other)} statements")
    for before, after in zip(one, other, strict=True):
        written = _written(before, lines)
        if MARK in written.lower() or written != _written(after, others):
            pairing.walk(_Straight().visit(before), _Straight().visit(after))


def _written(statement: ast.stmt, lines: list[str]) -> str:
    """The lines of a statement, which is the same one where they are."""
    decorators = getattr(statement, "decorator_list", [])
    first = min(part.lineno for part in (statement, *decorators))
    return "\n".join(lines[first - 1 : statement.end_lineno])


class _Straight(ast.NodeTransformer):
    """Functions that only assign to variables and return: each variable becomes its value.

    Values that nothing reads stay as statements.
    """

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        if all(map(_is_straight, node.body)):
            node.body = _Values().run(node.body)
        return node


def _is_straight(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Assign):
        names = [n for target in statement.targets for n in _targets(target)]
        return all(isinstance(name, ast.Name) for name in names)
    return isinstance(statement, ast.Return) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def _targets(target: ast.expr) -> list[ast.expr]:
    return target.elts if isinstance(target, ast.Tuple) else [target]


class _Values(ast.NodeTransformer):
    def __init__(self) -> None:
        self._values: dict[str, ast.expr] = {}
        self._unread: dict[str, ast.expr] = {}
        self._kept: list[ast.stmt] = []

    def run(self, body: list[ast.stmt]) -> list[ast.stmt]:
        for statement in body:
            if isinstance(statement, ast.Assign):
                value = self.visit(statement.value)
                for target in statement.targets:
                    self._assign(target, value)
            else:
                self._kept.append(self.visit(statement))
        return [*self._kept, *map(ast.Expr, self._unread.values())]

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        names = _targets(target)
        for number, name in enumerate(names):
            assert isinstance(name, ast.Name)
            if name.id in self._unread:
                self._kept.append(ast.Expr(self._unread.pop(name.id)))
            own = value if names == [target] else ast.Subscript(value, ast.Constant(number), ast.Load())
            self._values[name.id] = self._unread[name.id] = own

    def visit_Name(self, node: ast.Name) -> ast.expr:
        self._unread.pop(node.id, None)
        return copy.deepcopy(self._values[node.id]) if node.id in self._values else node


class _Pairing:
    """Walks through two trees at once and remembers which name stands for which."""

    def __init__(self) -> None:
        self._there: dict[tuple[str, str], str] = {}
        self._back: dict[tuple[str, str], str] = {}

    def walk(self, one: object, other: object, kind: str = "") -> None:
        if type(one) is not type(other):
            raise DiffersError(f"{_shown(one)}, {_shown(other)}")
        if isinstance(one, ast.AST):
            for field in one._fields:
                self.walk(getattr(one, field, None), getattr(other, field, None), _kind(one))
        elif isinstance(one, list):
            if len(one) != len(other):
                raise DiffersError(f"{_shown(one)}, {_shown(other)}")
            for a, b in zip(one, other, strict=True):
                self.walk(a, b)
        elif isinstance(one, str) and kind != "keyword":
            self._pair(one, other, kind)
        elif one != other:
            raise DiffersError(f"{one!r}, {other!r}")

    def _pair(self, one: str, other: str, kind: str) -> None:
        is_marked = MARK in one.lower()
        if not is_marked and one != other:
            raise DiffersError(f"{one!r}, {other!r}")
        if kind == "text" or (kind == "attribute" and not is_marked):
            return
        if self._there.setdefault((kind, one), other) != other:
            raise DiffersError(f"{one!r} is {other!r} and {self._there[kind, one]!r}")
        if self._back.setdefault((kind, other), one) != one:
            raise DiffersError(f"{other!r} is {one!r} and {self._back[kind, other]!r}")


def _kind(node: ast.AST) -> str:
    kinds = {ast.Constant: "text", ast.Attribute: "attribute", ast.keyword: "keyword", ast.alias: "keyword"}
    return kinds.get(type(node), "name")


def _shown(part: object) -> str:
    parts = part if isinstance(part, list) else [part]
    return "; ".join(ast.unparse(p) if isinstance(p, ast.AST) else repr(p) for p in parts)
