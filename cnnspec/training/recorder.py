"""Keeps the folder of a run up to date while the run goes on, and closes its record however it ends."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cnnspec.training.curves import draw_curves
from cnnspec.training.record import Status, end_record

if TYPE_CHECKING:
    from cnnspec.recipe import Recipe
    from cnnspec.training.loop import Epoch
    from cnnspec.training.model import TrainableModel
    from cnnspec.training.run_folder import RunFolder


@dataclass
class Recorder:
    """Writes what a run of `network` by `recipe` comes to into its folder."""

    folder: RunFolder
    network: str
    recipe: Recipe
    record: dict[str, object] = field(default_factory=dict)
    history: list[Epoch] = field(default_factory=list)
    start: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Since the recorder was made."""
        return time.perf_counter() - self.start

    @property
    def title(self) -> str:
        """What learns from what: `LeNet on digits`."""
        return f"{self.network} on {self.recipe.data.keyword}"

    @property
    def settings(self) -> str:
        """How it learns, in one line."""
        recipe = self.recipe
        words = (
            recipe.optimizer.written(),
            f"batch {recipe.batch}",
            recipe.init.written(),
            f"seed {recipe.seed}",
        )
        return ", ".join(words)

    def begin(self, record: dict[str, object]) -> None:
        """Write the record that the run begins with, and the heading of the figures.

        Raises:
            WriteError: the folder cannot be written.
        """
        self.record = record
        self.folder.begin(record)

    def finish_epoch(self, epoch: Epoch, model: TrainableModel) -> None:
        """Keep the weights and the figures of an epoch.

        Raises:
            WriteError: the folder cannot be written.
        """
        self.folder.add_epoch(epoch, model.weights, self.network)
        self.history.append(epoch)

    def end(self, status: Status, error: str = "") -> None:
        """Write the curves and the final record; nothing for a run that had not begun.

        Raises:
            WriteError: the folder cannot be written.
        """
        if not self.record:
            return
        if self.history:
            self.folder.write_curves(draw_curves(self.history, self.title, self.settings))
        self.folder.write_record(end_record(self.record, status, self.history, self.seconds, error))

    def kept(self) -> str:
        """What a run that did not end well leaves, in words."""
        if not self.record:
            return "training had not begun, and nothing was written"
        if not self.history:
            return f"no epoch was finished; {self.folder.record} says what was run"
        return f"{self.folder.path} holds the weights and figures up to epoch {self.history[-1].number}"
