"""CIFAR-10: the layout that its page describes, the archive, and the published statistics of its pixels."""

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from cnnspec.recipe.data import Cifar10
from cnnspec.training.datasets import cifar, load_data
from cnnspec.training.datasets.cifar import FOLDER, TEST_FILE, TRAIN_FILES

FOLDERS = [
    Path(folder)
    for folder in (os.environ.get("CNNSPEC_DATA_DIR"), Path(__file__).parents[3] / "shared" / "data")
    if folder
]
MEANS, DEVIATIONS = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
"""Of the full training part, by channel, as published in many places."""


@pytest.fixture(autouse=True)
def nobodys_data(request, monkeypatch, tmp_path):
    if "real" not in request.node.name:
        monkeypatch.delenv("CNNSPEC_DATA_DIR", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def records(labels):
    """One label byte, then the red, the green and the blue plane, row by row."""
    planes = np.zeros((len(labels), 3, 32, 32), np.uint8)
    planes[:, 0] = np.arange(32)[:, None]  # red grows downwards
    planes[:, 1] = np.arange(32)  # green to the right
    planes[:, 2] = 255
    return b"".join(bytes([label]) + plane.tobytes() for label, plane in zip(labels, planes, strict=True))


def check(data, train, test):
    assert data.train_y.tolist() == train
    assert data.test_y.tolist() == test
    assert data.train_x.shape == (len(train), 3, 32, 32)
    np.testing.assert_allclose(data.train_x[0, :, 5, 9], [5 / 255, 9 / 255, 1], rtol=1e-6)
    assert data.class_names[3] == "cat"


def test_the_batches_that_are_there_are_read_in_order(tmp_path):
    (tmp_path / "cifar10").mkdir()
    for name, labels in (("data_batch_1.bin", [3, 1]), ("data_batch_4.bin", [9]), (TEST_FILE, [0, 2])):
        (tmp_path / "cifar10" / name).write_bytes(records(labels))
    check(load_data(Cifar10(), tmp_path), [3, 1, 9], [0, 2])


def archive_of(names, folder="cifar-10-batches-bin"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for number, name in enumerate(names):
            info = tarfile.TarInfo(f"{folder}/{name}")
            content = records([number])
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def test_the_archive_is_unpacked_beside_itself(tmp_path):
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(archive_of([*TRAIN_FILES, TEST_FILE, "readme.html"]))
    for _ in range(2):  # the second time from the files
        check(load_data(Cifar10(), tmp_path), [0, 1, 2, 3, 4], [5])
    assert sorted(path.name for path in (tmp_path / FOLDER).iterdir()) == sorted([*TRAIN_FILES, TEST_FILE])


def test_an_archive_cannot_write_anywhere_else(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "cifar-10-binary.tar.gz").write_bytes(archive_of([*TRAIN_FILES, TEST_FILE], "../../outside"))
    load_data(Cifar10(), home)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_what_is_nowhere_is_downloaded(tmp_path, monkeypatch):
    def fetch(wanted, folder, progress):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / wanted.name).write_bytes(archive_of([*TRAIN_FILES, TEST_FILE]))
        return folder / wanted.name

    monkeypatch.setattr(cifar, "fetch", fetch)
    check(load_data(Cifar10(), tmp_path), [0, 1, 2, 3, 4], [5])


def test_the_real_files_have_the_published_statistics():
    found = [folder for folder in FOLDERS if (folder / FOLDER / TEST_FILE).exists()]
    if not found:
        pytest.skip("the files of CIFAR-10 are not here: CNNSPEC_DATA_DIR may name their folder")
    data = load_data(Cifar10(), found[0])
    np.testing.assert_allclose(data.train_x.mean((0, 2, 3), dtype=np.float64), MEANS, atol=0.004)
    np.testing.assert_allclose(data.train_x.std((0, 2, 3), dtype=np.float64), DEVIATIONS, atol=0.004)
    assert set(np.unique(data.test_y)) == set(range(10))
