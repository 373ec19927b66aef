"""Findings for continuous integration: GitHub's workflow commands, and SARIF 2.1.0.

SARIF (Static Analysis Results Interchange Format, OASIS 2020) is what code hosts read into their pages of
findings; https://docs.oasis-open.org/sarif/sarif/v2.1.0/.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from cnnspec.explanations import codes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnspec.language.diagnostics import Diagnostic
    from cnnspec.language.source import Span
    from cnnspec.network.report import Json

SARIF_VERSION: Final = "2.1.0"
SARIF_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"


# --- workflow commands --------------------------------------------------------------------------------------


def workflow_commands(diagnostics: Sequence[Diagnostic]) -> list[str]:
    """One line a finding: `::error file=net.cnn,line=6,col=13,title=kernel-too-large::kernel 25x25 ...`."""
    return [_command(diagnostic) for diagnostic in diagnostics]


def _command(diagnostic: Diagnostic) -> str:
    properties = {"file": diagnostic.where}
    if diagnostic.span:
        (line, column), (end_line, end_column) = diagnostic.span.first, diagnostic.span.last
        properties |= {"line": str(line), "col": str(column)}
        if end_line == line and end_column > column:
            properties |= {"endLine": str(line), "endColumn": str(end_column)}
    properties["title"] = diagnostic.code
    written = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{diagnostic.severity} {written}::{_data(_text(diagnostic))}"


def _data(text: str) -> str:
    """What stands behind the second `::`, on one line."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """A value before the second `::`, where commas and colons part the properties."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _text(diagnostic: Diagnostic) -> str:
    """The whole finding but for its place and code."""
    first = f"{diagnostic.message}: {diagnostic.label}" if diagnostic.label else diagnostic.message
    notes = (f"note: {note}" for note in diagnostic.notes)
    return "\n".join([first, *notes, *(f"help: {help}" for help in diagnostic.help)])


# --- SARIF --------------------------------------------------------------------------------------------------


def sarif(diagnostics: Sequence[Diagnostic]) -> Json:
    """One run with a rule for every code that was found, each with its whole explanation."""
    found = sorted({diagnostic.code for diagnostic in diagnostics})
    numbers = {code: number for number, code in enumerate(found)}
    driver: dict[str, Json] = {
        "name": "cnnspec",
        "version": version("cnnspec"),
        "rules": [_rule(code) for code in found],
    }
    return {
        "$schema": SARIF_SCHEMA,
        "version": SARIF_VERSION,
        "runs": [
            {
                "tool": {"driver": driver},
                "columnKind": "unicodeCodePoints",
                "results": [_result(diagnostic, numbers[diagnostic.code]) for diagnostic in diagnostics],
            }
        ],
    }


def _rule(code: str) -> Json:
    page = codes().get(code)
    rule: dict[str, Json] = {"id": code}
    if page:
        rule["shortDescription"] = {"text": page.summary}
        rule["help"] = {"text": page.text, "markdown": page.text}
    return rule


def _result(diagnostic: Diagnostic, rule: int) -> Json:
    result: dict[str, Json] = {
        "ruleId": diagnostic.code,
        "ruleIndex": rule,
        "level": diagnostic.severity.value,
        "message": {"text": _text(diagnostic)},
        "locations": [{"physicalLocation": _location(diagnostic.where, diagnostic.span)}],
    }
    if diagnostic.labels:
        result["relatedLocations"] = [
            {
                "id": number,
                "message": {"text": label.text},
                "physicalLocation": _location(label.span.source.name, label.span),
            }
            for number, label in enumerate(diagnostic.labels, 1)
        ]
    return result


def _location(name: str, span: Span | None) -> Json:
    location: dict[str, Json] = {"artifactLocation": {"uri": _uri(name)}}
    if span:
        (line, column), (end_line, end_column) = span.first, span.last
        location["region"] = {
            "startLine": line,
            "startColumn": column,
            "endLine": end_line,
            "endColumn": end_column,
        }
    return location


def _uri(name: str) -> str:
    """A path as a URI: relative to the folder of the run, or with `file:` where it is absolute."""
    path = Path(name)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())
