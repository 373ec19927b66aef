"""NumPy arrays in a `.npz`: a ZIP archive of `.npy` files, read without unpickling.

Headers are read first, and what they promise is compared, with the archive and with each other, before
anything is unpacked. What does not fit in memory is read from the disk when it is asked for, where the
archive holds it uncompressed (`np.savez`).
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np

from cnnspec.layers.base import product
from cnnspec.training.datasets import room
from cnnspec.training.datasets.dataset import DataError, Stream
from cnnspec.training.datasets.folders import existing
from cnnspec.training.datasets.parts import (
    MOST_CLASSES,
    Part,
    Parts,
    check_classes,
    check_finite,
    divide,
    divide_at_random,
    first_of_each,
    words,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.recipe.data import Npz

TOGETHER: Final = ("x", "y")
APART: Final = ("x_train", "y_train", "x_test", "y_test")
NAMES: Final = "class_names"
MOST_AXES: Final = 5
MOST_ENTRIES: Final = 10_000
MOST_HEADER: Final = 10_000
CHUNK_VALUES: Final = 2**22
"""Values that are converted at a time."""
BYTE_RANGE: Final = 255.0
LOCAL_HEADER: Final = 30
AGAIN: Final = "write it again with `np.savez(path, x=x, y=y)`"


@dataclass(frozen=True, eq=False)
class Entry:
    """An array of the archive, as its header has it."""

    path: Path
    name: str
    info: zipfile.ZipInfo
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    header_bytes: int

    def __str__(self) -> str:
        return f"{self.path}: `{self.name}`"

    @property
    def values(self) -> int:
        """How many it holds."""
        return product(self.shape)

    @property
    def stored(self) -> bool:
        """Whether it lies in the file as it is, so that it can be read in parts."""
        return self.info.compress_type == zipfile.ZIP_STORED and not self.fortran


@dataclass(frozen=True, eq=False)
class Mapped:
    """Samples that are read from the disk when they are asked for."""

    array: np.memmap[Any, Any]
    picked: NDArray[np.int64]
    divisor: float

    @property
    def shape(self) -> tuple[int, ...]:
        """Their number, and the shape of one."""
        return (len(self.picked), *self.array.shape[1:])

    def __len__(self) -> int:
        return len(self.picked)

    def rows(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """The samples of these numbers."""
        found = np.asarray(self.array[self.picked[indices]]).astype(np.float32)
        if self.divisor != 1:
            found /= np.float32(self.divisor)
        return found


def read_npz(kind: Npz) -> Parts:
    """Both parts of the arrays of a file.

    Raises:
        DataError: the file is damaged, arrays are missing, or do not belong together.
    """
    path = existing(kind.path, folder=False)
    entries = _entries(path)
    pairs = _pairs(path, entries)
    names = _class_names(entries)
    labels = [_labels(y) for _, y in pairs]
    if labels[0].dtype == np.int64:
        names = _checked_names(labels, pairs, names)
    if len(pairs) == 1:
        (x, y), label = pairs[0], labels[0]
        rows = _divided(kind, label, names, y)
        rows = tuple(each[first_of_each(label[each], kind.limit)] for each in rows)
        loaded = _loaded(x)
        train, test = (Part(_picked(x, loaded, each), label[each]) for each in rows)
    else:
        train, test = (_whole(x, label, kind.limit) for (x, _), label in zip(pairs, labels, strict=True))
    if len(names):
        check_classes(_classes(train), names, str(pairs[0][1]))
    return Parts(train, test, names)


def survey(kind: Npz) -> tuple[int, int]:
    """The number of samples, and the bytes that they take in memory while they are read."""
    path = existing(kind.path, folder=False)
    arrays = [x for x, _ in _pairs(path, _entries(path))]
    return sum(x.shape[0] for x in arrays), sum(_bytes(x) for x in arrays)


def _classes(part: Part) -> NDArray[np.int64]:
    return part.y.astype(np.int64)


# --- the archive ------------------------------------------------------------------------------------------


def _entries(path: Path) -> dict[str, Entry]:
    """The headers of the arrays, by name."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            if len(infos) > MOST_ENTRIES:
                raise DataError(f"{path}: holds {len(infos):,} arrays, and {MOST_ENTRIES:,} are the most")
            known = {*TOGETHER, *APART, NAMES}
            named = {info.filename.removesuffix(".npy"): info for info in infos}
            found = {}
            for name in named.keys() & known:
                found[name] = _entry(path, name, named[name], archive)
            return found or _nothing(path, list(named))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error) as e:
        raise DataError(f"{path}: is not an archive of NumPy arrays, or is damaged ({_reason(e)})") from e
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def _entry(path: Path, name: str, info: zipfile.ZipInfo, archive: zipfile.ZipFile) -> Entry:
    try:
        with archive.open(info) as stream:
            return _header(path, name, info, stream)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path}: `{name}` is damaged ({_reason(error)})", AGAIN) from error


