"""The figures by which a run is judged, by name: `test_loss`, `train_accuracy`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cnnspec.language.diagnostics import did_you_mean
from cnnspec.layers.declaration import OptionError
from cnnspec.layers.options import describe

if TYPE_CHECKING:
    from collections.abc import Collection

HIGHER_IS_BETTER: Final[dict[str, bool]] = {
    "loss": False,
    "accuracy": True,
    "top5": True,
    "mae": False,
    "r2": True,
}
"""What can be measured, and whether more of it is better."""

PARTS: Final[dict[str, tuple[str, ...]]] = {
    "train": ("loss", "accuracy"),
    "test": tuple(HIGHER_IS_BETTER),
}
"""The parts of the data, and what is measured on each."""

METRICS: Final[tuple[str, ...]] = tuple(f"{part}_{figure}" for part, own in PARTS.items() for figure in own)


def optional_metric(value: object) -> str | None:
    """The name of a part and a figure: `test_loss`, `test_accuracy`, `test_top5`, `test_mae`, `test_r2`."""
    if value is None or (isinstance(value, str) and value in METRICS):
        return None if value is None else str(value)
    raise OptionError(f"must be a figure such as `test_loss`, not {describe(value)}", metric_help(value))


def metric_help(value: object) -> str:
    """What was meant, where it is near; all of them otherwise."""
    near = did_you_mean(str(value), METRICS) or did_you_mean(f"test_{value}", METRICS)
    return near[0] if near else "there is " + ", ".join(f"`{metric}`" for metric in METRICS)


def higher_is_better(metric: str) -> bool:
    """Whether more of a figure is better."""
    return HIGHER_IS_BETTER[metric.partition("_")[2]]


def chosen_metric(metric: str | None, measured: Collection[str]) -> str:
    """The figure that is watched: the one asked for, or else the loss on the data that is held out.

    Raises:
        KeyError: it is not measured in this run.
    """
    wanted = (metric,) if metric else ("test_loss", "train_loss")
    for name in wanted:
        if name in measured:
            return name
    raise KeyError(wanted[0])


def headline(measured: Collection[str]) -> str:
    """The figure that says most about a network: the accuracy on the test part, or R2, or else the loss."""
    return next(name for name in ("test_accuracy", "test_r2", "test_loss") if name in measured)
