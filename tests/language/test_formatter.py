"""The canonical form: held by golden files, and changing nothing but spaces and line breaks."""

import random
import re
from pathlib import Path

import pytest

from cnnspec.language.dumping import dump
from cnnspec.language.formatter import WIDTH, format_source
from cnnspec.language.parser import parse
from cnnspec.language.source import Source
from cnnspec.language.tokens import tokenize
from tests.support import golden
from tests.support.samples import first

ROOT = Path(__file__).parent.parent.parent
SPECS = sorted((ROOT / "specs").glob("**/*.cnn"))
PLACE = re.compile(r" ?\d+:\d+-\d+:\d+")


def formatted(text):
    return format_source(Source("net.cnn", text))


def tree(text):
    parsed = parse(Source("net.cnn", text))
    assert not parsed.faults
    return PLACE.sub("", dump(parsed.tree))


def comments(text):
    return [comment.text.rstrip() for comment in tokenize(Source("net.cnn", text)).comments]


def readable_inputs():
    """Every golden input without syntax errors, and every spec."""
    paths = [path for boundary in ("diagnostics", "format", "graph") for path in golden.cases(boundary)]
    texts = [path.read_bytes().decode().partition(golden.MARKER)[0] for path in paths]
    texts += [path.read_text(encoding="utf-8") for path in SPECS]
    return [text for text in texts if not parse(Source("net.cnn", text)).faults]


@pytest.mark.parametrize("path", golden.cases("format"), ids=golden.name)
def test_format_matches_the_golden_text(path, update_golden):
    golden.check(path, formatted, update_golden)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.name)
def test_specs_are_formatted(path):
    text = path.read_text(encoding="utf-8")
    assert formatted(text) == text


def test_formatting_keeps_tree_and_comments_and_settles_at_once():
    inputs = readable_inputs()
    assert len(inputs) > 80
    for text in inputs:
        once = formatted(text)
        assert tree(once) == tree(text)
        assert comments(once) == comments(text)
        assert formatted(once) == once


def shaken(text, rng):
    """The same file with other spaces, line breaks, empty lines and comments."""
    lines = []
    for line in text.split("\n"):
        code, mark, comment = line.partition("#")
        code = re.sub(r"(?<=[ ,])(?=\S)", lambda _: " " * rng.choice([0, 0, 1, 3]), code)
        if not mark and rng.random() < 0.5:
            code = code.replace(" -> ", f"{' ' * rng.choice([0, 2])}\n   -> ")
        if not mark and code.strip() and rng.random() < 0.2:
            comment, mark = f" note {rng.random()}", "#"
        lines.append(code + mark + comment)
        lines += [""] * rng.choice([0, 0, 0, 2])
    return rng.choice(["\n", "\r\n"]).join(lines)


@pytest.mark.parametrize("seed", first(5, of=40))
def test_formatting_undoes_what_a_hasty_hand_does(seed):
    rng = random.Random(seed)
    for path in SPECS:
        text = path.read_text(encoding="utf-8")
        hasty = shaken(text, rng)
        once = formatted(hasty)
        assert tree(once) == tree(text)
        assert comments(once) == comments(hasty)
        assert formatted(once) == once
        assert all(len(line.partition("#")[0].rstrip()) <= WIDTH for line in once.split("\n"))
