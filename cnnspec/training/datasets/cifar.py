"""CIFAR-10 in its binary archive: records of a label byte and 3x32x32 pixel bytes, channel first."""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from cnnspec.training.datasets.dataset import DataError
from cnnspec.training.datasets.download import Progress, fetch
from cnnspec.training.datasets.locate import cache_folder, roots
from cnnspec.training.datasets.published import Download
from cnnspec.training.errors import TrainingError
from cnnspec.training.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

CLASS_NAMES: Final = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
SHAPE: Final = (3, 32, 32)
RECORD_BYTES: Final = 1 + 3 * 32 * 32
MOST_RECORDS: Final = 10_000
"""Of a file of the published archive; one may hold fewer."""
FOLDER: Final = "cifar-10-batches-bin"
FOLDERS: Final = (FOLDER, "cifar10", "cifar-10", "cifar_10")
TRAIN_FILES: Final = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILE: Final = "test_batch.bin"
ARCHIVE: Final = Download(
    title="CIFAR-10",
    mirrors=("https://www.cs.toronto.edu/~kriz/",),
    name="cifar-10-binary.tar.gz",
    md5="c32a1d4ab5d03f1284b67883e8d87530",
)
TRAIN_COUNT: Final = 50_000
TEST_COUNT: Final = 10_000
PICKLED: Final = ("cifar-10-batches-py", "cifar-10-python.tar.gz")

Images = tuple["NDArray[np.uint8]", "NDArray[np.int64]"]


def read_cifar(data_dir: Path | None, progress: Progress) -> tuple[Images, Images]:
    """Images and labels of both parts: from files found, or unpacked from the archive, or downloaded.

    Raises:
        DataError: a file is damaged, or only the pickled archive is there, or nothing can be had.
    """
    folder = _find(roots(data_dir)) or _unpacked(data_dir, progress)
    files = [folder / name for name in TRAIN_FILES if (folder / name).exists()]
    if not files:
        raise DataError(f"{folder}: has {TEST_FILE}, and none of data_batch_1.bin to data_batch_5.bin")
    parts = [read_batch(path) for path in files]
    images = np.concatenate([part[0] for part in parts])
    labels = np.concatenate([part[1] for part in parts])
    return (images, labels), read_batch(folder / TEST_FILE)


def read_batch(path: Path) -> Images:
    """The images of a file, `N x 3 x 32 x 32`, and their labels.

    Raises:
        DataError: it does not hold whole records, or too many, or a label that is none.
    """
    try:
        size = path.stat().st_size
        _check_size(path, size)
        content = np.fromfile(path, np.uint8, count=size)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    records = content[: size // RECORD_BYTES * RECORD_BYTES].reshape(-1, RECORD_BYTES)
    labels = records[:, 0].astype(np.int64)
    if len(wrong := np.flatnonzero(labels >= len(CLASS_NAMES))):
        raise DataError(
            f"{path}: label {labels[wrong[0]]} of record {wrong[0]} is none of the classes 0 to 9",
            *_if_pickled(path, content),
        )
    return records[:, 1:].reshape(-1, *SHAPE), labels


def _check_size(path: Path, size: int) -> None:
    records, rest = divmod(size, RECORD_BYTES)
    if not size:
        raise DataError(f"{path}: is empty")
    if records > MOST_RECORDS:
        raise DataError(f"{path}: has {size:,} bytes, and {MOST_RECORDS * RECORD_BYTES:,} are the most")
    if rest:
        content = np.fromfile(path, np.uint8, count=2)
        raise DataError(
            f"{path}: ends inside a record: {size:,} bytes are {records} records of {RECORD_BYTES:,} and"
            f" {rest:,} bytes",
            *_if_pickled(path, content),
        )


def _if_pickled(path: Path, content: NDArray[np.uint8]) -> tuple[str, ...]:
    if content[:1].tobytes() == b"\x80":
        return (f"{path.name} looks like a pickled file: take the binary archive, {ARCHIVE.name}",)
    return ()


def _find(folders: tuple[Path, ...]) -> Path | None:
    for root in folders:
        for folder in (*(root / name for name in FOLDERS), root):
            if (folder / TEST_FILE).exists():
                return folder
            if any((folder / name).exists() for name in TRAIN_FILES):
                raise DataError(f"{folder}: has files of CIFAR-10, and no {TEST_FILE}")
        if (root / ARCHIVE.name).exists():
            return None
    for root in folders:
        for name in PICKLED:
            if (root / name).exists():
                raise DataError(
                    f"{root / name} is the pickled CIFAR-10: reading it would run whatever code it holds",
                    f"put the binary one there, {ARCHIVE.mirrors[0]}{ARCHIVE.name}",
                )
    return None


def _unpacked(data_dir: Path | None, progress: Progress) -> Path:
    """The folder of the files, unpacked beside an archive that is there or has been downloaded."""
    home = data_dir or cache_folder()
    held = [root for root in (home, *roots(data_dir)) if (root / ARCHIVE.name).exists()]
    root = held[0] if held else home
    archive = root / ARCHIVE.name if held else fetch(ARCHIVE, root, progress)
    folder = root / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in _members(archive):
            write_atomically(folder / name, content)
    except OSError as error:
        raise DataError(f"cannot write to the data folder {folder}: {error.strerror or error}") from error
    except DataError:
        raise
    except TrainingError as error:
        raise DataError(error.message, *error.help) from error
    return folder


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """The known files of an archive, by their plain names: no path of the archive is followed."""
    missing = {*TRAIN_FILES, TEST_FILE}
    try:
        with tarfile.open(path, "r|gz") as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                if not member.isfile() or name not in missing:
                    continue
                if member.size > MOST_RECORDS * RECORD_BYTES:
                    raise DataError(f"{path}: {name} has {member.size:,} bytes, which is too many")
                stream = archive.extractfile(member)
                assert stream is not None
                yield name, stream.read(member.size)
                missing.remove(name)
                if not missing:
                    return
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DataError(f"{path}: is not a gzip archive, or is damaged ({str(error)[:80]})") from error
    raise DataError(f"{path}: lacks {', '.join(sorted(missing))}")
