"""`cnnspec check`: tables, documents and stages."""

import json
import re
from pathlib import Path

import pytest

from cnnspec.cli.main import FINDINGS, OK, main
from cnnspec.language.dumping import dump
from cnnspec.network.check import check_file

ROOT = Path(__file__).parent.parent.parent
LENET = str(ROOT / "specs" / "lenet.cnn")

FILE = {"schema", "file", "network", "ok", "diagnostics", "layers", "totals"}
FINDING = {"code", "severity", "message", "help", "file", "line", "column", "end_line", "end_column"}
LAYER = {"name", "kind", "line", "input_shapes", "output_shape", "params", "trainable_params", "macs"}
LAYER |= {"receptive_field"}
TOTALS = {"params", "trainable_params", "macs", "activation_bytes", "weight_bytes"}


@pytest.fixture
def check(capsys):
    def call(*words):
        code = main(["check", *words])
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def faulty(tmp_path):
    path = tmp_path / "faulty.cnn"
    path.write_text("network N {\n input 1x28x28\n conv 6 30x30\n relu\n}\n", "utf-8")
    return str(path)


def whole(value):
    """Whether every number in a list is a whole one, and no flag."""
    return all(type(number) is int for number in value)


def test_the_document_has_the_fields_of_the_design(check):
    code, out, err = check("--json", LENET)
    document = json.loads(out)
    assert (code, err) == (OK, "")
    assert set(document) == FILE
    assert (document["file"], document["network"], document["ok"]) == (LENET, "LeNet", True)
    assert set(document["totals"]) == TOTALS
    for layer in document["layers"]:
        assert set(layer) == LAYER
        assert whole(layer["output_shape"])
        assert all(map(whole, layer["input_shapes"]))
        assert set(layer["receptive_field"]) == {"size", "jump", "start"}
        assert all(map(whole, layer["receptive_field"].values()))


def test_the_document_of_lenet_has_the_published_figures(check):
    document = json.loads(check("--json", LENET)[1])
    assert document["totals"]["params"] == 61_706
    assert document["totals"]["macs"] == 416_520
    assert document["totals"]["weight_bytes"] == 4 * 61_706
    layers = {layer["name"]: layer for layer in document["layers"]}
    assert sum(layer["params"] for layer in layers.values()) == 61_706
    elements = sum(_product(layer["output_shape"]) for layer in layers.values())
    assert document["totals"]["activation_bytes"] == 4 * elements
    assert layers["conv2"]["input_shapes"] == [[6, 14, 14]]
    assert layers["conv2"]["output_shape"] == [16, 10, 10]
    assert layers["conv2"]["receptive_field"] == {"size": [14, 14], "jump": [2, 2], "start": [-2, -2]}
    lines = Path(LENET).read_text("utf-8").split("\n")
    assert all(re.search(layer["kind"], lines[layer["line"] - 1]) for layer in layers.values())


def _product(shape):
    result = 1
    for size in shape:
        result *= size
    return result


def test_the_document_of_a_faulty_file_has_its_findings(check, faulty):
    code, out, err = check("--json", faulty)
    document = json.loads(out)
    assert (code, document["ok"]) == (FINDINGS, False)
    (finding,) = document["diagnostics"]
    assert set(finding) >= FINDING
    places = ("line", "column", "end_line", "end_column")
    assert [finding[place] for place in places] == [3, 9, 3, 14]
    assert (finding["code"], finding["severity"], finding["file"]) == ("kernel-too-large", "error", faulty)
    assert [layer["output_shape"] for layer in document["layers"]] == [[1, 28, 28], None, None]
    assert err.startswith("error[kernel-too-large]")


def test_the_document_of_a_missing_file(check):
    code, out, _ = check("--json", "nothing.cnn")
    document = json.loads(out)
    assert code == FINDINGS
    assert set(document) == FILE
    assert [finding["code"] for finding in document["diagnostics"]] == ["file-not-found"]
    assert (document["network"], document["totals"], document["layers"]) == (None, None, [])


def test_several_files_are_one_document(check, faulty):
    code, out, _ = check("--json", LENET, faulty, "nothing.cnn")
    documents = json.loads(out)
    assert code == FINDINGS
    assert [document["ok"] for document in documents] == [True, False, False]
    assert [document["file"] for document in documents] == [LENET, faulty, "nothing.cnn"]


def test_several_files_are_several_tables(check, faulty):
    code, out, err = check(LENET, faulty, LENET)
    assert code == FINDINGS
    assert re.findall(r"^network (\w+)$", out, re.MULTILINE) == ["LeNet", "N", "LeNet"]
    assert err.count("error[") == 1


def test_the_table_adds_up(check):
    out = check(LENET)[1]
    rows = [row for row in out.split("\n") if re.match(r"(conv|dense)\d", row)]
    numbers = [
        [int(number.replace(",", "")) for number in re.findall(r"[\d,]*\d(?= |$)", row)] for row in rows
    ]
    assert len(rows) == 5
    total = int(re.search(r"parameters +([\d,]+)", out)[1].replace(",", ""))
    assert (
        total
        == sum(int(re.search(r"\+ [\d,]+ +([\d,]+)", row)[1].replace(",", "")) for row in rows)
        == 61_706
    )
    assert all(numbers)


def test_quiet_prints_nothing_of_a_fine_file(check):
    assert check("--quiet", LENET, LENET) == (OK, "", "")
    assert check("-q", LENET) == (OK, "", "")


@pytest.mark.parametrize("stage", ["tree", "graph", "facts"])
def test_emit_prints_a_stage(check, stage):
    code, out, err = check("--emit", stage, LENET)
    assert (code, err) == (OK, "")
    assert out == dump(getattr(check_file(LENET), stage)) + "\n"


def test_emit_prints_what_there_is_of_a_faulty_file(check, faulty):
    for stage in ("tree", "graph", "facts"):
        code, out, err = check("--emit", stage, faulty)
        assert code == FINDINGS
        assert out
        assert err.startswith("error[kernel-too-large]")


def test_a_file_may_be_named_twice_and_stdin_once(check, monkeypatch):
    import io
    import sys

    text = io.TextIOWrapper(io.BytesIO(Path(LENET).read_bytes()))
    monkeypatch.setattr(sys, "stdin", text)
    code, out, _ = check("--json", "-", LENET)
    first, second = json.loads(out)
    assert code == OK
    assert first["file"] == "<stdin>"
    assert {**first, "file": LENET} == second
