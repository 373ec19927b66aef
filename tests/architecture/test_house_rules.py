"""What every file keeps to, and that nothing declared lacks its words."""

import ast
import functools
import inspect
import re
from pathlib import Path

import pytest

import cnnspec
from cnnspec.cli import main as command_line
from cnnspec.language.source import Source
from cnnspec.layers import kinds
from cnnspec.layers.shapes import Input
from cnnspec.network.check import check_source
from cnnspec.recipe import ROLES, SCALARS, SETTINGS
from cnnspec.recipe import kinds as recipe_kinds

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "cnnspec"
FILES = sorted(PACKAGE.rglob("*.py"))
TEXTS = [
    path
    for folder in ("cnnspec", "tests", "specs", "examples", "benchmarks")
    for path in (ROOT / folder).rglob("*")
]
LAYERS = list(kinds().values())
RECIPES = [*SCALARS.values(), *SETTINGS.values()]
RECIPES += [kind for role in ROLES for kind in recipe_kinds(role).values()]

WORKERS = "processes.py"
"""May end a process that is not the program's own."""
PROGRAMS = ("cli", "__main__.py", "render/carried_engine.py")
"""What may print and exit: the commands, and programs of their own."""


def name(path):
    return str(path.relative_to(ROOT))


@functools.cache
def nodes(path):
    """The syntax tree of a file, and all nodes of it."""
    tree = ast.parse(path.read_text("utf-8"))
    return tree, list(ast.walk(tree))


def keyword(kind):
    return kind.keyword


@pytest.mark.parametrize("path", FILES, ids=name)
def test_every_module_says_what_it_is(path):
    assert ast.get_docstring(nodes(path)[0])


@pytest.mark.parametrize("path", FILES, ids=name)
def test_only_the_commands_print_and_exit(path):
    if path.relative_to(PACKAGE).as_posix().startswith(PROGRAMS):
        return
    for node in nodes(path)[1]:
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            allowed = {"os._exit"} & ({called} if path.name == WORKERS else set())
            assert called not in {"print", "exit", "quit", "sys.exit", "os._exit", "input"} - allowed, (
                f"line {node.lineno}"
            )
        if isinstance(node, ast.Name):
            assert node.id != "SystemExit", f"line {node.lineno}"
        if isinstance(node, ast.Attribute) and node.attr in {"stdout", "stderr"}:
            assert ast.unparse(node) not in {"sys.stdout", "sys.stderr"}, f"line {node.lineno}"


def test_nothing_is_left_to_be_done():
    left = re.compile("TO" + "DO|FIX" + "ME|X" + "XX")
    for path in TEXTS:
        if path.suffix in (".py", ".cnn", ".lark", ".md", ".txt"):
            assert not left.search(path.read_text("utf-8")), name(path)


def test_the_public_names_are_there():
    assert sorted(cnnspec.__all__) == dir(cnnspec)
    for public in cnnspec.__all__:
        assert inspect.getdoc(getattr(cnnspec, public)), public
    with pytest.raises(AttributeError, match="no attribute `nothing`"):
        cnnspec.nothing  # noqa: B018
    assert {"load", "loads", "train", "SpecError", "Diagnostic", "Network"} <= set(cnnspec.__all__)


# --- declarations ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*LAYERS, *RECIPES], ids=keyword)
def test_every_kind_says_what_it_is(kind):
    assert kind.__doc__
    assert kind.summary.endswith((".", ":"))
    assert re.fullmatch("[a-z][a-z0-9_]*", kind.keyword)


@pytest.mark.parametrize("kind", [*LAYERS, *RECIPES], ids=keyword)
def test_every_option_says_what_it_is(kind):
    for option, declared in kind.options().items():
        assert declared.help, option
        assert declared.help[0].islower() or not declared.help[0].isalpha(), option
        assert not declared.help.endswith("."), option
        assert not hasattr(kind, option), f"`{option}` hides a method"


@pytest.mark.parametrize("kind", LAYERS, ids=keyword)
def test_every_layers_example_checks(kind):
    """On some input: an image, a vector, a signal or a video. A join finds the names it uses."""
    assert kind.keyword in re.findall(r"\w+", kind.example)
    names = [word for word in kind.example.split()[1:] if kind.arity is None]
    inputs = ("1x28x28", "8x32x32", "64", "84", "400", "3x64x64", "4x1000", "3x16x32x32")
    outcomes = [check_source(Source("net.cnn", network(kind, shape, names))) for shape in inputs]
    assert any(checked.ok for checked in outcomes), outcomes[0].diagnostics


def network(kind, shape, names):
    lines = [f"{name} = relu" for name in names]
    first = [] if kind is Input else [f"input {shape}"]
    return "\n".join(["network N {", *first, *lines, kind.example, "}"])


@pytest.mark.parametrize("kind", RECIPES, ids=keyword)
def test_every_settings_example_checks(kind):
    text = f"network N {{\ninput 4\n}}\ntrain {{\n{kind.example}\n}}\n"
    codes = {diagnostic.code for diagnostic in check_source(Source("net.cnn", text)).diagnostics}
    of_another_network = {"unknown-layer-name", "nothing-to-learn"}
    assert codes <= {"data-shape", "data-classes", "data-target", "data-loss"} | of_another_network, codes


# --- commands --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", command_line.commands())
def test_every_command_has_a_summary_and_examples(command):
    loaded = command_line.load(command)
    assert loaded.SUMMARY[0].islower()
    assert not loaded.SUMMARY.endswith(".")
    assert loaded.EXAMPLES.startswith("examples:\n")
    assert f"cnnspec {command}" in loaded.EXAMPLES
