"""`cnnspec explain`: every code and keyword has an explanation, and its examples do what they say."""

import io
import json
import re
from pathlib import Path

import pytest

from cnnspec.cli import _output
from cnnspec.cli.main import main
from cnnspec.explanations import codes, topics, words
from cnnspec.language.parser import parse
from cnnspec.language.source import Source
from cnnspec.layers import kinds as layer_kinds
from cnnspec.layers.declaration import written
from cnnspec.network.blocks import STRUCTURE
from cnnspec.network.check import check_file, check_source
from cnnspec.recipe import ROLES, SCALARS
from cnnspec.recipe import kinds as recipe_kinds
from tests.support import golden
from tests.support.codes import declared_codes

FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHOWN = re.compile(r"^(?:error|warning)\[([\w-]+)\]", re.MULTILINE)

# found in reading files, in `--set` or in exporting, or by their number: to check a few lines shows none
FROM_OUTSIDE = {"cannot-read", "file-not-found", "file-too-large", "not-a-file", "not-utf8"}
FROM_OUTSIDE |= {"too-many-findings", "unknown-parameter", "not-covered"}

PAGES = {**codes(), **words()}
CLASSES = [
    *((kind, "") for kind in layer_kinds().values()),
    *((kind, "") for kind in SCALARS.values()),
    *((kind, role) for role in ROLES for kind in recipe_kinds(role).values()),
]


def fences(page):
    return FENCE.findall(page.text)


def explain(capsys, *words):
    status = main(["explain", *words])
    assert status == 0
    return capsys.readouterr().out


def refused(capsys, *words):
    with pytest.raises(SystemExit) as stop:
        main(["explain", *words])
    captured = capsys.readouterr()
    assert (stop.value.code, captured.out) == (2, "")
    return captured.err


def pairs(kind):
    return [(page, text) for page in PAGES.values() for info, text in fences(page) if info == f"cnn {kind}"]


def page_name(value):
    return value.name if hasattr(value, "name") else ""


# --- pages --------------------------------------------------------------------------------------------------


def test_every_code_has_a_page_and_no_page_is_without_a_code():
    shown = {code for path in golden.cases("diagnostics") for code in SHOWN.findall(path.read_text("utf-8"))}
    known = declared_codes() | shown
    assert sorted(known - set(codes())) == []
    assert sorted(set(codes()) - known) == []


def test_every_word_of_the_language_has_a_page():
    spoken = set(re.findall(r'"([a-z]+)"', grammar())) - {"and", "or", "not", "in"}
    assert sorted((spoken | set(STRUCTURE)) - set(words())) == []
    assert sorted(set(words()) - spoken - set(STRUCTURE)) == []


def grammar():
    from cnnspec.language.tables import GRAMMAR

    return Path(GRAMMAR).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES.values(), ids=page_name)
def test_page_has_a_title_and_is_short(page):
    lines = page.text.splitlines()
    assert re.fullmatch(rf"# {page.name}: \S.*[^.]", lines[0])
    assert len(lines) < 60
    assert max(map(len, lines)) <= 160
    assert page.text.endswith("\n")
    assert not page.text.endswith("\n\n")


@pytest.mark.parametrize("page", codes().values(), ids=page_name)
def test_page_of_a_code_shows_what_is_wrong_and_what_is_right(page):
    infos = {info for info, _ in fences(page)}
    if page.name in FROM_OUTSIDE:
        assert "console" in infos
        assert any(f"error[{page.name}]" in text for info, text in fences(page) if info == "console")
    else:
        assert {"cnn wrong", "cnn right"} <= infos
    assert infos <= {"cnn wrong", "cnn right", "console", "cnn file=blocks.cnn", "cnn file=units.cnn"}


@pytest.mark.parametrize(("page", "text"), pairs("wrong"), ids=page_name)
def test_wrong_example_has_that_finding_and_no_other(page, text, tmp_path):
    assert {finding.code for finding in check(page, text, tmp_path)} == {page.name}


@pytest.mark.parametrize(("page", "text"), pairs("right"), ids=page_name)
def test_right_example_has_no_findings(page, text, tmp_path):
    assert check(page, text, tmp_path) == ()


def check(page, text, folder):
    """The findings of an example, beside the files that its page speaks of."""
    for info, content in fences(page):
        if info.startswith("cnn file="):
            (folder / info.partition("=")[2]).write_text(content)
    (folder / "net.cnn").write_text(text)
    return check_file(folder / "net.cnn").diagnostics


def test_unknown_parameter_is_found_where_the_page_says_so():
    ((_, text),) = [pair for pair in pairs("right") if pair[0].name == "unknown-parameter"]
    (finding,) = check_source(Source("net.cnn", text), {"clases": 100}).diagnostics
    assert finding.code == "unknown-parameter"


# --- keywords -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "role"), CLASSES, ids=lambda v: v if isinstance(v, str) else v.keyword)
def test_keyword_is_explained_from_its_class(capsys, kind, role):
    text = explain(capsys, kind.keyword)
    assert text.startswith(f"# {kind.keyword}: ")
    assert f"\n{role} {kind.usage()}".replace("\n ", "\n") in text
    assert f"Example: `{kind.example}`" in text
    assert kind.summary in text
    for name, option in kind.options().items():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| {name} ")]
        assert option.help.replace("|", "\\|") in row
        default = "required" if option.required else "not given"
        if option.default is not None and not option.required:
            default = written(option.default)
        assert f"| {default} " in row
        assert re.split(r" +\| ", row)[1].strip(), "nothing says what it accepts"


