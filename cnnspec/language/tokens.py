"""Text to tokens, tidied for the parser: balanced brackets, one newline a statement."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from cnnspec.language import tables
from cnnspec.language.diagnostics import Diagnostic, Label
from cnnspec.language.limits import MAX_NAME_LENGTH, MAX_NESTING, MAX_TOKENS
from cnnspec.language.record import field, state

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cnnspec.language.source import Source

NEWLINE: Final = "_NEWLINE"
BROKEN: Final = "BROKEN"
"""Stands for what is no token. The parser accepts it nowhere, so that its statement counts as broken."""
CLOSING: Final = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
OPENING: Final = tuple(CLOSING)
TOP_LEVEL: Final = ("NETWORK", "TRAIN", "BLOCK", "USE")

LOOKALIKES: Final = {
    "×": "write `x` between sizes: `5x5`",
    "→": "write the arrow as `->`",
    "−": "write the minus sign as `-`",
    "–": "write the minus sign as `-`",
    "“": 'write straight quotes: `"`',
    "”": 'write straight quotes: `"`',
    "'": 'write strings in double quotes: `"text"`',
    "≤": "write `<=`",
    "≥": "write `>=`",
    "≠": "write `!=`",
    "&": "write `and`",
    "|": "write `or`",
    "!": "write `not`",
    ";": "one statement a line, with nothing at its end",
    "\u00a0": "replace the no-break space by a space",
}


class Token(NamedTuple):
    """A terminal with its text and its place."""

    kind: str
    text: str
    start: int
    end: int


@state
class Tokens:
    """The tokens of a file, with the faults found on the way.

    `quiet` holds lines whose fault is already reported; the parser says nothing more of them.
    """

    tokens: list[Token] = field(default_factory=list)
    comments: list[Token] = field(default_factory=list)
    faults: list[Diagnostic] = field(default_factory=list)
    quiet: set[int] = field(default_factory=set)


def tokenize(source: Source) -> Tokens:
    """Split a text into tidy tokens. Never fails: faults are reported, and repaired to read on."""
    result = Tokens()
    result.tokens = list(_tidy(_balance(_sieve(source, result), source, result)))
    return result


@cache
def _scanner() -> re.Pattern[str]:
    patterns = dict(tables.load().patterns)
    # punctuation is tried longest first, so that `->` is not `-` and `>`
    punctuation = sorted(
        (*tables.load().punctuation, "!=", "<=", ">=", "==", "<", ">"), key=len, reverse=True
    )
    words = [f"(?P<{name}>{pattern})" for name, pattern in patterns.items() if name != "COMPARE"]
    words.append("(?P<PUNCTUATION>" + "|".join(map(re.escape, punctuation)) + ")")
    words.append(r'(?P<UNTERMINATED>"[^\r\n]*)')
    words.append(r"(?P<UNKNOWN>[\s\S])")
    return re.compile("|".join(words))


def _scan(text: str) -> Iterator[Token]:
    known = tables.load()
    for match in _scanner().finditer(text, 1 if text.startswith("\ufeff") else 0):
        kind, word = match.lastgroup or "", match.group()
        if kind == "NAME":
            kind = known.keywords.get(word, "NAME")
        elif kind == "PUNCTUATION":
            kind = known.punctuation.get(word, "COMPARE")
        if kind != "SPACE":
            yield Token(kind, word, match.start(), match.end())


def _sieve(source: Source, result: Tokens) -> Iterator[Token]:
    """Set the comments apart, report what is no token, and of several line ends give one."""
    previous = ""
    for token in _scan(source.text):
        if token.kind == "COMMENT":
            result.comments.append(token)
            continue
        if token.kind == previous == NEWLINE:
            continue
        previous = token.kind
        if token.kind in ("UNKNOWN", "UNTERMINATED"):
            line = source.position(token.start).line
            if line not in result.quiet:  # behind one unknown character there are mostly more
                result.faults.append(_no_token(token, source))
                result.quiet.add(line)
            token = token._replace(kind=BROKEN)
        elif token.kind == "NAME" and len(token.text) > MAX_NAME_LENGTH:
            message = f"a name of {len(token.text)} characters is over the limit of {MAX_NAME_LENGTH}"
            span = source.span(token.start, token.end)
            result.faults.append(
                Diagnostic("name-too-long", message, span, notes=("limit `MAX_NAME_LENGTH`",))
            )
        yield token


def _no_token(token: Token, source: Source) -> Diagnostic:
    span = source.span(token.start, token.end)
    if token.kind == "UNTERMINATED":
        return Diagnostic(
            "unterminated-string", "the string does not end on its line", span, help=('end it with `"`',)
        )
    char = token.text
    shown = f"`{char}`" if char.isprintable() and not char.isspace() else f"the character U+{ord(char):04X}"
    help = LOOKALIKES.get(char)
    if help is None and char.isalpha():
        help = "names are made of the letters a to z, digits and `_`"
    return Diagnostic(
        "unknown-character", f"{shown} has no meaning in the language", span, help=(help,) if help else ()
    )


def _balance(tokens: Iterable[Token], source: Source, result: Tokens) -> list[Token]:
    """Report brackets that do not match and repair them, so that the rest of the file is still read.

    Braces never stand inside round or square brackets, and `network`, `block`, `train` and `use` at the start
    of a line are always top level: what is open there was forgotten. A forgotten `{` is closed; another
    bracket that matches nothing becomes `BROKEN`.
    """
    balanced: list[Token] = []
    opened: list[int] = []  # places in `balanced`
    surplus = 0  # closing braces to come of what was closed before an indented top level word

    def report(fault: Diagnostic) -> None:
        assert fault.span is not None
        if fault.span.line not in result.quiet:
            result.faults.append(fault)

    def forget(kinds: tuple[str, ...], offset: int, before: Token | None = None) -> None:
        while opened and balanced[opened[-1]].kind in kinds:
            place = opened.pop()
            opener = balanced[place]
            report(_unclosed(source, opener, before if opener.kind == "LBRACE" else None))
            if opener.kind == "LBRACE":
                balanced.append(Token("RBRACE", "", offset, offset))
                balanced.append(Token(NEWLINE, "", offset, offset))
            else:
                balanced[place] = opener._replace(kind=BROKEN)
                result.quiet.add(source.position(opener.start).line)

    for token in tokens:
        if token.kind in TOP_LEVEL and (not balanced or balanced[-1].kind in (NEWLINE, "RBRACE")):
            if source.position(token.start).column > 1:
                surplus += sum(balanced[place].kind == "LBRACE" for place in opened)
            forget(OPENING, token.start, token)
        if token.kind in ("LBRACE", "RBRACE"):
            forget(("LPAR", "LSQB"), token.start)
        if token.kind in CLOSING:
            if len(opened) >= MAX_NESTING:
                result.faults.append(_too_deep(source, token))
                return []
            opened.append(len(balanced))
        elif token.kind in CLOSING.values():
            if opened and CLOSING[balanced[opened[-1]].kind] == token.kind:
                opened.pop()
            else:
                line = source.position(token.start).line
                opener = balanced[opened[-1]] if opened else None
                if opener is not None and opener.kind != "LBRACE":
                    balanced[opened.pop()] = opener._replace(kind=BROKEN)
                if surplus and opener is None and token.kind == "RBRACE":
                    surplus -= 1
                elif line not in result.quiet:
                    result.faults.append(_unexpected(source, token, opener))
                result.quiet.add(line)
                token = token._replace(kind=BROKEN)
        balanced.append(token)
        if len(balanced) > MAX_TOKENS:
            result.faults.append(_too_many(source, token))
            return []
    forget(OPENING, len(source.text))
    return balanced


def _unclosed(source: Source, opener: Token, before: Token | None = None) -> Diagnostic:
    """`before` is a word of the top level, which shows that the brace was forgotten."""
    closer = {"(": ")", "[": "]", "{": "}"}[opener.text]
    span = source.span(opener.start, opener.end)
    if before is not None:
        word = before.text
        label = Label(source.span(before.start, before.end), f"`{word}` stands outside of all braces")
        message = f"`{opener.text}` is not closed before `{word}`"
        help = f"write `{closer}` before `{word}`"
        return Diagnostic("unclosed-bracket", message, span, labels=(label,), help=(help,))
    return Diagnostic("unclosed-bracket", f"`{opener.text}` is never closed", span, help=(f"add `{closer}`",))


def _unexpected(source: Source, token: Token, opener: Token | None) -> Diagnostic:
    span = source.span(token.start, token.end)
    if opener is not None and opener.kind != "LBRACE":
        closer = {"(": ")", "[": "]"}[opener.text]
        label = Label(source.span(opener.start, opener.end), "opened here")
        message = f"`{token.text}` does not close `{opener.text}`"
        return Diagnostic("unexpected-closing", message, span, labels=(label,), help=(f"write `{closer}`",))
    missing = {")": "(", "]": "[", "}": "{"}[token.text]
    help = f"remove it, or add the `{missing}` that it closes"
    return Diagnostic("unexpected-closing", f"`{token.text}` closes nothing", span, help=(help,))


def _too_deep(source: Source, token: Token) -> Diagnostic:
    message = f"brackets are nested deeper than {MAX_NESTING}"
    span = source.span(token.start, token.end)
    return Diagnostic("nesting-too-deep", message, span, notes=("limit `MAX_NESTING`",))


def _too_many(source: Source, token: Token) -> Diagnostic:
    message = f"the file has more than {MAX_TOKENS} words and signs"
    span = source.span(token.start, token.end)
    return Diagnostic("file-too-large", message, span, notes=("limit `MAX_TOKENS`",))


def _tidy(tokens: list[Token]) -> Iterator[Token]:
    """Drop newlines inside round brackets and before `->` and `else`; end each statement with exactly one."""
    arrow = tables.load().punctuation["->"]
    inside = 0
    held: Token | None = None  # a newline that is passed on once it is known to end a statement
    previous = NEWLINE
    for token in tokens:
        if token.kind == NEWLINE:
            held = held or token
            continue
        if inside or token.kind in (arrow, "ELSE") or previous in (NEWLINE, "LBRACE"):
            held = None
        if token.kind == "RBRACE" and previous not in (NEWLINE, "LBRACE") and held is None:
            held = Token(NEWLINE, "", token.start, token.start)
        if token.kind == "NAME" and previous == "RBRACE" and held is None:  # branch { } branch { }
            held = Token(NEWLINE, "", token.start, token.start)
        if held is not None:
            yield held
        held = None
        inside += (token.kind in ("LPAR", "LSQB")) - (token.kind in ("RPAR", "RSQB"))
        previous = token.kind
        yield token
    if previous != NEWLINE:
        end = tokens[-1].end
        yield held or Token(NEWLINE, "", end, end)
