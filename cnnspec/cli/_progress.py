"""How a training run is shown: a live bar on a terminal, plain lines in a pipe, or nothing.

Everything goes to the standard output: the rows of finished epochs are the result, and the bar stands below.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from cnnspec.cli._output import wants_color
from cnnspec.network.table import in_bytes
from cnnspec.training.machine import used_memory

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from cnnspec.training import Epoch, Step

COLUMNS: Final[dict[str, str]] = {
    "train_loss": "train loss",
    "train_accuracy": "train acc",
    "test_loss": "test loss",
    "test_accuracy": "test acc",
    "test_mae": "test mae",
    "test_r2": " test r2",
}
"""The figures of an epoch that are shown where they are measured, and their headings."""
REFRESH_SECONDS: Final = 0.1
WINDOW: Final = 50
"""So many looks back reaches what is said of the speed."""
NARROW: Final = 60
"""In fewer columns there are figures without a bar, as many as there is room for."""
LEAST_BAR: Final = 6
"""Columns of the shortest bar, and a space on either side."""


def heading(epoch: Epoch) -> str:
    """What stands above the rows of such epochs."""
    titles = (title for name, title in COLUMNS.items() if name in epoch.figures)
    return "  ".join(("epoch", *titles, "images/s"))


def epoch_row(epoch: Epoch) -> str:
    """The figures of an epoch under its `heading`."""
    figures = ((epoch.figures[name], len(title)) for name, title in COLUMNS.items() if name in epoch.figures)
    cells = (_cell(figure, width) for figure, width in figures)
    return "  ".join((f"{epoch.number:5d}", *cells, f"{epoch.images_per_second:8,.0f}"))


def _cell(figure: float, width: int) -> str:
    """Four decimals, or as many as there is room for."""
    text = f"{figure:{width}.4f}"
    return text if len(text) <= width else f"{figure:{width}.{width - 6}g}"


def step_note(step: Step) -> str:
    """The figures of an epoch so far, and the learning rate."""
    mean = step.position.mean
    right = f"  acc {mean.accuracy:.4f}" if mean.correct else ""
    return f"loss {mean.loss:.4f}{right}  lr {step.learning_rate:.3g}"


def fitting(note: str, room: int) -> str:
    """The first figures of a note that fit into so many columns."""
    while len(note) > room and "  " in note:
        note = note.rpartition("  ")[0]
    return note


class Pace:
    """How fast a run goes, by its last seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int, float]] = deque(maxlen=WINDOW)
        self._last: Step | None = None
        self._before = 0.0

    def add(self, now: float, step: Step) -> None:
        """Note where the run stands, and the images so far: a step counts those of its epoch."""
        last = self._last
        if last is not None and step.epoch != last.epoch:  # the end of that epoch may not have been seen
            self._before += last.position.mean.count / last.batch * last.batches
        self._last = step
        self._seen.append((now, step.position.step, self._before + step.position.mean.count))

    def note(self, batches_left: int) -> str:
        """Images a second, the time that is left, and the memory of this process."""
        words = []
        if len(self._seen) > 1:
            (before, first, seen), (now, last, count) = self._seen[0], self._seen[-1]
            seconds = max(now - before, 1e-9)
            left = _clock(batches_left * seconds / max(last - first, 1))
            words = [f"{(count - seen) / seconds:,.0f} images/s", f"{left} left"]
        used = used_memory()
        return "  ".join([*words, in_bytes(used)] if used else words)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(min(seconds, 1e8)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Display:
    """Shows nothing at all; what the others share."""

    def say(self, words: str) -> None:
        """Show a line."""

    def downloading(self, name: str, done: int, total: int | None) -> None:
        """Show how far a download is."""

    def step(self, step: Step) -> None:
        """Show how far an epoch is."""

    def epoch(self, epoch: Epoch) -> None:
        """Show the figures of a finished epoch."""

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Around reading the data, and downloads."""
        yield

    @contextmanager
    def training(self, epochs: int) -> Iterator[None]:
        """Around the epochs."""
        yield


class Lines(Display):
    """Plain lines, each one written at once."""

    def __init__(self) -> None:
        self._announced: set[str] = set()
        self._is_headed = False

    def say(self, words: str) -> None:
        """Print a line."""
        print(words, flush=True)

    def downloading(self, name: str, done: int, total: int | None) -> None:
        """Print one line for each file."""
        if name not in self._announced:
            self._announced.add(name)
            self.say(f"downloading {name}" + (f", {in_bytes(total)}" if total else ""))

    def epoch(self, epoch: Epoch) -> None:
        """Print a row, under a heading above the first."""
        if not self._is_headed:
            self._is_headed = True
            self.say(heading(epoch))
        self.say(epoch_row(epoch))


class Live(Lines):
    """Rows of epochs above a bar that shows the present one."""

    def __init__(self) -> None:
        from rich.console import Console

        super().__init__()
        self._console: Console = Console(highlight=False, no_color=not wants_color(sys.stdout))
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._batches: TaskID | None = None
        self._epochs = 0
        self._shown = 0.0
        self._pace = Pace()

    @property
    def _is_narrow(self) -> bool:
        """Whether there is no room for a bar."""
        return self._console.width < NARROW

    def say(self, words: str) -> None:
        """Print a line above the bar, exactly as it is."""
        self._console.print(words, markup=False, emoji=False, soft_wrap=True)

    def downloading(self, name: str, done: int, total: int | None) -> None:
        """Show a bar for each file."""
        bar = self._bar or self._open()
        if self._task is None or name not in self._announced:
            self._announced.add(name)
            self._task = bar.add_task(name, total=total, note="")
        bar.update(self._task, completed=done, note=in_bytes(done))

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Take the bars of downloads, if there were any, off the screen at the end."""
        try:
            yield
        finally:
            self._close()

    @contextmanager
    def training(self, epochs: int) -> Iterator[None]:
        """Keep two bars on the screen while the epochs run: all of it, and the epoch."""
        self._epochs, self._pace = epochs, Pace()
        try:
            bars = self._open()
            self._task = bars.add_task("epoch", total=None, note="")
            self._batches = bars.add_task("batch", total=None, note="")
            yield
        finally:
            self._close()

    def step(self, step: Step) -> None:
        """Move the bars, at most ten times a second."""
        now = time.monotonic()
        if self._bar is None or self._task is None or now - self._shown < REFRESH_SECONDS:
            return
        self._shown = now
        done = (step.epoch - 1) * step.batches + step.batch
        self._pace.add(now, step)
        epoch, batch = f"epoch {step.epoch}/{self._epochs}", f"batch {step.batch}/{step.batches}"
        room = self._console.width - max(len(epoch), len(batch)) - (1 if self._is_narrow else LEAST_BAR)
        self._bar.update(
            self._task,
            description=epoch,
            completed=done,
            total=self._epochs * step.batches,
            note=fitting(self._pace.note(self._epochs * step.batches - done), room),
        )
        assert self._batches is not None
        self._bar.update(
            self._batches,
            description=batch,
            completed=step.batch,
            total=step.batches,
            note=fitting(step_note(step), room),
        )

    def _open(self) -> Progress:
        """Put bars on the screen; whoever opens them closes them, though it be interrupted meanwhile."""
        from rich.progress import BarColumn, Progress, TextColumn

        bars = () if self._is_narrow else (BarColumn(bar_width=24),)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            *bars,
            TextColumn("{task.fields[note]}", markup=False),
            console=self._console,
            transient=True,
            refresh_per_second=8,
        )
        self._bar.start()
        return self._bar

    def _close(self) -> None:
        """Take the bar off the screen."""
        if self._bar is not None:
            self._bar.stop()
        self._bar = self._task = None


def choose_display(quiet: bool) -> Display:
    """The display for this run: none when quiet, live on a terminal, lines elsewhere."""
    if quiet:
        return Display()
    return Live() if sys.stdout.isatty() else Lines()
