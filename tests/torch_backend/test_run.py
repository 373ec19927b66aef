"""`cnnspec run --backend torch`: the same run folder, and runs that go on with the other backend."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from safetensors.numpy import load_file

from tests.torch_backend.support import assert_near
from tests.training.resuming import SPEC, called, digests, write_spec

PLAIN = SPEC.replace("    dropout 0.2\n", "")
"""Augmented, but without what differs from backend to backend."""


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of two epochs by either backend, `numpy` and `torch`, and one of four by NumPy, `whole`."""
    here = tmp_path_factory.mktemp("origin")
    write_spec(here, 2, PLAIN)
    for out, options in (("numpy", []), ("torch", ["--backend", "torch"]), ("whole", ["--epochs", "4"])):
        result = called(here, "run", "small.cnn", "--out", out, "--quiet", *options)
        assert (result.returncode, result.stderr) == (0, "")
    return here


@pytest.fixture
def here(origin: Path, tmp_path: Path) -> Path:
    shutil.copytree(origin, tmp_path, dirs_exist_ok=True)
    return tmp_path


def metrics(folder: Path) -> np.ndarray:
    return np.loadtxt(folder / "metrics.csv", delimiter=",", skiprows=1)


def assert_same_run(one: Path, other: Path):
    """The same figures to four digits, and weights, optimizer and all that are near."""
    headings = [(folder / "metrics.csv").read_text().splitlines()[0] for folder in (one, other)]
    assert headings[0] == headings[1]
    np.testing.assert_allclose(metrics(other), metrics(one), atol=2e-4)
    for name in ("weights.safetensors", "best.safetensors", "checkpoint.safetensors"):
        assert_near(load_file(one / name), load_file(other / name), 1e-4)


def test_a_run_is_the_same_by_either_backend(origin: Path):
    assert_same_run(origin / "numpy", origin / "torch")
    names = [{path.name for path in (origin / backend).iterdir()} for backend in ("numpy", "torch")]
    assert names[0] == names[1]
    record = json.loads((origin / "torch" / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["threads"]["backend"] == "torch"
    assert record["threads"]["device"] == "cpu"
    assert record["threads"]["precision"] == "float32"
    assert "PyTorch" in (origin / "torch" / "report.html").read_text()
    row = next(
        line for line in called(origin, "runs", "numpy", "torch").stdout.splitlines() if "backend" in line
    )
    assert row.split()[1:] == ["numpy", "torch", record["threads"]["torch"], "on", "cpu,", "float32"]


@pytest.mark.parametrize(("began", "goes_on"), [("numpy", "torch"), ("torch", "numpy")])
def test_a_run_goes_on_by_the_other_backend(began: str, goes_on: str, here: Path):
    result = called(here, "run", "--resume", began, "--epochs", "4", "--backend", goes_on)
    assert result.returncode == 0, result.stderr
    assert f"note: the run was computed by {began}, and goes on by {goes_on}" in result.stderr
    assert_same_run(here / "whole", here / began)


def test_a_run_goes_on_bit_for_bit_by_the_backend_it_began_with(tmp_path: Path):
    """With dropout; the backend need not be named again."""
    write_spec(tmp_path, 2)
    for out, epochs in (("half", "2"), ("whole", "4")):
        options = ["--backend", "torch", "--out", out, "--epochs", epochs, "--quiet"]
        assert called(tmp_path, "run", "small.cnn", *options).returncode == 0
    result = called(tmp_path, "run", "--resume", "half", "--epochs", "4", "--quiet")
    assert (result.returncode, result.stderr) == (0, "")
    assert digests(tmp_path / "half") == digests(tmp_path / "whole")


def test_what_a_run_is_used_for_does_not_ask_who_computed_it(here: Path):
    result = called(here, "evaluate", "torch", "--json")
    assert result.returncode == 0, result.stderr
    accuracy = json.loads(result.stdout)["accuracy"]
    assert accuracy == pytest.approx(metrics(here / "torch")[-1][4], abs=1e-6)


REFUSED = {
    ("--backend", "torch", "--device", "gpu"): (1, "there is no device `gpu`", "cpu, cuda, or cuda:1"),
    ("--device", "cuda"): (2, "--device is for PyTorch", "add --backend torch"),
    ("--backend", "numpy", "--precision", "bfloat16"): (2, "--precision is for PyTorch", "--backend torch"),
}


@pytest.mark.parametrize("options", REFUSED)
def test_a_wrong_use_is_one_clear_message(options: tuple[str, ...], tmp_path: Path):
    status, message, help = REFUSED[options]
    write_spec(tmp_path, 1)
    result = called(tmp_path, "run", "small.cnn", "--out", "out", *options)
    assert (result.returncode, result.stdout) == (status, "")
    error, hint = result.stderr.splitlines()
    assert error.startswith("error: ")
    assert message in error
    assert hint.startswith("help: ")
    assert help in hint
    assert not (tmp_path / "out").exists()


def test_without_cuda_it_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    write_spec(tmp_path, 1)
    result = called(tmp_path, "run", "small.cnn", "--backend", "torch", "--device", "cuda")
    assert result.returncode == 1
    assert result.stderr.startswith("error: --device cuda: ")
    assert "or use --device cpu" in result.stderr
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    result = called(tmp_path, "run", "small.cnn", "--backend", "torch", "--device", "cuda")
    assert "PyTorch finds no GPU that it can use here" in result.stderr


def test_without_pytorch_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in list(sys.modules):
        if name.startswith(("cnnspec.torch_backend", "cnnspec.bridges.torch")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    write_spec(tmp_path, 1)
    result = called(tmp_path, "run", "small.cnn", "--backend", "torch")
    assert result.returncode == 1
    assert result.stderr == (
        "error: --backend torch: this needs torch, which is not installed\n"
        "help: pip install 'cnnspec[torch]'\n"
    )
