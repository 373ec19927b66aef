"""The learning rate of every step.

Steps are counted from 0 over all epochs. But for a plateau's, which waits for the figures of the epochs, a
rate is a function of the number of the step alone, so that a run that goes on has the rates of one that never
stopped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import singledispatch
from typing import TYPE_CHECKING

import numpy as np

from cnnspec.recipe import chosen_metric, higher_is_better
from cnnspec.recipe.schedules import Constant, Cosine, Multistep, OneCycle, Plateau, Step
from cnnspec.training.optimizers import load_arrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.recipe import Recipe
    from cnnspec.recipe.schedules import Schedule as Declared


class Schedule:
    """A learning rate for each step: the optimizer's throughout, but for what a kind makes of it.

    While the rate warms up, step `k` of `warmup` has `(k + 1) / warmup` of it.
    """

    def __init__(self, lr: float, *, batches: int, epochs: int, warmup: float = 0.0) -> None:
        """Know the rate to begin with, the batches of an epoch, the epochs, and those of the warm-up."""
        self.lr = lr
        self.batches, self.steps = batches, batches * epochs
        self.warmup = round(warmup * batches)

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        return self.settled_rate(step) * min(1.0, (step + 1) / max(self.warmup, 1))

    def settled_rate(self, step: int) -> float:
        """The rate without the warm-up."""
        return self.lr

    def epoch_ended(self, figures: Mapping[str, float]) -> None:
        """Take notice of the figures of an epoch: `test_loss` and the like."""

    def state(self) -> dict[str, NDArray[np.generic]]:
        """What the rates to come depend on beside the number of the step."""
        return {}

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over a state that was kept.

        Raises:
            ValueError: it is not that of such a schedule.
        """
        load_arrays(self.state(), state, "the schedule")


class MilestoneSchedule(Schedule):
    """The rate times a factor at the beginning of each of some epochs, counted from 0."""

    milestones: tuple[float, ...] = ()
    factor: float = 1.0

    def settled_rate(self, step: int) -> float:
        """`lr * factor^k` behind `k` milestones."""
        passed = sum(step >= round(epoch * self.batches) for epoch in self.milestones)
        return float(self.lr * self.factor**passed)


class CosineSchedule(Schedule):
    """`final + (lr - final) (1 + cos(pi k / n)) / 2` in step `k` of the `n` behind the warm-up.

    Loshchilov & Hutter 2016 (arXiv:1608.03983), equation 5, without restarts.
    """

    final: float = 0.0

    def settled_rate(self, step: int) -> float:
        """Along half a cosine."""
        steps = max(self.steps - self.warmup, 1)
        return _along_cosine(self.lr, self.final, (step - self.warmup) / steps)


class OneCycleSchedule(Schedule):
    """Half a cosine from `first` up to the peak, and one down to `last`, as PyTorch's `OneCycleLR`."""

    first: float = 0.0
    last: float = 0.0
    share: float = 0.3

    def settled_rate(self, step: int) -> float:
        """Along one of two halves of cosines; the turn lies where PyTorch has it."""
        turn = self.share * self.steps - 1
        if step <= turn and turn > 0:
            return _along_cosine(self.first, self.lr, step / turn)
        return _along_cosine(self.lr, self.last, (step - turn) / max(self.steps - 1 - turn, 1e-9))


