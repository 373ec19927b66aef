"""`cnnspec sweep --backend torch`: trials computed by PyTorch, in one process or several."""

import json
import shlex
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("optuna")

from tests.torch_backend.test_run import assert_same_run
from tests.training.resuming import called
from tests.training.test_sweep import SPEC

LR = ("--param", "lr=0.01,0.05")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "net.cnn").write_text(SPEC.replace("EPOCHS", "1"))
    return tmp_path


def test_trials_are_those_of_numpy_and_the_best_is_repeated_with_pytorch(here: Path):
    for backend in ("numpy", "torch"):
        words = ["--out", backend, "--backend", backend]
        result = called(here, "sweep", "net.cnn", *LR, *words, "--json")
        assert (result.returncode, result.stderr) == (0, "")
    for number in range(2):
        assert_same_run(here / "numpy" / f"trial-{number}", here / "torch" / f"trial-{number}")
        record = json.loads((here / "torch" / f"trial-{number}" / "run.json").read_text())
        assert record["threads"]["backend"] == "torch"
    command = shlex.split(json.loads(result.stdout)["command"])
    assert command[-2:] == ["--backend", "torch"]
    assert called(here, *command[1:], "--out", "again", "--quiet").returncode == 0


def test_jobs_compute_as_they_are_told(here: Path):
    words = ("--out", "s", "--backend", "torch", "--precision", "bfloat16", "--jobs", "2", "--quiet")
    result = called(here, "sweep", "net.cnn", *LR, *words)
    assert (result.returncode, result.stderr) == (0, "")
    for number in range(2):
        threads = json.loads((here / "s" / f"trial-{number}" / "run.json").read_text())["threads"]
        assert (threads["backend"], threads["precision"]) == ("torch", "bfloat16")


REFUSED = {
    ("--device", "cuda"): (2, "--device is for PyTorch", "add --backend torch"),
    ("--backend", "numpy", "--precision", "float16"): (2, "--precision is for PyTorch", "--backend torch"),
    ("--backend", "torch", "--device", "gpu"): (1, "there is no device `gpu`", "cpu, cuda, or cuda:1"),
    ("--backend", "torch", "--device", "gpu", "--jobs", "2"): (
        1,
        "there is no device `gpu`",
        "--device takes",
    ),
}


@pytest.mark.parametrize("options", REFUSED)
def test_a_wrong_use_is_one_clear_message(options, here: Path):
    status, message, help = REFUSED[options]
    result = called(here, "sweep", "net.cnn", *LR, "--out", "s", *options)
    assert (result.returncode, result.stdout) == (status, "")
    error, hint = result.stderr.splitlines()
    assert error.startswith("error: ")
    assert message in error
    assert help in hint
    assert not (here / "s").exists()


def test_processes_of_torchrun_are_sent_to_jobs(here: Path, monkeypatch: pytest.MonkeyPatch):
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    result = called(here, "sweep", "net.cnn", *LR, "--backend", "torch")
    assert result.returncode == 2
    assert "torchrun has started 2 processes that share every batch" in result.stderr
    assert "`--jobs N`" in result.stderr
