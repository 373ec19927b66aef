"""`use`: the blocks of other files, and which files are refused."""

import os

import pytest

from cnnspec.language.rendering import render_all
from cnnspec.network.check import check_file

BLOCKS = """block unit(channels) {
    conv channels 3x3 padding=1 -> relu
}
"""
MAIN = """use "{}"

network Net {{
    input 1x8x8
    unit 4
}}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "blocks.cnn").write_text(BLOCKS)
    return tmp_path


def findings(text, name="main.cnn"):
    with open(name, "w", encoding="utf-8") as file:
        file.write(text)
    return render_all(check_file(name).diagnostics)


def test_blocks_of_a_used_file_are_known(folder):
    (folder / "main.cnn").write_text(MAIN.format("blocks.cnn"))
    checked = check_file("main.cnn")
    assert checked.ok
    assert [node.name for node in checked.graph.nodes] == ["input", "unit1.conv1", "unit1.relu1"]


def test_path_starts_at_the_using_file_and_not_at_the_working_folder(folder, monkeypatch):
    (folder / "nets").mkdir()
    (folder / "nets" / "more").mkdir()
    (folder / "nets" / "main.cnn").write_text(MAIN.format("more/inner.cnn"))
    (folder / "nets" / "more" / "inner.cnn").write_text('use "deepest.cnn"\n')
    (folder / "nets" / "more" / "deepest.cnn").write_text(BLOCKS)
    assert check_file("nets/main.cnn").ok
    monkeypatch.chdir(folder / "nets" / "more")
    assert check_file("../main.cnn").ok


def test_file_used_twice_is_read_once(folder):
    (folder / "other.cnn").write_text('use "blocks.cnn"\n')
    assert findings('use "other.cnn"\n' + MAIN.format("blocks.cnn")) == "no findings"


def test_fault_in_a_used_file_names_its_line_and_the_use(folder):
    (folder / "blocks.cnn").write_text("block unit(channels) {\n    conv channels 3x3 kernal=1\n}\n")
    assert (
        findings(MAIN.format("blocks.cnn"))
        == """error[unknown-option]: `conv` has no option `kernal`
 --> blocks.cnn:2:23
  |
2 |     conv channels 3x3 kernal=1
  |                       ^^^^^^
  |
  = note: in `unit`, used on line 5 of main.cnn
  = help: did you mean `kernel`?

1 error"""
    )


def test_syntax_error_in_a_used_file_names_the_use(folder):
    (folder / "blocks.cnn").write_text("block unit(channels) {\n    conv = = 1\n}\n")
    assert (
        findings(MAIN.format("blocks.cnn"))
        == """error[unexpected-token]: unexpected `=`
 --> blocks.cnn:2:12
  |
2 |     conv = = 1
  |            ^ expected a layer
  |
  = note: `blocks.cnn` is used on line 1 of main.cnn
  = help: an option is written `name=value`, and a named layer `name = layer ...`

1 error"""
    )


def test_circle_of_files_is_refused(folder):
    (folder / "a.cnn").write_text('use "b.cnn"\n' + BLOCKS)
    (folder / "b.cnn").write_text('use "a.cnn"\n')
    assert (
        findings(MAIN.format("a.cnn"))
        == """error[use-cycle]: files use each other in a circle: a.cnn -> b.cnn -> a.cnn
 --> b.cnn:1:5
  |
1 | use "a.cnn"
  |     ^^^^^^^

1 error"""
    )


def test_file_that_uses_itself_is_refused(folder):
    assert "circle: main.cnn -> main.cnn" in findings(MAIN.format("main.cnn"))


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("../secret.cnn", "leads out of the folder of this file"),
        ("nets/../../secret.cnn", "leads out of the folder of this file"),
        ("link.cnn", "leads out of the folder of this file"),
        ("/etc/passwd", "takes the name of a `.cnn` file"),
        ("/etc/passwd.cnn", "takes a path from the folder of this file on"),
        ("notes.txt", "takes the name of a `.cnn` file"),
        ("", "takes the name of a `.cnn` file"),
    ],
)
def test_other_files_are_refused_unread(folder, path, reason):
    secret = folder.parent / "secret.cnn"
    secret.write_text("the secret line")
    (folder / "notes.txt").write_text("the secret line")
    os.symlink(secret, folder / "link.cnn")
    text = findings(MAIN.format(path))
    assert "error[use-refused]" in text
    assert reason in text
    assert "the secret line" not in text


def test_missing_file_is_reported_at_the_use(folder):
    assert (
        findings(MAIN.format("block.cnn"))
        == """error[file-not-found]: there is no file `block.cnn`
 --> main.cnn:1:5
  |
1 | use "block.cnn"
  |     ^^^^^^^^^^^
  |
  = help: did you mean `blocks.cnn`?

error[unknown-layer]: there is no layer `unit`
 --> main.cnn:5:5
  |
5 |     unit 4
  |     ^^^^
  |
  = help: `cnnspec explain --list` names every layer

2 errors"""
    )


def test_files_that_use_files_too_deep_are_refused(folder):
    for number in range(20):
        (folder / f"f{number}.cnn").write_text(f'use "f{number + 1}.cnn"\n')
    (folder / "f20.cnn").write_text(BLOCKS)
    text = findings(MAIN.format("f0.cnn"))
    assert "files use files more than 16 deep" in text
    assert "limit `MAX_USE_DEPTH`" in text


def test_forty_blocks_that_double_are_refused_at_once():
    from cnnspec.language.source import Source
    from cnnspec.network.check import check_source

    blocks = ["block b0(n) { conv n 1x1 }"]
    blocks += [f"block b{i}(n) {{ b{i - 1} n -> b{i - 1} n }}" for i in range(1, 41)]
    text = "\n".join([*blocks, "network Net {", "    input 1x4x4", "    b40 8", "}"])
    checked = check_source(Source("net.cnn", text))  # counted one by one, 2^40 layers would never end
    assert [finding.code for finding in checked.diagnostics] == ["too-many-layers"]
