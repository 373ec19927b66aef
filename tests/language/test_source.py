"""Offsets to lines and columns."""

from hypothesis import given
from hypothesis import strategies as st

from cnnspec.language.source import Position, Source

TEXTS = st.text(st.sampled_from("ab\t日é \n\r") | st.characters(codec="utf-8"), max_size=60)


@given(TEXTS, st.data())
def test_position_counts_newlines_and_characters(text, data):
    offset = data.draw(st.integers(0, len(text)))
    before = text[:offset]
    expected = Position(before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1)
    assert Source("t", text).position(offset) == expected


@given(TEXTS)
def test_lines_are_those_between_newlines(text):
    source = Source("t", text)
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    assert [source.line(number + 1) for number in range(len(lines))] == lines


def test_span_covers_its_characters_across_lines():
    span = Source("t", "one\ntwo three\n").span(4, 13)
    assert span.text == "two three"
    assert (span.first, span.last, span.line) == ((2, 1), (2, 10), 2)


def test_span_joins_up_to_the_end_of_another():
    source = Source("t", "abcdef")
    assert source.span(1, 2).to(source.span(3, 5)).text == "bcde"
    assert source.span(1, 5).to(source.span(2, 3)).text == "bcde"
