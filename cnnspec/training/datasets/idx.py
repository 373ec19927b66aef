"""The IDX format of MNIST (LeCun et al. 1998), plain or gzip, read with a bound on memory.

A file is two zero bytes, a type byte (8: unsigned bytes), the number of axes, the length of each axis as a
big-endian 32-bit integer, then the values. Nothing is allocated before the header has been checked against
what the caller expects, and nothing is unpacked beyond what the header promises.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final, cast

import numpy as np

from cnnspec.layers.base import product, show
from cnnspec.training.datasets.dataset import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

UNSIGNED_BYTES: Final = 8
GZIP_MAGIC: Final = b"\x1f\x8b"
AGAIN: Final = "remove the file and run again to download it, or put a good copy in its place"


def read_images(path: Path, *, most: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The images of a file, `N x H x W`.

    Raises:
        DataError: the file is damaged, holds more than `most` images, none, or images of another size.
    """
    return _read(path, axes=3, most=most, size=size)


def read_labels(path: Path, *, most: int, classes: int) -> NDArray[np.int64]:
    """The labels of a file, `N` numbers from 0 to `classes - 1`.

    Raises:
        DataError: the file is damaged, holds more than `most` labels, none, or a label out of range.
    """
    labels = _read(path, axes=1, most=most, size=())
    largest = int(labels.max())
    if largest >= classes:
        position = int(np.argmax(labels >= classes))
        raise DataError(
            f"{path}: label {int(labels[position])} at position {position} is none of the classes"
            f" 0 to {classes - 1}",
            AGAIN,
        )
    return labels.astype(np.int64)


def read_pair(
    images: Path, labels: Path, *, most: int, size: tuple[int, int], classes: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The images and labels of two files that belong together.

    Raises:
        DataError: one of them is damaged, or they hold different numbers.
    """
    y = read_labels(labels, most=most, classes=classes)
    x = read_images(images, most=most, size=size)
    if len(x) != len(y):
        raise DataError(
            f"{images} holds {len(x)} images, but {labels} holds {len(y)} labels",
            "the two files must come from the same data set",
        )
    return x, y


def _read(path: Path, *, axes: int, most: int, size: tuple[int, ...]) -> NDArray[np.uint8]:
    with _opened(path) as stream:
        sizes = _header(path, stream, axes)
        _check_sizes(path, sizes, most, size)
        values = _body(path, stream, product(sizes))
    return np.frombuffer(values, np.uint8).reshape(sizes)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The stream of values, unpacked where needed; every fault of the file becomes a `DataError`."""
    if path.is_dir():
        raise DataError(f"{path} is a folder, not a file", AGAIN)
    if not path.is_file():
        raise DataError(f"{path} is not a file", AGAIN)
    try:
        with path.open("rb") as file:
            packed = file.read(2) == GZIP_MAGIC
            file.seek(0)
            if path.suffix == ".gz" and not packed:
                raise DataError(f"{path}: is not a gzip file, although its name says so", AGAIN)
            yield gzip.GzipFile(fileobj=file) if packed else file  # type: ignore[misc]
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: the gzip data is damaged ({_reason(error)})", AGAIN) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def _reason(error: Exception) -> str:
    if isinstance(error, EOFError):
        return "it ends too early"
    return str(error)[:80].lower()


def _header(path: Path, stream: IO[bytes], axes: int) -> tuple[int, ...]:
    """The length of each axis."""
    head = stream.read(4 + 4 * axes)
    if len(head) >= 4:
        _check_magic(path, head[:4], axes)
    if len(head) < 4 + 4 * axes:
        raise DataError(f"{path}: ends inside its header, after {len(head)} bytes", AGAIN)
    return cast("tuple[int, ...]", struct.unpack(f">{axes}I", head[4:]))


def _check_magic(path: Path, magic: bytes, axes: int) -> None:
    if magic[:2] != b"\0\0":
        raise DataError(f"{path}: is not an IDX file, it begins with {magic.hex(' ')}", AGAIN)
    if magic[2] != UNSIGNED_BYTES:
        raise DataError(
            f"{path}: holds values of type 0x{magic[2]:02x}, expected 0x08 (unsigned bytes)", AGAIN
        )
    if magic[3] != axes:
        kind = "images" if axes == 3 else "labels"
        raise DataError(f"{path}: has {magic[3]} axes, a file of {kind} has {axes}", AGAIN)


def _check_sizes(path: Path, sizes: tuple[int, ...], most: int, size: tuple[int, ...]) -> None:
    kind = "images" if size else "labels"
    if sizes[1:] != size:
        raise DataError(f"{path}: holds images of {show(sizes[1:])}, expected {show(size)}", AGAIN)
    if sizes[0] == 0:
        raise DataError(f"{path}: holds no {kind}", AGAIN)
    if sizes[0] > most:
        raise DataError(f"{path}: promises {sizes[0]} {kind}, and this data set has at most {most}", AGAIN)


def _body(path: Path, stream: IO[bytes], length: int) -> bytes:
    """Exactly the bytes that the header promises. Reading on to the end also checks gzip's own checksum."""
    values = stream.read(length)
    if len(values) < length:
        raise DataError(f"{path}: ends after {len(values)} of the {length} values that it promises", AGAIN)
    if stream.read(1):
        raise DataError(f"{path}: goes on after the {length} values that it promises", AGAIN)
    return values
