"""The grammar and the tables made of it, held to Lark: same language, same trees."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lark import Token as LarkToken
from lark import Tree
from lark.exceptions import UnexpectedInput

from cnnspec.language import tables
from cnnspec.language.builder import Part
from cnnspec.language.parser import _Automaton
from cnnspec.language.source import Source
from cnnspec.language.tokens import BROKEN, NEWLINE, Token, tokenize
from cnnspec.layers import kinds
from cnnspec.recipe import ROLES, SCALARS
from cnnspec.recipe import kinds as recipe_kinds
from tests.language import soup
from tests.support import golden

GRAMMAR = tables.read_text(tables.GRAMMAR)
LARK = tables.lark(GRAMMAR)
TEXTS = [path.read_text("utf-8") for boundary in ("tree", "diagnostics") for path in golden.cases(boundary)]


def declarations():
    return [
        *kinds().values(),
        *SCALARS.values(),
        *(kind for role in ROLES for kind in recipe_kinds(role).values()),
    ]


# --- the grammar itself ----------------------------------------------------------------------------------


def test_the_grammar_has_no_conflicts():
    pytest.importorskip("interegular")
    tables.lark(GRAMMAR, strict=True)


def test_the_stored_tables_are_those_of_the_grammar():
    fresh = json.loads(json.dumps(tables.compile_grammar(GRAMMAR)))
    stored = json.loads(tables.read_text(tables.STORED))
    assert stored == fresh, "run `python -m cnnspec.language.tables`"


def test_the_grammar_names_no_layer_and_no_option():
    words = set(re.findall(r'"(\w+)"', re.sub(r"//.*", "", GRAMMAR)))
    assert "network" in words
    names = {kind.keyword for kind in declarations()} | set(ROLES)
    names |= {name for kind in declarations() for name in kind.options()}
    assert names & words == set()


def test_every_terminal_of_the_scanner_is_one_of_the_grammar():
    terminals = {terminal.name for terminal in LARK.terminals}
    texts = [*TEXTS, " ".join(soup.WORDS)]
    kinds_seen = {token.kind for text in texts for token in tokenize(Source("t", text)).tokens}
    assert kinds_seen - terminals == {BROKEN}


# --- the same language as Lark's own parser --------------------------------------------------------------


class Shapes:
    """Stands for the builder: nested tuples of rule names and words, as Lark's trees read."""

    def __init__(self):
        self.faults = []

    def build(self, rule, parts, start, end):
        children = []
        for part in parts:
            if isinstance(part.value, list):
                children += part.value
            elif isinstance(part.value, Token):
                children += [part.value.text] if part.value.kind != NEWLINE else []
            else:
                children.append(part.value)
        if not rule.action:
            return children
        if rule.passes_one and len(children) == 1:
            return children[0]
        return (rule.action, *children)


class _ShapeAutomaton(_Automaton):
    def __init__(self, source):
        super().__init__(source, set())
        self.builder = Shapes()

    def tree(self, tokens):
        """The shape of an accepted text, nothing for a faulty one."""
        for token in tokens:
            if not self._take(token.kind, Part(token, token.start, token.end)):
                return None
        while self.states[-1] != self.tables.accept:
            self._reduce(self.tables.rules[-self._row()[tables.END] - 1])
        return self.parts[0].value


def larks_tree(tokens):
    parser = LARK.parse_interactive("")
    try:
        for token in tokens:
            parser.feed_token(LarkToken(token.kind, token.text))
        return shape(parser.feed_eof())
    except UnexpectedInput:
        return None


def shape(tree):
    if not isinstance(tree, Tree):
        return str(tree)
    children = (child for child in tree.children if getattr(child, "type", "") != NEWLINE)
    return (str(tree.data), *map(shape, children))


def compare(text):
    """Whether both accept; they must agree, and on the tree."""
    source = Source("t", text)
    tokens = tokenize(source).tokens
    expected = larks_tree(tokens)
    automaton = _ShapeAutomaton(source)
    assert automaton.tree(tokens) == expected
    recovering = _Automaton(source, set())
    recovering.run(tokens)
    broken = any(token.kind == BROKEN for token in tokens)
    assert (not recovering.faults and not broken) == (expected is not None)
    return expected is not None


def test_golden_texts_are_accepted_as_by_lark():
    accepted = [compare(text.partition(golden.MARKER)[0]) for text in TEXTS]
    assert any(accepted)
    assert not all(accepted)


def test_specs_are_accepted_as_by_lark():
    assert all(compare(text) for text in soup.SPECS)


def test_mutated_specs_are_accepted_as_by_lark():
    texts = [soup.text(number)[1].decode("utf-8", "replace") for number in range(520)]
    accepted = sum(compare(text) for text in texts)
    assert 10 < accepted < 510


def statement(word):
    """Statements of a few words: much of it is accepted, and much is not."""
    return st.lists(word, min_size=1, max_size=8).map(" ".join)


COMMON = st.sampled_from(
    [
        "conv",
        "3",
        "5x5",
        "(",
        ")",
        ",",
        "a",
        "=",
        "->",
        ":",
        "if",
        "else",
        "{",
        "}",
        "\n",
        "-",
        "+",
        "not",
        "and",
    ]
)
ANY = st.sampled_from(
    sorted({*tables.load().keywords, *tables.load().punctuation, '"s"', "<", "a", "7", "\n"})
)


@settings(max_examples=1500, deadline=None)
@given(st.lists(statement(COMMON | ANY), min_size=1, max_size=4))
def test_token_soup_is_accepted_as_by_lark(lines):
    compare("network N {\n" + "\n".join(lines) + "\n}\n")


@settings(max_examples=500, deadline=None)
@given(st.lists(ANY, max_size=12).map(" ".join))
def test_token_soup_of_items_is_accepted_as_by_lark(text):
    compare(text)


OPERATORS = st.sampled_from(["+", "-", "*", "/", "//", "%", "**", "<", "==", "and", "or"])
EXPRESSIONS = st.recursive(
    st.sampled_from(["1", "a", "2x2", '"t"']),
    lambda inner: st.one_of(
        st.tuples(inner, OPERATORS, inner).map(" ".join),
        inner.map("({})".format),
        inner.map("-{}".format),
        inner.map("not {}".format),
        st.tuples(inner, inner).map(lambda pair: f"f({pair[0]}, {pair[1]})"),
        st.tuples(inner, inner, inner).map(lambda parts: f"{parts[0]} if ({parts[1]}) else {parts[2]}"),
        st.lists(inner, min_size=1, max_size=3).map(lambda items: f"({', '.join(items)},)"),
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
    ),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(EXPRESSIONS)
def test_expressions_have_larks_tree(expression):
    compare(f"network N {{\n expect {expression}\n}}\n")
