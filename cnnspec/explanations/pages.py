"""The written pages, read from this folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent


@dataclass(frozen=True)
class Page:
    """A written page; its first line is `# name: summary`."""

    name: str
    text: str

    @property
    def summary(self) -> str:
        """What the first line says after the name."""
        return self.text.partition("\n")[0].partition(": ")[2]


def codes() -> dict[str, Page]:
    """The page of every diagnostic code, by code."""
    return _read(FOLDER)


def words() -> dict[str, Page]:
    """The page of every word that the grammar or the expansion of blocks knows."""
    return _read(FOLDER / "words")


def _read(folder: Path) -> dict[str, Page]:
    files = sorted(folder.glob("*.md"))
    return {file.stem: Page(file.stem, file.read_text(encoding="utf-8")) for file in files}
