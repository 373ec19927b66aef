"""Tables on terminals of any width: nothing is wider, and nothing but optional columns is lost."""

import io
import sys
from pathlib import Path

import pytest

from cnnspec.cli._drawing import draw
from cnnspec.cli.main import main
from cnnspec.network.table import Column

SPECS = Path(__file__).parents[2] / "specs"

COLUMNS = (
    Column("layer"),
    Column("what it is", wide=True),
    Column("output", "right"),
    Column("weights + biases", "right", optional=True),
    Column("params", "right"),
)
ROWS = [
    ("conv1", "conv 6 5x5 padding=2 bias=false", "6x28x28", "150 + 6", "156"),
    ("relu1", "relu", "6x28x28", "", ""),
]
WHOLE = """\
layer  what it is                        output  weights + biases  params
─────────────────────────────────────────────────────────────────────────
conv1  conv 6 5x5 padding=2 bias=false  6x28x28           150 + 6     156
relu1  relu                             6x28x28"""
LESS = """\
layer  what it is                        output  params
───────────────────────────────────────────────────────
conv1  conv 6 5x5 padding=2 bias=false  6x28x28     156
relu1  relu                             6x28x28"""
WRAPPED = """\
layer  what it is                 output  params
────────────────────────────────────────────────
conv1  conv 6 5x5 padding=2      6x28x28     156
       bias=false
relu1  relu                      6x28x28"""
IN_ONE_LINE = """\
layer   output  params
──────────────────────
conv1  6x28x28     156
  conv 6 5x5 padding=2 bias=false
relu1  6x28x28"""
BELOW = """\
layer   output  params
──────────────────────
conv1  6x28x28     156
  conv 6 5x5 padding=2
  bias=false
relu1  6x28x28"""
IN_WORDS = """\
conv1
  what it is: conv 6
  5x5 padding=2
  bias=false; output:
  6x28x28; params:
  156
relu1
  what it is: relu;
  output: 6x28x28"""


@pytest.mark.parametrize(
    ("width", "expected"),
    [(73, WHOLE), (72, LESS), (55, LESS), (48, WRAPPED), (47, IN_ONE_LINE), (24, BELOW), (21, IN_WORDS)],
)
def test_a_table_takes_the_room_there_is(width, expected):
    assert draw(COLUMNS, ROWS, width, styled=False) == expected


@pytest.mark.parametrize("width", range(24, 80))
def test_no_line_is_wider_and_nothing_is_lost(width):
    lines = draw(COLUMNS, ROWS, width, styled=False).splitlines()
    assert max(map(len, lines)) <= width
    told = set(" ".join(lines).replace(";", " ").split())
    for name, what, output, _, params in ROWS:
        assert {name, output, *params.split()} <= told
        assert set(what.split()) <= told or what in name


def test_the_head_is_bold_and_some_rows_step_back():
    lines = draw(COLUMNS, ROWS, 80, (1,)).splitlines()
    assert [line[:4] for line in lines] == ["\x1b[1m", "\x1b[1m", "conv", "\x1b[2m"]
    assert all(line.endswith("\x1b[0m") for line in (*lines[:2], lines[3]))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_check_is_no_wider_than_its_terminal(width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert main(["check", str(SPECS / "resnet18.cnn")]) == 0
    shown = sys.stdout.getvalue()
    assert "\x1b" not in shown
    assert max(map(len, shown.partition("\n\n")[0].splitlines())) <= width
    assert "basic1.conv1" in shown
