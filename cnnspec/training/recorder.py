"""Keeps the folder of a run up to date while the run goes on, and closes its record however it ends."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cnnspec.training.checkpoint import Best, Checkpoint, capture, check_finite
from cnnspec.training.curves import draw_curves
from cnnspec.training.loop import Epoch, Position, Step
from cnnspec.training.record import RunRecord, Session, Status, end_record, launch, timestamp
from cnnspec.training.train import best_epoch, watched

if TYPE_CHECKING:
    from cnnspec.recipe import Recipe
    from cnnspec.training.model import TrainableModel
    from cnnspec.training.run_folder import RunFolder

MINUTE = 60.0


@dataclass
class Recorder:
    """Writes what a run of `network` by `recipe` comes to into its folder."""

    folder: RunFolder
    network: str
    recipe: Recipe
    record: RunRecord | None = None
    history: list[Epoch] = field(default_factory=list)
    best: Best | None = None
    position: Position = field(default_factory=Position)
    start: float = field(default_factory=time.perf_counter)
    _saved: float = field(default_factory=time.perf_counter)
    _saved_at: Position | None = None

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

    # --- the way of a run ---------------------------------------------------------------------------------

    def begin(self, record: RunRecord) -> None:
        """Write the record that the run begins with, and the heading of the figures.

        Raises:
            WriteError: the folder cannot be written.
        """
        self.record = record
        self.folder.begin(record)

    def go_on(self, record: RunRecord, checkpoint: Checkpoint | None) -> None:
        """Set the logs back to a checkpoint, or to the beginning, and note that another session begins.

        Raises:
            WriteError: the folder cannot be written.
        """
        if checkpoint is not None:
            about = checkpoint.about
            self.position, self.best = about.position, about.best
            self._saved_at = about.position
            self.history = list(self.folder.with_times(about.history))
        at = self.position
        session = Session(started=timestamp(), epoch=at.epoch, batch=at.batch, launch=launch())
        changes = {"status": "running", "error": None, "sessions": (*record.sessions, session)}
        self.record = record.model_copy(update=changes)
        self.folder.begin(self.record, self.history)

    def finish_step(self, step: Step, model: TrainableModel) -> None:
        """Note where the run stands, and save it where the recipe asks for that.

        Raises:
            WriteError: the folder cannot be written.
            NotFinite: the state is not worth keeping.
        """
        self.position = step.position
        if self._is_due():
            self.save(model)

    def finish_epoch(self, epoch: Epoch, model: TrainableModel) -> None:
        """Keep the weights and the figures of an epoch, and save the run.

        Raises:
            WriteError: the folder cannot be written.
            NotFinite: the weights are not worth keeping.
        """
        check_finite(model.weights, "the weight")
        self.position = self.position.after_epoch()
        self.folder.write_weights(self.folder.weights, model.weights, self.network, epoch.number)
        if self._is_best(epoch):
            self.folder.write_weights(self.folder.best, model.weights, self.network, epoch.number)
        self.folder.add_epoch(epoch)
        self.history.append(epoch)
        self.save(model)

    def save(self, model: TrainableModel) -> None:
        """Write a checkpoint, unless the last one was written here.

        Raises:
            WriteError: the folder cannot be written; the checkpoint before is still there.
            NotFinite: the state is not worth keeping.
        """
        if self._saved_at == self.position:
            return
        assert self.record is not None
        checkpoint = capture(
            model,
            network=self.network,
            spec=self.record.fingerprint(),
            position=self.position,
            history=tuple(self.history),
            best=self.best,
            plan=self.record.threads,
        )
        self.folder.write_checkpoint(checkpoint)
        self._saved, self._saved_at = time.perf_counter(), self.position

    def end(self, status: Status, error: str = "") -> None:
        """Write the curves and the final record; nothing for a run that had not begun.

        Raises:
            WriteError: the folder cannot be written.
        """
        if self.record is None or self.record.status == "finished":
            return
        if self.history:
            self.folder.write_curves(draw_curves(self.history, self.title, self.settings))
        self.record = end_record(self.record, status, self.history, self.best, self.seconds, error)
        self.folder.write_record(self.record)

    @property
    def ended(self) -> RunRecord:
        """The record of a run that has begun."""
        assert self.record is not None
        return self.record

    # --- what is decided ----------------------------------------------------------------------------------

    def _is_due(self) -> bool:
        """Whether the recipe's `checkpoint` asks for one now."""
        asked = self.recipe.checkpoint
        if asked is None:
            return False
        if asked.every is not None and self.position.step % asked.every == 0:
            return True
        return asked.minutes is not None and time.perf_counter() - self._saved >= asked.minutes * MINUTE

    def _is_best(self, epoch: Epoch) -> bool:
        """Whether an epoch is better than all before it, which is then noted."""
        metric = watched(self.recipe.keep.best, epoch.figures)
        if best_epoch(metric, [*self.history, epoch]) != epoch.number:
            return False
        self.best = Best(epoch=epoch.number, metric=metric, score=epoch.figures[metric])
        return True

    def kept(self) -> str:
        """What a run that did not end well leaves, in words."""
        if self.record is None:
            return "training had not begun, and nothing was written"
        at = self._saved_at
        if at is None:
            return f"nothing is saved yet; {self.folder.record} says what was run"
        where = f"after batch {at.batch} of epoch {at.epoch}" if at.batch else f"after epoch {at.epoch - 1}"
        return f"{self.folder.path} is saved {where}"
