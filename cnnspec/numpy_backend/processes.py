"""Worker processes that share the pieces of a batch.

Threads of one Python wait for each other between NumPy calls, and a thread that has slept takes as long to
wake as a call of LeNet lasts: two threads train it 1.3 times as fast as one, two processes 1.8 times. Where
the system can fork, a worker is a process that is forked when the first batch comes. It has the plan and all
weights, for these lie in memory that both share. What it is to do is a message; most batches are like the one
before, and then a bell says that the next one is there (bells.py). The rows of the batch that it reads and
those that it writes lie in shared memory too.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import signal
import sys
import warnings
import weakref
from dataclasses import astuple, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from cnnspec.numpy_backend.bells import RUNG, Bell, Ear
from cnnspec.numpy_backend.bench import Bench, Call, Share
from cnnspec.numpy_backend.blas import blas_threads
from cnnspec.numpy_backend.kernels.base import Run
from cnnspec.numpy_backend.kernels.losses import Tally
from cnnspec.numpy_backend.looping import shorten_buffer
from cnnspec.numpy_backend.meetings import Meeting, Stopped
from cnnspec.numpy_backend.memory import ALIGNMENT, aligned, shared_bytes
from cnnspec.numpy_backend.teams import Gate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from numpy.typing import NDArray

    from cnnspec.numpy_backend.ports import Arrays
    from cnnspec.numpy_backend.tasks import Task

MEET, GO_ON, STOP = b"m", b"g", b"s"


def can_fork() -> bool:
    """Whether workers may be processes: where fork is safe, and Python's threads do not run at once."""
    runs_threads_at_once = not getattr(sys, "_is_gil_enabled", lambda: True)()
    return sys.platform == "linux" and not runs_threads_at_once


class WorkerLost(MemoryError):  # noqa: N818 - what happened
    """A worker process was ended: by the system, when memory was short, or by somebody."""

    def __init__(self) -> None:
        super().__init__("a worker process was ended from outside, as the system does when memory is short")


class Processes:
    """A crew whose first worker is the caller, and the others processes."""

    def __init__(
        self, benches: list[Bench], capacity: int, stopped: NDArray[np.uint8], gate: Gate | None = None
    ) -> None:
        """Fork nothing yet.

        Args:
            benches: a place for each worker.
            capacity: bytes that a worker's share of a batch may need for what it reads and writes.
            stopped: a byte of shared memory, set while the workers are to end early.
            gate: where they wait for one another, if they are a team.
        """
        self._benches, self._capacity, self._stopped = benches, capacity, stopped
        self._gate = gate
        self._helpers: list[_Helper] = []
        self._finalizer = weakref.finalize(self, _dismiss, self._helpers)

    def run(self, task: Task, shares: list[Share], call: Call) -> Tally:
        """Do every share; the sum of their tallies, worker by worker.

        Raises:
            BaseException: what a worker raised.
            WorkerLost: a process has ended.
        """
        helpers = self._hire(len(shares) - 1)
        self._stopped[0] = 0
        meeting = _Presidency(helpers, self._stopped)
        try:
            others = task
            if self._gate is not None:
                self._gate.open()
                others = task.assisting()
            for helper, share in zip(helpers, shares[1:], strict=True):
                helper.begin(others, share, call)
            tally = self._benches[0].carry_out(task, shares[0], call, meeting)
            answers = [helper.answer() for helper in helpers]
        except BaseException as error:
            meeting.stop()
            self._settle(helpers, patiently=isinstance(error, Exception))
            raise
        for helper, share in zip(helpers, shares[1:], strict=True):
            helper.fetch(others, share)
        return sum(answers, tally)

    def close(self) -> None:
        """End the processes; a later `run` forks new ones."""
        _dismiss(self._helpers)

    def _hire(self, count: int) -> list[_Helper]:
        if not all(helper.is_ready for helper in self._helpers):
            _dismiss(self._helpers)  # interrupted in the middle of something, or gone
        if len(self._helpers) < count:
            gc.freeze()  # a collection writes to all that it looks at, which then is no longer shared
        while len(self._helpers) < count:
            bench = self._benches[len(self._helpers) + 1]
            self._helpers.append(_Helper(bench, self._capacity, self._stopped, self._helpers))
        return self._helpers[:count]

    def _settle(self, helpers: list[_Helper], *, patiently: bool) -> None:
        """Take in what the others still say; after an interrupt do not wait for it."""
        for helper in helpers if patiently else ():
            with contextlib.suppress(Exception):
                while helper.busy:
                    helper.answer()


class _Presidency(Meeting):
    """The meetings of a run as the caller sees them: the others are behind pipes."""

    def __init__(self, helpers: list[_Helper], stopped: NDArray[np.uint8]) -> None:
        super().__init__(1)
        self._helpers, self._flag = helpers, stopped

    def hold(self, worker: int, combine: Run) -> None:
        """Wait for every helper, combine, and let them go on."""
        for helper in self._helpers:
            helper.await_meeting()
        combine()
        for helper in self._helpers:
            helper.send(GO_ON)

    def expect_others(self) -> None:
        """Raise what a helper raised that has ended before its time.

        Raises:
            BaseException: its error.
            WorkerLost: it has gone.
        """
        for helper in self._helpers:
            helper.check()

    def stop(self) -> None:
        """Let helpers end at their next step, or where they wait."""
        self._flag[0] = 1
        for helper in self._helpers:
            with contextlib.suppress(WorkerLost):
                helper.stop()


