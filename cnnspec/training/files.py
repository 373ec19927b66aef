"""Writing files so that a reader never finds half of one, whatever happens meanwhile."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Final

from cnnspec.language.saving import save, sync_folder
from cnnspec.training.errors import TrainingError

TEMPORARY: Final = re.compile(r"\..+-\w{8}\.part")
"""The names that `save` gives to files which are not whole yet."""


class WriteError(TrainingError):
    """A file or folder cannot be written."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(f"cannot write {path}: {reason(error)}")


class ReadError(TrainingError):
    """A file of a run cannot be read."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(f"cannot read {path}: {reason(error)}")


def reason(error: OSError) -> str:
    """What the system says, in lower case: `no space left on device`."""
    return (error.strerror or str(error)).lower()


def write_atomically(path: Path, *content: bytes | memoryview) -> None:
    """Write a file under a temporary name in the same folder, then rename it: all of it, or nothing.

    Raises:
        WriteError: it cannot be written; what was there before still is, and no temporary file stays.
    """
    try:
        save(path, *content)
    except OSError as error:
        raise WriteError(path, error) from error


def write_keeping(path: Path, previous: Path, *content: bytes | memoryview) -> None:
    """As `write_atomically`; what was there before is then called `previous`.

    At every moment one of the two names holds a whole file. Between the two renames only `previous` does.

    Raises:
        WriteError: it cannot be written; what was there before still is, under one of the names.
    """
    fresh = path.with_name(f"{path.name}.new")
    try:
        save(fresh, *content)
        if path.is_file():
            os.replace(path, previous)
        os.replace(fresh, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise WriteError(path, error) from error
    sync_folder(path.parent)


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


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        ReadError: there is no such file, or it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ReadError(path, error) from error


def remove_temporary(folder: Path) -> None:
    """Remove what a run that was killed while it wrote has left; nobody else may be writing there."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if TEMPORARY.fullmatch(path.name) or path.name.endswith(".safetensors.new"):
                path.unlink(missing_ok=True)
