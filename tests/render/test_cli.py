"""`cnnspec render` as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.training.resuming import called

LENET = Path(__file__).parents[2] / "specs" / "lenet.cnn"
WITH_ALL = "import sys; from cnnspec.cli.main import main; sys.exit(main(sys.argv[1:]))"
WITHOUT_PYGRAPHVIZ = f"import sys; sys.modules['pygraphviz'] = None; {WITH_ALL}"


def render(folder: Path, *words: str | Path, program: str = WITH_ALL, stdin: str = "", **environment: str):
    done = subprocess.run(
        [sys.executable, "-c", program, "render", *map(str, words)],
        cwd=folder,
        input=stdin.encode(),
        capture_output=True,
        env={**os.environ, **environment},
        check=False,
    )
    assert b"Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr.decode()


def test_default_output_is_an_svg_in_this_folder(tmp_path: Path) -> None:
    assert render(tmp_path, LENET) == (0, b"wrote lenet.svg\n", "")
    assert ElementTree.parse(tmp_path / "lenet.svg").getroot().tag.endswith("svg")
    assert os.listdir(tmp_path) == ["lenet.svg"]


@pytest.mark.parametrize(
    ("name", "beginning"), [("a.PNG", b"\x89PNG"), ("a.pdf", b"%PDF"), ("a.dot", b"// drawn")]
)
def test_the_ending_says_the_format(tmp_path: Path, name: str, beginning: bytes) -> None:
    assert render(tmp_path, LENET, "-o", name, "--quiet") == (0, b"", "")
    assert (tmp_path / name).read_bytes().startswith(beginning)


def test_standard_output(tmp_path: Path) -> None:
    status, text, said = render(tmp_path, LENET, "-o", "-", "--format", "dot")
    assert (status, said) == (0, "")
    assert text.startswith(b"// drawn by cnnspec\ndigraph LeNet {")
    assert render(tmp_path, LENET, "-o", "-")[1].startswith(b"<?xml")
    assert os.listdir(tmp_path) == []


def test_standard_input_is_named_after_the_network(tmp_path: Path) -> None:
    assert render(tmp_path, "-", stdin=LENET.read_text()) == (0, b"wrote LeNet.svg\n", "")


def test_a_spec_with_errors_is_not_drawn(tmp_path: Path) -> None:
    text = LENET.read_text().replace("conv 16 5x5", "conv 16 25x25")
    (tmp_path / "bad.cnn").write_text(text)
    status, out, said = render(tmp_path, "bad.cnn")
    assert (status, out) == (1, b"")
    assert "error[kernel-too-large]" in said
    assert os.listdir(tmp_path) == ["bad.cnn"]


WRONG = {
    "no file": ((), 2, "the following arguments are required: FILE"),
    "unknown option": ((LENET, "--shiny"), 2, "unrecognized arguments: --shiny"),
    "unknown format": ((LENET, "--format", "gif"), 2, "there is no `gif`"),
    "unknown theme": ((LENET, "--theme", "neon"), 2, "there is no `neon`"),
    "unknown direction": ((LENET, "--direction", "up"), 2, "there is no `up`"),
    "contradiction": (
        (LENET, "-o", "a.svg", "--format", "png"),
        2,
        "`a.svg` ends in .svg, but --format says png",
    ),
    "a folder": ((LENET, "-o", "."), 2, "-o wants the name of a file, not of a folder: `.`"),
    "an empty name": ((LENET, "-o", ""), 2, "-o wants the name of a file, not of a folder: ``"),
    "unknown ending": ((LENET, "-o", "a.gif"), 1, "cannot tell the format of `a.gif` from its ending"),
    "no ending": ((LENET, "-o", "a"), 1, "cannot tell the format of `a` from its ending"),
    "missing folder": ((LENET, "-o", "no/a.svg"), 1, "there is no folder `no`"),
    "missing file": (("no.cnn",), 1, "there is no file `no.cnn`"),
    "a long name": ((LENET, "-o", "a" * 300 + ".svg"), 1, "file name too long"),
    "a folder that takes no files": ((LENET, "-o", "/proc/a.svg"), 1, "cannot write `/proc/a.svg`"),
}


@pytest.mark.parametrize(("words", "expected", "message"), WRONG.values(), ids=WRONG)
def test_wrong_uses_are_one_clear_line(tmp_path: Path, words, expected: int, message: str) -> None:
    result = called(tmp_path, "render", *map(str, words))
    said = result.stderr
    assert (result.returncode, result.stdout) == (expected, "")
    assert message in said
    assert sum("error" in line for line in said.splitlines()) <= 2
    assert os.listdir(tmp_path) == []


def test_the_spec_is_never_drawn_over(tmp_path: Path) -> None:
    (tmp_path / "net.svg").write_text(LENET.read_text())
    for words in (["net.svg"], ["net.svg", "-o", "./net.svg"]):
        status, _, said = render(tmp_path, *words)
        assert status == 1
        assert said.startswith("error: `net.svg` is the spec itself, which the picture would replace\n")
    assert (tmp_path / "net.svg").read_text() == LENET.read_text()


def test_a_full_disk_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.svg").symlink_to("/dev/full")
    assert render(tmp_path, LENET, "-o", "a.svg") == (
        1,
        b"",
        "error: cannot write `a.svg`: no space left on device\n",
    )


def test_without_an_engine_the_dot_text_is_left(tmp_path: Path) -> None:
    status, out, said = render(tmp_path, LENET, program=WITHOUT_PYGRAPHVIZ, PATH="/nowhere")
    assert (status, out) == (1, b"")
    assert said == (
        "error: drawing svg needs Graphviz; the DOT text is in `lenet.svg.dot`\n"
        "help: pip install 'cnnspec[render]', or install the system's graphviz\n"
    )
    assert os.listdir(tmp_path) == ["lenet.svg.dot"]
    assert (tmp_path / "lenet.svg.dot").read_text().startswith("// drawn by cnnspec\n")


def test_without_an_engine_dot_text_can_be_written(tmp_path: Path) -> None:
    status, _, said = render(tmp_path, LENET, "-o", "a.dot", program=WITHOUT_PYGRAPHVIZ, PATH="/nowhere")
    assert (status, said) == (0, "")


def test_pygraphviz_is_enough(tmp_path: Path) -> None:
    pytest.importorskip("pygraphviz")
    assert render(tmp_path, LENET, PATH="/nowhere") == (0, b"wrote lenet.svg\n", "")


def test_an_engine_that_fails_leaves_no_picture(tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "dot").write_text("#!/bin/sh\necho half; echo 'Error: broken' >&2; exit 1\n")
    (programs / "dot").chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    status, _, said = render(work, LENET, program=WITHOUT_PYGRAPHVIZ, PATH=f"{programs}:/usr/bin:/bin")
    expected = (
        "error: Graphviz cannot draw this as svg: dot: Error: broken; the DOT text is in `lenet.svg.dot`\n"
    )
    assert (status, said) == (1, expected)
    assert os.listdir(work) == ["lenet.svg.dot"]


def test_graphviz_is_imported_only_to_draw() -> None:
    code = (
        "import sys, cnnspec.cli.render; print([m for m in sys.modules if 'graphviz' in m or m == 'numpy'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
