"""Diagnostics as text: frames, carets, colours, and nothing that commands the terminal."""

import re
from unicodedata import east_asian_width

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnspec.language.diagnostics import Diagnostic, Label, Severity, did_you_mean, in_order
from cnnspec.language.errors import SpecError
from cnnspec.language.limits import MAX_FINDINGS
from cnnspec.language.rendering import MAX_WIDTH, render, render_all, summary
from cnnspec.language.source import Source

SOURCE = Source("net.cnn", "network Net {\n    conv 16 25x25\n}\n")


def finding(span, **parts):
    return Diagnostic("some-code", "a message", span, **parts)


def test_every_part_has_its_place():
    span = SOURCE.span(26, 31)
    label = Label(SOURCE.span(8, 11), "in this network")
    diagnostic = finding(
        span, label="too large", labels=(label,), notes=("a fact",), help=("a way", "another")
    )
    assert (
        render(diagnostic)
        == """\
error[some-code]: a message
 --> net.cnn:2:13
  |
1 | network Net {
  |         --- in this network
2 |     conv 16 25x25
  |             ^^^^^ too large
  |
  = note: a fact
  = help: a way
  = help: another"""
    )


def test_a_warning_without_a_place():
    diagnostic = Diagnostic("some-code", "a message", None, "net.cnn", severity=Severity.WARNING)
    assert render(diagnostic) == "warning[some-code]: a message\n --> net.cnn"


def test_the_margin_is_as_wide_as_the_largest_line_number():
    source = Source("net.cnn", "\n" * 99 + "relu\n" + "tanh")
    diagnostic = finding(source.span(99, 103), labels=(Label(source.span(0, 0), "first"),))
    assert (
        render(diagnostic)
        == """\
error[some-code]: a message
   --> net.cnn:100:1
    |
  1 |
    | - first
...
100 | relu
    | ^^^^"""
    )


def test_a_label_in_another_file_names_it():
    other = Source("blocks.cnn", "block b {\n}\n")
    diagnostic = finding(SOURCE.span(0, 7), labels=(Label(other.span(6, 7), "declared here"),))
    shown = render(diagnostic)
    assert " --> net.cnn:1:1\n" in shown
    assert "::: blocks.cnn:1:7\n" in shown


LINES = st.text(st.sampled_from("ab \t日é") | st.characters(codec="utf-8"), min_size=1, max_size=200)


def columns(text):
    return sum(2 if east_asian_width(char) in "WF" else 1 for char in text)


@given(st.text(st.sampled_from("ab\t日本é(="), min_size=1, max_size=60), st.data())
def test_carets_stand_under_the_characters(line, data):
    start = data.draw(st.integers(0, len(line) - 1))
    end = data.draw(st.integers(start + 1, len(line)))
    shown, carets = render(finding(Source("t", line).span(start, end))).split("\n")[3:5]
    before, marked = line[:start].replace("\t", "    "), line[start:end].replace("\t", "    ")
    assert shown == f"1 | {line.replace(chr(9), '    ')}".rstrip()
    assert carets == "  | " + " " * columns(before) + "^" * columns(marked)


@given(LINES, st.data())
def test_long_lines_are_cut_around_the_place(line, data):
    line = line.replace("\n", " ").replace("\r", " ") * data.draw(st.integers(1, 20))
    start = data.draw(st.integers(0, len(line) - 1))
    end = data.draw(st.integers(start + 1, len(line)))
    shown, carets = render(finding(Source("t", line).span(start, end))).split("\n")[3:5]
    assert "^" in carets
    assert len(shown) <= 4 + 6 + len("<U+10FFFF>") * MAX_WIDTH


@given(st.text(max_size=80), st.text(max_size=20), st.data())
def test_no_control_characters_reach_the_terminal(text, word, data):
    start = data.draw(st.integers(0, len(text)))
    span = Source(word, text).span(start, data.draw(st.integers(start, len(text))))
    diagnostic = Diagnostic(
        "some-code", f"a {word}", span, label=word, labels=(Label(span, word),), notes=(word,), help=(word,)
    )
    assert not re.search(
        r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2028\u2029]", render(diagnostic)
    )


def test_colours_are_the_same_text():
    diagnostic = finding(SOURCE.span(26, 31), label="too large", notes=("a fact",), help=("a way",))
    colored = render_all([diagnostic], color=True)
    assert "\x1b[1;31m" in colored
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == render_all([diagnostic])


@pytest.mark.parametrize(
    ("errors", "warnings", "text"),
    [
        (0, 0, "no findings"),
        (1, 0, "1 error"),
        (2, 0, "2 errors"),
        (0, 1, "1 warning"),
        (2, 3, "2 errors, 3 warnings"),
    ],
)
def test_findings_are_counted(errors, warnings, text):
    warning = Diagnostic("some-code", "a message", None, severity=Severity.WARNING)
    assert summary([finding(None)] * errors + [warning] * warnings) == text


def test_findings_stand_in_the_order_of_the_file_each_once():
    first, second = finding(SOURCE.span(0, 3)), finding(SOURCE.span(4, 5))
    whole = Diagnostic("some-code", "a message", None, "net.cnn")
    assert in_order([second, first, whole, second]) == (whole, first, second)


def test_findings_over_the_limit_are_counted():
    source = Source("net.cnn", "a" * 200)
    findings = [finding(source.span(place, place + 1)) for place in range(MAX_FINDINGS + 7)]
    assert render_all(in_order(findings[: MAX_FINDINGS + 1])[MAX_FINDINGS:]) == (
        "error[too-many-findings]: 1 more finding is not shown\n"
        " --> net.cnn\n"
        "  = note: limit `MAX_FINDINGS`\n\n"
        "1 error"
    )
    assert in_order(findings)[-1].message == "7 more findings are not shown"
    assert len(in_order(findings[:MAX_FINDINGS])) == MAX_FINDINGS


def test_a_spec_error_shows_its_findings():
    error = SpecError([finding(SOURCE.span(26, 31))])
    assert str(error) == "\n" + render_all(error.diagnostics)


@pytest.mark.parametrize(
    ("word", "known", "help"),
    [
        ("convv", ["conv", "dense"], ("did you mean `conv`?",)),
        ("Conv", ["conv", "dense"], ("did you mean `conv`?",)),
        ("xyz", ["conv", "dense"], ()),
        ("", ["conv"], ()),
        ("sigmo", ["sigmoid", "softmax"], ("did you mean `sigmoid`?",)),
    ],
)
def test_close_names_are_suggested(word, known, help):
    assert did_you_mean(word, known) == help
