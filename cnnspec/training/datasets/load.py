"""From the `data` line of a recipe to samples. Each keyword has one reader, listed in `READERS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from cnnspec.layers.base import product
from cnnspec.recipe.data import Csv, DataKind, Images, Npz, Published, Wav
from cnnspec.training.datasets import cifar, images, npz, room, series, wavs
from cnnspec.training.datasets.dataset import DataSet
from cnnspec.training.datasets.download import Progress, download, no_progress
from cnnspec.training.datasets.idx import read_pair
from cnnspec.training.datasets.locate import cache_folder, find_files, roots
from cnnspec.training.datasets.normalizing import normalized
from cnnspec.training.datasets.parts import Part, Parts, first_of_each
from cnnspec.training.datasets.pixels import prepare
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

DIGITS_FOLDER: Final = Path(__file__).parent / "digits"
DIGITS_COUNT: Final = 1797
DIGITS_TEST_STEP: Final = 5


@dataclass(frozen=True, eq=False)
class Raw:
    """A published data set: bytes `N x H x W` or `N x C x H x W`, and the value of a white pixel."""

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    brightest: int
    class_names: tuple[str, ...]


def load_data(kind: DataKind, data_dir: Path | None = None, progress: Progress = no_progress) -> DataSet:
    """Read a data set, downloading it where it is not on this computer, and prepare its values.

    Args:
        kind: the `data` line of a recipe.
        data_dir: the folder to search first, and to download to; otherwise `CNNSPEC_DATA_DIR` and the user's
            cache are searched, and downloads go to the cache. Data sets with a path do not need it.
        progress: told of a download as it goes.

    Raises:
        DataError: the files are damaged, or cannot be had, or hold what cannot be learned from.
    """
    parts, scale = normalized(READERS[kind.keyword](kind, data_dir, progress), kind.normalize)
    train, test = parts.train, parts.test
    return DataSet(kind.keyword, train.x, train.y, test.x, test.y, parts.class_names, scale)


def data_bytes(kind: DataKind) -> int:
    """The most memory that `load_data` takes: the samples as floats, and the bytes they come from.

    Raises:
        DataError: the files of a data set with a path cannot be read.
    """
    if isinstance(kind, Published):
        native = product(kind.native_shape)
        return image_count(kind) * (product(kind.sample_shape()) * room.FLOAT_BYTES + native)
    return room.kept(_survey(kind)[1])


def image_count(kind: DataKind) -> int:
    """The samples of both parts; files may hold fewer.

    Raises:
        DataError: the files of a data set with a path cannot be read.
    """
    if kind.keyword in PUBLISHED:
        published = PUBLISHED[kind.keyword]
        return published.train_count + published.test_count
    if kind.keyword == "cifar10":
        return cifar.TRAIN_COUNT + cifar.TEST_COUNT
    if kind.keyword == "digits":
        return DIGITS_COUNT
    return _survey(kind)[0]


def _published(kind: DataKind, raw: Raw) -> Parts:
    """The parts of a published set, at the size that the recipe says, within its limit."""
    assert isinstance(kind, Published)
    _, height, width = kind.sample_shape()
    parts = []
    for pixels, labels in (
        (raw.train_images, raw.train_labels),
        (raw.test_images, raw.test_labels),
    ):
        if kind.limit is not None:
            rows = first_of_each(labels, kind.limit)
            pixels, labels = pixels[rows], labels[rows]
        parts.append(Part(prepare(pixels, raw.brightest, (height, width)), labels))
    return Parts(parts[0], parts[1], raw.class_names)


def read_digits(kind: DataKind, data_dir: Path | None, progress: Progress) -> Parts:
    """The digits that come with the package, 1,437 to train and 360 to test.

    The split is the same for everybody: of the images sorted by class, otherwise in their order, every fifth
    is for the test, from the first on. (Every fifth of the original order would not do: for long stretches
    the digits come in the order 0 to 9, and zeros and fives would fill the test part.)
    """
    assert isinstance(kind, Published)
    _, height, width = kind.native_shape
    pixels, labels = read_pair(
        DIGITS_FOLDER / "images-idx3-ubyte.gz",
        DIGITS_FOLDER / "labels-idx1-ubyte.gz",
        most=DIGITS_COUNT,
        size=(height, width),
        classes=kind.classes,
    )
    by_class = np.argsort(labels, kind="stable")
    test = np.sort(by_class[::DIGITS_TEST_STEP])
    train = np.delete(np.arange(len(labels)), test)
    raw = Raw(pixels[train], labels[train], pixels[test], labels[test], 16, DIGIT_NAMES)
    return _published(kind, raw)


def read_idx_set(kind: DataKind, data_dir: Path | None, progress: Progress) -> Parts:
    """A data set of four IDX files, found in a folder or downloaded."""
    assert isinstance(kind, Published)
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
    raw = Raw(train_images, train_labels, test_images, test_labels, 255, published.class_names)
    return _published(kind, raw)


def read_cifar(kind: DataKind, data_dir: Path | None, progress: Progress) -> Parts:
    """CIFAR-10, found in a folder, unpacked or downloaded."""
    (train_images, train_labels), (test_images, test_labels) = cifar.read_cifar(data_dir, progress)
    raw = Raw(train_images, train_labels, test_images, test_labels, 255, cifar.CLASS_NAMES)
    return _published(kind, raw)


def _from_path(kind: DataKind, data_dir: Path | None, progress: Progress) -> Parts:
    """A data set in files of one's own."""
    match kind:
        case Images():
            return images.read_images(kind)
        case Wav():
            return wavs.read_wavs(kind)
        case Npz():
            return npz.read_npz(kind)
        case Csv():
            return series.read_series(kind)
        case _:
            raise AssertionError(kind.keyword)


def _survey(kind: DataKind) -> tuple[int, int]:
    """The samples of both parts, and the bytes that they take in memory, at most."""
    match kind:
        case Images():
            return images.survey(kind)
        case Wav():
            return wavs.survey(kind)
        case Npz():
            return npz.survey(kind)
        case Csv():
            return series.survey(kind)
        case _:
            raise AssertionError(kind.keyword)


Reader = Callable[["DataKind", Path | None, Progress], Parts]

READERS: Final[dict[str, Reader]] = {
    "digits": read_digits,
    "mnist": read_idx_set,
    "fashion_mnist": read_idx_set,
    "kmnist": read_idx_set,
    "cifar10": read_cifar,
    "images": _from_path,
    "wav": _from_path,
    "npz": _from_path,
    "csv": _from_path,
}
