"""Tables with columns of choice, and findings for continuous integration."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cnnspec.cli.main import FINDINGS, OK, USAGE, main
from cnnspec.network.check import check_file
from cnnspec.network.columns import CHOICES, entries

ROOT = Path(__file__).parent.parent.parent
LENET = str(ROOT / "specs" / "lenet.cnn")
SPECS = sorted(path for path in (ROOT / "specs").glob("*.cnn") if "\nnetwork " in path.read_text("utf-8"))


@pytest.fixture
def check(capsys):
    def call(*words):
        try:
            code = main(["check", *map(str, words)])
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return call


def spreadsheet(text):
    return list(csv.DictReader(io.StringIO(text)))


def total(rows, column):
    return sum(float(row[column] or 0) for row in rows)


# --- columns and blocks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
@pytest.mark.parametrize("depth", [None, 1, 2])
def test_rows_add_up_to_the_printed_totals(check, path, depth):
    names = "name,params,trainable,macs,flops,activations,weight_bytes,params%,macs%"
    words = [] if depth is None else ["--depth", depth]
    rows = spreadsheet(check(path, "--csv", "--columns", names, *words)[1])
    printed = check(path, *words)[1]

    def said(pattern):
        found = re.search(pattern, printed)
        return int(found[1].replace(",", ""))

    assert total(rows, "params") == said(r"parameters +([\d,]+)")
    assert total(rows, "macs") == said(r"MACs +([\d,]+) multiply-accumulates")
    assert total(rows, "flops") == said(r"\(([\d,]+) FLOPs\)")
    sums = json.loads(check(path, "--json")[1])["totals"]
    assert total(rows, "trainable") == sums["trainable_params"]
    assert total(rows, "activations") == sums["activation_bytes"]
    assert total(rows, "weight_bytes") == sums["weight_bytes"]
    assert total(rows, "params%") == pytest.approx(100)
    assert total(rows, "macs%") == pytest.approx(100)


def test_folded_block_is_one_row_with_the_published_sum(check):
    """Two 3x3 convolutions of 64 to 64 channels and their normalizations: 2 * (64 * 64 * 9 + 2 * 64)."""
    rows = spreadsheet(check(ROOT / "specs" / "resnet18.cnn", "--csv", "--depth", 1)[1])
    (first,) = [row for row in rows if row["name"] == "basic1"]
    assert (first["kind"], first["what"], first["output"]) == ("basic", "basic 64", "64x56x56")
    assert int(first["params"]) == 2 * (64 * 64 * 9 + 2 * 64)
    assert int(first["macs"]) == 2 * 64 * 64 * 9 * 56 * 56
    assert not [row for row in rows if "." in row["name"]]


def test_deeper_levels_open_the_blocks_within_blocks(tmp_path):
    path = tmp_path / "net.cnn"
    path.write_text(
        "block inner(c) {\n relu -> conv c 1x1\n}\n"
        "block outer(c) {\n inner c\n repeat 2 { inner c }\n tanh\n}\n"
        "network N {\n input 3x8x8\n outer 4 -> outer 5\n}\n"
    )
    graph, facts = check_file(path).network()

    def names(depth):
        return [entry.name for entry in entries(graph, facts, depth)]

    assert names(1) == ["input", "outer1", "outer2"]
    inner = ["inner1", "inner2", "inner3", "tanh1"]
    assert names(2) == ["input", *(f"{outer}.{name}" for outer in ("outer1", "outer2") for name in inner)]
    assert names(3) == names(None) == [node.name for node in graph.nodes]


def test_intensity_is_macs_by_bytes_touched(check):
    """LeNet's first convolution: 117,600 MACs over 156 weights, 784 inputs and 4,704 outputs of 4 bytes."""
    rows = spreadsheet(check(LENET, "--csv", "--columns", "name,intensity")[1])
    (first,) = [float(row["intensity"]) for row in rows if row["name"] == "conv1"]
    assert first == pytest.approx(117_600 / (4 * (156 + 784 + 4_704)))


def test_shares_and_places_of_lenet(check):
    """48,120 of 61,706 parameters are 78.0 %; the second pool's units are 4 pixels apart, the first at -2."""
    rows = spreadsheet(check(LENET, "--csv", "--columns", "name,params%,jump,start,centre,field")[1])
    named = {row["name"]: row for row in rows}
    assert float(named["dense1"]["params%"]) == pytest.approx(77.98, abs=0.01)
    pool = named["avgpool2"]
    assert (pool["jump"], pool["start"], pool["centre"], pool["field"]) == ("4", "-2", "5.5", "16x16")


def test_every_column_has_cells_and_words(check):
    names = ",".join(choice.name for choice in CHOICES)
    for form in ("table", "csv", "markdown"):
        code, out, err = check(LENET, "--format", form, "--columns", names)
        assert (code, err) == (OK, "")
        assert out
    listed = check("--columns", "help")[1]
    for choice in CHOICES:
        assert re.search(rf"^  {re.escape(choice.name)} +{re.escape(choice.help)}$", listed, re.MULTILINE)


def test_table_of_usual_columns_is_the_table(check):
    """Columns asked for by name are the same as those that are shown unasked."""
    names = "name,what,output,weights,params,macs,field"
    assert check(LENET, "--columns", names) == check(LENET)


