"""Diagnostics as data: what is wrong, where, why, and what to do. Drawing them is another file's work.

Style: lower case, no final period, code in backticks, numbers in it. The message and the labels say what is
wrong; only `help` says what to do.
"""

from __future__ import annotations

from difflib import get_close_matches
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from cnnspec.language.limits import MAX_FINDINGS
from cnnspec.language.record import record, replace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cnnspec.language.source import Span


class Severity(StrEnum):
    """How bad it is: an error stops the compilation, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@record
class Label:
    """A second place that a diagnostic points at, with a few words."""

    span: Span
    text: str


@record
class Diagnostic:
    """One finding.

    Attributes:
        code: the slug that names the kind of finding: `kernel-too-large`.
        message: what is wrong, one line.
        span: where; nothing for a finding about a whole file.
        file: the file, where there is no span.
        label: words under the caret, mostly the arithmetic.
        labels: further places.
        notes: facts that led here.
        help: what to do.
        severity: error or warning.
    """

    code: str
    message: str
    span: Span | None
    file: str = ""
    label: str = ""
    labels: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    help: tuple[str, ...] = ()
    severity: Severity = Severity.ERROR

    def with_notes(self, *notes: str) -> Diagnostic:
        """The same finding with further notes."""
        return replace(self, notes=(*self.notes, *notes))

    @property
    def where(self) -> str:
        """The name of the file it is about."""
        return self.span.source.name if self.span else self.file

    @property
    def is_error(self) -> bool:
        """Whether it stops the compilation."""
        return self.severity is Severity.ERROR


def in_order(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Findings in the order of the file, each once; those over the limit are only counted."""

    def place(diagnostic: Diagnostic) -> tuple[str, int, int]:
        span = diagnostic.span
        return (diagnostic.where, span.start, span.end) if span else (diagnostic.where, -1, -1)

    findings = sorted(dict.fromkeys(diagnostics), key=place)
    if len(findings) <= MAX_FINDINGS:
        return tuple(findings)
    return (*findings[:MAX_FINDINGS], _not_shown(findings[MAX_FINDINGS:]))


def _not_shown(findings: list[Diagnostic]) -> Diagnostic:
    return Diagnostic(
        "too-many-findings",
        f"{len(findings)} more finding{'s are' if len(findings) > 1 else ' is'} not shown",
        None,
        findings[0].where,
        notes=("limit `MAX_FINDINGS`",),
        severity=min(finding.severity for finding in findings),  # "error" sorts before "warning"
    )


def did_you_mean(word: str, known: Iterable[str]) -> tuple[str, ...]:
    """A help line naming the closest known words, or none where nothing is close."""
    return _close(word.lower(), tuple(known))


@lru_cache(maxsize=256)
def _close(word: str, known: tuple[str, ...]) -> tuple[str, ...]:
    close = get_close_matches(word, known, n=2, cutoff=0.6)
    if not close:
        return ()
    return ("did you mean " + " or ".join(f"`{name}`" for name in close) + "?",)
