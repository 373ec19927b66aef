"""Worker threads that share the pieces of a batch.

The calling thread is worker 0, so that one worker needs no thread at all. The others wait on a queue each;
they are daemons, start with the first job that needs them, and hold no reference to the model between jobs.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue

Job = Callable[[int], None]
"""Work for the worker with this number."""


class Workers:
    """A crew of `count` workers."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._inboxes: list[SimpleQueue[Job | None]] = []
        self._outbox: SimpleQueue[BaseException | None] = SimpleQueue()
        self._unfinished = 0
        weakref.finalize(self, _dismiss, self._inboxes)

    def run(self, job: Job, count: int) -> None:
        """Run `job(0)` here and `job(1)` to `job(count - 1)` in the other threads; return when all are done.

        Raises:
            BaseException: what a job raised, once every job has ended; this thread's own goes first.
        """
        self._wait()  # for what an interrupted call left behind
        self._hire(count - 1)
        for inbox in self._inboxes[: count - 1]:
            self._unfinished += 1
            inbox.put(job)
        job(0)
        self._wait(raising=True)

    def close(self) -> None:
        """Send the threads home; a later `run` starts new ones."""
        self._wait()
        _dismiss(self._inboxes)

    def _hire(self, count: int) -> None:
        while len(self._inboxes) < count:
            number = len(self._inboxes) + 1
            inbox: SimpleQueue[Job | None] = SimpleQueue()
            self._inboxes.append(inbox)
            arguments = (number, inbox, self._outbox)
            threading.Thread(target=_work, args=arguments, name=f"cnnspec-{number}", daemon=True).start()

    def _wait(self, raising: bool = False) -> None:
        failure = None
        while self._unfinished:
            result = self._outbox.get()
            self._unfinished -= 1
            failure = failure or result
        if raising and failure is not None:
            raise failure


def _work(number: int, inbox: SimpleQueue[Job | None], outbox: SimpleQueue[BaseException | None]) -> None:
    while (job := inbox.get()) is not None:
        failure: BaseException | None = None
        try:
            job(number)
        except BaseException as error:  # handed to the caller
            failure = error
        del job
        outbox.put(failure)
        del failure


def _dismiss(inboxes: list[SimpleQueue[Job | None]]) -> None:
    for inbox in inboxes:
        inbox.put(None)
    inboxes.clear()
