"""`cnnspec.train(..., backend="torch")`: what `cnnspec run --backend torch` does, from Python."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from safetensors.numpy import load_file

import cnnspec
from cnnspec.bridges.needed import MissingPackage
from cnnspec.training import TrainingError
from tests.torch_backend.support import assert_near
from tests.torch_backend.test_run import PLAIN, metrics
from tests.training.resuming import called, digests, write_spec

TEXT = PLAIN.replace("EPOCHS", "2")


def test_both_backends_come_to_the_same():
    found = {name: cnnspec.train(cnnspec.loads(TEXT), backend=name) for name in ("numpy", "torch")}
    ours, theirs = found["numpy"], found["torch"]
    assert_near(dict(ours.model.weights), dict(theirs.model.weights), 1e-4)
    assert theirs.history[1].test_loss == pytest.approx(ours.history[1].test_loss, abs=2e-4)
    assert type(theirs.model.model).__name__ == "TorchModel"
    ours.model.close()


def test_a_run_in_a_folder_is_that_of_the_command_and_goes_on_as_it_was(tmp_path: Path):
    write_spec(tmp_path, 2, PLAIN)
    assert called(tmp_path, "run", "small.cnn", "--backend", "torch", "--out", "command").returncode == 0
    network = cnnspec.load(tmp_path / "small.cnn")
    cnnspec.train(network, out=tmp_path / "python", backend="torch", epochs=1)
    cnnspec.train(network, out=tmp_path / "python", resume=True)
    assert cnnspec.load_run(tmp_path / "python").record.threads.backend == "torch"
    assert digests(tmp_path / "python") == digests(tmp_path / "command")
    cnnspec.train(network, out=tmp_path / "python", resume=True, epochs=3, backend="numpy").model.close()
    record = cnnspec.load_run(tmp_path / "python").record
    assert (record.threads.backend, record.epochs_finished) == ("numpy", 3)


def test_precision_is_mixed_where_it_is_asked_for(tmp_path: Path):
    network = cnnspec.loads(TEXT)
    cnnspec.train(network, out=tmp_path / "run", backend="torch", precision="bfloat16", epochs=1)
    facts = cnnspec.load_run(tmp_path / "run").record.threads
    assert (facts.device, facts.precision) == ("cpu", "bfloat16")
    cnnspec.train(network, out=tmp_path / "run", resume=True)
    assert cnnspec.load_run(tmp_path / "run").record.threads.precision == "bfloat16"


def test_what_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch):
    network = cnnspec.loads(TEXT)
    with pytest.raises(ValueError, match=r'`backend` must be "numpy" or "torch", not \'jax\''):
        cnnspec.train(network, backend="jax")
    with pytest.raises(ValueError, match=r'are for PyTorch: add backend="torch"'):
        cnnspec.train(network, device="cuda")
    with pytest.raises(TrainingError, match="there is no device `tpu`"):
        cnnspec.train(network, backend="torch", device="tpu")
    with pytest.raises(TrainingError, match="there is no precision `half`") as found:
        cnnspec.train(network, backend="torch", precision="half")
    assert found.value.help == ("there are float32, bfloat16, float16",)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(ValueError, match="torchrun has started 2 processes"):
        cnnspec.train(network)


def test_without_pytorch_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    for name in list(sys.modules):
        if name.startswith(("cnnspec.torch_backend", "cnnspec.bridges.torch")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingPackage, match=r"this needs torch.*pip install 'cnnspec\[torch\]'"):
        cnnspec.train(cnnspec.loads(TEXT), backend="torch")


SCRIPT = """import cnnspec
network = cnnspec.load("small.cnn")
result = cnnspec.train(network, backend="torch", out="two", epochs=1)
result = cnnspec.train(network, backend="torch", out="two", epochs=2, resume=True)
loose = cnnspec.train(network, backend="torch")
assert loose.history[-1].figures == result.history[-1].figures, (loose.history, result.history)
"""


@pytest.mark.campaign
def test_a_script_that_torchrun_starts_shares_its_batches(tmp_path: Path):
    write_spec(tmp_path, 2, PLAIN)
    (tmp_path / "script.py").write_text(SCRIPT)
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    result = subprocess.run(
        [*words, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False
    )
    assert result.returncode == 0, result.stderr
    assert called(tmp_path, "run", "small.cnn", "--out", "one").returncode == 0
    assert_near(
        load_file(tmp_path / "one/weights.safetensors"), load_file(tmp_path / "two/weights.safetensors")
    )
    np.testing.assert_allclose(metrics(tmp_path / "two"), metrics(tmp_path / "one"), atol=1e-3)
