"""Writing files so that a reader never finds half of one, whatever happens meanwhile."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from cnnspec.language.saving import save
from cnnspec.training.errors import TrainingError


class WriteError(TrainingError):
    """A file or folder cannot be written."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(f"cannot write {path}: {(error.strerror or str(error)).lower()}")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a temporary name in the same folder, then rename it: all of it, or nothing.

    Raises:
        WriteError: it cannot be written; what was there before still is, and no temporary file stays.
    """
    try:
        save(path, content)
    except OSError as error:
        raise WriteError(path, error) from error


def append(path: Path, content: bytes) -> None:
    """Add to the end of a file and wait until it is on the disk: all of it, or nothing.

    Raises:
        WriteError: it cannot be written; the file is as long as before.
    """
    length = None
    try:
        with path.open("ab", buffering=0) as file:
            length = file.tell()
            if file.write(content) < len(content):
                raise OSError(None, "the disk is full")
            os.fsync(file.fileno())
    except OSError as error:
        if length is not None:
            with contextlib.suppress(OSError):
                os.truncate(path, length)
        raise WriteError(path, error) from error
