"""`cnnspec sweep --jobs N`: the same command in several processes, each on its own processors."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Final

from cnnspec.cli._interruption import Interruption
from cnnspec.cli.main import FINDINGS, INTERRUPTED, OK
from cnnspec.layers.declaration import written

if TYPE_CHECKING:
    import argparse

    from cnnspec.cli._sweeping import Screen
    from cnnspec.training.sweep.study import Sweep

LOOK_SECONDS: Final = 0.2
PATIENCE_SECONDS: Final = 10.0
"""How long a process that was told twice to stop may take."""


class Jobs:
    """Processes of the same sweep, in sessions of their own: Ctrl-C reaches them by way of this one alone."""

    def __init__(self, words: list[str], number: int, stack: ExitStack) -> None:
        self._errors: list[IO[str]] = []
        self._jobs: list[subprocess.Popen[bytes]] = []
        for i in range(number):
            errors: IO[str] = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - the stack closes it
            stack.enter_context(errors)
            self._errors.append(errors)
            job = subprocess.Popen(
                [sys.executable, "-m", "cnnspec", *words, "--quiet", "--worker", f"{i}/{number}"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
            self._jobs.append(job)

    def at_work(self) -> bool:
        """Whether any has not ended."""
        return any(job.poll() is None for job in self._jobs)

    def tell(self) -> None:
        """Hand Ctrl-C on."""
        for job in self._jobs:
            if job.poll() is None:
                job.send_signal(signal.SIGINT)

    def end(self) -> None:
        """See that all have ended, gently at first."""
        until = time.monotonic() + PATIENCE_SECONDS
        while self.at_work() and time.monotonic() < until:
            time.sleep(LOOK_SECONDS / 10)
        for job in self._jobs:
            if job.poll() is None:
                job.kill()
            job.wait()

    def faults(self) -> list[str]:
        """What those that failed have said, once each."""
        said = []
        for job, errors in zip(self._jobs, self._errors, strict=True):
            if job.returncode not in (OK, INTERRUPTED):
                errors.seek(0)
                ended = f"error: a process ended with signal {-job.returncode}" if job.returncode < 0 else ""
                said.append(errors.read().strip() or ended)
        return [text for text in dict.fromkeys(said) if text]


def share_out(arguments: argparse.Namespace, sweep: Sweep, screen: Screen) -> int:
    """Let several processes work, and show how far they are; the exit status of all together."""
    with ExitStack() as stack:
        interruption = stack.enter_context(Interruption())
        jobs = Jobs(_words(arguments, sweep), arguments.jobs, stack)
        try:
            with interruption.deferred(), screen.working():
                _wait(jobs, interruption, screen)
        except KeyboardInterrupt:
            jobs.tell()
            interruption.asked = True
        finally:
            if jobs.at_work():
                jobs.tell()
            jobs.end()
        for text in jobs.faults():
            print(text, file=sys.stderr)
        return INTERRUPTED if interruption.asked else FINDINGS if jobs.faults() else OK


def _wait(jobs: Jobs, interruption: Interruption, screen: Screen) -> None:
    told = False
    while jobs.at_work():
        if interruption.asked and not told:
            jobs.tell()
            told = True
        screen.changed()
        time.sleep(LOOK_SECONDS)
    screen.changed()


def _words(arguments: argparse.Namespace, sweep: Sweep) -> list[str]:
    """The command line of a process that joins the sweep."""
    from cnnspec.cli.sweep import same_options

    aim = sweep.aim
    words = ["sweep", arguments.file, "--out", str(sweep.folder), "--trials", str(aim.trials)]
    words += ["--seed", str(aim.seed), "--metric", aim.metric, *([] if aim.pruning else ["--no-pruning"])]
    for name, text in aim.space.written().items():
        words += ["--param", f"{name}={text}"]
    for name, value in arguments.set.items():
        words += ["--set", f"{name}={written(value)}"]
    return words + same_options(arguments)
