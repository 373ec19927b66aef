"""From the `data` line of a recipe to arrays. Each keyword has one reader, listed in `READERS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from cnnspec.layers.base import product
from cnnspec.training.datasets.dataset import DataSet
from cnnspec.training.datasets.download import Progress, download, no_progress
from cnnspec.training.datasets.idx import read_pair
from cnnspec.training.datasets.locate import cache_folder, find_files, roots
from cnnspec.training.datasets.pixels import normalize, prepare
from cnnspec.training.datasets.published import (
    DIGIT_NAMES,
    PUBLISHED,
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.recipe.data import DataKind

DIGITS_FOLDER: Final = Path(__file__).parent / "digits"
DIGITS_COUNT: Final = 1797
DIGITS_TEST_STEP: Final = 5
FLOAT_BYTES: Final = 4


@dataclass(frozen=True, eq=False)
class Raw:
    """A data set as it was published: bytes `N x H x W`, and the value of a white pixel."""

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    brightest: int
    class_names: tuple[str, ...]


def load_data(kind: DataKind, data_dir: Path | None = None, progress: Progress = no_progress) -> DataSet:
    """Read a data set, downloading it where it is not on this computer, and prepare its pixels.

    Args:
        kind: the `data` line of a recipe.
        data_dir: the folder to search first, and to download to; otherwise `CNNSPEC_DATA_DIR` and the user's
            cache are searched, and downloads go to the cache.
        progress: told of a download as it goes.

    Raises:
        DataError: the files are damaged, or cannot be had.
    """
    raw = READERS[kind.keyword](kind, data_dir, progress)
    _, height, width = kind.sample_shape()
    train_x = prepare(raw.train_images, raw.brightest, (height, width))
    test_x = prepare(raw.test_images, raw.brightest, (height, width))
    if kind.normalize:
        normalize(train_x, test_x)
    return DataSet(kind.keyword, train_x, raw.train_labels, test_x, raw.test_labels, raw.class_names)


def data_bytes(kind: DataKind) -> int:
    """The most memory that `load_data` takes: the pixels as floats, and the bytes they come from."""
    sample, native = product(kind.sample_shape()), product(kind.native_shape)
    return image_count(kind) * (sample * FLOAT_BYTES + native)


def image_count(kind: DataKind) -> int:
    """The images of both parts; files may hold fewer."""
    if kind.keyword in PUBLISHED:
        published = PUBLISHED[kind.keyword]
        return published.train_count + published.test_count
    return DIGITS_COUNT


def read_digits(kind: DataKind, data_dir: Path | None, progress: Progress) -> Raw:
    """The digits that come with the package, 1,437 to train and 360 to test.

    The split is the same for everybody: of the images sorted by class, otherwise in their order, every fifth
    is for the test, from the first on. (Every fifth of the original order would not do: for long stretches
    the digits come in the order 0 to 9, and zeros and fives would fill the test part.)
    """
    _, height, width = kind.native_shape
    images, labels = read_pair(
        DIGITS_FOLDER / "images-idx3-ubyte.gz",
        DIGITS_FOLDER / "labels-idx1-ubyte.gz",
        most=DIGITS_COUNT,
        size=(height, width),
        classes=kind.classes,
    )
    by_class = np.argsort(labels, kind="stable")
    test = np.sort(by_class[::DIGITS_TEST_STEP])
    train = np.delete(np.arange(len(labels)), test)
    return Raw(
        images[train], labels[train], images[test], labels[test], brightest=16, class_names=DIGIT_NAMES
    )


def read_idx_set(kind: DataKind, data_dir: Path | None, progress: Progress) -> Raw:
    """A data set of four IDX files, found in a folder or downloaded."""
    published = PUBLISHED[kind.keyword]
    files = find_files(published, roots(data_dir))
    if files is None:
        files = download(published, (data_dir or cache_folder()) / published.folders[0], progress)
    _, height, width = kind.native_shape
    train_images, train_labels = read_pair(
        files[TRAIN_IMAGES],
        files[TRAIN_LABELS],
        most=published.train_count,
        size=(height, width),
        classes=kind.classes,
    )
    test_images, test_labels = read_pair(
        files[TEST_IMAGES],
        files[TEST_LABELS],
        most=published.test_count,
        size=(height, width),
        classes=kind.classes,
    )
    return Raw(train_images, train_labels, test_images, test_labels, 255, published.class_names)


Reader = Callable[["DataKind", Path | None, Progress], Raw]

READERS: Final[dict[str, Reader]] = {
    "digits": read_digits,
    "mnist": read_idx_set,
    "fashion_mnist": read_idx_set,
}
