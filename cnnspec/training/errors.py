"""Why a training run cannot begin or go on."""

from __future__ import annotations


class TrainingError(Exception):
    """A run cannot begin or go on.

    Attributes:
        message: what is wrong, one line.
        help: what to do, a line each.
    """

    def __init__(self, message: str, *help: str) -> None:
        super().__init__(message)
        self.message = message
        self.help = help
