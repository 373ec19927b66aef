"""`benchmarks/devices.py`: it measures where a device is, and says in one line where there is none."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "devices.py"


def devices(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *words], capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.campaign
def test_a_row_has_speeds_their_ratio_and_how_long_data_were_waited_for():
    result = devices("--device", "cpu", "--networks", "lenet", "--rounds", "2", "--seconds", "0.05", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    (row,) = json.loads(result.stdout)["rows"]
    for name in ("cnnspec", "plain", "ratio"):
        assert 0 < row[name]["low"] <= row[name]["middle"] <= row[name]["high"]
    assert 0 < row["waits"] < 1
    assert 0 < row["waits_augmented"] < 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_is_one_line():
    result = devices()
    assert (result.returncode, result.stdout) == (1, "")
    error, help = result.stderr.splitlines()
    assert error.startswith("error: --device cuda: ")
    assert "--device cpu" in help
