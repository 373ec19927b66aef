"""Where files are looked for, and which are refused."""

import gzip
from pathlib import Path

import pytest

from cnnspec.recipe import FashionMnist, Mnist
from cnnspec.training.datasets import DataError, load_data
from cnnspec.training.datasets import load as load_module
from cnnspec.training.datasets import locate as locate_module
from cnnspec.training.datasets.locate import DATA_DIR_VARIABLE, find_files, roots
from cnnspec.training.datasets.published import MNIST
from tests.training.idx_files import TEST, TRAIN, idx, write_set


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test may see, or fill, the cache of the person who runs it."""
    cache = tmp_path / "cache"
    monkeypatch.setattr(locate_module, "cache_folder", lambda: cache)
    monkeypatch.setattr(load_module, "cache_folder", lambda: cache)
    monkeypatch.delenv(DATA_DIR_VARIABLE, raising=False)
    return cache


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("subfolder", [".", "mnist", "MNIST/raw"])
def test_a_set_is_found_directly_and_in_subfolders(subfolder: str, packed: bool, tmp_path: Path):
    write_set(tmp_path / "data" / subfolder, packed)
    data = load_data(Mnist(), tmp_path / "data")
    assert data.train_x.shape == (TRAIN, 1, 28, 28)
    assert data.test_x.shape == (TEST, 1, 28, 28)


@pytest.mark.parametrize("subfolder", ["fashion-mnist", "fashion_mnist"])
def test_fashion_mnist_has_its_own_subfolders(subfolder: str, tmp_path: Path):
    write_set(tmp_path / "data" / subfolder)
    assert len(load_data(FashionMnist(), tmp_path / "data").train_y) == TRAIN


def test_a_packed_file_may_stand_beside_plain_ones(tmp_path: Path):
    write_set(tmp_path, packed=False)
    plain = tmp_path / "train-images-idx3-ubyte"
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    assert len(load_data(Mnist(), tmp_path).train_y) == TRAIN


def test_the_folder_asked_for_comes_before_the_variable_and_the_cache(
    tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
):
    asked, variable = tmp_path / "asked", tmp_path / "variable"
    asked.mkdir()
    variable.mkdir()
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(variable))
    assert roots(asked) == (asked, variable, empty_cache)
    write_set(empty_cache / "mnist")
    write_set(variable / "mnist")
    found = find_files(MNIST, roots(asked))
    assert found is not None
    assert found["train-images-idx3-ubyte"].parent == variable / "mnist"


def test_an_incomplete_set_is_passed_over(tmp_path: Path):
    write_set(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    assert find_files(MNIST, (tmp_path,)) is None


@pytest.mark.parametrize(("make", "message"), [(False, "does not exist"), (True, "is not a folder")])
def test_a_data_folder_that_is_none_is_refused(make: bool, message: str, tmp_path: Path):
    folder = tmp_path / "data"
    if make:
        folder.write_text("a file")
    with pytest.raises(DataError, match=message) as caught:
        load_data(Mnist(), folder)
    assert caught.value.help == ("it was given by --data-dir",)


def test_damaged_files_in_a_set_are_refused_by_name(tmp_path: Path):
    write_set(tmp_path, t10k_labels_idx1_ubyte=idx(TEST - 1, below=10))
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte.gz holds 10 images, but .* holds 9 labels"):
        load_data(Mnist(), tmp_path)


def test_the_files_of_the_other_set_are_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import hashlib

    write_set(tmp_path)
    labels = (tmp_path / "train-labels-idx1-ubyte.gz").read_bytes()
    monkeypatch.setitem(MNIST.md5, "train-labels-idx1-ubyte", hashlib.md5(labels).hexdigest())
    with pytest.raises(DataError, match="belongs to MNIST, not to Fashion-MNIST"):
        load_data(FashionMnist(), tmp_path)
    assert len(load_data(Mnist(), tmp_path).train_y) == TRAIN