def _nothing(path: Path, names: list[str]) -> dict[str, Entry]:
    held = ", ".join(f"`{name}`" for name in names[:10]) or "nothing"
    raise DataError(f"{path}: has no array `x`; it holds {held}", AGAIN)


def _reason(error: Exception) -> str:
    return (str(error).partition("\n")[0] or type(error).__name__)[:80].lower()


def _header(path: Path, name: str, info: zipfile.ZipInfo, stream: IO[bytes]) -> Entry:
    """What an array's header promises, compared with the size of its entry."""
    where = f"{path}: `{name}`"
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else _newer_header
        shape, fortran, dtype = read(stream, max_header_size=MOST_HEADER)
    except (zipfile.BadZipFile, zlib.error, EOFError):
        raise
    except Exception as error:  # what NumPy raises for damaged headers has no common base
        raise DataError(f"{where} has a damaged header", AGAIN) from error
    if dtype.hasobject:
        raise DataError(
            f"{where} holds Python objects: reading them would run whatever code they hold",
            "save arrays of numbers; `x.dtype` must not be `object`",
        )
    used = stream.tell()
    if any(axis < 0 for axis in shape) or used + product(shape) * dtype.itemsize != info.file_size:
        promised = f"{product(shape) * dtype.itemsize:,} bytes of {words(shape)} {dtype}"
        raise DataError(f"{where} promises {promised}, and holds {info.file_size - used:,}", AGAIN)
    return Entry(path, name, info, tuple(map(int, shape)), dtype, fortran, used)


def _newer_header(stream: IO[bytes], max_header_size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream, max_header_size=max_header_size)
    return shape, fortran, dtype


def _pairs(path: Path, entries: Mapping[str, Entry]) -> list[tuple[Entry, Entry]]:
    """Samples and labels that belong together: one pair, or that of training and that of the test."""
    wanted = APART if "x_train" in entries or "y_train" in entries else TOGETHER
    for name in wanted:
        if name not in entries:
            held = ", ".join(f"`{other}`" for other in sorted(entries))
            raise DataError(f"{path}: has no array `{name}`, beside {held}", AGAIN)
    pairs = [(entries[x], entries[y]) for x, y in zip(wanted[::2], wanted[1::2], strict=True)]
    for x, y in pairs:
        _check_pair(x, y)
    if pairs[0][0].shape[1:] != pairs[-1][0].shape[1:]:
        one, other = (words(x.shape[1:]) for x, _ in pairs)
        raise DataError(f"{path}: samples of `x_train` are {one}, those of `x_test` {other}")
    if pairs[0][1].dtype.kind != pairs[-1][1].dtype.kind or pairs[0][1].shape[1:] != pairs[-1][1].shape[1:]:
        raise DataError(f"{path}: `y_train` and `y_test` are of different kinds or shapes")
    return pairs


def _check_pair(x: Entry, y: Entry) -> None:
    if x.dtype.kind not in "fiub" or y.dtype.kind not in "fiub":
        wrong = x if x.dtype.kind not in "fiub" else y
        raise DataError(f"{wrong} is of {wrong.dtype}, and must hold numbers")
    if not 2 <= len(x.shape) <= MOST_AXES:
        raise DataError(
            f"{x} is {words(x.shape)}: it needs 2 to {MOST_AXES} axes, samples first, then channels",
            "a signal is `N x 1 x L`, an image `N x C x H x W`",
        )
    if not x.values:
        raise DataError(f"{x} is {words(x.shape)}: it holds no samples")
    if not y.shape or x.shape[0] != y.shape[0]:
        count = y.shape[0] if y.shape else 1
        labels = "1 label" if count == 1 else f"{count} labels"
        raise DataError(f"{x.path}: `{x.name}` holds {x.shape[0]} samples, but `{y.name}` {labels}")


# --- labels -----------------------------------------------------------------------------------------------


def _labels(y: Entry) -> NDArray[np.int64] | NDArray[np.float32]:
    """Class numbers of whole numbers, `N`; targets of others, `N` and the shape of one."""
    if not room.fits(y.values * 2 * y.dtype.itemsize):
        raise DataError(f"{y} does not fit in memory: {y.values * y.dtype.itemsize:,} bytes")
    array = _array(y)
    if y.dtype.kind == "f":
        check_finite(array, str(y), what="label")
        targets = array.astype(np.float32)
        return targets[:, None] if targets.ndim == 1 else targets
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(
            f"{y} is {words(y.shape)} of whole numbers, and class numbers are one a sample",
            "give the class numbers `y.argmax(axis=1)` in place of vectors, or targets as `y.astype(float)`",
        )
    if len(wrong := np.flatnonzero((array < 0) | (array >= MOST_CLASSES))):
        raise DataError(
            f"{y}: label {array[wrong[0]]} of sample {wrong[0]} is none of the classes from 0 on",
            f"classes are numbered from 0, up to {MOST_CLASSES - 1:,}; targets are floating-point numbers",
        )
    return array.astype(np.int64)


