"""The error that a spec cannot be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnspec.language.rendering import render_all

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cnnspec.language.diagnostics import Diagnostic


class SpecError(Exception):
    """A spec cannot be used. `diagnostics` holds every finding; `str()` is the rendered text."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__(self.diagnostics)

    def __str__(self) -> str:
        return "\n" + render_all(self.diagnostics)
