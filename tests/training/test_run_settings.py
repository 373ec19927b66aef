"""`cnnspec run --set` with settings of the `train` block: what is run, recorded, and gone on with."""

import json
from pathlib import Path

import pytest

from tests.training.resuming import called, digests, write_spec


@pytest.fixture
def here(tmp_path: Path) -> Path:
    write_spec(tmp_path, epochs=2)
    return tmp_path


def test_a_setting_is_run_as_if_the_file_said_so(here):
    text = (here / "small.cnn").read_text()
    (here / "other.cnn").write_text(text.replace("sgd lr=0.05 momentum=0.9", "adam lr=0.01"))
    words = ("--set", "optimizer=adam", "--set", "lr=0.01", "--quiet", "--out")
    assert called(here, "run", "small.cnn", *words, "a").returncode == 0
    assert called(here, "run", "other.cnn", "--quiet", "--out", "b").returncode == 0
    ours, theirs = digests(here / "a"), digests(here / "b")
    for name in ("weights.safetensors", "metrics.csv", "metrics.jsonl"):
        assert ours[name] == theirs[name]
    record = json.loads((here / "a" / "run.json").read_text())
    assert record["recipe"]["optimizer"] == "adam lr=0.01"


def test_a_run_goes_on_with_its_settings(here):
    words = ("--set", "lr=0.01", "--quiet")
    called(here, "run", "small.cnn", *words, "--epochs", "4", "--out", "whole")
    called(here, "run", "small.cnn", *words, "--out", "a")
    assert called(here, "run", "--resume", "a", "--epochs", "4", "--quiet").returncode == 0
    assert digests(here / "a") == digests(here / "whole")
    called(here, "run", "small.cnn", *words, "--out", "b")
    again = called(here, "run", "small.cnn", "--resume", "b", *words, "--epochs", "4")
    assert (again.returncode, again.stderr) == (0, "")
    assert digests(here / "b") == digests(here / "whole")


def test_another_setting_is_another_run(here):
    called(here, "run", "small.cnn", "--set", "lr=0.03", "--quiet", "--out", "a")
    result = called(here, "run", "small.cnn", "--resume", "a", "--set", "lr=0.02", "--epochs", "4")
    assert result.returncode == 1
    assert "optimizer: sgd lr=0.03 momentum=0.9 -> sgd lr=0.02 momentum=0.9" in result.stderr


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("lrr=1", "network `Small` has no parameter `lrr`, and no setting is called so"),
        ("momentum=2", "`momentum` must be at least 0 and below 1, not 2"),
        ("sgd.=2", "write it as name=value"),
        ("batch=0", "`batch` must be at least 1, not 0"),
    ],
)
def test_wrong_settings_are_told(here, word, message):
    result = called(here, "run", "small.cnn", "--set", word, "--out", "a")
    assert result.returncode in (1, 2)
    assert message in result.stderr
    assert not (here / "a").exists()
