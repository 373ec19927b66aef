"""Each lint on a case that it is for and on one close to it; silencing; and the zoo without a warning."""

import re
import time

import pytest

from cnnspec.cli.main import main
from cnnspec.language.rendering import render_all
from cnnspec.language.source import Source
from cnnspec.network.check import check_file, check_source
from cnnspec.network.lint import codes
from cnnspec.network.lint.allow import allowances
from tests.conftest import ROOT
from tests.support import golden

CODES = {*codes(), "unknown-allow", "useless-allow"}
SHOWN = re.compile(r"^warning\[([a-z-]+)\]", re.MULTILINE)
SPECS = sorted((ROOT / "specs").glob("*.cnn"))

DROPS = """network Net {
    input 1x15x15
    maxpool 2x2
}
"""


def findings(text):
    return render_all(check_source(Source("net.cnn", text)).diagnostics)


def found(text):
    return [finding.code for finding in check_source(Source("net.cnn", text)).diagnostics]


@pytest.mark.parametrize("path", golden.cases("lint"), ids=golden.name)
def test_warnings_match_the_golden_text(path, update_golden):
    golden.check(path, findings, update_golden)


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_lint_has_a_case_for_it_and_one_against_it(code):
    cases = {path.stem: path.read_text("utf-8") for path in golden.cases("lint")}
    assert set(SHOWN.findall(cases[code])) == {code}
    for name, text in cases.items():
        if name.startswith(code) and name.endswith("-not"):
            assert text.endswith("\nno findings\n")
    assert f"{code}-not" in cases


def test_every_lint_says_what_it_finds():
    from cnnspec.network.lint.registry import _LINTS

    assert len(_LINTS) == len(codes()) >= 14
    assert all(function.__doc__ for function in _LINTS.values())


# --- silencing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        DROPS.replace("2x2\n", "2x2 # allow: dropped-border\n"),
        DROPS.replace("2x2\n", "2x2 #allow:dropped-border (224 is no multiple, dense, of 3)\n"),
        DROPS.replace("    maxpool", "    # allow: dropped-border\n    # why\n    maxpool"),
        "# allow: dropped-border\n" + DROPS,
        "# allow-file: dropped-border\n\n" + DROPS,
        DROPS + "# allow-file: dropped-border",
    ],
)
def test_warning_is_silenced_by_a_comment(text):
    assert found(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "# allow: dropped-border\n\n" + DROPS,
        DROPS.replace("15x15\n", "15x15 # allow: dropped-border\n"),
        DROPS.replace("2x2\n", "2x2\n# allow: dropped-border\n"),
    ],
)
def test_comment_elsewhere_silences_nothing_and_is_reported(text):
    assert sorted(found(text)) == ["dropped-border", "useless-allow"]


def test_errors_are_not_silenced():
    assert found(DROPS.replace("2x2", "2x2x2 # allow-file: wrong-axes")) == ["wrong-axes"]


def test_comment_in_a_used_file_holds_for_its_block(tmp_path):
    (tmp_path / "blocks.cnn").write_text("block half {\n    maxpool 2x2 # allow: dropped-border\n}\n")
    (tmp_path / "net.cnn").write_text('use "blocks.cnn"\n' + DROPS.replace("maxpool 2x2", "half"))
    assert check_file(tmp_path / "net.cnn").diagnostics == ()
    assert check_file(tmp_path / "blocks.cnn").diagnostics == ()


def test_nothing_is_useless_where_parameters_are_set():
    text = DROPS.replace("Net {", "Net(size=15) {").replace("1x15x15", "(1, size, size)")
    text = text.replace("2x2\n", "2x2 # allow: dropped-border\n")
    assert check_source(Source("net.cnn", text)).diagnostics == ()
    assert check_source(Source("net.cnn", text), {"size": 14}).diagnostics == ()


def test_statements_of_all_kinds_are_covered():
    text = """network Net {
    input 1x8x8
    # allow: a
    if true {
        relu
    } else if false {
        # allow: b
        repeat 2 {
            relu
        }
    }
}
# allow: c
train {
    batch 8
}
"""
    lines = {allowance.code: allowance.lines for allowance in allowances(Source("net.cnn", text))}
    assert lines == {"a": range(4, 12), "b": range(8, 11), "c": range(14, 17)}


# --- the command --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "status"), [([], 0), (["--strict"], 1), (["--json", "--strict"], 1)])
def test_warnings_change_the_status_only_when_strict(tmp_path, capsys, options, status):
    path = tmp_path / "net.cnn"
    path.write_text(DROPS)
    assert main(["check", "-q", *options, str(path)]) == status
    assert "warning[dropped-border]" in capsys.readouterr().err


def test_strict_is_content_with_a_network_without_warnings(capsys):
    assert main(["check", "--strict", "-q", str(ROOT / "specs" / "lenet.cnn")]) == 0
    assert capsys.readouterr().err == ""


def test_file_with_warnings_is_a_network():
    checked = check_source(Source("net.cnn", DROPS))
    assert checked.ok
    assert checked.network()[0].name == "Net"


# --- the zoo ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_no_spec_gives_a_warning_that_it_does_not_answer(path):
    assert check_file(path).diagnostics == ()


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_every_spec_says_why_it_allows_a_warning(path):
    for line in path.read_text("utf-8").splitlines():
        if re.search(r"#\s*allow(-file)?:", line):
            assert re.search(r"\(.{10,}\)$", line), line


def test_whole_zoo_is_checked_in_under_three_seconds():
    start = time.perf_counter()
    for path in SPECS:
        check_file(path)
    assert time.perf_counter() - start < 3
