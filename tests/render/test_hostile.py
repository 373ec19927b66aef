"""No name and no value can become markup."""

from __future__ import annotations

from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnspec.layers import Layer, Shape, base
from cnnspec.layers.declaration import option
from cnnspec.layers.shapes import Input
from cnnspec.render import DIRECTIONS, to_dot
from cnnspec.render.markup import lines, printable, shorten
from tests.render import networks, pictures


class Text(Layer):
    """A layer that is written as any text at all."""

    family: ClassVar = "shape"
    text: str = option(str, "the text")

    def infer(self, *inputs: Shape) -> Shape:
        return (2,)

    def window(self, *inputs: Shape):
        return "everything"

    def written(self) -> str:
        return self.text


del base._KINDS["text"]

HOSTILE = [
    "</TD></TR></TABLE>>] evil [label=<",
    '"]; evil; "',
    "<B>bold</B>",
    "&lt;&amp;&#60;&nbsp;&bogus;",
    "\\N\\G\\L\\E\\T\\n\\l\\r",
    "ends in a backslash\\",
    "\\\\\\",
    "two\nlines\r\nand\ttab",
    "\x00\x07\x1b[31m\x7f",
    "<script>alert(1)</script>",
    "]]><!-- --><?xml ?>",
    "a:b:c",
    "node",
    "strict",
    "layer 3",
    "\u202eright to left\u2066",
    "\ud800\uffff\ufffe",
    "",
    " ",
    "%s{}$()`'",
    "日本語 \N{GRINNING FACE} é × \N{COMBINING ACUTE ACCENT}",
    "x" * 500,
    "cluster_network",
    "<<TABLE><TR><TD>x</TD></TR></TABLE>>",
]
anything = st.one_of(
    st.sampled_from(HOSTILE), st.text(max_size=60), st.text("<>&\"'\\nNGL;#x-[]{}|", max_size=30)
)


def drawn(words: list[str], direction):
    names = [f"{number}{word}" for number, word in enumerate(words)]
    steps = [(name, Text(text=word)) for name, word in zip(names, words, strict=True)]
    network = networks.build(("input", Input(shape=(3,))), *steps, name=words[0])
    return pictures.parse(to_dot(*network, direction=direction))


@given(st.lists(anything, min_size=6, max_size=6), st.sampled_from(DIRECTIONS))
@settings(max_examples=40, deadline=None)
def test_text_never_becomes_markup(words: list[str], direction) -> None:
    plain = drawn(["word"] * 6, direction)
    svg = drawn(words, direction)
    assert pictures.count(svg) == pictures.count(plain)
    assert {e.tag for e in svg.iter()} == {e.tag for e in plain.iter()}
    said = {text.strip() for text in pictures.texts(svg)}
    for number, word in enumerate(words):
        assert shorten(f"{number}{word}").strip() in {text.replace("\xa0", " ") for text in said}


@pytest.mark.parametrize("word", HOSTILE)
def test_hostile_text_is_shown_as_it_is(word: str) -> None:
    svg = drawn([word] * 2, "down")
    assert pictures.count(svg) == pictures.count(drawn(["word"] * 2, "down"))
    said = "".join("".join(pictures.texts(svg)).split())
    for line in lines(word, 34):
        assert "".join(line.split()) in said


def test_printable_has_one_line_and_no_control_characters() -> None:
    assert printable("a\nb\tc\x00\u202e") == "a b c��"


def test_shorten_keeps_both_ends() -> None:
    assert shorten("a" * 30 + "b" * 30) == "a" * 23 + "…" + "b" * 23


@given(st.text(max_size=400), st.integers(10, 40))
def test_a_text_takes_at_most_four_lines(text: str, width: int) -> None:
    assert len(lines(text, width)) <= 4
