"""The journal of a sweep: Optuna's storage in one file, which several processes share."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from optuna.storages.journal import JournalFileBackend

from cnnspec.training.files import WriteError, append

LOCK: Final = ".lock"


class Journal(JournalFileBackend):
    """Optuna's journal, written under a lock that ends with its process, however that ends.

    Optuna's own locks are files, which a killed process leaves behind; and half a line that it wrote makes
    the journal unreadable as soon as another follows. Here the next one to write takes it off first.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add lines, on the disk before this ends.

        Raises:
            WriteError: the file cannot be written; it is as it was.
        """
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with exclusive(self._path.with_name(self._path.name + LOCK)):
            _mend(self._path)
            append(self._path, lines.encode())


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a file for this process alone, after waiting for the others; no-op where there are no such locks.

    Raises:
        WriteError: the file cannot be opened.
    """
    try:
        import fcntl
    except ImportError:  # not a Unix
        yield
        return
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise WriteError(path, error) from error
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _mend(path: Path) -> None:
    """Take half a line off the end."""
    try:
        with path.open("r+b") as file:
            length = file.seek(0, os.SEEK_END)
            end, size = length, 4096
            while end:
                begin = max(0, end - size)
                file.seek(begin)
                cut = file.read(end - begin).rfind(b"\n")
                if cut >= 0:
                    end = begin + cut + 1
                    break
                end = begin
            if end < length:
                file.truncate(end)
    except OSError as error:
        raise WriteError(path, error) from error
