"""Worker threads that share the pieces of a batch.

The calling thread is worker 0, so that one worker needs no thread at all. The others wait on a queue each;
they are daemons, start with the first job that needs them, and hold no reference to the model between jobs.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING

from cnnspec.numpy_backend.kernels.base import nothing
from cnnspec.numpy_backend.kernels.losses import NO_TALLY, Tally, add_up
from cnnspec.numpy_backend.looping import shorten_buffer
from cnnspec.numpy_backend.meetings import Meeting, Stopped

if TYPE_CHECKING:
    from cnnspec.numpy_backend.bench import Bench, Call, Share
    from cnnspec.numpy_backend.tasks import Task

Job = Callable[[int], None]
"""Work for the worker with this number."""
Stop = Callable[[], None]
"""What lets the other jobs end early when one has failed."""
Results = dict[int, BaseException | None]
"""By worker, what its job raised."""
Inbox = SimpleQueue[tuple[Job, Stop, Results] | None]


class Threads:
    """A crew of threads, with a bench for each."""

    def __init__(self, benches: list[Bench]) -> None:
        self._benches, self._workers = benches, Workers(len(benches))

    def run(self, task: Task, shares: list[Share], call: Call) -> Tally:
        """Do every share; the sum of their tallies, worker by worker.

        Raises:
            BaseException: what a worker raised.
        """
        if len(shares) == 1:
            return self._benches[0].carry_out(task, shares[0], call, Meeting(1))
        tallies = [NO_TALLY] * len(shares)
        meeting = Meeting(len(shares))

        def job(worker: int) -> None:
            tallies[worker] = self._benches[worker].carry_out(task, shares[worker], call, meeting)

        self._workers.run(job, len(shares), meeting.stop)
        return add_up(tallies)

    def close(self) -> None:
        """End the threads; a later `run` starts new ones."""
        self._workers.close()


class Workers:
    """`count` workers."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._inboxes: list[Inbox] = []
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._results: Results = {}
        self._given = 0
        weakref.finalize(self, _dismiss, self._inboxes)

    def run(self, job: Job, count: int, stop: Stop = nothing) -> None:
        """Run `job(0)` here and `job(1)` to `job(count - 1)` in the other threads; return when all are done.

        `stop` is called when one fails; jobs that it ends raise `Stopped`.

        Raises:
            BaseException: what a job raised: this thread's own at once, that of another when all have ended.
        """
        self._wait()  # for what an interrupted call left behind
        self._hire(count - 1)
        self._results, self._given = {}, 0
        try:
            for inbox in self._inboxes[: count - 1]:
                inbox.put((job, stop, self._results))
                self._given += 1
            job(0)
            self._wait()
        except Stopped:
            self._wait()
        except BaseException:
            stop()
            raise
        failures = [self._results[number] for number in sorted(self._results)]
        for failure in failures:
            if failure is not None and not isinstance(failure, Stopped):
                raise failure

    def close(self) -> None:
        """Send the threads home; a later `run` starts new ones."""
        self._wait()
        _dismiss(self._inboxes)

    def _hire(self, count: int) -> None:
        while len(self._inboxes) < count:
            number = len(self._inboxes) + 1
            inbox: Inbox = SimpleQueue()
            self._inboxes.append(inbox)
            arguments = (number, inbox, self._bell)
            threading.Thread(target=_work, args=arguments, name=f"cnnspec-{number}", daemon=True).start()

    def _wait(self) -> None:
        """Wait until every job that was given has a result. A bell too many only looks once more."""
        while len(self._results) < self._given:
            self._bell.get()


def _work(number: int, inbox: Inbox, bell: SimpleQueue[None]) -> None:
    shorten_buffer()
    while (task := inbox.get()) is not None:
        job, stop, results = task
        failure: BaseException | None = None
        try:
            job(number)
        except BaseException as error:  # handed to the caller
            failure = error
            stop()
        results[number] = failure
        del task, job, stop, results, failure
        bell.put(None)


def _dismiss(inboxes: list[Inbox]) -> None:
    for inbox in inboxes:
        inbox.put(None)
    inboxes.clear()
