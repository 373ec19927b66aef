"""No input whatever gives an exception, takes long, or writes control characters to the terminal.

The long campaign: `pytest -m campaign tests/language/test_fuzz.py`; CNNSPEC_FUZZ sets how many texts.
"""

import os
import resource
import subprocess
import sys
import time
from unicodedata import category

import pytest

from cnnspec.language.errors import SpecError
from cnnspec.language.limits import MAX_FINDINGS
from cnnspec.language.reading import decode
from cnnspec.language.rendering import render_all
from cnnspec.network.check import check_source
from tests.language import soup

SECONDS = 2.0
DEFAULT = 400
CAMPAIGN = int(os.environ.get("CNNSPEC_FUZZ", "5000"))
CHUNK = 500


def findings(data):
    """Every step from bytes to messages, as `cnnspec check` takes them."""
    try:
        checked = check_source(decode("fuzz.cnn", data))
    except SpecError as error:
        return error.diagnostics
    return checked.diagnostics


def check_spans(diagnostics):
    for diagnostic in diagnostics:
        places = [diagnostic.span] if diagnostic.span else []
        for span in (*places, *(label.span for label in diagnostic.labels)):
            assert 0 <= span.start <= span.end <= len(span.source.text)
            assert span.first <= span.last


def trial(data):
    """Check one text; the seconds of processor time that it took."""
    begin = time.process_time()
    diagnostics = findings(data)
    shown = render_all(diagnostics)
    seconds = time.process_time() - begin
    check_spans(diagnostics)
    assert len(diagnostics) <= MAX_FINDINGS + 1
    assert not {
        char for char in set(shown) - {"\n"} if category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
    }
    assert seconds < SECONDS
    return seconds


def trials(numbers):
    """The slowest of some numbered texts: seconds, number, recipe."""
    slowest = (0.0, -1, "")
    for number in numbers:
        recipe, data = soup.text(number)
        try:
            slowest = max(slowest, (trial(data), number, recipe))
        except Exception as error:
            raise AssertionError(f"text {number} ({recipe}): {data[:2000]!r}") from error
    return slowest


def test_numbered_texts_are_checked_without_exception():
    trials(range(DEFAULT))


@pytest.mark.parametrize("name", ["opening", "newlines", "digits", "unknown lines", "doubling", "repeats"])
def test_a_mebibyte_of_junk_is_refused_quickly(name):
    trial(soup.HUGE[name].encode())


@pytest.mark.campaign
@pytest.mark.parametrize("name", list(soup.HUGE))
def test_every_junk_is_refused_quickly(name):
    print(f"{trial(soup.HUGE[name].encode()):.2f} s")


@pytest.mark.campaign
@pytest.mark.parametrize("first", range(DEFAULT, DEFAULT + CAMPAIGN, CHUNK))
def test_campaign_of_numbered_texts(first):
    seconds, number, recipe = trials(range(first, first + CHUNK))
    print(f"slowest: {seconds:.2f} s, text {number} ({recipe})")


def run_command(data):
    """The real command, in at most a gibibyte of memory."""
    return subprocess.run(
        [sys.executable, "-m", "cnnspec", "check", "-"],
        input=data,
        capture_output=True,
        timeout=30,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30)),
    )


def check_command(data):
    result = run_command(data)
    assert result.returncode in (0, 1)
    assert b"Traceback" not in result.stderr
    assert b"internal error" not in result.stderr
    assert b"not enough memory" not in result.stderr


@pytest.mark.parametrize("number", range(8))
def test_the_command_survives_numbered_texts(number):
    check_command(soup.text(number)[1])


@pytest.mark.campaign
@pytest.mark.parametrize("number", range(8, 40))
def test_the_command_survives_more_numbered_texts(number):
    check_command(soup.text(number)[1])


@pytest.mark.campaign
@pytest.mark.parametrize("name", list(soup.HUGE))
def test_the_command_survives_junk_in_a_gibibyte(name):
    check_command(soup.HUGE[name].encode())