@pytest.mark.parametrize(("kind", "role"), CLASSES, ids=lambda v: v if isinstance(v, str) else v.keyword)
def test_example_of_a_keyword_is_written_right(kind, role):
    opening = "network Net {" if kind.keyword in layer_kinds() else "train {"
    assert not parse(Source("net.cnn", f"{opening}\n    {kind.example}\n}}\n")).faults
    assert kind.keyword in kind.example.split()


@pytest.mark.parametrize("role", ROLES)
def test_setting_lists_what_it_may_name(capsys, role):
    text = explain(capsys, role)
    for kind in recipe_kinds(role).values():
        assert f"`{role} {kind.usage()}`: {kind.summary}" in text


def test_inputs_and_weights_of_a_layer_are_said(capsys):
    conv = explain(capsys, "conv")
    assert "* inputs: one, the value before it" in conv
    assert "* weights: `weight` of `(channels, C/groups, kh, kw)` and `bias` of `(channels,)`" in conv
    assert "LeCun et al. 1998" in conv
    assert "* inputs: any number" in explain(capsys, "add")
    assert "* inputs: none" in explain(capsys, "input")


# --- the command --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "word",
    ["kernel-too-large", "error[kernel-too-large]", "error[kernel-too-large]: kernel 25x25 does not fit"],
)
def test_page_is_printed_as_it_was_written_when_piped(capsys, word):
    assert explain(capsys, word) == codes()["kernel-too-large"].text


@pytest.mark.parametrize("topic", topics(), ids=lambda topic: topic.name)
def test_piped_output_has_no_escape_codes(topic):
    assert "\x1b" not in topic.text
    assert "\n" not in topic.summary


@pytest.mark.parametrize(
    ("word", "meant"), [("kernel-to-large", "kernel-too-large"), ("Conv2d", "conv"), ("sgdd", "sgd")]
)
def test_unknown_word_names_a_close_one(capsys, word, meant):
    text = refused(capsys, word)
    assert f"error: there is no code or keyword `{word}`" in text
    assert f"help: did you mean `{meant}`" in text


def test_an_option_is_told_where_it_is_explained(capsys):
    text = refused(capsys, "nesterov")
    assert "help: it is an option of `sgd`: `cnnspec explain sgd` has it" in text
    assert main(["explain", "sgd"]) == 0
    assert "| nesterov " in capsys.readouterr().out


def test_unknown_word_that_resembles_nothing_is_told_of_the_list(capsys):
    assert "help: `cnnspec explain --list` shows all of them" in refused(capsys, "xyzzyxyzzy")


@pytest.mark.parametrize(
    "given", [[], ["conv", "dense"], ["specs/lenet.cnn", "conv1", "conv2"], ["--list", "conv"]]
)
def test_wrong_number_of_words_is_a_usage_error(capsys, given):
    assert "help: cnnspec explain --help" in refused(capsys, *given)


def test_list_has_one_line_for_every_topic(capsys):
    lines = explain(capsys, "--list").splitlines()
    names = [line.split()[0] for line in lines]
    assert set(names) >= declared_codes() | set(layer_kinds()) | set(ROLES) | set(SCALARS) | set(STRUCTURE)
    assert all(len(line.split()) > 2 for line in lines)
    families = [line.split()[1] for line in lines]
    assert [f for i, f in enumerate(families) if f not in families[:i]] == _runs(families), "not by family"


def _runs(items):
    return [item for i, item in enumerate(items) if i == 0 or items[i - 1] != item]


def test_list_as_json_is_one_document(capsys):
    document = json.loads(explain(capsys, "--list", "--json"))
    assert document["schema"] == "cnnspec-explain-1"
    assert {"name": "conv", "family": "convolution"}.items() <= document["topics"][
        [topic["name"] for topic in document["topics"]].index("conv")
    ].items()


@pytest.mark.parametrize("word", ["kernel-too-large", "conv", "optimizer", "sgd", "batch", "repeat"])
def test_explanation_as_json_is_one_document(capsys, word):
    (topic,) = json.loads(explain(capsys, "--json", word))["topics"]
    assert topic["name"] == word
    assert topic["text"] == explain(capsys, word)


def test_options_as_json_have_their_parts(capsys):
    (topic,) = json.loads(explain(capsys, "--json", "conv"))["topics"]
    assert topic["options"][0] == {
        "name": "channels",
        "accepts": "a whole number of at least 1",
        "required": True,
        "default": None,
        "positional": True,
        "help": "number of kernels, each giving one output channel",
    }
    assert topic["inputs"] == 1


def test_page_is_set_out_on_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert main(["explain", "kernel-too-large"]) == 0
    assert "\x1b[" in terminal.getvalue()
    assert "```" not in terminal.getvalue()


def test_page_has_no_colours_on_a_terminal_when_they_are_not_wanted(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert main(["explain", "kernel-too-large"]) == 0
    assert not re.search("\x1b\\[[0-9;]*3[0-9]", terminal.getvalue())


# --- the line below a report --------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("quiet", "said"), [(False, True), (True, False)])
def test_report_on_a_terminal_ends_by_naming_the_explanation(monkeypatch, quiet, said):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    findings = check_source(Source("net.cnn", "network Net {\n input 1x28x28\n convv 3\n}\n")).diagnostics
    _output.print_diagnostics(findings, quiet=quiet)
    last = terminal.getvalue().splitlines()[-1]
    assert (last == "for more on this: cnnspec explain unknown-layer") is said


def test_report_in_a_pipe_does_not_name_the_explanation(capsys):
    findings = check_source(Source("net.cnn", "network Net {\n input 1x28x28\n convv 3\n}\n")).diagnostics
    _output.print_diagnostics(findings)
    assert "cnnspec explain" not in capsys.readouterr().err
