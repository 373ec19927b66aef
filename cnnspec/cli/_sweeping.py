"""How a sweep is shown: a live table on a terminal, a line for each trial that ends in a pipe, or nothing."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Final

from cnnspec.cli._output import wants_color
from cnnspec.cli._progress import choose_display
from cnnspec.network.table import Column

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType
    from rich.live import Live

    from cnnspec.cli._progress import Display
    from cnnspec.training.sweep.space import Held
    from cnnspec.training.sweep.study import Sweep, Trial

SHOWN: Final = 10
"""The best trials that are shown."""
REFRESH_SECONDS: Final = 0.2


def columns(sweep: Sweep) -> tuple[Column, ...]:
    """Of a table of trials."""
    names = [axis.name for axis in sweep.aim.space.axes]
    return (
        Column("trial", "right"),
        Column(sweep.aim.metric.replace("_", " "), "right"),
        *(Column(name, "right") for name in names),
        Column("epochs", "right"),
        Column("time", "right"),
        Column("status"),
    )


def row(sweep: Sweep, trial: Trial, status: str | None = None) -> tuple[str, ...]:
    """A trial in that table, where another status is given with that."""
    names = [axis.name for axis in sweep.aim.space.axes]
    of = f"/{sweep.aim.epochs}" if trial.status == "running" and "epochs" not in names else ""
    return (
        str(trial.number),
        "" if trial.value is None else f"{trial.value:.4f}",
        *(in_short(trial.held.get(name, "")) for name in names),
        f"{len(trial.figures)}{of}",
        "" if trial.seconds is None else f"{trial.seconds:.{1 if trial.seconds >= 10 else 2}f} s",
        status or trial.status,
    )


def in_short(held: Held) -> str:
    """A value to four digits."""
    return f"{held:.4g}" if isinstance(held, float) else str(held)


class Screen:
    """Shows nothing at all; what the others share."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._over = {trial.number for trial in sweep.trials() if trial.status != "running"}

    def say(self, words: str) -> None:
        """Show a line."""

    def loading(self) -> AbstractContextManager[None]:
        """Around reading the data, and downloads."""
        return nullcontext()

    def downloading(self, name: str, done: int, total: int | None) -> None:
        """Show how far a download is."""

    @contextmanager
    def working(self) -> Iterator[None]:
        """Around all trials."""
        yield

    def changed(self) -> None:
        """Show how the trials stand."""


class Lines(Screen):
    """A line for each trial that has ended."""

    def __init__(self, sweep: Sweep) -> None:
        super().__init__(sweep)
        self._display: Display = choose_display(quiet=False)

    def say(self, words: str) -> None:
        """Print a line."""
        print(words, flush=True)

    def loading(self) -> AbstractContextManager[None]:
        """Show downloads."""
        return self._display.loading()

    def downloading(self, name: str, done: int, total: int | None) -> None:
        """Show a download."""
        self._display.downloading(name, done, total)

    def changed(self) -> None:
        """Print those that have ended since."""
        for trial in self._sweep.trials():
            if trial.status != "running" and trial.number not in self._over:
                self._over.add(trial.number)
                self.say(self._line(trial))

    def _line(self, trial: Trial) -> str:
        words = [f"trial {trial.number}:", *(f"{name}={in_short(held)}" for name, held in trial.held.items())]
        if trial.value is not None:
            words.append(f"-> {self._sweep.aim.metric.replace('_', ' ')} {trial.value:.4f},")
        epochs = f" after {len(trial.figures)} epoch{'' if len(trial.figures) == 1 else 's'}"
        ended = trial.status + (epochs if trial.figures else "")
        words.append(ended + (f": {trial.why}" if trial.why else ""))
        return " ".join(words)


class LiveTable(Lines):
    """The best trials and those under way, always on the screen."""

    def __init__(self, sweep: Sweep) -> None:
        from rich.console import Console

        super().__init__(sweep)
        self._console = Console(highlight=False, no_color=not wants_color(sys.stdout))
        self._live: Live | None = None
        self._shown = 0.0
        self._began = time.monotonic()

    def loading(self) -> AbstractContextManager[None]:
        """Show downloads, unless the table is on the screen."""
        return nullcontext() if self._live else super().loading()

    def downloading(self, name: str, done: int, total: int | None) -> None:
        """Show a download, unless the table is on the screen."""
        if self._live is None:
            super().downloading(name, done, total)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Keep the table on the screen while there is work, and take it off at the end."""
        from rich.live import Live

        self._live = Live(self._table(), console=self._console, transient=True, auto_refresh=False)
        try:
            with self._live:
                yield
        finally:
            self._live = None

    def changed(self) -> None:
        """Draw the table anew, at most five times a second."""
        now = time.monotonic()
        if self._live is not None and now - self._shown >= REFRESH_SECONDS:
            self._shown = now
            self._live.update(self._table(), refresh=True)

    def _table(self) -> RenderableType:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        trials = self._sweep.trials()
        over = [trial for trial in trials if trial.status != "running"]
        table = Table(
            box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, title=self._title(len(over)),
            title_justify="left", title_style="",
        )  # fmt: skip
        for column in columns(self._sweep):
            table.add_column(column.title, justify=column.align)
        best = self._sweep.best_first()
        for trial in [one for one in best if one.status != "running"][:SHOWN]:
            style = "" if trial.status == "finished" else "dim"
            table.add_row(*map(Text, row(self._sweep, trial)), style=style)
        for trial in trials:
            if trial.status == "running":
                table.add_row(*map(Text, row(self._sweep, trial)), style="cyan")
        return table

    def _title(self, over: int) -> str:
        minutes, seconds = divmod(round(time.monotonic() - self._began), 60)
        return f"{over} of {self._sweep.aim.wanted} trials, {minutes}:{seconds:02d}"


def choose_screen(sweep: Sweep, quiet: bool) -> Screen:
    """The screen for this sweep: none when quiet, live on a terminal, lines elsewhere."""
    if quiet:
        return Screen(sweep)
    return LiveTable(sweep) if sys.stdout.isatty() else Lines(sweep)


def best_table(sweep: Sweep, trials: Sequence[Trial]) -> tuple[tuple[Column, ...], list[tuple[str, ...]]]:
    """Columns and rows of the best trials."""
    return columns(sweep), [row(sweep, trial, status_of(trial)) for trial in trials[:SHOWN]]


def status_of(trial: Trial) -> str:
    """How a trial stands; `stopped` where it is not over, and nobody is at work on it."""
    from cnnspec.training.run_folder import is_running

    return "stopped" if trial.status == "running" and not is_running(trial.path) else trial.status
