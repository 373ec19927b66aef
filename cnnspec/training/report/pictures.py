"""Arrays as pictures within a page: PNG (https://www.w3.org/TR/png/) in `data:` addresses."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import TYPE_CHECKING, Final

import numpy as np

from cnnspec.training.report.markup import element

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.training.record import Preparation

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
GRAY, COLOUR = 0, 2


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A file of `H x W` grey or `H x W x 3` colour."""
    height, width = pixels.shape[:2]
    kind = GRAY if pixels.ndim == 2 else COLOUR
    rows = np.ascontiguousarray(pixels).reshape(height, -1)
    unfiltered = np.hstack([np.zeros((height, 1), np.uint8), rows])
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    content = zlib.compress(unfiltered.tobytes(), 9)
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", content) + _chunk(b"IEND", b"")


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def picture(pixels: NDArray[np.uint8], words: str) -> str:
    """An image of the page, with words for those who cannot see it."""
    address = "data:image/png;base64," + base64.b64encode(png(pixels)).decode()
    height, width = pixels.shape[:2]
    return element("img", src=address, alt=words, width=width, height=height)


def shows_pictures(shape: tuple[int, ...]) -> bool:
    """Whether samples of a shape, channel first, are images."""
    return len(shape) == 3 and shape[0] in (1, 3)


def sample_pixels(sample: NDArray[np.float32], preparation: Preparation) -> NDArray[np.uint8]:
    """An image `C x H x W` as it was before normalising."""
    black = np.array(preparation.black, np.float32).reshape(-1, 1, 1)
    scale = np.array(preparation.range, np.float32).reshape(-1, 1, 1)
    return _bytes((sample - black) / scale)


def kernel_pixels(kernel: NDArray[np.float32], largest: float) -> NDArray[np.uint8]:
    """A kernel `C x kh x kw`: 0 is the middle grey, `largest` white, its negative black."""
    return _bytes(kernel / (2 * max(largest, 1e-12)) + 0.5)


def _bytes(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    pixels = np.round(np.clip(np.nan_to_num(values), 0, 1) * 255).astype(np.uint8)
    return pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
