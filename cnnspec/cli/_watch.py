"""What `cnnspec run` shows of a run, and how it is stopped from the keyboard."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from cnnspec.cli._interruption import Interruption
from cnnspec.cli._output import grouped
from cnnspec.cli._progress import Display, choose_display
from cnnspec.training.conduct import Listener
from cnnspec.training.events import Events

if TYPE_CHECKING:
    import argparse

    from cnnspec.training import DataSet, Epoch, Step, TrainableModel
    from cnnspec.training.recorder import Recorder
    from cnnspec.training.subject import Subject


class Watch(Listener):
    """Hands what happens to a display, and Ctrl-C to the run."""

    def __init__(self, display: Display, quiet: bool, tensorboard: bool) -> None:
        self._display = display
        self._quiet = quiet
        self._tensorboard = tensorboard
        self._events: Events | None = None
        self._interruption = Interruption.here()

    @classmethod
    def choose(cls, arguments: argparse.Namespace) -> Self:
        """By the command line, and by what the standard output is."""
        quiet = arguments.quiet or arguments.json
        return cls(choose_display(quiet), quiet, arguments.tensorboard)

    def __enter__(self) -> Self:
        self._interruption.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._interruption.__exit__(kind, error, trace)

    def loading(self) -> AbstractContextManager[None]:
        """Around reading the data, and downloads."""
        return self._display.loading()

    @contextmanager
    def training(self, recorder: Recorder) -> Iterator[None]:
        """Around the epochs: from here on Ctrl-C waits for the batch."""
        with self._display.training(recorder.recipe.epochs), self._interruption.deferred():
            if self._tensorboard:
                self._events = Events(recorder.folder, recorder.position.step)
            try:
                yield
            finally:
                if self._events is not None:
                    self._events.close()

    def downloading(self, name: str, done: int, total: int | None) -> None:
        """Show how far a download is."""
        self._display.downloading(name, done, total)

    def notice(self, words: str) -> None:
        """Say it on the standard error, unless quiet."""
        if not self._quiet:
            print(f"note: {words}", file=sys.stderr)

    def begins(self, recorder: Recorder, subject: Subject, data: DataSet) -> None:
        """Say what learns from what, and how; of a run that goes on, from where."""
        say, recipe, position = self._display.say, recorder.recipe, recorder.position
        parameters = grouped(subject.facts.totals().trainable_params)
        images = f"{grouped(len(data.train_y))} images to train, {grouped(len(data.test_y))} to test"
        say(f"{recorder.title}: {parameters} parameters, {images}")
        say(f"{recorder.settings}, {recipe.epochs} epoch{'s' if recipe.epochs > 1 else ''}")
        if recorder.record is not None and len(recorder.record.sessions) > 1:
            done = f"after batch {position.batch}" if position.batch else "from its beginning"
            say(f"goes on in {recorder.folder.path} in epoch {position.epoch}, {done}")

    def step(self, step: Step) -> None:
        """Show how far the epoch is."""
        self._display.step(step)
        if self._events is not None:
            self._events.step(step)

    def epoch(self, epoch: Epoch, model: TrainableModel) -> None:
        """Show the figures of the epoch."""
        self._display.epoch(epoch)
        if self._events is not None:
            self._events.epoch(epoch)

    def wants_to_stop(self) -> bool:
        """Whether Ctrl-C or SIGTERM has come."""
        return self._interruption.asked
