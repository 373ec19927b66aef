"""Imports go one way, and the command starts without what it does not need."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent.parent / "cnnspec"
FILES = sorted(PACKAGE.rglob("*.py"))

ORDER = (
    {"language"},
    {"layers"},
    {"recipe"},
    {"network"},
    {"numpy_backend", "render", "export", "bridges", "explanations"},
    {"training"},
    {"measurement", "torch_backend"},
    {"api"},
    {"cli"},
)
"""Each room may import those before it and itself; rooms of one step do not know each other."""

LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
OUTSIDE = ("cnnspec", "cnnspec.__main__")
"""The front door: the public names, and `python -m cnnspec`."""


def module(path):
    """`cnnspec.layers.base` for `cnnspec/layers/base.py`."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(name):
    """The room of a module of ours."""
    return name.split(".")[1]


@functools.cache
def tree(path):
    """The syntax tree of a file."""
    return ast.parse(path.read_text("utf-8"))


def imports(path):
    """The modules of ours that a file imports, anywhere in it, with the lines."""
    for node in ast.walk(tree(path)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write imports in full"
            below = [f"{node.module}.{alias.name}" for alias in node.names]
            names = below if node.module == "cnnspec" else [node.module]
        for name in names:
            if name.startswith("cnnspec."):
                yield name, node.lineno


def test_every_room_has_its_place_in_the_order():
    rooms = {room(module(path)) for path in FILES if module(path) not in OUTSIDE}
    assert rooms <= set(LEVEL)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_imports_a_later_room(path):
    if module(path) in OUTSIDE:
        return
    here = room(module(path))
    back = [
        f"{path.name}:{line} imports {name}"
        for name, line in imports(path)
        if room(name) != here and LEVEL[room(name)] >= LEVEL[here]
    ]
    assert not back


def test_no_file_imports_in_a_circle():
    """At import time, that is outside functions and `if TYPE_CHECKING`."""
    known = {module(path) for path in FILES}
    arrows = {module(path): set(_at_import_time(path)) & known for path in FILES}
    for start in known:
        reached, pending = set(), [start]
        while pending:
            for name in arrows[pending.pop()] - reached:
                assert name != start, f"{start} imports itself by way of {reached}"
                reached.add(name)
                pending.append(name)


def _at_import_time(path):
    own = module(path)
    for node in tree(path).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                # `from package import module` in the package's own __init__ runs the module, not the package
                yield (
                    below
                    if (PACKAGE.parent / Path(*below.split("."))).with_suffix(".py").exists()
                    else node.module
                )
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name != own)


HEAVY = ("numpy", "lark", "pydantic", "rich", "torch", "graphviz", "matplotlib", "safetensors")
SPEC = "specs/lenet.cnn"


def loaded(*words):
    """The modules in memory after a command."""
    code = f"import sys, cnnspec.cli.main as m; m.main({list(words)!r}); print(*sys.modules, file=sys.stderr)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent, check=True
    )
    return set(result.stderr.split("\n")[-2].split())


@pytest.mark.parametrize(
    "words", [("check", SPEC), ("check", "--json", SPEC), ("check", "no-such-file.cnn"), ("--version",)]
)
def test_check_starts_without_heavy_packages(words):
    assert not loaded(*words) & set(HEAVY)


def test_importing_the_package_loads_nothing():
    code = "import sys, cnnspec; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = {name for name in result.stdout.split() if name.startswith("cnnspec")}
    assert ours == {"cnnspec"}
    assert not set(result.stdout.split()) & set(HEAVY)
