"""Weights that are lost never take the place of good ones."""

from pathlib import Path

import numpy as np
import pytest

import cnnspec
from cnnspec.training import Diverged, TrainingError
from cnnspec.training.checkpoint import NotFinite
from cnnspec.training.record import read_record
from cnnspec.training.run_folder import RunFolder
from cnnspec.training.tensors import read_arrays
from tests.training.resuming import SPEC, digests

TEXT = SPEC.replace("EPOCHS", "4").replace(" -> batchnorm", "")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that ended well after two epochs."""
    folder = tmp_path_factory.mktemp("good") / "run"
    cnnspec.train(cnnspec.loads(TEXT, "a.cnn"), epochs=2, out=folder).model.close()
    return folder


def poisoned(folder: Path, name: str, value: float) -> TrainingError:
    """A run whose weights go bad behind its second epoch: what it raises."""

    def callback(epoch, model) -> None:
        if epoch.number == 2:
            model.weights[name].reshape(-1)[0] = value

    with pytest.raises(TrainingError) as caught:
        cnnspec.train(cnnspec.loads(TEXT, "a.cnn"), out=folder, callback=callback)
    return caught.value


def test_a_loss_that_is_no_number_leaves_the_last_good_state(good: Path, tmp_path: Path):
    error = poisoned(tmp_path / "run", "dense1.weight", np.nan)
    assert isinstance(error, Diverged)
    assert error.message == (
        "the loss is nan in epoch 3, batch 1 of 15: training has diverged;"
        " the weight of `dense1` is not finite: the update before was too large"
    )
    assert digests(tmp_path / "run") == digests(good)
    record = read_record(tmp_path / "run" / "run.json")
    assert record.status == "diverged"
    assert record.error == error.message


def test_weights_that_are_lost_are_not_saved_though_the_loss_is_fine(good: Path, tmp_path: Path):
    """Behind a rectifier that gives 0 for it, minus infinity does no harm to the loss."""
    error = poisoned(tmp_path / "run", "conv1.bias", -np.inf)
    assert isinstance(error, NotFinite | Diverged)
    assert "`conv1.bias`" in error.message or "nan" in error.message
    assert digests(tmp_path / "run") == digests(good)
    assert read_record(tmp_path / "run" / "run.json").status == "diverged"


def test_what_is_kept_can_be_gone_on_from(good: Path, tmp_path: Path):
    poisoned(tmp_path / "run", "dense1.weight", np.inf)
    network = cnnspec.loads(TEXT, "a.cnn")
    cnnspec.train(network, out=tmp_path / "run", resume=True).model.close()
    cnnspec.train(network, out=tmp_path / "whole").model.close()
    assert digests(tmp_path / "run") == digests(tmp_path / "whole")
    arrays = read_arrays(RunFolder(tmp_path / "run").weights).arrays
    assert all(np.isfinite(array).all() for array in arrays.values())
