"""Everything that can be explained: codes and words from their pages, layers and settings from classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cnnspec.explanations import pages
from cnnspec.explanations.declarations import (
    Record,
    layer_page,
    layer_record,
    record,
    role_page,
    setting_page,
)
from cnnspec.layers import kinds as layer_kinds
from cnnspec.recipe import ROLES, SCALARS, SETTINGS
from cnnspec.recipe import kinds as recipe_kinds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cnnspec.layers import Layer

DIAGNOSTIC: Final = "diagnostic"
LANGUAGE: Final = "language"
TRAIN: Final = "train"


@dataclass(frozen=True)
class Topic:
    """One thing that can be explained.

    Attributes:
        name: the code or the word.
        family: what it belongs to: `diagnostic`, `language`, a layer's family, `train` or a setting.
        summary: one line.
        text: the page, in Markdown.
        record: the facts of the page, for JSON.
    """

    name: str
    family: str
    summary: str
    text: str
    record: Record


def topics() -> list[Topic]:
    """Every topic, family by family. A name can stand for more than one."""
    return [*_written(), *_layers(), *_settings(), *_choices()]


def _written() -> Iterator[Topic]:
    for family, found in ((DIAGNOSTIC, pages.codes()), (LANGUAGE, pages.words())):
        for page in found.values():
            yield Topic(page.name, family, page.summary, page.text, {})


def _layers() -> Iterator[Topic]:
    families: dict[str, list[type[Layer]]] = {}
    for kind in layer_kinds().values():
        families.setdefault(kind.family, []).append(kind)
    for family, members in families.items():
        for kind in members:
            yield Topic(kind.keyword, family, kind.summary, layer_page(kind), layer_record(kind))


def _settings() -> Iterator[Topic]:
    """What a line of the `train` block may begin with."""
    for role in ROLES:
        choices = list(recipe_kinds(role))
        yield Topic(role, TRAIN, "one of: " + ", ".join(choices), role_page(role), {"choices": choices})
    for setting in (*SETTINGS.values(), *SCALARS.values()):
        yield Topic(setting.keyword, TRAIN, setting.summary, setting_page(setting), record(setting))


def _choices() -> Iterator[Topic]:
    """What a setting may name: data sets, losses, optimizers, initialisers."""
    for role in ROLES:
        for kind in recipe_kinds(role).values():
            yield Topic(kind.keyword, role, kind.summary, setting_page(kind, role), record(kind, role))
