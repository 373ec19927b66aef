"""One canonical form for every file: `cnnspec fmt`.

The formatter works on tokens, so that it can change nothing but spaces and line breaks: brackets stay,
numbers stay as they were written, comments stay where they were. The rules:

* one statement a line, four spaces for each open brace; a body that was on one line stays there if it fits;
* single spaces, none inside brackets or around `=` of an option;
* lines over 100 characters are broken before `->`;
* the shape claims of statements that follow each other without an empty line stand in one column;
* one empty line at most, none at the ends of a body, and one between two items of the file.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from cnnspec.language.errors import SpecError
from cnnspec.language.parser import parse
from cnnspec.language.record import field, state
from cnnspec.language.tokens import NEWLINE, Token, tokenize

if TYPE_CHECKING:
    from cnnspec.language.source import Source

WIDTH: Final = 100
INDENT: Final = "    "


def format_source(source: Source) -> str:
    """The text of a file in its canonical form.

    Raises:
        SpecError: the file has syntax errors.
    """
    parsed = parse(source)
    if parsed.faults:
        raise SpecError(parsed.faults)
    tokens = tokenize(source)
    printer = _Printer(source)
    for token in sorted([*tokens.tokens, *tokens.comments], key=lambda token: (token.start, token.end)):
        printer.take(token)
    return printer.text()


@state
class _Line:
    """A line to be printed: its depth, its words, where its claim begins, and a comment at its end."""

    depth: int
    text: str = ""
    claim: str = ""
    comment: str = ""
    breaks: list[int] = field(default_factory=list)
    """Places in `text` before which it may be broken."""

    @property
    def blank(self) -> bool:
        """Whether it is an empty line."""
        return not (self.text or self.comment)


class _Printer:
    """Takes tokens and comments in order and lays them out."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.lines: list[_Line] = []
        self.line: _Line | None = None
        self.depth = 0
        self.bodies: list[bool] = []  # for each open brace, whether its body stays on the line
        self.brackets = 0
        self.words: list[Token] = []  # the tokens of the statement so far
        self.option = False  # whether the words are within an expression, where a minus has two sides
        self.in_claim = False
        self.last_end = 0

    def text(self) -> str:
        """Everything, the claims in columns, with a newline at the end."""
        self._flush()
        rows = _aligned(self.lines)
        while rows and not rows[0]:
            rows.pop(0)
        while rows and not rows[-1]:
            rows.pop()
        return "".join(row + "\n" for row in rows)

    def take(self, token: Token) -> None:
        """Lay out the next token or comment."""
        if token.kind == "COMMENT":
            self._comment(token)
        elif token.kind == NEWLINE:
            if not self._stays():
                self._flush()
            self._end_statement()
            return
        elif token.kind == "LBRACE":
            self._open(token)
        elif token.kind == "RBRACE":
            self._close(token)
        else:
            self._word(token)
        self.last_end = token.end

    # --- comments and empty lines --------------------------------------------------------------------------

    def _comment(self, token: Token) -> None:
        text = token.text.rstrip()
        if self._same_line(token) and (self.line or self.lines):
            line = self.line or self.lines[-1]
            line.comment = f"{line.comment}  {text}" if line.comment else text
            if self.line is not None:
                self._continue()
            return
        if self.line is not None:
            self._continue()
        else:
            self._blank_before(token)
        self.lines.append(_Line(self.depth + (1 if self.words else 0), comment=text))

    def _same_line(self, token: Token) -> bool:
        between = self.source.text[self.last_end : token.start]
        return self.last_end > 0 and "\n" not in between

    def _blank_before(self, token: Token) -> None:
        """Keep one empty line where there was one, but not at the beginning of a body."""
        between = self.source.text[self.last_end : token.start]
        if self.depth == 0 and self.lines and self.lines[-1].text == "}":
            self.lines.append(_Line(0))  # an empty line between two items, there or not
            return
        opened = self.lines and self.lines[-1].text.endswith("{") and not self.lines[-1].blank
        if between.count("\n") > 1 and self.lines and not opened:
            self.lines.append(_Line(0))

    def _continue(self) -> None:
        """End the line in the middle of a statement, behind a comment."""
        if self.line is not None:
            self.lines.append(self.line)
            self.line = None

    # --- lines ---------------------------------------------------------------------------------------------

    def _start(self, token: Token) -> _Line:
        if self.line is None:
            if not self.words:
                self._blank_before(token)
            self.line = _Line(self.depth + (1 if self.words else 0))
        return self.line

    def _flush(self) -> None:
        if self.line is not None:
            self.lines.append(self.line)
        self.line = None

    def _end_statement(self) -> None:
        if not self._stays():
            self.words = []
        self.option = self.in_claim = False

    def _append(self, text: str, space: bool) -> None:
        assert self.line is not None
        if self.in_claim:
            self.line.claim += (" " if space and self.line.claim else "") + text
        else:
            self.line.text += (" " if space and self.line.text else "") + text

    # --- braces --------------------------------------------------------------------------------------------

    def _open(self, token: Token) -> None:
        self._start(token)
        self._append("{", True)
        stays = self._stays() or self._fits(token)
        self.bodies.append(stays)
        self.option = self.in_claim = False
        if not stays:
            self._flush()
            self.depth += 1
            self.words = []
        else:
            self.words.append(token)

    def _fits(self, token: Token) -> bool:
        """Whether the body that opens here was on one line, and the whole statement has room on one."""
        text = self.source.text
        if text[token.end :].lstrip().startswith("}"):
            return True
        end, open_braces = token.end, 1
        while open_braces and end < len(text) and text[end] not in "\n#":
            open_braces += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        if open_braces:
            return False
        rest = text[end:].split("\n", 1)[0].split("#", 1)[0].rstrip()
        assert self.line is not None
        start = len(INDENT) * self.line.depth + len(self.line.text)
        body, rest = " ".join(text[token.start : end].split()), " ".join(rest.split())
        return start + len(body) + len(rest) <= WIDTH and self._is_statement_body()

    def _stays(self) -> bool:
        """Whether the innermost open body stays on its line."""
        return bool(self.bodies and self.bodies[-1])

    def _is_statement_body(self) -> bool:
        """Whether the brace belongs to a layer; a network, a block or `train` has its lines to itself."""
        return not self.words or self.words[0].kind not in ("NETWORK", "TRAIN")

    def _close(self, token: Token) -> None:
        stays = self.bodies.pop()
        self.option = self.in_claim = False
        if stays:
            self._append("}", True)
            self.words.append(token)
            return
        self._flush()
        while self.lines and self.lines[-1].blank:
            self.lines.pop()
        self.depth -= 1
        self.line = _Line(self.depth, "}")
        self.words = [token]

    # --- words ---------------------------------------------------------------------------------------------

    def _word(self, token: Token) -> None:
        line = self._start(token)
        if token.kind == "COLON" and not self.brackets:
            self.in_claim, self.option = not self._stays(), True
            if self._stays():  # a claim within a body on one line stands there, not in the column
                self._append(token.text, True)
            self.words.append(token)
            return
        if token.text == "->" and not self.brackets:
            self.option = self.in_claim = False
            if not self._stays():
                line.breaks.append(len(line.text))
        self._append(token.text, self._wants_space(token))
        if token.kind in ("LPAR", "LSQB"):
            self.brackets += 1
        elif token.kind in ("RPAR", "RSQB"):
            self.brackets -= 1
        self.option = self.option or token.kind in ("EQUAL", "EXPECT", "LET", "IF", "REPEAT")
        if token.kind == "EQUAL" and self._names_a_statement():
            self.option = self._first_kind() == "LET"
        if token.text == "->":
            self.option = False
        self.words.append(token)

    def _first_kind(self) -> str:
        return self.words[0].kind if self.words else ""

    def _names_a_statement(self) -> bool:
        """Whether the `=` that comes follows a name at the start of a statement, or `let name`."""
        starts = [i for i, word in enumerate(self.words) if word.kind in ("LBRACE", NEWLINE)]
        statement = self.words[starts[-1] + 1 if starts else 0 :]
        kinds = [word.kind for word in statement]
        return self.brackets == 0 and kinds in (
            ["NAME"],
            ["LET", "NAME"],
            ["NAME", "EQUAL"],
            ["LET", "NAME", "EQUAL"],
        )

    def _wants_space(self, token: Token) -> bool:
        previous = self.words[-1] if self.words else None
        if previous is None:
            return False
        if token.kind in ("RPAR", "RSQB", "COMMA") or token.text == "..":
            return False
        if previous.kind in ("LPAR", "LSQB") or previous.text == "..":
            return False
        if token.kind == "EQUAL" or previous.kind == "EQUAL":
            return self._names_a_statement()
        if token.kind == "LPAR" and previous.kind == "NAME":
            return not (self.option or self.brackets or self._is_head())
        return not self._is_sign(previous)

    def _is_head(self) -> bool:
        """Whether the words are `block name` or `network name`, whose parameters follow at once."""
        return [word.kind for word in self.words] in (["BLOCK", "NAME"], ["NETWORK", "NAME"])

    def _is_sign(self, minus: Token) -> bool:
        """Whether a minus belongs to what follows it."""
        if minus.kind != "MINUS":
            return False
        before = self.words[-2] if len(self.words) > 1 else None
        if before is None or not (self.option or self.brackets):
            return True
        return before.kind not in ("NAME", "NUMERIC", "STRING", "RPAR", "RSQB")


