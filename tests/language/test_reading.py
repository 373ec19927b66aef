"""Files to sources: every way it can go wrong, with the whole message."""

import io
import os
import sys

import pytest

from cnnspec.language.errors import SpecError
from cnnspec.language.limits import MAX_FILE_BYTES
from cnnspec.language.reading import decode, read
from cnnspec.language.rendering import render_all
from cnnspec.language.source import Source
from cnnspec.network.check import check_file, check_source
from tests.language.soup import ROOT

LENET = ROOT / "specs" / "lenet.cnn"


def message(path):
    """The rendered finding of a file that cannot be read."""
    with pytest.raises(SpecError) as caught:
        read(path)
    return render_all(caught.value.diagnostics).rpartition("\n\n")[0]


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_missing_file():
    assert message("nothing.cnn") == "error[file-not-found]: there is no file `nothing.cnn`\n --> nothing.cnn"


def test_missing_file_with_a_similar_name(tmp_path):
    (tmp_path / "lenet.cnn").touch()
    assert message("lente.cnn") == (
        "error[file-not-found]: there is no file `lente.cnn`\n"
        " --> lente.cnn\n"
        "  = help: did you mean `lenet.cnn`?"
    )


def test_folder(tmp_path):
    (tmp_path / "specs").mkdir()
    assert message("specs") == (
        "error[not-a-file]: `specs` is a folder\n --> specs\n  = help: name a `.cnn` file"
    )
    for name in "abcdef":
        (tmp_path / "specs" / f"{name}.cnn").touch()
    help = "it holds `a.cnn`, `b.cnn`, `c.cnn`, `d.cnn`, `e.cnn`, ..."
    assert message("specs").endswith(f"= help: {help}")


def test_no_utf8(tmp_path):
    (tmp_path / "a.cnn").write_bytes("# ein Netz\n# größer\n".encode("latin-1"))
    assert message("a.cnn") == (
        "error[not-utf8]: the file is not text in UTF-8: byte 0xf6 on line 2, at offset 15\n"
        " --> a.cnn\n"
        "  = help: save it in UTF-8"
    )


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_with_a_mark(tmp_path, encoding):
    mark = b"\xff\xfe" if encoding == "utf-16-le" else b"\xfe\xff"
    (tmp_path / "a.cnn").write_bytes(mark + "network".encode(encoding))
    assert message("a.cnn") == (
        "error[not-utf8]: the file is not text in UTF-8 (it looks like UTF-16): "
        f"byte 0x{mark[0]:02x} on line 1, at offset 0\n"
        " --> a.cnn\n"
        "  = help: save it in UTF-8"
    )


def test_too_large(tmp_path):
    (tmp_path / "a.cnn").write_bytes(b"#" * MAX_FILE_BYTES)
    assert len(read("a.cnn").text) == MAX_FILE_BYTES
    (tmp_path / "a.cnn").write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    assert message("a.cnn") == (
        "error[file-too-large]: the file is larger than 1048576 bytes\n"
        " --> a.cnn\n"
        "  = note: limit `MAX_FILE_BYTES`"
    )


def test_too_many_tokens():
    assert render_all(check_source(Source("a.cnn", "a " * 50_001)).diagnostics).startswith(
        "error[file-too-large]: the file has more than 50000 words and signs\n --> a.cnn:1:100001\n"
    )


def test_a_device_without_end_is_read_up_to_the_limit():
    assert message(os.path.realpath("/dev/zero")).startswith("error[file-too-large]")


def test_no_permission(monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    assert message("a.cnn") == "error[cannot-read]: cannot read `a.cnn`: permission denied\n --> a.cnn"


@pytest.mark.parametrize(
    ("name", "reason"), [("a\0b.cnn", "embedded null byte"), ("a" * 300 + ".cnn", "file name too long")]
)
def test_impossible_names(name, reason):
    text = message(name)
    assert text.startswith("error[cannot-read]: cannot read `")
    assert text.partition("\n")[0].endswith(reason)
    assert "\0" not in text


def test_a_file_in_a_file(tmp_path):
    (tmp_path / "a.cnn").touch()
    assert message("a.cnn/b.cnn") == (
        "error[cannot-read]: cannot read `a.cnn/b.cnn`: not a directory\n --> a.cnn/b.cnn"
    )


def test_a_circle_of_links(tmp_path):
    (tmp_path / "a.cnn").symlink_to("a.cnn")
    assert message("a.cnn").startswith("error[cannot-read]: cannot read `a.cnn`: too many levels of symbolic")


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"network N {\n}\n")))
    source = read("-")
    assert (source.name, source.text) == ("<stdin>", "network N {\n}\n")


def test_path_objects(tmp_path):
    path = tmp_path / "a.cnn"
    path.touch()
    assert read(path).name == str(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.rstrip("\n"),
        lambda text: text.replace("    ", "\t"),
        lambda text: "\n\n" + text + "\n\n",
    ],
    ids=["byte-order mark", "windows line ends", "no final newline", "tabs", "empty lines"],
)
def test_ways_to_save_a_file_give_the_same_facts(tmp_path, change):
    text = LENET.read_text("utf-8")
    (tmp_path / "a.cnn").write_bytes(change(text).encode("utf-8"))
    plain, saved = check_source(Source("a.cnn", text)), check_file("a.cnn")
    assert saved.ok
    assert saved.facts == plain.facts
    assert saved.recipe == plain.recipe


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_places_on_the_first_line_do_not_count_the_mark(mark):
    checked = check_source(decode("a.cnn", mark + b"netwrk N {\n}"))
    assert checked.diagnostics[0].span.first == (1, 1)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_places_are_the_same_with_windows_line_ends(end):
    text = end.join(["network N {", "\tinput 1x28x28", '\tconv "日本" kernal=3', "}"])
    places = [(d.code, *d.span.first, *d.span.last) for d in check_source(Source("a.cnn", text)).diagnostics]
    assert places == [
        ("missing-argument", 3, 2, 3, 6),
        ("wrong-value", 3, 7, 3, 11),
        ("unknown-option", 3, 12, 3, 18),
    ]
