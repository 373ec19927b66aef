"""Images in class folders, PNG and JPEG, by Pillow; decoded when they are needed where they do not fit.

Headers are read before anything is decoded: an image of too many pixels is refused by what it promises.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cnnspec.layers.base import product, show
from cnnspec.recipe.data import sizes
from cnnspec.training.datasets import room
from cnnspec.training.datasets.dataset import DataError
from cnnspec.training.datasets.folders import Listing, Suffixes, listings
from cnnspec.training.datasets.parts import Part, Parts
from cnnspec.training.datasets.workers import fill

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.recipe.data import Images

MOST_PIXELS: Final = 50_000_000
"""Pixels of the largest image that is decoded."""
SUFFIXES: Final = Suffixes(
    (".png", ".jpg", ".jpeg"),
    (".gif", ".bmp", ".webp", ".tif", ".tiff", ".heic", ".avif", ".ppm", ".pgm"),
    "images",
)
DEEP: Final = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
"""Pillow's modes of more than 8 bits a channel, which it would cut off on conversion."""
FORMATS: Final = ("PNG", "JPEG")
WHITE: Final = 255.0


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Images that are decoded when they are asked for."""

    files: Sequence[Path]
    shape: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.files)

    def rows(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """The images of these numbers, `N x C x H x W`, 0 to 1."""
        out = np.empty((len(indices), *self.shape[1:]), np.float32)
        for row, index in zip(out, indices, strict=True):
            decode(self.files[index], row)
        return out


def read_images(kind: Images) -> Parts:
    """Both parts; decoded already where they fit in memory.

    Raises:
        DataError: Pillow is missing, or a file is damaged, too large or of another size.
    """
    pillow()
    found = listings(kind, SUFFIXES)
    shape = _sample_shape(kind, (*found.train.files, *found.test.files))
    count = len(found.train.files) + len(found.test.files)
    loaded = room.fits(count * product(shape) * room.FLOAT_BYTES)
    parts = [_part(listing, shape, loaded) for listing in (found.train, found.test)]
    return Parts(parts[0], parts[1], found.class_names)


def survey(kind: Images) -> tuple[int, int]:
    """The number of images, and the bytes of them all; the size is that of the first."""
    pillow()
    found = listings(kind, SUFFIXES)
    count = len(found.train.files) + len(found.test.files)
    return count, count * product(_sample_shape(kind, found.train.files[:1])) * room.FLOAT_BYTES


def pillow() -> Any:  # noqa: ANN401 - the module, imported late
    """Pillow's module of images.

    Raises:
        DataError: it is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError(
            "`data images` needs the package Pillow", "install it with `pip install 'cnnspec[images]'`"
        ) from error
    return Image


def _part(listing: Listing, shape: tuple[int, ...], loaded: bool) -> Part:
    if not loaded:
        return Part(ImageFiles(listing.files, (len(listing.files), *shape)), listing.labels)
    x = np.empty((len(listing.files), *shape), np.float32)
    fill(x, listing.files, decode)
    return Part(x, listing.labels)


def _sample_shape(kind: Images, files: Sequence[Path]) -> tuple[int, int, int]:
    """Shape of a sample. Reads the header of every file: its kind, its size, and that the sizes agree."""
    first: tuple[int, int] | None = None
    for path in files:
        size = header(path)
        first = first or size
        if kind.resize is None and size != first:
            raise DataError(
                f"{path}: is {show(size)}, and {files[0]} is {show(first)}",
                f"write `resize={show(first)}`, so that all have one size",
            )
    assert first is not None
    height, width = first if kind.resize is None else sizes(kind.resize)
    return (1 if kind.gray else 3), height, width


def header(path: Path) -> tuple[int, int]:
    """Height and width that the header of a file promises; nothing is decoded.

    Raises:
        DataError: it is no PNG or JPEG, or has too many pixels, or more than 8 bits a channel.
    """
    image_module = pillow()
    with warnings.catch_warnings():
        warnings.simplefilter("error", image_module.DecompressionBombWarning)
        try:
            with image_module.open(path, formats=FORMATS) as image:
                (width, height), mode = image.size, image.mode
        except (image_module.DecompressionBombWarning, image_module.DecompressionBombError) as error:
            pixels = re.search(r"\d+ pixels", str(error))
            raise _too_large(path, pixels.group() if pixels else "a decompression bomb") from error
        except Exception as error:  # what Pillow raises for damaged headers has no common base
            raise DataError(f"{path}: is not an image in PNG or JPEG ({_reason(error, path)})") from error
    if width * height > MOST_PIXELS:
        raise _too_large(path, f"{height}x{width}")
    if mode in DEEP:
        raise DataError(
            f"{path}: has more than 8 bits a channel (mode {mode})", "convert the image to 8 bits a channel"
        )
    return height, width


def _too_large(path: Path, size: str) -> DataError:
    return DataError(
        f"{path}: has too many pixels ({size}): {MOST_PIXELS:,} are the most", "make the image smaller"
    )


def decode(path: Path, out: NDArray[np.float32]) -> None:
    """Fill `C x H x W` with an image, 0 to 1, turned upright and resized where it has another size.

    Raises:
        DataError: it is damaged.
    """
    channels, height, width = out.shape
    image_module = pillow()
    try:
        with image_module.open(path, formats=FORMATS) as image:
            image.load()
            upright = _upright(image).convert("L" if channels == 1 else "RGB")
            if upright.size != (width, height):
                upright = upright.resize((width, height), image_module.Resampling.BILINEAR)
            pixels = np.asarray(upright, np.uint8).reshape(height, width, channels)
    except Exception as error:  # what Pillow raises for damaged files has no common base
        raise DataError(
            f"{path}: the image is damaged ({_reason(error, path)})", "take it out, or put a good copy there"
        ) from error
    np.divide(pixels.transpose(2, 0, 1), np.float32(WHITE), out=out)


def _upright(image: Any) -> Any:  # noqa: ANN401 - Pillow is imported late
    """As a camera's note in the file says."""
    from PIL import ImageOps

    turned = ImageOps.exif_transpose(image)
    return image if turned is None else turned


def _reason(error: Exception, path: Path) -> str:
    text = str(error).replace(f"'{path}'", "the file").replace(str(path), "the file")
    if "cannot identify" in text:
        if not path.stat().st_size:
            return "it is empty"
        return "its first bytes are those of something else"
    return (text or type(error).__name__)[:100]
