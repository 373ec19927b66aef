"""Text to tidy tokens."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnspec.language.limits import MAX_NAME_LENGTH, MAX_NESTING, MAX_TOKENS
from cnnspec.language.source import Source
from cnnspec.language.tokens import BROKEN, NEWLINE, tokenize
from tests.language import soup

SOUP = st.lists(st.sampled_from(soup.WORDS), max_size=30).map(" ".join)


def read(text):
    return tokenize(Source("t", text))


def words(text):
    """The tidied tokens as words, `$` for the end of a statement."""
    return " ".join("$" if token.kind == NEWLINE else token.text for token in read(text).tokens)


def codes(text):
    return [fault.code for fault in read(text).faults]


@pytest.mark.parametrize(
    ("text", "tidy"),
    [
        ("a\nb", "a $ b $"),
        ("\n\n  a\n\n\nb\n\n", "a $ b $"),
        ("a\r\nb\r\n", "a $ b $"),
        ("conv 6\n    -> relu\n\n    -> relu", "conv 6 -> relu -> relu $"),
        ("conv 6 # why\n # more\n -> relu", "conv 6 -> relu $"),
        ("f(1,\n 2\n)\nb", "f ( 1 , 2 ) $ b $"),
        ("[1,\n2]", "[ 1 , 2 ] $"),
        ("n { a }", "n { a $ } $"),
        ("n {\n a\n}\n", "n { a $ } $"),
        ("n { }", "n { } $"),
        ("n {\n\n# nothing\n}", "n { } $"),
        ("if a { b }\nelse { c }", "if a { b $ } else { c $ } $"),
        ("add { branch { a } branch { } }", "add { branch { a $ } $ branch { } $ } $"),
        ("", ""),
        ("# only a comment", ""),
        ("\n\n", ""),
    ],
)
def test_a_statement_ends_in_one_newline(text, tidy):
    assert words(text) == tidy


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("->", ["->"]),
        ("- >", ["-", ">"]),
        ("<=", ["<="]),
        ("**", ["**"]),
        ("* *", ["*", "*"]),
        ("//", ["//"]),
        ("padding==2", ["padding", "==", "2"]),
        ("1..3", ["1", "..", "3"]),
        ("5x5", ["5x5"]),
        ("1e-3", ["1e-3"]),
        ("1-3", ["1", "-", "3"]),
        ("0.5", ["0.5"]),
        ("61_706", ["61_706"]),
        ('"a # b"', ['"a # b"']),
        ("iff", ["iff"]),
        ("not_a", ["not_a"]),
    ],
)
def test_the_longest_token_is_taken(text, tokens):
    assert [token.text for token in read(text).tokens[:-1]] == tokens


@pytest.mark.parametrize("digit", ["٣", "３", "²"])
def test_digits_of_other_scripts_are_no_numbers(digit):
    assert codes(f"dense {digit}") == ["unknown-character"]


@given(SOUP | st.text(max_size=60))
def test_every_token_is_the_text_at_its_place(text):
    result = read(text)
    for token in (*result.tokens, *result.comments):
        assert token.text in ("", text[token.start : token.end])
    starts = [token.start for token in result.tokens]
    assert starts == sorted(starts)


@given(SOUP | st.text(max_size=60))
def test_nothing_but_space_is_passed_over_silently(text):
    result = read(text)
    covered = {
        place for token in (*result.tokens, *result.comments) for place in range(token.start, token.end)
    }
    rest = {char for place, char in enumerate(text) if place not in covered}
    assert rest <= set(" \t\r\n") | ({"\ufeff"} if text.startswith("\ufeff") else set())


@settings(max_examples=300)
@given(SOUP)
def test_brackets_are_balanced_afterwards(text):
    opened = []
    pairs = {"RPAR": "LPAR", "RSQB": "LSQB", "RBRACE": "LBRACE"}
    for token in read(text).tokens:
        if token.kind in pairs.values():
            opened.append(token.kind)
        elif token.kind in pairs:
            assert opened.pop() == pairs[token.kind]
    assert not opened


def test_comments_are_kept_with_their_places():
    text = "# first\nn { # second\n a # third\n} # fourth"
    comments = [text[comment.start : comment.end] for comment in read(text).comments]
    assert comments == ["# first", "# second", "# third", "# fourth"]


def test_a_byte_order_mark_is_passed_over():
    assert words("\ufeffnetwork") == "network $"
    assert codes("\ufeffnetwork") == []
    assert codes("network\ufeff") == ["unknown-character"]


def test_one_unknown_character_is_reported_a_line():
    assert codes("a @ @ @\nb @\n") == ["unknown-character", "unknown-character"]


def test_names_have_a_limit():
    assert codes("a" * MAX_NAME_LENGTH) == []
    assert codes("a" * (MAX_NAME_LENGTH + 1)) == ["name-too-long"]


def test_brackets_have_a_limit():
    assert codes("(" * MAX_NESTING + ")" * MAX_NESTING) == []
    assert codes("(" * (MAX_NESTING + 1) + ")" * (MAX_NESTING + 1)) == ["nesting-too-deep"]


def test_a_file_has_a_limit_of_tokens():
    assert codes("a " * MAX_TOKENS) == []
    assert codes("a " * (MAX_TOKENS + 1)) == ["file-too-large"]


@pytest.mark.parametrize("text", ["}", ")", "(]", "{)", "network N {\nnetwork M {\n}", "f(\n}"])
def test_brackets_that_match_nothing_are_reported(text):
    assert codes(text)
    assert set(codes(text)) <= {"unexpected-closing", "unclosed-bracket"}


def test_what_is_no_token_is_broken():
    assert [token.kind for token in read('a @ "b\n').tokens] == ["NAME", BROKEN, BROKEN, NEWLINE]