class _Attendance(Meeting):
    """The meetings of a run as a helper sees them."""

    def __init__(self, pipe: Connection, ear: Ear, stopped: NDArray[np.uint8], parent: int) -> None:
        super().__init__(1)
        self._pipe, self._ear, self._flag, self._parent = pipe, ear, stopped, parent

    def hold(self, worker: int, combine: Run) -> None:
        """Say that one has come, and wait until the parts are combined."""
        self._pipe.send_bytes(MEET)
        if self._ear.message() != GO_ON:
            raise Stopped

    def go_on(self) -> None:
        """Raise `Stopped` once the caller said so."""
        if self._flag[0]:
            raise Stopped

    def expect_others(self) -> None:
        """Raise `Stopped` once the caller said so, or has gone."""
        if self._flag[0] or os.getppid() != self._parent:
            raise Stopped


class _Desk:
    """What lies between the caller and a helper: the rows of a batch, and what says that they are there."""

    def __init__(self, capacity: int) -> None:
        self.memory = shared_bytes(capacity)
        self.asked, self.done = Bell(), Bell()
        self.step = shared_bytes(8).data.cast("q")
        self.tally = shared_bytes(8 * len(fields(Tally))).data.cast("d")


class _Helper:
    """One process, seen from the caller."""

    def __init__(
        self, bench: Bench, capacity: int, stopped: NDArray[np.uint8], others: list[_Helper]
    ) -> None:
        from multiprocessing.connection import Pipe

        self.busy = False
        self.lost = False
        self._owner = os.getpid()
        self._desk = _Desk(capacity)
        self._kind: _Kind | None = None
        self._views: tuple[NDArray[Any], ...] = ()
        self._pipe, end = Pipe()
        with warnings.catch_warnings():
            # Python and JAX warn of locks that other threads may hold: the child computes with NumPy alone.
            warnings.simplefilter("ignore")
            self._process = os.fork()
        if self._process == 0:
            _live(bench, end, self._desk, stopped, [self._pipe, *(other._pipe for other in others)])
        end.close()
        self._ear = Ear(self._desk.done, self._pipe)

    @property
    def is_ready(self) -> bool:
        """Whether it can be given work."""
        return not self.busy and not self.lost and self._owner == os.getpid()

    def begin(self, task: Task, share: Share, call: Call) -> None:
        """Lay down what the share reads, and say what is to be done.

        Most batches are like the one before but for their step, and then nothing else is said.

        Raises:
            WorkerLost: nobody is there.
        """
        self.busy = True
        kind = _kind(task, share, call)
        same = kind == self._kind
        if not same:
            order = _Order.of(task, share, call)
            self._kind, self._views = kind, views(self._desk.memory, order.places())
        rows = slice(share.start, share.stop)
        picked = rows if task.rows is None else task.rows[rows]
        for array, place in zip(task.reads, self._views, strict=False):
            if isinstance(picked, slice):
                np.copyto(place, array[picked])
            else:
                np.take(array, picked, axis=0, out=place, mode="clip")  # any other mode copies
        self._desk.step[0] = call.step
        if same:
            with self._noticing():
                self._desk.asked.ring(self._pipe)
        else:
            self.send(pickle.dumps(order))

    def answer(self) -> Tally:
        """Wait for the end of the share.

        Raises:
            BaseException: what the process raised.
            WorkerLost: it has ended.
        """
        said = self._heard(self._ear.wait())
        if said == MEET:
            self.stop()
            return self.answer()
        self.busy = False
        if said != RUNG:
            raise pickle.loads(said)
        return Tally(*self._desk.tally)

    def check(self) -> None:
        """Look whether the process has ended early, while others wait for it.

        Raises:
            BaseException: what it raised.
            WorkerLost: it has gone.
        """
        if self._ear.has_message():
            self.busy = False
            raise pickle.loads(self._heard(self._ear.message()))

    def await_meeting(self) -> None:
        """Wait until the process has come to a meeting.

        Raises:
            BaseException: what it raised before.
        """
        said = self._heard(self._ear.message())
        if said != MEET:
            self.busy = False
            raise pickle.loads(said)

    def fetch(self, task: Task, share: Share) -> None:
        """Copy what the share wrote to where the caller wants it."""
        for array, place in zip(task.writes, self._views[len(task.reads) :], strict=True):
            np.copyto(array[share.start : share.stop], place)

    def stop(self) -> None:
        """Let it end where it waits. It may read this late: what it is to do next must come behind it.

        Raises:
            WorkerLost: nobody is there.
        """
        self._kind = None
        self.send(STOP)

    def send(self, message: bytes) -> None:
        """Send bytes.

        Raises:
            WorkerLost: nobody is there.
        """
        with self._noticing():
            self._pipe.send_bytes(message)

    @contextlib.contextmanager
    def _noticing(self) -> Iterator[None]:
        """Notice that nobody reads what is sent."""
        try:
            yield
        except OSError:
            self.lost = True
            raise WorkerLost from None

    def _heard(self, said: bytes | None) -> bytes:
        if said is None:
            self.lost = True
            raise WorkerLost
        return said

    def end(self) -> None:
        """End the process at once: it has nothing to save. In a fork of the caller it is somebody else's."""
        self._pipe.close()
        if os.getpid() == self._owner:
            with contextlib.suppress(OSError):
                os.kill(self._process, signal.SIGKILL)
                os.waitpid(self._process, 0)


