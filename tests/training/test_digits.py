"""The digits in the package, against what UCI and scikit-learn publish of them."""

import numpy as np
import pytest

from cnnspec.recipe import Digits, kinds
from cnnspec.training.datasets import load_data
from cnnspec.training.datasets.load import DIGITS_FOLDER, READERS, data_bytes, image_count
from cnnspec.training.datasets.pixels import moments

COUNTS = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
"""Images of each class, as scikit-learn's description and UCI's list them for this part."""
SUM_OF_PIXELS = 561_718
"""Of scikit-learn's digits.csv.gz, its last column left out."""
FIRST_IMAGE = [
    [0, 0, 5, 13, 9, 1, 0, 0],
    [0, 0, 13, 15, 10, 15, 5, 0],
    [0, 3, 15, 2, 0, 11, 8, 0],
    [0, 4, 12, 0, 0, 8, 8, 0],
    [0, 5, 8, 0, 0, 9, 8, 0],
    [0, 4, 11, 0, 1, 12, 7, 0],
    [0, 2, 14, 5, 10, 12, 0, 0],
    [0, 0, 6, 13, 10, 0, 0, 0],
]
"""The image that scikit-learn's documentation prints as `digits.images[0]`, a zero."""


@pytest.fixture(scope="module")
def digits():
    return load_data(Digits())


def test_all_images_are_there_with_the_published_counts(digits):
    labels = np.concatenate([digits.train_y, digits.test_y])
    assert len(labels) == image_count(Digits()) == 1797
    assert np.bincount(labels).tolist() == COUNTS
    assert digits.class_names == tuple("0123456789")


def test_the_pixels_are_those_of_the_source(digits):
    pixels = np.concatenate([digits.train_x, digits.test_x])
    assert float(pixels.sum(dtype=np.float64)) * 16 == SUM_OF_PIXELS
    assert pixels.min() == 0
    assert pixels.max() == 1
    first = np.array(FIRST_IMAGE, np.float32) / 16
    assert digits.test_y[0] == 0
    np.testing.assert_array_equal(digits.test_x[0, 0], first)


def test_the_split_is_fixed_and_balanced(digits):
    assert digits.train_x.shape == (1437, 1, 8, 8)
    assert digits.test_x.shape == (360, 1, 8, 8)
    share = np.bincount(digits.test_y) / np.array(COUNTS)
    np.testing.assert_allclose(share, 0.2, atol=0.006)
    assert digits.test_y[:20].tolist() == load_data(Digits()).test_y[:20].tolist()


def test_no_image_is_in_both_parts(digits):
    train = {image.tobytes() for image in digits.train_x}
    assert not any(image.tobytes() in train for image in digits.test_x)


def test_resized_and_normalised_as_the_recipe_says():
    data = load_data(Digits(resize=(28, 28), normalize=True))
    assert data.train_x.shape == (1437, 1, 28, 28)
    assert data.train_x.dtype == np.float32
    assert data.train_y.dtype == np.int64
    np.testing.assert_allclose(moments(data.train_x), (0, 1), atol=1e-6)
    assert moments(data.test_x)[0] != 0


def test_data_bytes_bound_what_is_loaded(digits):
    assert digits.train_x.nbytes + digits.test_x.nbytes <= data_bytes(Digits())


def test_the_source_is_named_beside_the_files():
    text = (DIGITS_FOLDER / "ATTRIBUTION.md").read_text()
    assert "Alpaydin" in text
    assert "CC BY 4.0" in text


def test_every_data_set_of_the_language_has_a_reader():
    assert set(READERS) == set(kinds("data"))
