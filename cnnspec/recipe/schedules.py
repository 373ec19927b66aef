"""Schedules: how the learning rate changes while a network learns."""

from __future__ import annotations

from typing import ClassVar

from cnnspec.layers.declaration import OptionError, option
from cnnspec.layers.options import (
    Listed,
    count,
    describe,
    natural,
    non_negative,
    positive,
    positive_numbers,
    real_number,
)
from cnnspec.recipe.figures import optional_metric
from cnnspec.recipe.kinds import RecipeKind, Role


def share(value: object) -> float:
    """A number above 0 and below 1."""
    number = real_number(value)
    if not 0 < number < 1:
        raise OptionError(f"must be above 0 and below 1, not {describe(value)}")
    return number


class _Schedule(RecipeKind):
    role: ClassVar[Role] = "schedule"


class _WithWarmup(_Schedule):
    warmup: float = option(
        non_negative, "epochs in which the rate rises, batch by batch, from near 0", default=0.0
    )


class Constant(_WithWarmup):
    """The optimizer's learning rate throughout."""

    example: ClassVar[str] = "schedule constant warmup=5"


class Step(_WithWarmup):
    """The rate times `factor` after every so many epochs."""

    example: ClassVar[str] = "schedule step every=30 factor=0.1"

    every: int = option(count, "epochs from one change to the next")
    factor: float = option(positive, "what the rate is multiplied by", default=0.1)


class Multistep(_WithWarmup):
    """The rate times `factor` after each of some epochs."""

    example: ClassVar[str] = "schedule multistep at=[30, 60] factor=0.1"

    at: Listed = option(positive_numbers, "epochs after which the rate changes")
    factor: float = option(positive, "what the rate is multiplied by each time", default=0.1)


class Cosine(_WithWarmup):
    """Half a cosine from the optimizer's rate down to `final`, batch by batch (arXiv:1608.03983)."""

    example: ClassVar[str] = "schedule cosine warmup=5 final=0"

    final: float = option(non_negative, "rate at the end of the last epoch", default=0.0)


class OneCycle(_Schedule):
    """Up to `peak` and down to nearly nothing, each along half a cosine (Smith & Topin, arXiv:1708.07120).

    It begins with `peak / div_factor`, and ends with that over `final_div_factor`. The momentum stays as the
    optimizer has it.
    """

    example: ClassVar[str] = "schedule one_cycle peak=0.1"

    peak: float | None = option(
        lambda value: None if value is None else positive(value),
        "highest rate; the optimizer's `lr` unless given",
        default=None,
    )
    pct_start: float = option(share, "share of all steps in which the rate rises", default=0.3)
    div_factor: float = option(positive, "the peak over the first rate", default=25.0)
    final_div_factor: float = option(positive, "the first rate over the last", default=10000.0)


class Plateau(_WithWarmup):
    """The rate times `factor` where a figure has not become better for more than `patience` epochs."""

    example: ClassVar[str] = "schedule plateau patience=3 factor=0.5"

    metric: str | None = option(
        optional_metric, "figure that is watched: the loss on held-out data unless given", default=None
    )
    patience: int = option(natural, "epochs without a better figure that are borne", default=10)
    factor: float = option(share, "what the rate is multiplied by", default=0.1)
    threshold: float = option(
        non_negative, "share of the best figure by which one must be better to count", default=1e-4
    )
    cooldown: int = option(natural, "epochs after a change in which none is counted", default=0)
    min_lr: float = option(non_negative, "the rate is never lowered beneath this", default=0.0)


Schedule = _Schedule