def _aligned(lines: list[_Line]) -> list[str]:
    """The lines as text; in each run without an empty line the claims stand in one column."""
    rows: list[str] = []
    run: list[_Line] = []
    for line in [*lines, _Line(0)]:
        if line.blank:
            rows += _rows(run)
            run = []
            if not (rows and rows[-1] == ""):
                rows.append("")
        else:
            run.append(line)
    return rows


def _rows(run: list[_Line]) -> list[str]:
    columns: dict[int, int] = {}
    for line in run:
        if line.claim:
            parts = _broken(line)
            columns[line.depth] = max(columns.get(line.depth, 0), len(parts[-1]))
    rows = []
    for line in run:
        *first, last = _broken(line)
        if line.claim:
            last = f"{last.ljust(columns[line.depth])} : {line.claim}"
        if line.comment:
            last = (
                f"{last}  {line.comment}" if line.text or line.claim else INDENT * line.depth + line.comment
            )
        rows += [*first, last]
    return rows


def _broken(line: _Line) -> list[str]:
    """A line as one or, where it is too long, as one for each `->`."""
    start = INDENT * line.depth
    if len(start) + len(line.text) <= WIDTH or not line.breaks:
        return [start + line.text]
    places = [0, *line.breaks, len(line.text)]
    parts = [line.text[a:b].strip() for a, b in pairwise(places)]
    parts = [part for part in parts if part]
    return [start + parts[0], *(start + INDENT + part for part in parts[1:])]
