"""`cnnspec plan`: the table, the document, the limits, and what is tuned."""

import json
import re
from pathlib import Path

import pytest

from cnnspec.cli._tuned import tuned_choices
from cnnspec.cli.main import FINDINGS, OK, USAGE, main
from cnnspec.measurement.systems.numpy import plan_for
from cnnspec.measurement.task import Task
from cnnspec.network.check import check_file
from cnnspec.numpy_backend import make_plan, tuning
from cnnspec.numpy_backend.blas import cores
from cnnspec.numpy_backend.choices import Choices
from tests.support.lenet import lenet

ROOT = Path(__file__).parent.parent.parent
LENET = str(ROOT / "specs" / "lenet.cnn")
RESNET = str(ROOT / "specs" / "resnet20_cifar.cnn")


@pytest.fixture
def plan(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(tuning, "LAYER_SECONDS", 0.001)
    monkeypatch.setattr(tuning, "STEP_SECONDS", 0.001)

    def call(*words, command="plan"):
        try:
            code = main([command, *map(str, words)])
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return call


def document(plan, *words):
    code, out, _ = plan(*words, "--json")
    assert code == OK
    return json.loads(out)


def test_every_layer_has_its_row(plan):
    code, out, err = plan(LENET)
    assert (code, err) == (OK, "")
    for name in ("conv1", "avgpool2", "dense3", "softmax1"):
        assert re.search(rf"^{name} ", out, re.MULTILINE)
    assert "LeNet: training, batches of 64, in float32" in out
    assert re.search(r"conv1 .*tiles 24x36 .*2x2 .*estimated .* for 32 images; im2col", out)


def test_the_parts_add_up_to_the_peak(plan):
    found = document(plan, LENET)
    parts = ("weight", "gradient", "optimizer", "activation", "scratch")
    assert sum(found[f"{part}_bytes"] for part in parts) == found["peak_bytes"]
    assert found["weight_bytes"] == 4 * 61_706
    assert found["peak_bytes"] - found["optimizer_bytes"] == make_plan(*lenet(), batch=64).total_bytes


def test_the_document_holds_choices_that_make_the_same_plan(plan):
    found = document(plan, RESNET, "--batch", 16)
    assert found["training"] is False
    conv = next(layer for layer in found["layers"] if layer["name"] == "basic8.conv1")
    assert found["choices"]["algorithms"]["basic8.conv1"] in conv["candidates"]
    Choices.from_json(json.dumps(found["choices"]))


def test_a_batch_norm_in_training_is_named(plan):
    _, out, _ = plan(RESNET, "--training", "--batch", 128)
    assert "all pieces of a batch are in memory together, for the statistics of batchnorm1" in out


# --- within some memory ---------------------------------------------------------------------------------


def test_a_limit_is_kept(plan):
    free = document(plan, LENET, "--batch", 1024)["peak_bytes"]
    limit = free // 2
    assert document(plan, LENET, "--batch", 1024, "--max-memory", limit)["peak_bytes"] <= limit


def test_a_limit_that_cannot_be_kept_is_refused_with_what_fits(plan):
    code, out, err = plan(RESNET, "--training", "--batch", 128, "--max-memory", "100MB")
    assert (code, out) == (FINDINGS, "")
    assert re.search(r"error: ResNet20 at batch 128 needs at least [\d.]+ MB, more than 100.0 MB: ", err)
    assert "in however small pieces" in err
    batch = re.search(r"help: `--batch (\d+)` fits", err)[1]
    assert document(plan, RESNET, "--training", "--batch", batch, "--max-memory", "100MB")["peak_bytes"] < 1e8


def test_a_limit_under_the_weights_is_refused(plan):
    code, _, err = plan(LENET, "--max-memory", "1kB")
    assert code == FINDINGS
    assert "not even a batch of 1 fits" in err


@pytest.mark.parametrize(
    ("text", "bytes_"), [("500MB", 500_000_000), ("2GiB", 2 << 30), ("1.5 kb", 1500), ("70000", 70_000)]
)
def test_sizes_are_read(text, bytes_):
    from cnnspec.cli.plan import size

    assert size(text) == bytes_


@pytest.mark.parametrize("text", ["", "MB", "-1MB", "7XB", "1e3", "0", "9" * 30, "1,5GB"])
def test_what_is_no_size_is_refused(plan, text):
    code, _, err = plan(LENET, f"--max-memory={text}")
    assert code == USAGE
    assert "--max-memory" in err


# --- tuned ----------------------------------------------------------------------------------------------

SMALL = """network Small {
    input 4x8x8
    conv 4 3x3 padding=1 -> relu
    maxpool 2x2
    dense 3 -> softmax
}
"""


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.cnn"
    path.write_text(SMALL)
    return path


@pytest.mark.parametrize("mode", ["--training", "--inference"])
def test_what_is_tuned_is_kept_and_used_where_asked_for(plan, small, mode):
    words = (small, mode, "--batch", 4)
    code, _, err = plan(*words, "--tuned")
    assert code == FINDINGS
    assert "was not tuned on this machine" in err
    assert f"{mode} --batch 4 --tune" in err
    code, out, err = plan(*words, "--tune")
    assert code == OK
    assert "trying conv1: " in err
    assert plan(*words, "--tuned")[:2] == (OK, out)
    assert plan(small, mode, "--batch", 5, "--tuned")[0] == FINDINGS


def test_a_damaged_file_of_choices_is_passed_over(plan, small, tmp_path):
    words = (small, "--inference", "--batch", 2)
    assert plan(*words, "--tune", "-q")[2] == ""
    (kept,) = (tmp_path / "cnnspec" / "tuned").iterdir()
    kept.write_bytes(b"\xff{")
    assert plan(*words, "--tuned")[0] == FINDINGS


def test_bench_asks_for_what_was_tuned(plan, small):
    words = (small, "--inference", "--batch", 2)
    code, _, err = plan(*words, "--tuned", command="bench")
    assert code == FINDINGS
    assert "was not tuned on this machine" in err
    assert plan(*words, "--tune", "-q")[0] == OK
    graph, facts = check_file(small).network()
    found = tuned_choices(graph, facts, 2, training=False)
    task = Task(graph, facts, 2, cores(), training=False, choices=found)
    assert plan_for(task).choices == found


# --- wrong use ------------------------------------------------------------------------------------------


def test_a_file_with_errors_is_diagnosed(plan, tmp_path):
    path = tmp_path / "bad.cnn"
    path.write_text("network N {\n input 1x2x2\n conv 1 5x5\n}\n")
    code, out, err = plan(path)
    assert (code, out) == (FINDINGS, "")
    assert "kernel-too-large" in err


def test_tune_and_tuned_exclude_each_other(plan):
    assert plan(LENET, "--tune", "--tuned")[0] == USAGE
