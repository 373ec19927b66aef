"""Files to sources; everything that can go wrong on the way is a diagnostic."""

from __future__ import annotations

import os
import sys

from cnnspec.language.diagnostics import Diagnostic, did_you_mean
from cnnspec.language.errors import SpecError
from cnnspec.language.limits import MAX_FILE_BYTES
from cnnspec.language.source import Source

STDIN = "-"


def read(path: str | os.PathLike[str]) -> Source:
    """Read a file, or the standard input for `-`.

    A byte-order mark is passed over; Windows line ends are kept, and mean what they do elsewhere.

    Raises:
        SpecError: there is no such file, it is no text in UTF-8, or it is larger than the limit.
    """
    name = os.fspath(path)
    if name == STDIN:
        return decode("<stdin>", sys.stdin.buffer.read(MAX_FILE_BYTES + 1), path=STDIN)
    try:
        with open(name, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise SpecError([_unreadable(name, error)]) from None
    return decode(name, data, path=name)


def decode(name: str, data: bytes, path: str | None = None) -> Source:
    """The text of a file's bytes.

    Raises:
        SpecError: as for `read`.
    """
    if len(data) > MAX_FILE_BYTES:
        message = f"the file is larger than {MAX_FILE_BYTES} bytes"
        raise SpecError(
            [Diagnostic("file-too-large", message, None, name, notes=("limit `MAX_FILE_BYTES`",))]
        )
    try:
        return Source(name, data.decode("utf-8").removeprefix("\ufeff"), path)
    except UnicodeDecodeError as error:
        raise SpecError([_not_utf8(name, data, error)]) from None


def _not_utf8(name: str, data: bytes, error: UnicodeDecodeError) -> Diagnostic:
    line = data.count(b"\n", 0, error.start) + 1
    byte = data[error.start]
    encoding = " (it looks like UTF-16)" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
    return Diagnostic(
        "not-utf8",
        f"the file is not text in UTF-8{encoding}: byte 0x{byte:02x} on line {line}, at offset {error.start}",
        None,
        name,
        help=("save it in UTF-8",),
    )


def _unreadable(name: str, error: OSError | ValueError) -> Diagnostic:
    if isinstance(error, FileNotFoundError):
        return Diagnostic(
            "file-not-found", f"there is no file `{name}`", None, name, help=_similar_files(name)
        )
    if isinstance(error, IsADirectoryError):
        return Diagnostic("not-a-file", f"`{name}` is a folder", None, name, help=_specs_in(name))
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return Diagnostic("cannot-read", f"cannot read `{name}`: {reason.lower()}", None, name)


def _specs_in(folder: str) -> tuple[str, ...]:
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.name.endswith(".cnn"))
    except OSError:
        return ()
    if not names:
        return ("name a `.cnn` file",)
    return ("it holds " + ", ".join(f"`{name}`" for name in names[:5]) + (", ..." if len(names) > 5 else ""),)


def _similar_files(name: str) -> tuple[str, ...]:
    folder, wanted = os.path.split(name)
    try:
        names = [entry.name for entry in os.scandir(folder or ".") if entry.name.endswith(".cnn")]
    except (OSError, ValueError):
        return ()
    return did_you_mean(wanted, names)