def _class_names(entries: Mapping[str, Entry]) -> tuple[str, ...]:
    entry = entries.get(NAMES)
    if entry is None:
        return ()
    if entry.dtype.kind != "U" or len(entry.shape) != 1 or not 0 < entry.shape[0] <= MOST_CLASSES:
        raise DataError(f"{entry} must be one row of texts, not {words(entry.shape)} of {entry.dtype}")
    if entry.dtype.itemsize > 2**12:
        raise DataError(f"{entry} holds names that are too long")
    return tuple(map(str, _array(entry)))


def _checked_names(
    labels: list[Any], pairs: list[tuple[Entry, Entry]], names: tuple[str, ...]
) -> tuple[str, ...]:
    """The names of the classes: those given, or the numbers that occur in training."""
    names = names or tuple(map(str, range(int(labels[0].max()) + 1)))
    for label, (_, y) in zip(labels, pairs, strict=True):
        if len(wrong := np.flatnonzero(label >= len(names))):
            raise DataError(
                f"{y}: label {label[wrong[0]]} of sample {wrong[0]} is none of the classes"
                f" 0 to {len(names) - 1}"
            )
    if len(names) < 2:
        raise DataError(f"{pairs[0][1]}: all labels are alike, and a classifier needs two classes")
    check_classes(labels[0], names, str(pairs[0][1]))
    return names


def _divided(kind: Npz, label: Any, names: tuple[str, ...], y: Entry) -> tuple[Any, ...]:  # noqa: ANN401
    if label.dtype == np.int64:
        return divide(label, kind.test, kind.split, names, str(y))
    return divide_at_random(len(label), kind.test, kind.split, str(y))


# --- samples ----------------------------------------------------------------------------------------------


def _whole(x: Entry, label: Any, limit: int | None) -> Part:  # noqa: ANN401 - of either kind
    rows = first_of_each(label, limit)
    return Part(_picked(x, _loaded(x), rows), label[rows])


def _loaded(x: Entry) -> NDArray[np.float32] | np.memmap[Any, Any]:
    """All samples as floats where they fit, else mapped from the file; every value is a number."""
    if room.fits(_bytes(x)):
        array = _array(x)
        _check_numbers(array, x)
        return _scaled(array, x)
    if not x.stored:
        why = "is in Fortran's order" if x.fortran else "is compressed"
        raise DataError(
            f"{x} is too large for the memory of this computer ({x.values * x.dtype.itemsize:,} bytes), and"
            f" {why}, so that it cannot be read in parts",
            "write it with `np.savez`, not `np.savez_compressed`, from an array in C order",
        )
    mapped = np.memmap(x.path, x.dtype, "r", _offset(x), x.shape)
    _check_numbers(mapped, x)
    return mapped


def _bytes(x: Entry) -> int:
    """The most that reading takes: the values as they are and as floats, or all floats and the parts."""
    return x.values * (room.FLOAT_BYTES + max(x.dtype.itemsize, room.FLOAT_BYTES))


def _check_numbers(array: NDArray[Any], x: Entry) -> None:
    if x.dtype.kind != "f":
        return
    step = max(1, CHUNK_VALUES // product(x.shape[1:]))
    for first in range(0, len(array), step):
        check_finite(np.asarray(array[first : first + step]), str(x), first)


def _scaled(array: NDArray[Any], x: Entry) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        result = np.array(array, np.float32, order="C")
    if x.dtype == np.uint8:
        result /= np.float32(BYTE_RANGE)
    if x.dtype.itemsize > room.FLOAT_BYTES and x.dtype.kind == "f":
        check_finite(result, f"{x}, as 32-bit numbers")
    return result


def _picked(
    x: Entry, loaded: NDArray[np.float32] | np.memmap[Any, Any], rows: NDArray[np.int64]
) -> NDArray[np.float32] | Stream:
    if isinstance(loaded, np.memmap):
        return Mapped(loaded, rows, BYTE_RANGE if x.dtype == np.uint8 else 1)
    return loaded if len(rows) == len(loaded) else loaded[rows]


def _array(entry: Entry) -> NDArray[Any]:
    """All values; unpacking also compares the archive's checksum."""
    size = entry.values * entry.dtype.itemsize
    try:
        with zipfile.ZipFile(entry.path) as archive, archive.open(entry.info) as stream:
            stream.read(entry.header_bytes)
            content = stream.read(size)
            rest = stream.read(1)
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, OSError) as error:
        raise DataError(f"{entry} is damaged ({_reason(error)})", AGAIN) from error
    if len(content) != size or rest:
        raise DataError(f"{entry} is damaged: it holds {len(content)} of {size} bytes", AGAIN)
    flat: NDArray[Any] = np.frombuffer(content, entry.dtype)
    return flat.reshape(entry.shape[::-1]).T if entry.fortran else flat.reshape(entry.shape)


def _offset(entry: Entry) -> int:
    """Where in the file the values of a stored array begin."""
    with entry.path.open("rb") as file:
        file.seek(entry.info.header_offset)
        head = file.read(LOCAL_HEADER)
        name, extra = struct.unpack("<HH", head[26:30])
    return entry.info.header_offset + LOCAL_HEADER + int(name) + int(extra) + entry.header_bytes
