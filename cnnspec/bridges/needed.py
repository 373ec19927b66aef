"""Packages that cnnspec does without unless they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class MissingPackage(ModuleNotFoundError):  # noqa: N818 - it reads as what it is
    """An optional package is not installed; `help` says how to install it."""

    def __init__(self, package: str, help: str) -> None:
        super().__init__(f"this needs {package}, which is not installed", name=package)
        self.help = help

    def __str__(self) -> str:
        return f"{self.msg}: {self.help}"


@contextmanager
def needed(package: str, extra: str | None = None) -> Iterator[None]:
    """Around the import of an optional package, which comes with the extra of its name unless one is named.

    Raises:
        MissingPackage: it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != package:  # a fault within it
            raise
        raise MissingPackage(package, f"pip install 'cnnspec[{extra or package}]'") from None
