"""Time series in a table: comma-separated numbers, a row a point in time, with or without a line of names.

A sample is a window over the rows, `columns x window`; its target is the value of one column some rows later.
Windows are cut when they are asked for, so that the numbers lie in memory once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from cnnspec.language.diagnostics import did_you_mean
from cnnspec.training.datasets import room
from cnnspec.training.datasets.dataset import DataError
from cnnspec.training.datasets.folders import existing
from cnnspec.training.datasets.parts import Part, Parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.recipe.data import Csv

MOST_COLUMNS: Final = 4096
LONGEST_LINE: Final = 2**17
"""Characters of a line beyond which a file is no table of numbers."""
BYTES: Final = 12
"""A number is read as float64, and kept as float32 besides."""
CHUNK_BYTES: Final = 2**20
LARGEST: Final = float(np.finfo(np.float32).max)
NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows over rows of numbers: `rows x columns` to `N x columns x window`."""

    values: NDArray[np.float32]
    window: int
    starts: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of windows, columns, rows of a window."""
        return len(self.starts), self.values.shape[1], self.window

    def __len__(self) -> int:
        return len(self.starts)

    def rows(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """The windows of these numbers."""
        places = self.starts[indices][:, None] + np.arange(self.window)
        return np.ascontiguousarray(self.values[places].transpose(0, 2, 1))  # (N, columns, window)


def read_series(kind: Csv) -> Parts:
    """Both parts: the last rows are the test part, and no window reaches from one into the other.

    Raises:
        DataError: the file is no table of numbers, or too short for a window in each part.
    """
    path = existing(kind.path, folder=False)
    rows, numbers = _counted(path)
    if not room.fits(numbers * BYTES):
        raise DataError(f"{path}: holds too many numbers for the memory of this computer ({numbers:,})")
    names = _heading(path)
    values = _values(path, names)
    column = _target(kind, path, names, values.shape[1])
    rows, span = len(values), kind.window + kind.ahead
    cut = rows - min(max(round(rows * kind.test), span), rows)
    if cut < span:
        raise DataError(
            f"{path}: has {rows} rows, and a window with its target spans {span}: each part needs one",
            "use a smaller `window` or `ahead`, or more rows",
        )
    starts = np.arange(0, cut - span + 1, kind.step), np.arange(cut, rows - span + 1, kind.step)
    train, test = (_part(values, kind, column, each[: kind.limit]) for each in starts)
    return Parts(train, test, target=column)


def survey(kind: Csv) -> tuple[int, int]:
    """Samples at most, and the bytes that the numbers take while they are read."""
    path = existing(kind.path, folder=False)
    rows, numbers = _counted(path)
    return max(1, rows), numbers * BYTES


def _counted(path: Path) -> tuple[int, int]:
    """How many rows and numbers a file can hold, by its commas and its lines."""
    lines, commas = 1, 0
    try:
        with path.open("rb") as file:
            while piece := file.read(CHUNK_BYTES):
                lines += piece.count(b"\n")
                commas += piece.count(b",")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    return lines, lines + commas


def _part(values: NDArray[np.float32], kind: Csv, column: int, starts: NDArray[np.int64]) -> Part:
    targets = values[starts + kind.window + kind.ahead - 1, column]
    return Part(Windows(values, kind.window, starts), targets[:, None].copy())


def _heading(path: Path) -> tuple[str, ...]:
    """The names of the columns; none where the first line holds numbers."""
    lines = _lines(path)
    _, first = next(lines, (0, ""))
    if not first.strip():
        raise DataError(f"{path}: holds no rows")
    cells = [cell.strip().strip('"').strip() for cell in first.split(",")]
    if len(cells) > MOST_COLUMNS:
        raise DataError(f"{path}: has {len(cells):,} columns, and {MOST_COLUMNS:,} are the most")
    if any(NUMBER.fullmatch(cell) for cell in cells):
        return ()
    if len(cells) == 1 and any(mark in first for mark in ";\t"):
        raise DataError(f"{path}: its columns are not separated by commas", "save it with commas")
    return tuple(cells)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines and their numbers.

    Raises:
        DataError: one is too long or no text.
    """
    number = 0
    try:
        with path.open("r", encoding="utf-8-sig", newline=None) as file:
            while line := file.readline(LONGEST_LINE):
                number += 1
                if len(line) == LONGEST_LINE:
                    raise DataError(f"{path}: line {number} is longer than {LONGEST_LINE:,} characters")
                yield number, line
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not a text in UTF-8, after line {number}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def _values(path: Path, names: tuple[str, ...]) -> NDArray[np.float32]:
    """All numbers, `rows x columns`."""
    rows = (line for _, line in _lines(path))
    if names:
        next(rows)
    first = next((line for line in rows if line.strip()), None)
    if first is None:
        raise DataError(f"{path}: holds no rows")
    try:
        numbers = np.loadtxt(_with(first, rows), delimiter=",", dtype=np.float64, ndmin=2, comments=None)
    except ValueError as error:
        raise _located(path, names) from error
    if (names and numbers.shape[1] != len(names)) or not np.isfinite(numbers).all():
        raise _located(path, names)
    with np.errstate(over="ignore"):
        values = numbers.astype(np.float32)
    if not np.isfinite(values).all():
        raise _located(path, names)
    return values


def _with(first: str, rows: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rows


def _located(path: Path, names: tuple[str, ...]) -> DataError:
    """The first fault of a table, with its line and column."""
    wide = len(names)
    lines = _lines(path)
    if names:
        next(lines)
    for number, line in lines:
        if not line.strip():
            continue
        cells = line.rstrip("\r\n").split(",")
        wide = wide or len(cells)
        if len(cells) != wide:
            return DataError(f"{path}: line {number} has {len(cells)} columns, and the first has {wide}")
        for column, cell in enumerate(cells):
            if wrong := _fault(cell.strip()):
                name = f" (`{names[column]}`)" if names else ""
                return DataError(f"{path}: line {number}, column {column + 1}{name}: {wrong[0]}", wrong[1])
    return DataError(f"{path}: is not a table of numbers")


def _fault(cell: str) -> tuple[str, str] | None:
    if not cell:
        return "is empty", "fill the gap, or leave the row out"
    if not NUMBER.fullmatch(cell):
        if cell.lstrip("+-").lower() in ("nan", "inf", "infinity", "na", "n/a", "null", "none"):
            return f"holds {cell}, which is no number", "fill the gap, or leave the row out"
        help = "every column must hold numbers: leave out those of dates or names"
        return f"holds `{cell[:40]}`, which is no number", help
    if abs(float(cell)) > LARGEST:
        return f"holds {cell[:40]}, which is too large", "leave the row out"
    return None


def _target(kind: Csv, path: Path, names: tuple[str, ...], columns: int) -> int:
    """The number, from 0, of the column that the target is taken from."""
    if isinstance(kind.target, int):
        if kind.target > columns:
            raise DataError(f"{path}: has {columns} columns, and `target` is {kind.target}")
        return (kind.target or columns) - 1
    if kind.target in names:
        return names.index(kind.target)
    if not names:
        raise DataError(f"{path}: its columns have no names", "write the number of the column for `target`")
    near = did_you_mean(kind.target, names) or (f"the columns are {', '.join(names[:20])}",)
    raise DataError(f"{path}: there is no column `{kind.target}`", *near)
