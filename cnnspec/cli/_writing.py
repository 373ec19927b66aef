"""Writing what a command makes: whole or not at all, never over the spec."""

from __future__ import annotations

from pathlib import Path

from cnnspec.cli.main import CommandError
from cnnspec.language.saving import save


def check_target(path: Path, spec: str) -> None:
    """Find a missing folder before time is spent, and never write over the spec.

    Raises:
        CommandError: nothing can be written there.
    """
    if path.is_dir():
        raise CommandError(f"`{path}` is a folder", "give the name of a file")
    if path.exists() and Path(spec).exists() and path.samefile(spec):
        raise CommandError(f"`{path}` is the file that is read, which would be replaced", "give another OUT")
    if not path.parent.is_dir():
        raise CommandError(f"there is no folder `{path.parent}`", f"create it: mkdir -p '{path.parent}'")


def write(path: Path, *content: bytes | memoryview) -> None:
    """Write a file whole or not at all.

    Raises:
        CommandError: it cannot be written.
    """
    try:
        save(path, *content)
    except OSError as error:
        raise CommandError(f"cannot write `{path}`: {(error.strerror or str(error)).lower()}") from None