class PlateauSchedule(Schedule):
    """The rate times a factor where a figure stays as it is, as PyTorch's `ReduceLROnPlateau`."""

    def __init__(self, lr: float, settings: Plateau, *, batches: int, epochs: int) -> None:
        super().__init__(lr, batches=batches, epochs=epochs, warmup=settings.warmup)
        self._settings = settings
        self._rate = np.array([lr])
        self._best = np.zeros(1)
        self._epochs = np.zeros(1, np.int64)
        self._bad_epochs = np.zeros(1, np.int64)
        self._cooldown = np.zeros(1, np.int64)

    def settled_rate(self, step: int) -> float:
        """The rate that the epochs so far have led to."""
        return float(self._rate[0])

    def epoch_ended(self, figures: Mapping[str, float]) -> None:
        """Count the epochs without a better figure, and lower the rate after too many.

        Raises:
            KeyError: the figure is not among them.
        """
        metric = chosen_metric(self._settings.metric, figures)
        if self._is_better(figures[metric], metric):
            self._best[0] = figures[metric]
            self._bad_epochs[0] = 0
        else:
            self._bad_epochs += 1
        self._epochs += 1
        if self._cooldown[0] > 0:
            self._cooldown -= 1
            self._bad_epochs[0] = 0
        if self._bad_epochs[0] > self._settings.patience:
            self._rate[0] = max(self._rate[0] * self._settings.factor, self._settings.min_lr)
            self._cooldown[0] = self._settings.cooldown
            self._bad_epochs[0] = 0

    def _is_better(self, value: float, metric: str) -> bool:
        best, threshold = self._best[0], self._settings.threshold
        if not self._epochs[0]:
            return True
        if higher_is_better(metric):
            return bool(value > best * (1 + threshold))
        return bool(value < best * (1 - threshold))

    def state(self) -> dict[str, NDArray[np.generic]]:
        """The rate, the best figure, and the epochs that are counted."""
        return {
            "rate": self._rate,
            "best": self._best,
            "epochs": self._epochs,
            "bad_epochs": self._bad_epochs,
            "cooldown": self._cooldown,
        }


def _along_cosine(start: float, end: float, share: float) -> float:
    """From `start` to `end` along half a cosine, `share` of the way, and no further."""
    return end + (start - end) * (1 + math.cos(math.pi * min(max(share, 0.0), 1.0))) / 2


def make_schedule(recipe: Recipe, batches_per_epoch: int) -> Schedule:
    """The learning rates of a recipe, for a data set of so many batches."""
    return _made(recipe.schedule, recipe.optimizer.lr, batches_per_epoch, recipe.epochs)


@singledispatch
def _made(declared: Declared, lr: float, batches: int, epochs: int) -> Schedule:
    raise NotImplementedError(declared.keyword)


@_made.register(Constant)
def _constant(declared: Constant, lr: float, batches: int, epochs: int) -> Schedule:
    return Schedule(lr, batches=batches, epochs=epochs, warmup=declared.warmup)


@_made.register(Step)
def _step(declared: Step, lr: float, batches: int, epochs: int) -> Schedule:
    schedule = MilestoneSchedule(lr, batches=batches, epochs=epochs, warmup=declared.warmup)
    schedule.milestones = tuple(range(declared.every, epochs + 1, declared.every))
    schedule.factor = declared.factor
    return schedule


@_made.register(Multistep)
def _multistep(declared: Multistep, lr: float, batches: int, epochs: int) -> Schedule:
    schedule = MilestoneSchedule(lr, batches=batches, epochs=epochs, warmup=declared.warmup)
    schedule.milestones = tuple(float(epoch) for epoch in declared.at)
    schedule.factor = declared.factor
    return schedule


@_made.register(Cosine)
def _cosine(declared: Cosine, lr: float, batches: int, epochs: int) -> Schedule:
    schedule = CosineSchedule(lr, batches=batches, epochs=epochs, warmup=declared.warmup)
    schedule.final = declared.final
    return schedule


@_made.register(OneCycle)
def _one_cycle(declared: OneCycle, lr: float, batches: int, epochs: int) -> Schedule:
    schedule = OneCycleSchedule(declared.peak or lr, batches=batches, epochs=epochs)
    schedule.first = schedule.lr / declared.div_factor
    schedule.last = schedule.first / declared.final_div_factor
    schedule.share = declared.pct_start
    return schedule


@_made.register(Plateau)
def _plateau(declared: Plateau, lr: float, batches: int, epochs: int) -> Schedule:
    return PlateauSchedule(lr, declared, batches=batches, epochs=epochs)
