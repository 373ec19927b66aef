"""Fetching the files of a data set: mirrors in order, checked by size and MD5, renamed only when good."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from cnnspec.training.datasets.dataset import DataError
from cnnspec.training.datasets.locate import DATA_DIR_VARIABLE, Files
from cnnspec.training.datasets.published import IDX_NAMES, MAX_DOWNLOAD_BYTES, Download, Published

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT_SECONDS: Final = 20.0
CHUNK_BYTES: Final = 2**16

Progress = Callable[[str, int, int | None], None]
"""Called with a file's name, the bytes that have come, and how many there will be, if that is known."""


def no_progress(name: str, done: int, total: int | None) -> None:
    """Report nothing."""


class MirrorError(Exception):
    """One mirror did not give a good file; `str()` says why."""


def download(published: Published, folder: Path, progress: Progress = no_progress) -> Files:
    """Fetch those of the four files that `folder` lacks, and give the paths of all.

    Raises:
        DataError: no mirror gives one of them, or the folder cannot be written. No partial file stays.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return {name: _fetch(published, name, folder, progress) for name in IDX_NAMES}
    except OSError as error:
        raise DataError(f"cannot write to the data folder {folder}: {error.strerror or error}") from error


def _fetch(published: Published, name: str, folder: Path, progress: Progress) -> Path:
    target = folder / f"{name}.gz"
    if target.exists():
        return target
    failures = _failures(published.mirrors, target, published.md5[name], progress)
    if failures is None:
        return target
    raise _unavailable(published, target, failures)


def fetch(wanted: Download, folder: Path, progress: Progress = no_progress) -> Path:
    """Fetch one file into `folder`, and give its path.

    Raises:
        DataError: no mirror gives it, or the folder cannot be written. No partial file stays.
    """
    target = folder / wanted.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        failures = _failures(wanted.mirrors, target, wanted.md5, progress)
    except OSError as error:
        raise DataError(f"cannot write to the data folder {folder}: {error.strerror or error}") from error
    if failures is None:
        return target
    raise DataError(
        f"{wanted.title} is not on this computer, and {wanted.name} could not be downloaded",
        *(f"tried {failure}" for failure in failures),
        f"put {wanted.name} into {folder}, or into the folder that --data-dir or {DATA_DIR_VARIABLE} names",
    )


def _failures(mirrors: tuple[str, ...], target: Path, md5: str, progress: Progress) -> list[str] | None:
    """Try the mirrors in order: why each of them failed, or nothing where one did not."""
    failures = []
    for mirror in mirrors:
        try:
            _fetch_from(mirror + target.name, target, md5, progress)
        except MirrorError as failure:
            failures.append(f"{mirror}: {failure}")
        else:
            return None
    return failures


def _fetch_from(url: str, target: Path, md5: str, progress: Progress) -> None:
    """Fetch one file to a temporary name, and rename it once its checksum is right."""
    partial = target.with_name(f".{target.name}.part-{os.getpid()}")
    try:
        with partial.open("wb") as file:
            digest = hashlib.md5(usedforsecurity=False)
            for chunk in _chunks(url, target.name, progress):
                file.write(chunk)
                digest.update(chunk)
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != md5:
            raise MirrorError(f"wrong checksum, {digest.hexdigest()} instead of {md5}")
        partial.replace(target)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _chunks(url: str, name: str, progress: Progress) -> Iterator[bytes]:
    """The body of an answer; a network fault, a cut and an endless answer are failures of the mirror."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:
            total = _length(answer.headers.get("Content-Length"))
            done = 0
            progress(name, done, total)
            while chunk := answer.read(CHUNK_BYTES):
                done += len(chunk)
                if done > MAX_DOWNLOAD_BYTES:
                    raise MirrorError(f"sends more than {MAX_DOWNLOAD_BYTES} bytes")
                yield chunk
                progress(name, done, total)
    except urllib.error.HTTPError as error:
        error.close()
        raise MirrorError(f"answers {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise MirrorError(_words(error.reason)) from error
    except (OSError, http.client.HTTPException) as error:
        raise MirrorError(_words(error)) from error
    if total is not None and done < total:
        raise MirrorError(f"cut the connection after {done} of {total} bytes")


def _words(reason: BaseException | str) -> str:
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror.lower()
    return str(reason) or type(reason).__name__


def _length(header: str | None) -> int | None:
    return int(header) if header and header.isascii() and header.isdigit() else None


def _unavailable(published: Published, target: Path, failures: list[str]) -> DataError:
    names = ", ".join(f"{name}.gz" for name in IDX_NAMES)
    return DataError(
        f"{published.title} is not on this computer, and {target.name} could not be downloaded",
        *(f"tried {failure}" for failure in failures),
        f"put {names} into {target.parent}",
        f"or into a folder `{published.folders[0]}` inside the one that --data-dir"
        f" or {DATA_DIR_VARIABLE} names",
    )
