"""Data files that cannot be learned from: each refused by name, before the first step, in little memory."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cnnspec.training.datasets import DataError
from tests.training.bad_data import CASES, read

ROOT = Path(__file__).parents[2]
HEAVY = {
    "npz bomb",
    "csv of one line",
    "csv with a long line",
    "cifar too long",
    "images bomb in a comment",
    "images bomb below pillows limit",
}
"""Cases that take a while to be made."""
LIMIT = 2**30


def environment(folder):
    kept = {name: value for name, value in os.environ.items() if name != "CNNSPEC_DATA_DIR"}
    return {**kept, "XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPATH": str(ROOT)}


@pytest.fixture(autouse=True)
def nobodys_data(monkeypatch, tmp_path):
    monkeypatch.delenv("CNNSPEC_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def check(name, tmp_path):
    make, message = CASES[name]
    if name.startswith("images"):
        pytest.importorskip("PIL")
    with pytest.raises(DataError) as caught:
        read(make, tmp_path)
    assert re.search(message, caught.value.message), caught.value.message
    assert str(tmp_path) in caught.value.message, "the file is named"
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("name", [name for name in CASES if name not in HEAVY])
def test_a_bad_file_is_refused_by_name(name, tmp_path):
    check(name, tmp_path)


@pytest.mark.campaign
@pytest.mark.parametrize("name", sorted(HEAVY))
def test_a_large_bad_file_is_refused_by_name(name, tmp_path):
    check(name, tmp_path)


@pytest.mark.campaign
def test_all_bad_files_together_take_less_than_a_gibibyte(tmp_path):
    pytest.importorskip("PIL")
    words = [sys.executable, "-m", "tests.training.bad_data", str(tmp_path)]
    result = subprocess.run(
        words, cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True, timeout=300, check=True
    )
    outcome = json.loads(result.stdout)
    assert set(outcome["said"]) == set(CASES)
    assert len(CASES) >= 80
    assert outcome["bytes"] < LIMIT
