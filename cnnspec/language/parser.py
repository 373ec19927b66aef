"""Tokens to syntax tree: the LALR automaton, its recovery from errors, and the words for them.

    parse(source) -> Parsed(tree, faults)

After a syntax error the automaton goes back to the state in which the statement began, takes a `Broken` in
its place and reads on behind the end of the line, so that every faulty statement of a file is reported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cnnspec.language import tables
from cnnspec.language.builder import Builder, Part
from cnnspec.language.diagnostics import Diagnostic
from cnnspec.language.limits import MAX_SYNTAX_ERRORS
from cnnspec.language.record import record
from cnnspec.language.syntax import Broken, File
from cnnspec.language.tokens import BROKEN, NEWLINE, Token, tokenize

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cnnspec.language.source import Source

RECOVERABLE: Final = ("statement", "setting", "item")
"""What a `Broken` may stand for, innermost first."""


@record
class Parsed:
    """A syntax tree, as much of it as could be read, and the faults found."""

    tree: File
    faults: tuple[Diagnostic, ...]
    comments: tuple[Token, ...] = ()


def parse(source: Source) -> Parsed:
    """Read a whole text. Never fails: what cannot be read is `Broken` in the tree and reported."""
    tokens = tokenize(source)
    automaton = _Automaton(source, tokens.quiet)
    tree = automaton.run(tokens.tokens)
    faults = [*tokens.faults, *automaton.builder.faults, *automaton.faults]
    if not tokens.tokens and not faults:
        faults.append(empty_file(source))
    return Parsed(tree, tuple(faults), tuple(tokens.comments))


def empty_file(source: Source) -> Diagnostic:
    """The report for a file that says nothing."""
    return Diagnostic(
        "empty-file",
        "the file says nothing",
        None,
        file=source.name,
        help=("begin with `network Name {`, then `input 1x28x28` and one layer a line",),
    )


class _Automaton:
    """The stack machine that the tables drive."""

    def __init__(self, source: Source, quiet: set[int]) -> None:
        self.tables = tables.load()
        self.source = source
        self.quiet = quiet
        self.builder = Builder(source)
        self.faults: list[Diagnostic] = []
        self.states = [self.tables.start]
        self.parts: list[Part] = []

    def run(self, tokens: list[Token]) -> File:
        """Drive the machine over all tokens and return the tree."""
        index = 0
        while index < len(tokens):
            token = tokens[index]
            if self._take(token.kind, Part(token, token.start, token.end)):
                index += 1
            elif len(self.faults) < MAX_SYNTAX_ERRORS:
                index = self._recover(tokens, index)
            else:
                return File((), self.source)
        while self.states[-1] != self.tables.accept:
            action = self._row()[tables.END]
            self._reduce(self.tables.rules[-action - 1])
        tree = self.parts[0].value
        assert isinstance(tree, File)
        return tree

    def _take(self, kind: str, part: Part) -> bool:
        """Reduce what the terminal closes and shift it; whether it was accepted."""
        while True:
            action = self._row().get(kind)
            if action is None:
                return False
            if action >= 0:
                self._shift(action, part)
                return True
            self._reduce(self.tables.rules[-action - 1])

    def _row(self) -> dict[str, int]:
        """What the present state does with each symbol."""
        return self.tables.states[self.states[-1]]

    def _shift(self, state: int, part: Part) -> None:
        self.states.append(state)
        self.parts.append(part)

    def _reduce(self, rule: tables.Rule) -> None:
        size = len(rule.keeps)
        parts = self.parts[len(self.parts) - size :]
        del self.parts[len(self.parts) - size :], self.states[len(self.states) - size :]
        position = self.parts[-1].end if self.parts else 0
        kept = [part for part, keeps in zip(parts, rule.keeps, strict=True) if keeps]
        start, end = (parts[0].start, parts[-1].end) if parts else (position, position)
        value = self.builder.build(rule, kept, start, end)
        self._shift(self._row()[rule.origin], Part(value, start, end))

    def _recover(self, tokens: list[Token], index: int) -> int:
        """Report a token and put a `Broken` for its statement; returns the place of the newline behind."""
        token = tokens[index]
        line = self.source.position(token.start).line
        if token.kind != BROKEN and line not in self.quiet:
            self.faults.append(self._unexpected(token, tokens[index - 1] if index else None))
        self._settle()
        if not self._item_is_complete():
            self._break(token)
        depth = 0
        while tokens[index].kind != NEWLINE or depth > 0:
            depth += (tokens[index].kind == "LBRACE") - (tokens[index].kind == "RBRACE")
            index += 1
        return index

    def _settle(self) -> None:
        """Reduce where the state allows nothing else, whatever follows."""
        while len(actions := set(self._row().values())) == 1:
            (action,) = actions
            if action >= 0:
                return
            self._reduce(self.tables.rules[-action - 1])

    def _item_is_complete(self) -> bool:
        """Whether a network or train block stands whole on the stack, lacking only its newline."""
        return (
            len(self.states) > 1 and "item" in self.tables.states[self.states[-2]] and self._accepts(NEWLINE)
        )

    def _break(self, token: Token) -> None:
        """Take what was read of a statement from the stack and put a `Broken` there."""
        taken: list[Part] = []
        while not (symbol := self._resumes()):
            self.states.pop()
            taken.append(self.parts.pop())
        place = self.parts[-1].end if self.parts else 0
        span = self.source.span(place, token.end)
        self._shift(self._row()[symbol], Part(Broken(span, _given_name(taken[::-1])), place, token.end))

    def _resumes(self) -> str | None:
        row = self._row()
        return next((symbol for symbol in RECOVERABLE if symbol in row), None)

    # --- words for what went wrong -------------------------------------------------------------------------

    def _unexpected(self, token: Token, previous: Token | None) -> Diagnostic:
        expected = self._expected()
        span = self.source.span(token.start, max(token.end, token.start))
        what = _name(token)
        help = _advice(token, previous, expected)
        return Diagnostic(
            "unexpected-token",
            f"unexpected {what}",
            span,
            label=f"expected {_list(_words(expected, 'layer' in self._row()))}",
            help=(help,) if help else (),
        )

    def _expected(self) -> set[str]:
        """The terminals that the automaton would shift now, reductions followed to their end."""
        row = self._row()
        terminals = [symbol for symbol in row if symbol.lstrip("_").isupper() or symbol.startswith("__ANON")]
        return {terminal for terminal in terminals if self._accepts(terminal)}

    def _accepts(self, terminal: str) -> bool:
        states = list(self.states)
        while True:
            action = self.tables.states[states[-1]].get(terminal)
            if action is None:
                return False
            if action >= 0:
                return True
            rule = self.tables.rules[-action - 1]
            if rule.keeps:
                del states[-len(rule.keeps) :]
            states.append(self.tables.states[states[-1]][rule.origin])


def _given_name(parts: list[Part]) -> str | None:
    """The name in `name = ...` or `let name = ...`, from what was read of a statement."""
    words = [part.value for part in parts[:3] if isinstance(part.value, Token)]
    kinds = [word.kind for word in words]
    if kinds[:2] == ["NAME", "EQUAL"]:
        return words[0].text
    return words[1].text if kinds == ["LET", "NAME", "EQUAL"] else None


def _name(token: Token) -> str:
    if token.kind == NEWLINE:
        return "end of the line"
    if token.kind in tables.load().keywords.values():
        return f"`{token.text}`, a word of the language"
    return f"`{token.text}`"


_ARGUMENT: Final = {"NUMERIC", "STRING", "LPAR", "LSQB"}
_OPERATORS: Final = {"PLUS", "STAR", "SLASH", "PERCENT"}


def _words(expected: set[str], layer: bool) -> list[str]:
    """The expected terminals in a person's words, the most telling first."""
    known = tables.load()
    symbols = {kind: text for text, kind in (*known.punctuation.items(), *known.keywords.items())}
    words = []
    if "NAME" in expected and not expected & _ARGUMENT:
        words.append("a layer" if layer else "a name")
    if expected >= _ARGUMENT:
        words.append("an argument" if symbols["__ANON_0"] in _texts(expected, symbols) else "a value")
    elif "NUMERIC" in expected:
        words.append("a number")
    elif "STRING" in expected:
        words.append("a text in quotes")
    for text in ("network", "block", "train", "->", ":", "=", "..", "{", ",", ")", "]", "}"):
        if text in _texts(expected, symbols) and not (text == "{" and "NAME" in expected):
            words.append(f"`{text}`")
    if NEWLINE in expected:
        words.append("the end of the line")
    return words or sorted(f"`{text}`" for text in _texts(expected, symbols))


