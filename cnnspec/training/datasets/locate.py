"""Where the files of a data set lie: the folders that are searched, and the four files in one of them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cnnspec.training.datasets.dataset import DataError
from cnnspec.training.datasets.published import IDX_NAMES, PUBLISHED, TRAIN_LABELS, Published

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA_DIR_VARIABLE: Final = "CNNSPEC_DATA_DIR"

Files = dict[str, Path]
"""The path of each file, by the name of the plain one."""


def cache_folder() -> Path:
    """The folder of this user's cache that downloads go to."""
    from platformdirs import user_cache_path

    return user_cache_path("cnnspec") / "data"


def roots(data_dir: Path | None) -> tuple[Path, ...]:
    """The folders that are searched, first to last: the one asked for, the variable's, the cache.

    Raises:
        DataError: the folder asked for does not exist, or is a file.
    """
    named = []
    if data_dir is not None:
        named.append((data_dir, "--data-dir"))
    if variable := os.environ.get(DATA_DIR_VARIABLE):
        named.append((Path(variable), DATA_DIR_VARIABLE))
    for folder, origin in named:
        if not folder.is_dir():
            what = "is not a folder" if folder.exists() else "does not exist"
            raise DataError(f"the data folder {folder} {what}", f"it was given by {origin}")
    return (*(folder for folder, _ in named), cache_folder())


def find_files(published: Published, folders: tuple[Path, ...]) -> Files | None:
    """The four files, from the first folder that holds them all; nothing where none does.

    Raises:
        DataError: the files found are those of another data set, which has the same names for them.
    """
    for folder in _candidates(published, folders):
        files = files_in(folder)
        if len(files) == len(IDX_NAMES):
            _check_identity(published, files[TRAIN_LABELS])
            return files
    return None


def files_in(folder: Path) -> Files:
    """Those of the four files that a folder holds, plain or gzip."""
    found = {}
    for name in IDX_NAMES:
        for path in (folder / f"{name}.gz", folder / name):
            if path.exists():
                found[name] = path
                break
    return found


def _candidates(published: Published, folders: tuple[Path, ...]) -> Iterator[Path]:
    for folder in folders:
        yield from (folder / name for name in published.folders)
        yield folder


def _check_identity(published: Published, labels: Path) -> None:
    """Refuse the files of another data set: MNIST's and Fashion-MNIST's have the same names and sizes."""
    if not labels.is_file() or labels.stat().st_size > 2**20:
        return
    digest = hashlib.md5(labels.read_bytes(), usedforsecurity=False).hexdigest()
    for other in PUBLISHED.values():
        if other is not published and other.md5[TRAIN_LABELS] == digest:
            raise DataError(
                f"{labels} belongs to {other.title}, not to {published.title}",
                f"put the files of {published.title} into a subfolder `{published.folders[0]}`",
            )
