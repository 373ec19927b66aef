"""What a glance at the disk says of a data set: the folders of the classes, the columns of a table.

Used by `check`, which reads no sample and must be quick: nothing found is no fault here.
"""

from __future__ import annotations

import os
from typing import Final

PARTS: Final = frozenset({"train", "test"})
"""Sub-folders of these names hold the two parts, each with its class folders."""
MOST_LISTED: Final = 10_000
"""Class folders beyond which a folder is not listed further."""
LONGEST_LINE: Final = 2**16
"""Bytes of the first line of a table that are looked at."""


def class_names(folder: str) -> tuple[str, ...]:
    """The sub-folders of a folder in order, or those of its `train`; none where it cannot be read."""
    names = _sub_folders(folder)
    return _sub_folders(os.path.join(folder, "train")) if frozenset(names) == PARTS else names


def _sub_folders(folder: str) -> tuple[str, ...]:
    names = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and entry.is_dir():
                    names.append(entry.name)
                if len(names) > MOST_LISTED:
                    return ()
    except OSError:
        return ()
    return tuple(sorted(names))


def columns(path: str) -> int:
    """The columns of a table, by its first line; 0 where it cannot be read."""
    try:
        if not os.path.isfile(path):
            return 0
        with open(path, "rb") as file:
            line = file.readline(LONGEST_LINE)
    except OSError:
        return 0
    text = line.decode("utf-8-sig", errors="replace").strip()
    return len(text.split(",")) if text else 0
