"""Recordings in class folders: RIFF WAVE files in PCM with one channel (Microsoft & IBM 1991).

A file is `RIFF`, a size, `WAVE`, then chunks of a name, a size and content: `fmt ` says how the samples are
written, `data` holds them. No more is read than the samples that are used.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import numpy as np

from cnnspec.training.datasets import room
from cnnspec.training.datasets.dataset import DataError
from cnnspec.training.datasets.folders import Listing, Suffixes, listings
from cnnspec.training.datasets.parts import Part, Parts
from cnnspec.training.datasets.workers import fill

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.recipe.data import Wav

SUFFIXES: Final = Suffixes(
    (".wav",), (".mp3", ".flac", ".ogg", ".m4a", ".aac", ".aif", ".aiff", ".opus"), "recordings"
)
PCM: Final = 1
EXTENSIBLE: Final = 0xFFFE
ENCODINGS: Final = {2: "ADPCM", 3: "floating point", 6: "A-law", 7: "mu-law", 0x55: "MP3"}
BITS: Final = (8, 16, 24, 32)
MOST_CHUNKS: Final = 1000
CONVERT: Final = "convert it, for example with `ffmpeg -i in.wav -ac 1 -ar {rate} -c:a pcm_s16le out.wav`"


@dataclass(frozen=True, slots=True)
class Format:
    """What the `fmt ` chunk says."""

    encoding: int
    channels: int
    rate: int
    bits: int


@dataclass(frozen=True, eq=False)
class WavFiles:
    """Recordings that are read when they are asked for."""

    files: Sequence[Path]
    shape: tuple[int, ...]
    rate: int

    def __len__(self) -> int:
        return len(self.files)

    def rows(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """The signals of these numbers, `N x 1 x L`, -1 to 1."""
        out = np.empty((len(indices), *self.shape[1:]), np.float32)
        for row, index in zip(out, indices, strict=True):
            read_signal(self.files[index], self.rate, row)
        return out


def read_wavs(kind: Wav) -> Parts:
    """Both parts; read already where they fit in memory.

    Raises:
        DataError: a file is damaged, compressed, or has another rate or several channels.
    """
    found = listings(kind, SUFFIXES)
    count = len(found.train.files) + len(found.test.files)
    loaded = room.fits(count * kind.length * room.FLOAT_BYTES)
    parts = [_part(listing, kind, loaded) for listing in (found.train, found.test)]
    return Parts(parts[0], parts[1], found.class_names)


def survey(kind: Wav) -> tuple[int, int]:
    """The number of recordings, and the bytes of them all."""
    found = listings(kind, SUFFIXES)
    count = len(found.train.files) + len(found.test.files)
    return count, count * kind.length * room.FLOAT_BYTES


def _part(listing: Listing, kind: Wav, loaded: bool) -> Part:
    shape = (len(listing.files), 1, kind.length)
    if not loaded:
        _check_headers(listing.files, kind.rate)
        return Part(WavFiles(listing.files, shape, kind.rate), listing.labels)
    x = np.empty(shape, np.float32)
    fill(x, listing.files, lambda path, row: read_signal(path, kind.rate, row))
    return Part(x, listing.labels)


def _check_headers(files: Sequence[Path], rate: int) -> None:
    for path in files:
        read_signal(path, rate, np.empty((1, 1), np.float32))


def read_signal(path: Path, rate: int, out: NDArray[np.float32]) -> None:
    """Fill `1 x L` with a recording, -1 to 1: its beginning, or all of it and then silence.

    Raises:
        DataError: the file is damaged, or is not PCM of this rate with one channel.
    """
    length = out.shape[-1]
    try:
        with path.open("rb") as file:
            form, size = _chunks(path, file)
            _check_format(path, form, rate)
            width = form.bits // 8
            content = file.read(min(size, length * width))
            present = path.stat().st_size - file.tell() + len(content)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    if present < size:
        raise DataError(f"{path}: ends after {present} of the {size} bytes of sound that it promises")
    if size < width:
        raise DataError(f"{path}: holds no sound")
    signal = _numbers(content[: len(content) // width * width], form.bits)
    out[:] = 0
    out[..., : len(signal)] = signal


def _chunks(path: Path, file: IO[bytes]) -> tuple[Format, int]:
    """The format, and the size of the sound; the file stands where it begins."""
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        begins = head[:4].hex(" ") or "nothing"
        raise DataError(f"{path}: is not a WAV file: it begins with {begins}, not with RIFF and WAVE")
    form: Format | None = None
    for _ in range(MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            break
        name, size = struct.unpack("<4sI", head)
        if name == b"data":
            if form is None:
                raise DataError(f"{path}: the sound comes before its format")
            return form, size
        if name == b"fmt ":
            form = _format(path, file.read(min(size, 40)), size)
            file.seek(max(size - 40, 0) + size % 2, 1)
        else:
            file.seek(size + size % 2, 1)
    raise DataError(f"{path}: holds no sound: it ends before a `data` chunk")


def _format(path: Path, content: bytes, size: int) -> Format:
    if len(content) < 16:
        raise DataError(f"{path}: its format has {len(content)} bytes, and needs 16")
    encoding, channels, rate, _, _, bits = struct.unpack("<HHIIHH", content[:16])
    if encoding == EXTENSIBLE and len(content) >= 26:
        (encoding,) = struct.unpack("<H", content[24:26])
    return Format(encoding, channels, rate, bits)


def _check_format(path: Path, form: Format, rate: int) -> None:
    help = CONVERT.format(rate=rate)
    if form.encoding != PCM:
        name = ENCODINGS.get(form.encoding, f"encoding {form.encoding}")
        raise DataError(f"{path}: its samples are {name}, and must be whole numbers, PCM", help)
    if form.channels != 1:
        raise DataError(f"{path}: has {form.channels} channels, and must have one", help)
    if form.rate != rate:
        raise DataError(
            f"{path}: has {form.rate} samples a second, and `rate` is {rate}",
            help,
            f"or write `rate={form.rate}` where all files have it",
        )
    if form.bits not in BITS:
        raise DataError(f"{path}: has {form.bits} bits a sample, and must have 8, 16, 24 or 32", help)


def _numbers(content: bytes, bits: int) -> NDArray[np.float32]:
    """Samples of 8 bits have no sign, those of 24 no type in NumPy."""
    if bits == 8:
        return (np.frombuffer(content, np.uint8).astype(np.float32) - 128) / np.float32(128)
    if bits == 24:
        wide = np.zeros((len(content) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(content, np.uint8).reshape(-1, 3)
        return wide.reshape(-1).view("<i4").astype(np.float32) / np.float32(2**31)
    scale = np.float32(2 ** (bits - 1))
    return np.frombuffer(content, f"<i{bits // 8}").astype(np.float32) / scale