def _dismiss(helpers: list[_Helper]) -> None:
    for helper in helpers:
        helper.end()
    if helpers:
        gc.unfreeze()
    helpers.clear()


# --- in the process -------------------------------------------------------------------------------------


def _live(
    bench: Bench,
    pipe: Connection,
    desk: _Desk,
    stopped: NDArray[np.uint8],
    foreign: list[Connection],
) -> NoReturn:
    """The life of a worker process. It ends without the caller's farewells: these are not its own."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller is interrupted, and says so
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        gc.freeze()
        for other in foreign:
            other.close()
        shorten_buffer()
        with blas_threads(1), np.errstate(all="ignore"):
            _serve(bench, pipe, desk, stopped)
    finally:
        os._exit(0)


def _serve(bench: Bench, pipe: Connection, desk: _Desk, stopped: NDArray[np.uint8]) -> None:
    parent = os.getppid()
    ear = Ear(desk.asked, pipe, parent)
    meeting = _Attendance(pipe, ear, stopped, parent)
    while (message := ear.wait()) is not None:
        if message == STOP:
            continue  # of a run that is over
        if message != RUNG:
            order = pickle.loads(message)
            task = order.task_in(desk.memory)
        call = replace(order.call, step=desk.step[0])
        try:
            tally = bench.carry_out(task, order.share, call, meeting)
        except BaseException as error:  # handed to the caller
            pipe.send_bytes(_pickled(error))
            continue
        for number, value in enumerate(astuple(tally)):
            desk.tally[number] = value
        desk.done.ring(pipe)


def _pickled(error: BaseException) -> bytes:
    """An error that can be read again."""
    try:
        data = pickle.dumps(error)
        pickle.loads(data)
    except Exception:
        data = pickle.dumps(RuntimeError(f"a worker failed: {error!r}"))
    return data


# --- messages and memory --------------------------------------------------------------------------------


_Kind = tuple[object, ...]


def _kind(task: Task, share: Share, call: Call) -> _Kind:
    """What makes two orders the same: all but the arrays themselves and the step."""
    arrays = [(array.shape[1:], array.dtype) for array in (*task.reads, *task.writes)]
    told = (call.training, call.seed, call.repeats, call.together)
    return (type(task), task.told(), len(task.reads), arrays, share, told)


Place = tuple[int, tuple[int, ...], str]
"""Where an array lies in a worker's memory, its shape and its type."""


@dataclass(frozen=True, slots=True)
class _Order:
    """What a worker is to do, but for the arrays and the step.

    `kinds` has shape and type of a row of every array, of which `reads` are read.
    """

    task: Task
    kinds: tuple[tuple[tuple[int, ...], str], ...]
    reads: int
    share: Share
    call: Call

    @classmethod
    def of(cls, task: Task, share: Share, call: Call) -> _Order:
        """The order for a share of a task."""
        kinds = tuple((array.shape[1:], array.dtype.str) for array in (*task.reads, *task.writes))
        bare = replace(task, reads=(), writes=(), rows=None)
        mine = replace(share, origin=share.start)
        return cls(bare, kinds, len(task.reads), mine, replace(call, step=0))

    def places(self) -> list[Place]:
        """Where the arrays lie, one behind the other."""
        places, start = [], 0
        for row, kind in self.kinds:
            shape = (self.share.stop - self.share.start, *row)
            places.append((start, shape, kind))
            start += aligned(_size(shape, np.dtype(kind)))
        return places

    def task_in(self, memory: NDArray[np.uint8]) -> Task:
        """The task, with its arrays in a worker's memory."""
        arrays = views(memory, self.places())
        return replace(self.task, reads=arrays[: self.reads], writes=arrays[self.reads :])


def bytes_of_a_row(arrays: Arrays) -> int:
    """The memory that a row of some arrays takes."""
    return sum(_size(array.shape[1:], array.dtype) for array in arrays)


def views(memory: NDArray[np.uint8], places: list[Place]) -> tuple[NDArray[Any], ...]:
    """The arrays at some places."""
    return tuple(
        memory[start : start + _size(shape, np.dtype(kind))].view(kind).reshape(shape)
        for start, shape, kind in places
    )


def _size(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    size = dtype.itemsize
    for n in shape:
        size *= n
    return size


assert ALIGNMENT % 16 == 0, "any element is aligned where an array begins"
