"""Arrays in a file: safetensors, with a checksum over every byte.

The format (https://github.com/huggingface/safetensors) is the length of a JSON header in 8 bytes, the header,
then the arrays. The header's `__metadata__` holds two texts: what the file is about, and the SHA-256 of the
whole file, computed with zeros in its own place. Every reader of safetensors can read the arrays; ours
refuses a file in which as much as one bit has changed. Equal content gives equal bytes: the library's own
writer would put the two texts in an order that differs from run to run.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cnnspec.training.errors import TrainingError
from cnnspec.training.files import read_bytes

Arrays = Mapping[str, NDArray[np.generic]]

NAMES: Final = {
    "float16": "F16",
    "float32": "F32",
    "float64": "F64",
    "bool": "BOOL",
    **{f"{sign}{bits}": f"{sign[0].upper()}{bits}" for sign in ("int", "uint") for bits in (8, 16, 32, 64)},
}
"""What the format calls NumPy's types."""

LENGTH_BYTES: Final = 8
ALIGNMENT: Final = 8
DIGEST: Final = 64
HEAD: Final = b'{"__metadata__":{"sha256":"'
"""How the header of each of our files begins, so that the checksum has a fixed place."""


class DamagedFile(TrainingError):  # noqa: N818 - a state of the file
    """A file of arrays is not as it was written, or was not written by cnnspec."""

    def __init__(self, path: Path, why: str, *help: str) -> None:
        super().__init__(f"{path} is damaged: {why}", *help)


@dataclass(frozen=True, slots=True)
class Stored:
    """The content of a file: a text that says what it is, and arrays by name."""

    about: str
    arrays: Arrays


def serialize(arrays: Arrays, about: str) -> list[bytes | memoryview]:
    """The parts of the file that holds these arrays; they are not copied."""
    whole = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    header, offset = {}, 0
    for name, array in whole.items():
        header[name] = {
            "dtype": NAMES[array.dtype.name],
            "shape": array.shape,
            "data_offsets": (offset, offset + array.nbytes),
        }
        offset += array.nbytes
    entries = ",".join(f"{json.dumps(name)}:{json.dumps(entry)}" for name, entry in header.items())
    rest = f'","cnnspec":{json.dumps(about)}}}{"," if entries else ""}{entries}}}'.encode()
    rest += b" " * (-(len(HEAD) + DIGEST + len(rest)) % ALIGNMENT)
    length = struct.pack("<Q", len(HEAD) + DIGEST + len(rest))
    data = [array.reshape(-1).view(np.uint8).data for array in whole.values()]
    digest = _digest(length, HEAD, b"0" * DIGEST, rest, *data)
    return [length, HEAD, digest, rest, *data]


def read_arrays(path: Path) -> Stored:
    """The content of a file of ours.

    Raises:
        ReadError: there is no such file, or it cannot be read.
        DamagedFile: it is not, bit for bit, what was written.
    """
    content = memoryview(read_bytes(path))
    start = LENGTH_BYTES + len(HEAD)
    end = start + DIGEST
    if bytes(content[LENGTH_BYTES:start]) != HEAD:
        raise DamagedFile(path, _what_it_is(content))
    if _digest(content[:start], b"0" * DIGEST, content[end:]) != content[start:end]:
        raise DamagedFile(path, "its checksum is not that of its content")
    try:
        return _parse(content)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DamagedFile(path, f"its header makes no sense ({str(error)[:80]})") from None


def _what_it_is(content: memoryview) -> str:
    if not content:
        return "it is empty"
    (length,) = struct.unpack("<Q", content[:LENGTH_BYTES].tobytes().ljust(LENGTH_BYTES, b"\0"))
    if length <= len(content) and bytes(content[LENGTH_BYTES : LENGTH_BYTES + 1]) == b"{":
        return "it has no checksum, so that cnnspec did not write it"
    return "it is not a safetensors file"


def _parse(content: memoryview) -> Stored:
    (length,) = struct.unpack("<Q", content[:LENGTH_BYTES])
    body = content[LENGTH_BYTES + length :]
    header = json.loads(content[LENGTH_BYTES : LENGTH_BYTES + length].tobytes())
    about = str(header.pop("__metadata__")["cnnspec"])
    types = {name: np.dtype(ours).newbyteorder("<") for ours, name in NAMES.items()}
    arrays = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        array = np.frombuffer(body[first:last], types[entry["dtype"]])
        arrays[name] = array.reshape(entry["shape"])
    return Stored(about, arrays)


def _digest(*parts: bytes | memoryview) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest().encode()
