"""`cnnspec run --tuned`: computed as was found fastest, written down, and gone on with to the same bits."""

import json

import pytest

import cnnspec
from cnnspec.network.check import check_file
from cnnspec.numpy_backend import tuning
from cnnspec.numpy_backend.choices import Choices
from tests.training.resuming import called, digests, write_spec

BATCH = 100
FOUND = Choices({"conv1": "winograd-2x2"}, workers=1, micro_batch=16)
PLAIN = """network Small {
    input 1x8x8
    conv 4 3x3 padding=1 -> batchnorm -> relu -> maxpool 2x2
    dense 10 -> softmax
}
train { data digits normalize=true, batch 100, epochs EPOCHS, checkpoint every=1 }
""".replace(", ", "\n")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a file for whose training these choices were found."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    graph, facts = check_file(str(write_spec(tmp_path, 2, PLAIN))).network()
    tuning.keep(tuning.Subject(graph, facts, BATCH, training=True, loss=None), FOUND)
    return tmp_path


def threads(folder):
    return json.loads((folder / "run.json").read_text())["threads"]


def test_a_tuned_run_keeps_to_what_was_found_and_goes_on_to_the_same_bits(here):
    for out, epochs in (("whole", "2"), ("half", "1")):
        result = called(here, "run", "small.cnn", "--tuned", "--out", out, "--epochs", epochs)
        assert result.returncode == 0, result.stderr
    known = threads(here / "whole")
    assert (known["chosen"], known["workers"], known["micro_batch"]) == (FOUND.algorithms, 1, 16)
    (tuned,) = (here / "cache" / "cnnspec" / "tuned").iterdir()
    tuned.write_text(Choices({"conv1": "im2col"}).as_json())  # what is found later does not count
    result = called(here, "run", "--resume", "half", "--epochs", "2")
    assert (result.returncode, result.stderr) == (0, "")
    assert threads(here / "half") == known
    assert digests(here / "half") == digests(here / "whole")


def test_without_asking_nothing_tuned_is_used(here):
    assert called(here, "run", "small.cnn", "--out", "plain", "--epochs", "1").returncode == 0
    assert threads(here / "plain")["chosen"] != FOUND.algorithms or threads(here / "plain")["workers"] != 1


def test_a_model_from_python_is_tuned_where_asked_for(here):
    network = cnnspec.load(here / "small.cnn")
    assert network.compile(tuned=True).plan.choices == FOUND
    with pytest.raises(ValueError, match="training with Small at batch 50 was not tuned on this machine"):
        network.compile(batch=50, tuned=True)


def test_what_was_not_tuned_says_how_to(here):
    result = called(here, "run", "small.cnn", "--tuned", "--batch", "50")
    assert result.returncode == 1
    assert "training with Small at batch 50 was not tuned on this machine" in result.stderr
    assert "cnnspec plan FILE --training --batch 50 --tune" in result.stderr
    assert not (here / "runs").exists()


def test_pytorch_has_no_plan_to_tune(here):
    result = called(here, "run", "small.cnn", "--tuned", "--backend", "torch")
    assert result.returncode == 2
    assert "--tuned is for NumPy" in result.stderr
