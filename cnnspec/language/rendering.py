"""Diagnostics as text for a terminal, in the manner of rustc.

error[kernel-too-large]: kernel 25x25 does not fit the 14x14 map
--> specs/lenet.cnn:6:13
|
6 |     conv 16 25x25 -> sigmoid
|             ^^^^^ (14 + 0 - 25) / 1 + 1 = -10
|
= note: input of `conv2` is 6x14x14, from `avgpool1` on line 5
= help: a kernel up to 14x14 fits, or `padding=6` with 25x25
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from unicodedata import category, east_asian_width

from cnnspec.language.diagnostics import Diagnostic, Label, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cnnspec.language.source import Span

TAB: Final = "    "
MAX_WIDTH: Final = 160
"""Characters of a source line that are shown; a longer line is cut around the place."""

_STYLES: Final = {"error": "1;31", "warning": "1;33", "help": "1;36", "frame": "1;34", "bold": "1"}


def render_all(diagnostics: Sequence[Diagnostic], *, color: bool = False) -> str:
    """All diagnostics, an empty line between them, with a count at the end."""
    blocks = [render(diagnostic, color=color) for diagnostic in diagnostics]
    return "\n\n".join([*blocks, _paint(summary(diagnostics), "bold", color)])


def summary(diagnostics: Sequence[Diagnostic]) -> str:
    """`2 errors, 1 warning`."""
    counts = []
    for severity in Severity:
        number = sum(diagnostic.severity is severity for diagnostic in diagnostics)
        if number:
            counts.append(f"{number} {severity}{'s' if number > 1 else ''}")
    return ", ".join(counts) or "no findings"


def render(diagnostic: Diagnostic, *, color: bool = False) -> str:
    """One diagnostic, without a final newline."""
    head = _paint(f"{diagnostic.severity}[{diagnostic.code}]", diagnostic.severity, color)
    lines = [f"{head}{_paint(': ' + _printable(diagnostic.message), 'bold', color)}"]
    labels = [Label(diagnostic.span, diagnostic.label)] if diagnostic.span else []
    labels += diagnostic.labels
    margin = max([len(str(label.span.line)) for label in labels], default=1)
    arrow = _paint(" " * margin + "-->", "frame", color)
    lines.append(f"{arrow} {_printable(_place(diagnostic))}")
    bar = _paint(f"{' ' * margin} |", "frame", color)
    if labels:
        lines += [bar, *_excerpts(labels, diagnostic.severity.value, margin, bar, color)]
    if labels and (diagnostic.notes or diagnostic.help):
        lines.append(bar)
    trailer = _paint(f"{' ' * margin} =", "frame", color)
    lines += [f"{trailer} {_paint('note', 'bold', color)}: {_printable(note)}" for note in diagnostic.notes]
    lines += [f"{trailer} {_paint('help', 'help', color)}: {_printable(help)}" for help in diagnostic.help]
    return "\n".join(lines)


def _place(diagnostic: Diagnostic) -> str:
    return _location(diagnostic.span) if diagnostic.span else diagnostic.file


def _location(span: Span) -> str:
    line, column = span.first
    return f"{span.source.name}:{line}:{column}"


def _excerpts(labels: list[Label], style: str, margin: int, bar: str, color: bool) -> Iterator[str]:
    """The lines of the labels in the order of the file, the first label marked by `^`, the others by `-`."""
    primary = labels[0]
    source = primary.span.source
    line_shown = 0
    for label in sorted(
        labels, key=lambda label: (label.span.source != source, label.span.line, label is not primary)
    ):
        if label.span.source != source:
            source, line_shown = label.span.source, 0
            yield f"{_paint(' ' * margin + ':::', 'frame', color)} {_location(label.span)}"
        text, width, column = _window(label.span)
        line = label.span.line
        if line_shown and line > line_shown + 1:
            yield _paint("...", "frame", color)
        if line != line_shown:
            yield f"{_paint(f'{line:>{margin}} |', 'frame', color)} {text}".rstrip()
        line_shown = line
        mark, kind = ("^", style) if label is primary else ("-", "frame")
        words = f"{mark * width} {_printable(label.text)}".rstrip()
        yield f"{bar} {' ' * column}{_paint(words, kind, color)}"


def _window(span: Span) -> tuple[str, int, int]:
    """The part of a line around a place: its text, and the width and column of the place."""
    line, column = span.first
    text = span.source.line(line)
    start = max(0, min(column - 1 - MAX_WIDTH // 2, len(text) - MAX_WIDTH))
    stop = start + MAX_WIDTH
    before = ("..." if start else "") + _printable(text[start : column - 1])
    inside = _printable(text[column - 1 : min(column - 1 + span.end - span.start, stop)])
    after = _printable(text[column - 1 + span.end - span.start : stop]) + ("..." if stop < len(text) else "")
    return before + inside + after, max(_width(inside), 1), _width(before)


def _printable(text: str) -> str:
    """Tabs as spaces, and control characters as visible signs, so that no file commands the terminal."""
    return "".join(_visible(char) for char in text)


def _visible(char: str) -> str:
    if char == "\t":
        return TAB
    if category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp"):
        return f"<U+{ord(char):04X}>"
    return char


def _width(text: str) -> int:
    """Terminal columns that a text takes."""
    return sum(0 if category(c) in ("Mn", "Me") else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def _paint(text: str, style: str, color: bool) -> str:
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if color else text
