"""The original MNIST and Fashion-MNIST files, where they are at hand: published checksums and statistics."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from cnnspec.recipe import FashionMnist, Mnist
from cnnspec.training.datasets import load_data
from cnnspec.training.datasets.locate import files_in, find_files
from cnnspec.training.datasets.pixels import moments
from cnnspec.training.datasets.published import PUBLISHED

FOLDERS = [
    Path(folder)
    for folder in (os.environ.get("CNNSPEC_DATA_DIR"), Path(__file__).parents[3] / "shared" / "data")
    if folder
]


def data_folder(keyword: str) -> Path:
    for folder in FOLDERS:
        if folder.is_dir() and find_files(PUBLISHED[keyword], (folder,)):
            return folder
    pytest.skip(
        f"the files of {PUBLISHED[keyword].title} are not here: CNNSPEC_DATA_DIR may name their folder"
    )


@pytest.mark.parametrize("keyword", PUBLISHED)
def test_the_files_have_the_published_checksums(keyword: str):
    published = PUBLISHED[keyword]
    found = find_files(published, (data_folder(keyword),))
    assert found is not None
    for name, path in files_in(found["train-images-idx3-ubyte"].parent).items():
        if path.suffix == ".gz":
            assert hashlib.md5(path.read_bytes()).hexdigest() == published.md5[name]


@pytest.mark.parametrize(
    ("kind", "mean", "deviation"),
    [(Mnist, 0.1307, 0.3081), (FashionMnist, 0.2860, 0.3530)],
)
def test_the_pixels_have_the_published_mean_and_deviation(kind, mean: float, deviation: float):
    data = load_data(kind(), data_folder(kind.keyword))
    assert data.train_x.shape == (60_000, 1, 28, 28)
    assert data.test_x.shape == (10_000, 1, 28, 28)
    np.testing.assert_allclose(moments(data.train_x), (mean, deviation), atol=5e-5)
    if kind is FashionMnist:
        assert np.bincount(data.train_y).tolist() == [6000] * 10
        assert data.class_names[9] == "Ankle boot"
    else:  # LeCun's page: the test part begins with a seven
        assert data.test_y[:5].tolist() == [7, 2, 1, 0, 4]