def test_network_with_unknown_shapes_has_rows(check, tmp_path):
    path = tmp_path / "net.cnn"
    path.write_text("network N {\n input 1x8x8\n conv 6 9x9\n relu\n}\n")
    code, out, _ = check(path, "--csv")
    assert code == FINDINGS
    assert [row["output"] for row in spreadsheet(out)] == ["1x8x8", "?", "?"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--columns", "name,ouput"], "there is no column `ouput`\nhelp: did you mean `output`"),
        (["--columns", "zzz"], "help: the columns are name, what, kind"),
        (["--depth", "0"], "must be a number of at least 1, not `0`"),
        (["--unit", "4,7"], "--unit needs --layer"),
        (["--json", "--depth", "1"], "--columns and --depth shape a table, and json is none"),
        (["--layer", "conv2", "--unit", "a"], "must be a position such as 4,7, not `a`"),
        (["--layer", "conv2", "--unit", "4,70"], "its width goes from 0 to 9, not to 70"),
        (["--layer", "conv9"], "`LeNet` has no layer `conv9`\nhelp: did you mean `conv"),
    ],
)
def test_wrong_choice_is_a_usage_error(check, words, said):
    code, out, err = check(LENET, *words)
    assert (code, out) == (USAGE, "")
    assert said in err


def test_markdown_is_a_table_of_equal_rows(check):
    out = check(LENET, "--markdown")[1]
    table = [line for line in out.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    assert re.fullmatch(r"(\| :?-+:? )+\|", table[1])
    assert len(table) == 2 + 13
    assert "* parameters: 61,706" in out


def test_several_files_as_csv_name_the_file(check):
    rows = spreadsheet(check(LENET, ROOT / "specs" / "mlp.cnn", "--csv")[1])
    assert [rows[0]["file"], rows[-1]["file"]] == [LENET, str(ROOT / "specs" / "mlp.cnn")]


# --- continuous integration ---------------------------------------------------------------------------------

FAULTY = 'network N {\n    input 1x28x28\n    conv 6 30x30\n    relu : 5\n    conv 3 3x3 padding="a,b%"\n}\n'


@pytest.fixture
def faulty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a net,1.cnn").write_text(FAULTY)
    return "a net,1.cnn"


def test_workflow_commands_stand_on_one_line_each(check, faulty):
    code, out, err = check("--format", "github", faulty, "missing.cnn")
    assert code == FINDINGS
    assert err.startswith("error[")
    lines = out.splitlines()
    place = r"line=\d+,col=\d+,endLine=\d+,endColumn=\d+,"
    shape = re.compile(rf"::(error|warning) file=([^:,]+),({place})?title=[a-z-]+::[^:].*")
    assert all(shape.fullmatch(line) for line in lines), out
    assert lines[0].startswith(
        "::error file=a net%2C1.cnn,line=3,col=12,endLine=3,endColumn=17,title=kernel-too-large::kernel 30x30"
    )
    assert "%0Ahelp: a kernel up to 28x28 fits" in lines[0]
    assert 'not the text "a,b%25"' in lines[1]
    assert lines[2].startswith("::error file=missing.cnn,title=file-not-found::")


def test_fine_file_has_no_commands_and_an_empty_sarif_run(check):
    assert check("--format", "github", LENET) == (OK, "", "")
    (run,) = json.loads(check("--format", "sarif", LENET)[1])["runs"]
    assert run["results"] == []


def test_sarif_has_what_the_standard_requires(check, faulty):
    """SARIF 2.1.0: `version` and `runs`; a run's `tool.driver.name`; a result's `message`; whole regions."""
    code, out, _ = check("--format", "sarif", faulty, "missing.cnn")
    log = json.loads(out)
    assert code == FINDINGS
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-2.1.0.json")
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert run["tool"]["driver"]["name"] == "cnnspec"
    assert len({rule["id"] for rule in rules}) == len(rules)
    assert all(rule["help"]["text"] and rule["shortDescription"]["text"] for rule in rules)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in {"none", "note", "warning", "error"}
        assert result["message"]["text"]
    located = [result["locations"][0]["physicalLocation"] for result in run["results"]]
    assert located[0]["artifactLocation"]["uri"] == "a%20net%2C1.cnn"
    assert located[0]["region"] == {"startLine": 3, "startColumn": 12, "endLine": 3, "endColumn": 17}
    assert "region" not in located[-1]


def test_hooks_name_commands_that_exist():
    text = (ROOT / ".pre-commit-hooks.yaml").read_text("utf-8")
    assert re.findall(r"^- id: (.+)$", text, re.MULTILINE) == ["cnnspec-check", "cnnspec-fmt"]
    entries = re.findall(r"^  entry: cnnspec (\w+)(.*)$", text, re.MULTILINE)
    assert [command for command, _ in entries] == ["check", "fmt"]
    assert re.findall(r"^  language: (.+)$", text, re.MULTILINE) == ["python"] * 2
    for command, options in entries:
        assert main([command, *options.split(), LENET]) == OK


# --- start-up -----------------------------------------------------------------------------------------------


def test_plain_check_loads_nothing_of_this():
    code = f"import sys, cnnspec.cli.main as m; m.main(['check', {LENET!r}]); print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(result.stdout.splitlines()[-1].split())
    rooms = {
        "cnnspec.cli": ("_annotations", "_layer", "_questions", "_sheets"),
        "cnnspec.layers": ("formulas", "terms"),
        "cnnspec.network": (
            "align",
            "columns",
            "diff",
            "document",
            "explain",
            "latex",
            "solve",
            "unit",
            "walk",
        ),
        "cnnspec": ("explanations",),
    }
    assert not loaded & {f"{room}.{name}" for room, names in rooms.items() for name in names}
    assert not loaded & {"csv", "fractions"}
