"""Ctrl-C and SIGTERM during training: the batch that is under way is finished first, and the run saved."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Final, Self

from cnnspec.training.crew import launched

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
NOTICE: Final = "\nstopping after this batch; once more stops at once\n"

ONE_SIGNAL_SECONDS: Final = 5.0
"""Within this time the signals of a process that torchrun has started count as one."""


class Interruption:
    """Turns both signals into `KeyboardInterrupt`; within `deferred`, the first one only sets `asked`."""

    def __init__(self, one_signal_seconds: float = 0.0, *, quiet: bool = False) -> None:
        """Signals within so many seconds count as one; when quiet, none is answered."""
        self.asked = False
        self._deferring = False
        self._quiet, self._one_signal, self._asked_at = quiet, one_signal_seconds, 0.0

    @classmethod
    def here(cls) -> Self:
        """As it fits this process: torchrun hands a signal on to processes that have had it already."""
        place = launched()
        return cls(ONE_SIGNAL_SECONDS, quiet=place.rank > 0) if place else cls()

    def __enter__(self) -> Self:
        self._before = [signal.signal(number, self._note) for number in SIGNALS]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in zip(SIGNALS, self._before, strict=True):
            signal.signal(number, handler)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Hold the first signal back: whoever works here asks for it between two batches."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.asked and now - self._asked_at < self._one_signal:
            return
        if self.asked or not self._deferring:
            raise KeyboardInterrupt
        self.asked, self._asked_at = True, now
        if self._quiet:
            return
        with contextlib.suppress(OSError):
            os.write(sys.stderr.fileno(), NOTICE.encode())
