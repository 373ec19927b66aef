"""The parser's tables: Lark compiles grammar.lark, and the result is kept in grammar.json.

Lark takes longer to import and to build its tables than `cnnspec check` may take in all, so the tables are
stored. Where the grammar was edited and the tables were not, they are built on the spot; this command
stores them again:

    python -m cnnspec.language.tables
"""

from __future__ import annotations

import json
import os
from functools import cache
from typing import TYPE_CHECKING, Final, TypedDict

from cnnspec.language.record import record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lark import Lark
    from lark.grammar import Symbol

HERE: Final = os.path.dirname(__file__)
GRAMMAR: Final = os.path.join(HERE, "grammar.lark")
STORED: Final = os.path.join(HERE, "grammar.json")
END: Final = "$END"


class Stored(TypedDict):
    """The layout of grammar.json."""

    grammar: str
    rules: list[tuple[str, str, bool, list[tuple[str, bool]]]]
    states: list[dict[str, int]]
    start: int
    accept: int
    keywords: dict[str, str]
    punctuation: dict[str, str]
    patterns: list[tuple[str, str]]


@record
class Rule:
    """One production: `origin` becomes `symbols`.

    Attributes:
        origin: the nonterminal.
        action: the name of the method that builds the node; empty where the parts are passed on.
        passes_one: whether a single part stands for the whole.
        keeps: for each symbol, whether it is a part of the node (punctuation is not).
    """

    origin: str
    action: str
    passes_one: bool
    keeps: tuple[bool, ...]


@record
class Tables:
    """LALR(1) tables and the lexical rules.

    `states[s]` maps a terminal or nonterminal to what to do: `n >= 0` shifts to state n, `n < 0` reduces by
    `rules[-n - 1]`.
    """

    rules: tuple[Rule, ...]
    states: tuple[dict[str, int], ...]
    start: int
    accept: int
    keywords: dict[str, str]
    punctuation: dict[str, str]
    patterns: tuple[tuple[str, str], ...]


@cache
def load() -> Tables:
    """The tables of the grammar as it is now."""
    grammar = read_text(GRAMMAR)
    stored: Stored | None = json.loads(read_text(STORED)) if os.path.exists(STORED) else None
    if stored is None or stored["grammar"] != grammar:
        stored = compile_grammar(grammar)
    return Tables(
        rules=tuple(
            Rule(origin, action, passes_one, tuple(keeps for _, keeps in symbols))
            for origin, action, passes_one, symbols in stored["rules"]
        ),
        states=tuple(stored["states"]),
        start=stored["start"],
        accept=stored["accept"],
        keywords=stored["keywords"],
        punctuation=stored["punctuation"],
        patterns=tuple((name, pattern) for name, pattern in stored["patterns"]),
    )


def read_text(path: str) -> str:
    """The text of a file of this package; `pathlib` would take longer to import than to use."""
    with open(path, encoding="utf-8") as file:
        return file.read()


def lark(grammar: str, *, strict: bool = False) -> Lark:
    """Lark's own parser of the grammar."""
    from lark import Lark

    return Lark(grammar, parser="lalr", lexer="basic", maybe_placeholders=False, strict=strict)


def compile_grammar(grammar: str) -> Stored:
    """Let Lark build the tables and put them into plain data."""
    parser = lark(grammar)
    table = parser.parser.parser._parse_table
    numbers = _numbered(table.states, table.start_states["start"])
    rules = list(parser.rules)
    index = {rule: number for number, rule in enumerate(rules)}
    states = []
    for state in numbers:
        row = {}
        for symbol, (action, target) in table.states[state].items():
            row[symbol] = numbers[target] if str(action) == "Shift" else -index[target] - 1
        states.append(dict(sorted(row.items())))
    strings = {t.name: t.pattern.value for t in parser.terminals if t.pattern.type == "str"}
    patterns = [(t.name, t.pattern.to_regexp()) for t in parser.terminals if t.pattern.type == "re"]
    return {
        "grammar": grammar,
        "rules": [
            (
                str(rule.origin.name),
                str(rule.alias or rule.origin.name) if not rule.origin.name.startswith("_") else "",
                bool(rule.options.expand1 and not rule.alias),
                [(str(s.name), rule.options.keep_all_tokens or not _filtered(s)) for s in rule.expansion],
            )
            for rule in rules
        ],
        "states": states,
        "start": numbers[table.start_states["start"]],
        "accept": numbers[table.end_states["start"]],
        "keywords": {text: name for name, text in strings.items() if text.isidentifier()},
        "punctuation": {text: name for name, text in strings.items() if not text.isidentifier()},
        "patterns": sorted(patterns),
    }


def _numbered(states: Mapping[int, Mapping[str, tuple[object, int]]], start: int) -> dict[int, int]:
    """Numbers of the states in the order in which the start reaches them: Lark's own differ at every run."""
    numbers = {start: 0}
    pending = [start]
    for state in pending:
        for _, (action, target) in sorted(states[state].items(), key=lambda item: str(item[0])):
            if str(action) == "Shift" and target not in numbers:
                numbers[target] = len(numbers)
                pending.append(target)
    return numbers


def _filtered(symbol: Symbol) -> bool:
    return bool(symbol.is_term and getattr(symbol, "filter_out", False))


def main() -> None:
    """Store the tables of the present grammar."""
    stored = compile_grammar(read_text(GRAMMAR))
    with open(STORED, "w", encoding="utf-8") as file:
        file.write(json.dumps(stored, separators=(",", ":"), sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
