"""A layer kind or a setting explained from its class: docstring, usage, options, example."""

from __future__ import annotations

from inspect import getdoc
from typing import TYPE_CHECKING, Final

from cnnspec.layers import Layer
from cnnspec.layers.declaration import OptionError, written
from cnnspec.recipe import Recipe, kinds

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnspec.layers.declaration import Declaration, Option

Record = dict[str, object]

HEADINGS: Final = ("option", "accepts", "default", "meaning")


def layer_page(kind: type[Layer]) -> str:
    """The page of a layer kind."""
    facts = [f"* {name}: {fact}" for name, fact in _facts(kind).items()]
    return _page(f"{kind.keyword}: a layer ({kind.family})", *_usage(kind), *_options(kind), *facts)


def setting_page(kind: type[Declaration], role: str = "") -> str:
    """The page of a setting, or of one that the setting `role` may name."""
    where = f"for `{role}` in" if role else "a setting of"
    title = f"{kind.keyword}: {where} the `train` block"
    default = [] if role else _otherwise(kind.keyword)
    return _page(title, *_usage(kind, role), *_options(kind), *default)


def role_page(role: str) -> str:
    """The page of a setting that names one of several kinds."""
    choices = kinds(role)
    lines = [f"* `{usage(kind, role)}`: {kind.summary}" for kind in choices.values()]
    more = [f"More on one of them: `cnnspec explain {name}`" for name in list(choices)[:1]]
    title = f"{role}: a setting of the `train` block"
    return _page(title, f"One line `{role} NAME`, with one of:", "", *lines, "", *_otherwise(role), *more)


def layer_record(kind: type[Layer]) -> Record:
    """The same for a program."""
    return {**record(kind), "inputs": kind.arity, "facts": _facts(kind)}


def record(kind: type[Declaration], role: str = "") -> Record:
    """What a class says of itself and its options."""
    return {
        "description": getdoc(kind) or "",
        "usage": usage(kind, role),
        "example": kind.example,
        "options": [
            {
                "name": name,
                "accepts": accepts(option),
                "required": option.required,
                "default": None if option.required or option.default is None else written(option.default),
                "positional": option.positional,
                "help": option.help,
            }
            for name, option in kind.options().items()
        ],
    }


def usage(kind: type[Declaration], role: str = "") -> str:
    """How it is written, behind the setting that names it."""
    return f"{role} {kind.usage()}".strip()


def _page(title: str, *lines: str) -> str:
    return "\n".join([f"# {title}", "", *lines]).rstrip("\n") + "\n"


def _usage(kind: type[Declaration], role: str = "") -> list[str]:
    """What it does, and how it is written."""
    forms = [usage(kind, role)]
    if issubclass(kind, Layer) and kind.arity is None:
        forms = [f"{kind.usage()} {{ branch {{ ... }} branch {{ ... }} }}", f"{kind.usage()} name [name ...]"]
    return [getdoc(kind) or "", "", "```", *forms, "```", "", f"Example: `{kind.example}`", ""]


def _otherwise(setting: str) -> list[str]:
    """What holds where a file is silent."""
    default = getattr(Recipe(), setting, None)
    if default is None or default == ():
        return []
    return [f"Where a file does not say it: `{setting} {default}`.", ""]


def _options(kind: type[Declaration]) -> list[str]:
    """The options as a Markdown table with aligned columns, and an empty line."""
    rows = [
        (name, accepts(option).partition(":")[0], _default(option), option.help)
        for name, option in kind.options().items()
    ]
    if not rows:
        return ["It has no options.", ""]
    cells = [tuple(cell.replace("|", "\\|") for cell in row) for row in (HEADINGS, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return [*lines, ""]


def accepts(option: Option) -> str:
    """What values an option takes: what its type says of itself, or what it says when it refuses one."""
    described = getdoc(option.accept)
    if described:
        return _as_part(described.partition("\n")[0])
    try:
        option.accept(())
    except OptionError as error:
        return error.message.removeprefix("must be ").rpartition(", not ")[0] or error.message
    return ""


def _default(option: Option) -> str:
    if option.required:
        return "required"
    return "not given" if option.default is None else written(option.default)


def _facts(kind: type[Layer]) -> dict[str, str]:
    """Inputs, shapes, weights and costs, as the methods of the class describe them."""
    facts = {"inputs": _inputs(kind.arity)}
    for name, method in (("shape", "infer"), ("weights", "weights"), ("MACs", "macs")):
        if getattr(kind, method) is not getattr(Layer, method):
            facts[name] = _as_part(_first_line(getattr(kind, method)))
        elif name == "weights":
            facts[name] = "none"
    return facts


def _inputs(arity: int | None) -> str:
    if arity is None:
        return "any number: branches, or values by name"
    return {0: "none", 1: "one, the value before it"}.get(arity, str(arity))


def _first_line(method: Callable[..., object]) -> str:
    return (getdoc(method) or "").partition("\n")[0]


def _as_part(sentence: str) -> str:
    """A sentence as part of a line: no final period, a small first letter where a word begins it."""
    text = sentence.rstrip(".")
    return text[:1].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text