def _texts(expected: Iterable[str], symbols: dict[str, str]) -> set[str]:
    return {symbols[kind] for kind in expected if kind in symbols}


def _list(words: list[str]) -> str:
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _advice(token: Token, previous: Token | None, expected: set[str]) -> str | None:
    """What to do in the situations that people get into."""
    known = tables.load()
    if "NETWORK" in expected and token.kind == "NAME":
        return "layers stand inside `network Name { ... }`"
    if {"NETWORK", "TRAIN"} & expected:
        return "a file holds `network`, `block`, `train` and `use`, and nothing beside them"
    if token.kind in known.keywords.values() and "NAME" in expected:
        return f"`{token.text}` cannot be used as a name"
    if previous is not None and previous.text == "->":
        return "`->` leads to the next layer: `conv 6 5x5 -> relu`"
    if previous is not None and previous.text == ":":
        return "a claim is a shape, such as `: 6x28x28` or `: 120`"
    if token.kind in _ARGUMENT and "EQUAL" not in expected and "NAME" in expected:
        return "arguments by position come before those by name: `conv 6 5x5 padding=2`"
    if token.kind in _OPERATORS and expected >= _ARGUMENT:
        left = previous.text if previous else "2"
        return f"put a calculation in brackets: `({left} {token.text} ...)`"
    if token.text == "==":
        return "an option takes one `=`: `padding=2`"
    if previous is not None and previous.kind in ("NETWORK", "BLOCK"):
        return f"give it a name: `{previous.text} Name {{`"
    if token.text == "," and expected >= _ARGUMENT:
        return "arguments stand side by side, without commas: `conv 6 5x5 padding=2`"
    if token.kind == "EQUAL" and "RPAR" in expected:
        return "arguments follow the name without brackets: `conv 6 5x5 padding=2`"
    if token.kind == NEWLINE and "LBRACE" in expected:
        return "`{` stands on the same line"
    if token.kind == "EQUAL":
        return "an option is written `name=value`, and a named layer `name = layer ...`"
    return None
