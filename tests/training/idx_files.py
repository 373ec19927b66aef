"""IDX files made for tests, good ones and the parts of bad ones."""

import gzip
import struct
from pathlib import Path

import numpy as np

TRAIN, TEST = 30, 10
NAMES = {
    "train-images-idx3-ubyte": (TRAIN, 28, 28),
    "train-labels-idx1-ubyte": (TRAIN,),
    "t10k-images-idx3-ubyte": (TEST, 28, 28),
    "t10k-labels-idx1-ubyte": (TEST,),
}


def header(*sizes: int, kind: int = 8, zeros: bytes = b"\0\0") -> bytes:
    return zeros + bytes([kind, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes)


def idx(*sizes: int, below: int = 256, seed: int = 0) -> bytes:
    """A whole file with random values."""
    values = np.random.default_rng(seed).integers(0, below, sizes)
    return header(*sizes) + values.astype(np.uint8).tobytes()


def good_files() -> dict[str, bytes]:
    """The four files of a small data set, plain, by name."""
    return {name: idx(*sizes, below=10 if len(sizes) == 1 else 256) for name, sizes in NAMES.items()}


def write_set(folder: Path, packed: bool = True, **changes: bytes) -> Path:
    """Write the four files; `changes` gives other contents under names with `_` for `-`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in good_files().items():
        plain = changes.get(name.replace("-", "_"), content)
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(plain, 1))
        else:
            (folder / name).write_bytes(plain)
    return folder
