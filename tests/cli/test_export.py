"""`cnnspec export` and `cnnspec import` from the command line, on wrong input too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from cnnspec.cli.main import FINDINGS, OK, USAGE, main

ROOT = Path(__file__).parent.parent.parent
LENET = str(ROOT / "specs" / "lenet.cnn")


@pytest.fixture
def call(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        try:
            code = main([str(word) for word in words])
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return run


def weights(**changes):
    from cnnspec.api import load
    from cnnspec.bridges.weights import needed_weights

    network = load(LENET)
    shapes = needed_weights(network.graph, network.facts) | changes
    return {name: np.ones(shape, "f4") for name, shape in shapes.items()}


@pytest.mark.parametrize("system", ["torch", "keras", "numpy"])
def test_source_is_printed_or_written(call, system):
    code, printed, _ = call("export", LENET, "--to", system)
    assert code == OK
    assert call("export", LENET, "--to", system, "-o", "net.py") == (OK, "wrote net.py\n", "")
    assert Path("net.py").read_text() == printed


def test_weights_go_beside_the_source_and_fit_it(call):
    torch = pytest.importorskip("torch")
    save_file(weights(), "given.safetensors")
    words = ("export", LENET, "--to", "torch", "-o", "net.py", "--weights", "given.safetensors")
    assert call(*words) == (OK, "wrote net.py\nwrote net.safetensors\n", "")
    names: dict[str, object] = {}
    exec(Path("net.py").read_text(), names)
    state = {name: torch.tensor(array) for name, array in load_file("net.safetensors").items()}
    names["LeNet"]().load_state_dict(state)


def test_weights_of_another_network_are_refused(call):
    save_file(weights(**{"conv1.weight": (6, 1, 3, 3)}), "given.safetensors")
    code, out, err = call("export", LENET, "--to", "torch", "-o", "net.py", "--weights", "given.safetensors")
    assert (code, out) == (FINDINGS, "")
    assert err == (
        "error: the weights in `given.safetensors` are not those of `LeNet`\n"
        "help: `conv1.weight` is 6x1x3x3, not 6x1x5x5\n"
    )
    assert not Path("net.py").exists()


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["export"], USAGE, "help: for example `cnnspec export specs/lenet.cnn --to torch`\n"),
        (["export", LENET], USAGE, "--to"),
        (["export", LENET, "--to", "caffe"], USAGE, "caffe"),
        (["export", LENET, "--to", "torch", "-o", "net.onnx"], USAGE, "does not end in .py"),
        (["export", LENET, "--to", "torch", "--weights", "x"], USAGE, "needs -o"),
        (["export", LENET, "--to", "torch", "-o", "no/net.py"], FINDINGS, "there is no folder `no`"),
        (["export", LENET, "--to", "torch", "-o", "."], USAGE, "not of a folder"),
        (
            ["export", LENET, "--to", "torch", "-o", "a.py", "--weights", "none"],
            FINDINGS,
            "there is no `none`",
        ),
        (["export", "none.cnn", "--to", "torch"], FINDINGS, "none.cnn"),
        (["import", "none.onnx"], FINDINGS, "there is no file `none.onnx`"),
        (["import", "none.safetensors"], USAGE, "need --spec"),
        (["import", "."], FINDINGS, "`.` is a folder"),
        (["import", LENET], FINDINGS, "lenet.cnn` is a spec already"),
        (["import", LENET, "--input", "3xx"], USAGE, "must be a shape"),
    ],
)
def test_wrong_words_are_answered_in_one_line(call, words, status, said):
    code, out, err = call(*words)
    assert (code, out) == (status, "")
    assert said in err
    assert "Traceback" not in err


def test_model_comes_back_as_a_spec(call):
    pytest.importorskip("onnx")
    assert call("export", LENET, "--to", "onnx")[:2] == (OK, "wrote lenet.onnx\n")
    code, out, _ = call("import", "lenet.onnx", "-o", "again.cnn")
    assert (code, out) == (OK, "wrote again.cnn\nwrote again.safetensors\n")
    assert call("check", "again.cnn")[0] == OK
    text = call("import", "lenet.onnx", "-o", "-")[1]
    assert text == Path("again.cnn").read_text()
    assert "conv 6 5x5 padding=2 -> sigmoid : 6x28x28" in text
    assert call("export", "again.cnn", "--to", "onnx", "--weights", "again.safetensors")[0] == OK


def test_weights_are_imported_under_the_names_of_a_spec(call):
    kinds = enumerate(weights().items())
    renamed = {f"module.{n // 2}.{name.rpartition('.')[2]}": array for n, (name, array) in kinds}
    save_file(renamed, "other.safetensors")
    code, out, err = call("import", "other.safetensors", "--spec", LENET, "-o", "own.safetensors")
    assert (code, err) == (OK, "")
    assert "wrote own.safetensors" in out
    assert set(load_file("own.safetensors")) == set(weights())


@pytest.mark.parametrize(
    ("package", "words"),
    [("onnx", ["export", LENET, "--to", "onnx"]), ("onnx", ["import", "model.onnx"])],
)
def test_missing_extra_is_one_line_that_says_what_to_install(package, words, tmp_path):
    (tmp_path / "model.onnx").touch()
    block = f"import sys; sys.modules[{package!r}] = None\n"
    code = f"{block}from cnnspec.cli.main import main; sys.exit(main({words!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == FINDINGS
    assert done.stderr.splitlines() == [
        f"error: this needs {package}, which is not installed",
        f"help: pip install 'cnnspec[{package}]'",
    ]
