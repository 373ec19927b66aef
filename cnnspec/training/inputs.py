"""Single samples from files, prepared as a run prepared its training part."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from cnnspec.layers import show
from cnnspec.training.datasets.dataset import DataError
from cnnspec.training.datasets.images import decode, header, pillow
from cnnspec.training.datasets.pixels import resize
from cnnspec.training.datasets.wavs import read_signal
from cnnspec.training.files import reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.recipe import DataKind
    from cnnspec.training.record import Preparation

STDIN: Final = "-"
NUMPY: Final = b"\x93NUMPY"
WAV: Final = b"RIFF"


def prepare_samples(
    content: bytes, name: str, data: DataKind, preparation: Preparation
) -> NDArray[np.float32]:
    """The samples of a file, `N x` the shape that the network takes: one of an image or a recording.

    An array in NumPy's format (`.npy`) is one sample or several, scaled like the data set before normalising:
    0 to 1, bytes 0 to 255.

    Args:
        content: the file's bytes.
        name: what messages call it.
        data: the data set of the run.
        preparation: how the run prepared its samples.

    Raises:
        DataError: it cannot be read, or does not fit the network.
    """
    shape = preparation.shape
    if not content:
        raise DataError(f"{name}: is empty")
    if content.startswith(NUMPY):
        samples = _array(content, name, shape)
    elif content.startswith(WAV):
        samples = _recording(content, name, data, shape)[None]
    else:
        samples = _image(content, name, data, shape)[None]
    channels = (-1, *(1 for _ in shape[1:]))
    scale, black = (np.array(given, np.float32) for given in (preparation.range, preparation.black))
    prepared: NDArray[np.float32] = samples * scale.reshape(channels) + black.reshape(channels)
    return prepared


def read_content(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({reason(error)})") from None


def _array(content: bytes, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError, MemoryError) as error:
        raise DataError(f"{name}: is not an array that can be read ({str(error)[:80]})") from None
    if array.dtype.kind not in "uif":
        raise DataError(f"{name}: holds {array.dtype}, and numbers are needed")
    white = 255 if array.dtype == np.uint8 else 1
    array = array[None] if array.shape == shape else array
    if array.shape[1:] != shape or not len(array):
        wanted = f"{show(shape)}, or N x {show(shape)}"
        raise DataError(f"{name}: is {show(array.shape) or 'a number'}, and the network takes {wanted}")
    samples: NDArray[np.float32] = array.astype(np.float32) / np.float32(white)
    return samples


def _recording(content: bytes, name: str, data: DataKind, shape: tuple[int, ...]) -> NDArray[np.float32]:
    if len(shape) != 2 or shape[0] != 1:
        raise DataError(f"{name}: is a recording, and the network takes {show(shape)}")
    rate = data.values().get("rate", 0)
    out = np.empty(shape, np.float32)
    with _laid_out(content, name, ".wav") as path:
        read_signal(path, int(str(rate)), out)
    return out


def _image(content: bytes, name: str, data: DataKind, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Resized as the data set's own images are: by Pillow where these are files, else as published ones."""
    if len(shape) != 3 or shape[0] not in (1, 3):
        help = "give it as an array in NumPy's format: np.save(...)"
        raise DataError(f"{name}: the network takes {show(shape)}, which is no image", help)
    try:
        pillow()
    except DataError as error:
        raise DataError(f"{name}: to read images, the package Pillow is needed", *error.help) from None
    with _laid_out(content, name, ".png") as path:
        height, width = header(path)
        size = shape[1:] if data.keyword == "images" else (height, width)
        out = np.empty((shape[0], *size), np.float32)
        decode(path, out)
    resized: NDArray[np.float32] = resize(out[None], (shape[1], shape[2]))[0]
    return resized


class _laid_out:  # noqa: N801 - used as a function
    """A file with this content for a while; what is said of it names the one that it came from."""

    def __init__(self, content: bytes, name: str, suffix: str) -> None:
        self._content, self._name, self._suffix = content, name, suffix

    def __enter__(self) -> Path:
        self._folder = tempfile.TemporaryDirectory(prefix="cnnspec-")
        self._path = Path(self._folder.name) / f"sample{self._suffix}"
        self._path.write_bytes(self._content)
        return self._path

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._folder.cleanup()
        if isinstance(error, DataError):
            message = error.message.replace(str(self._path), self._name)
            raise DataError(message, *error.help) from None
