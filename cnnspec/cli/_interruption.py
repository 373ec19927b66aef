"""Ctrl-C and SIGTERM during training: the batch that is under way is finished first, and the run saved."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Final, Self

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
NOTICE: Final = "\nstopping after this batch; once more stops at once\n"


class Interruption:
    """Turns both signals into `KeyboardInterrupt`; within `deferred`, the first one only sets `asked`."""

    def __init__(self) -> None:
        self.asked = False
        self._deferring = False

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
        if self.asked or not self._deferring:
            raise KeyboardInterrupt
        self.asked = True
        with contextlib.suppress(OSError):
            os.write(sys.stderr.fileno(), NOTICE.encode())
