"""Class folders: `folder/cat/1.png`, or `folder/train/cat/1.png` beside `folder/test/...`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cnnspec.language.diagnostics import did_you_mean
from cnnspec.recipe.listing import PARTS
from cnnspec.training.datasets.dataset import DataError
from cnnspec.training.datasets.parts import MOST_CLASSES, check_classes, divide, first_of_each

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.recipe.data import Images, Wav


@dataclass(frozen=True, slots=True)
class Suffixes:
    """Which files of a folder are meant.

    Attributes:
        taken: endings of the files that are read, lower case.
        refused: endings of files that somebody may expect to be read too.
        noun: what they are called, several of them.
    """

    taken: tuple[str, ...]
    refused: tuple[str, ...]
    noun: str


@dataclass(frozen=True, eq=False)
class Listing:
    """The files of a part, and the class number of each."""

    files: tuple[Path, ...]
    labels: NDArray[np.int64]

    def only(self, rows: NDArray[np.int64]) -> Listing:
        """Some of them."""
        return Listing(tuple(self.files[row] for row in rows), self.labels[rows])


@dataclass(frozen=True, eq=False)
class Listings:
    """Both parts, and the class names."""

    train: Listing
    test: Listing
    class_names: tuple[str, ...]


def existing(path: str, *, folder: bool) -> Path:
    """The path of a data set that must be there.

    Raises:
        DataError: it is not, or it is a file in place of a folder or the other way round.
    """
    found = Path(path)
    noun, other = ("folder", "file") if folder else ("file", "folder")
    try:
        if found.is_dir() if folder else found.is_file():
            return found
        there = found.exists()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    if there:
        raise DataError(f"{path} is a {other}, and a {noun} is needed")
    near = did_you_mean(found.name, _names(found.parent, folders=folder))
    raise DataError(
        f"there is no {noun} {path}", *(near or ("paths in a .cnn file are relative to its folder",))
    )


def _names(folder: Path, *, folders: bool) -> tuple[str, ...]:
    """The folders that a folder holds, or the files."""
    try:
        with os.scandir(folder) as entries:
            return tuple(sorted(entry.name for entry in entries if entry.is_dir() == folders)[:1000])
    except OSError:
        return ()


def listings(kind: Images | Wav, suffixes: Suffixes) -> Listings:
    """The files of both parts: of `train` and `test` where there are such folders, else divided by chance.

    Raises:
        DataError: a folder is missing or empty, or holds what cannot be read.
    """
    root = existing(kind.path, folder=True)
    if frozenset(folder.name for folder in _folders(root)) == PARTS:
        names = tuple(folder.name for folder in _classes(root / "train", suffixes))
        parts = [_listing(root / part, names, suffixes) for part in ("train", "test")]
        check_classes(parts[0].labels, names, str(root / "train"))
    else:
        names = tuple(folder.name for folder in _classes(root, suffixes))
        every = _listing(root, names, suffixes)
        check_classes(every.labels, names, str(root))
        rows = divide(every.labels, kind.test, kind.split, names, str(root))
        parts = [every.only(part) for part in rows]
    train, test = (part.only(first_of_each(part.labels, kind.limit)) for part in parts)
    if not test.files:
        raise DataError(f"{root / 'test'} holds no {suffixes.noun}")
    return Listings(train, test, names)


def _folders(root: Path) -> list[Path]:
    return [entry for entry in _entries(root) if entry.is_dir()]


def _entries(folder: Path) -> list[Path]:
    """What a folder holds, in order, hidden things left out."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror or error})") from error


def _classes(root: Path, suffixes: Suffixes) -> Sequence[Path]:
    folders = _folders(root)
    if len(folders) < 2:
        what = "no sub-folders" if not folders else f"one sub-folder, `{folders[0].name}`"
        raise DataError(
            f"{root} has {what}, and needs one for each class",
            f"put the {suffixes.noun} of each class into a folder of its own: {root / 'cat'}, {root / 'dog'}",
        )
    if len(folders) > MOST_CLASSES:
        raise DataError(f"{root} has {len(folders):,} sub-folders, and {MOST_CLASSES:,} classes are the most")
    return folders


def _listing(root: Path, names: Sequence[str], suffixes: Suffixes) -> Listing:
    files: list[Path] = []
    labels: list[int] = []
    for folder in _folders(root):
        if folder.name not in names:
            raise DataError(
                f"{folder}: there is no class `{folder.name}` in the training part",
                *(did_you_mean(folder.name, names) or (f"the classes are {', '.join(names[:20])}",)),
            )
        found = [path for path in _entries(folder) if _meant(path, suffixes)]
        files += found
        labels += [names.index(folder.name)] * len(found)
    return Listing(tuple(files), np.array(labels, np.int64))


def _meant(path: Path, suffixes: Suffixes) -> bool:
    suffix = path.suffix.lower()
    endings = ", ".join(suffixes.taken)
    if suffix in suffixes.taken:
        if not path.is_file():
            raise DataError(f"{path} is not a file")
        return True
    if suffix in suffixes.refused:
        raise DataError(f"{path}: cannot be read: {endings} can", "convert the file, or take it out")
    if path.is_dir():
        raise DataError(
            f"{path} is a folder within a class: the {suffixes.noun} of a class lie directly in its folder"
        )
    return False
