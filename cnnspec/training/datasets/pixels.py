"""From bytes to what a network reads: scaling to 0..1, bilinear resizing, normalising."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLAT: Final = 1e-6
"""A standard deviation below this is rounding: the pixels are all alike."""
CHUNK_IMAGES: Final = 1024
"""Images that are resized at a time, so that what lies between the two passes stays small."""


def prepare(images: NDArray[np.uint8], brightest: int, size: tuple[int, int]) -> NDArray[np.float32]:
    """Images `N x H x W` as `N x 1 x Ho x Wo`, or those of C channels, resized; `brightest` becomes 1."""
    height, width = size
    images = images[:, None] if images.ndim == 3 else images
    result = np.empty((*images.shape[:2], height, width), np.float32)
    for first in range(0, len(images), CHUNK_IMAGES):
        chunk = images[first : first + CHUNK_IMAGES].astype(np.float32)
        chunk /= brightest
        result[first : first + CHUNK_IMAGES] = resize(chunk, size)
    return result


def resize(images: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Resize images `N x C x H x W` to `N x C x Ho x Wo`, bilinearly with half-pixel centres.

    Equals `torch.nn.functional.interpolate(mode="bilinear", align_corners=False)`. Both axes are linear maps,
    so that each is one matrix product.
    """
    n, channels, height, width = images.shape
    if size == (height, width):
        return images
    rows, columns = interpolation(height, size[0]), interpolation(width, size[1])
    wide = images.reshape(-1, width) @ columns.T  # (N*C*H, Wo)
    tall: NDArray[np.float32] = np.matmul(rows, wide.reshape(n, channels, height, size[1]))
    return tall  # (N, C, Ho, Wo)


def interpolation(length: int, target: int) -> NDArray[np.float32]:
    """The matrix `target x length` that resizes one axis.

    Output position `i` lies at `(i + 0.5) * length / target - 0.5` of the input, held inside it, and mixes
    the two positions around that place.
    """
    places = np.clip((np.arange(target) + 0.5) * (length / target) - 0.5, 0, length - 1)
    left = places.astype(np.int64)
    right = np.minimum(left + 1, length - 1)
    share = (places - left).astype(np.float32)
    matrix = np.zeros((target, length), np.float32)
    index = np.arange(target)
    matrix[index, left] += 1 - share
    matrix[index, right] += share
    return matrix


def moments(pixels: NDArray[np.float32]) -> tuple[float, float]:
    """Mean and standard deviation of all pixels, summed in float64, some images at a time."""
    total = squares = 0.0
    for first in range(0, len(pixels), CHUNK_IMAGES):
        chunk = pixels[first : first + CHUNK_IMAGES].astype(np.float64)
        total += float(chunk.sum())
        squares += float(np.vdot(chunk, chunk))
    mean = total / pixels.size
    return mean, math.sqrt(max(squares / pixels.size - mean * mean, 0.0))
