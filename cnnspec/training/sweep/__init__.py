"""Sweeps: many runs of one file with other values for some of its parameters and settings, by Optuna."""

from __future__ import annotations

from importlib.util import find_spec

from cnnspec.training.errors import TrainingError


def check_installed() -> None:
    """See that the package is there.

    Raises:
        TrainingError: it is missing.
    """
    if find_spec("optuna") is None:
        raise TrainingError(
            "a sweep needs the package optuna", "install it with `pip install 'cnnspec[sweep]'`"
        )
