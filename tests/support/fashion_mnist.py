"""Fashion-MNIST read straight from its IDX files, apart from the package's own reader."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


def training_images(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first training images, from 0 to 1, and their labels; skips the test where there are none."""
    folder = Path(os.environ.get("CNNSPEC_DATA_DIR", ROOT / ".." / "shared" / "data")) / "fashion-mnist"
    images, labels = folder / "train-images-idx3-ubyte.gz", folder / "train-labels-idx1-ubyte.gz"
    if not images.exists():
        pytest.skip(f"Fashion-MNIST is not in {folder}: set CNNSPEC_DATA_DIR to the folder above it")
    pixels = np.frombuffer(gzip.decompress(images.read_bytes()), np.uint8, count * 784, offset=16)
    classes = np.frombuffer(gzip.decompress(labels.read_bytes()), np.uint8, count, offset=8)
    return pixels.reshape(count, 1, 28, 28).astype(np.float32) / 255, classes.astype(np.int64)
