"""How two processes tell each other that something is there.

A bell is a counter in memory that both share. One process raises it, the other looks at it again and again:
two that look hear each other within a microsecond, where a message through a pipe takes ten. Who has looked
in vain for a while says so, and sleeps at the pipe, from which the other wakes it; to wake takes fifty.
"""

from __future__ import annotations

import os
import select
import threading
import time
from typing import TYPE_CHECKING, Final

from cnnspec.numpy_backend.memory import shared_bytes
from cnnspec.numpy_backend.teams import LINE, LOOKS, in_order

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

SPIN: Final = 3e-4
"""Seconds for which one looks before one sleeps."""
WATCH: Final = 2.0
"""Seconds after which a process that waits for work looks whether its parent is still there."""
RUNG, WAKE = b"r", b"w"


class Bell:
    """A bell that one process rings and another one hears; made before they part."""

    def __init__(self) -> None:
        self._words = shared_bytes(2 * LINE * 8).data.cast("q")
        self._fence = threading.Lock()
        self._looked_at = in_order()

    @property
    def count(self) -> int:
        """How often it has been rung."""
        return self._words[0]

    def ring(self, pipe: Connection) -> None:
        """Ring it, and wake at the pipe who sleeps there.

        What was written to shared memory before is there when it is heard.
        """
        self._words[0] += 1
        self._settle()
        if not self._looked_at or self._words[LINE]:
            pipe.send_bytes(WAKE)

    def heard(self, count: int) -> bool:
        """Look whether it has been rung more often than that, as often as one looks at a time."""
        words = self._words
        return any(words[0] != count for _ in range(LOOKS if self._looked_at else 0))

    def sleep(self, asleep: bool) -> None:
        """Say whether one sleeps at the pipe."""
        self._words[LINE] = asleep
        self._settle()

    def _settle(self) -> None:
        """Let others see what was written before anything else is read: to take a lock is a full barrier."""
        with self._fence:
            pass


class Ear:
    """Where a process waits for a bell, or a message that comes instead through the pipe."""

    def __init__(self, bell: Bell, pipe: Connection, parent: int | None = None) -> None:
        """A process with a `parent` asks now and then whether it is still there."""
        self._bell, self._pipe, self._parent = bell, pipe, parent
        self._count = 0
        self._poller = select.poll()
        self._poller.register(pipe.fileno(), select.POLLIN)

    def wait(self) -> bytes | None:
        """`RUNG`, or a message, or nothing once the other end is closed or the parent has gone."""
        until = time.perf_counter() + SPIN
        while not self._bell.heard(self._count):
            if self._poller.poll(0) or time.perf_counter() > until:
                return self._at_the_pipe()
            os.sched_yield()
        self._count += 1
        return RUNG

    def message(self) -> bytes | None:
        """The next message, whatever rings; nothing once the other end is closed or the parent has gone."""
        until = time.perf_counter() + SPIN
        while not self._poller.poll(0) and time.perf_counter() < until:
            pass
        while (said := self._received()) == WAKE:
            pass
        return said

    def has_message(self) -> bool:
        """Whether something can be read."""
        return bool(self._poller.poll(0))

    def _at_the_pipe(self) -> bytes | None:
        self._bell.sleep(True)
        try:
            while not self._bell.heard(self._count):
                if (said := self._received()) != WAKE:
                    return said
                if self._bell.count != self._count:
                    break
        finally:
            self._bell.sleep(False)
        self._count += 1
        return RUNG

    def _received(self) -> bytes | None:
        while self._parent is not None and not self._poller.poll(int(1000 * WATCH)):
            if os.getppid() != self._parent:
                return None
        try:
            return self._pipe.recv_bytes()
        except (EOFError, OSError):
            return None
