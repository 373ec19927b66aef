"""A bench: the memory of one worker, and what it does there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from cnnspec.numpy_backend.kernels.base import Run
from cnnspec.numpy_backend.kernels.losses import NO_TALLY, Tally, add_up
from cnnspec.numpy_backend.meetings import Meeting, in_step
from cnnspec.numpy_backend.memory import allocate
from cnnspec.numpy_backend.program import Program, Tables
from cnnspec.numpy_backend.tasks import Forward
from cnnspec.numpy_backend.teams import Seat

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.numpy_backend.meetings import Pass
    from cnnspec.numpy_backend.plan import Plan
    from cnnspec.numpy_backend.tasks import Task


@dataclass(frozen=True, slots=True)
class Call:
    """What is the same for all workers of a run.

    Attributes:
        training: whether layers that act in training only do so.
        seed: what random masks derive from, together with `step`.
        step: the number of the batch.
        repeats: whether this computes again what was computed before, and changes no state.
        together: whether the pieces of the batch meet, so that each needs memory of its own.
    """

    training: bool
    seed: int
    step: int
    repeats: bool
    together: bool


@dataclass(frozen=True, slots=True)
class Share:
    """The images of a worker: from `start` to `stop` of the batch, in pieces of up to `piece`.

    The task's arrays begin with image `origin` of the batch.
    """

    start: int
    stop: int
    piece: int
    origin: int = 0

    @property
    def pieces(self) -> list[slice]:
        """The images of each piece."""
        return [slice(i, min(i + self.piece, self.stop)) for i in range(self.start, self.stop, self.piece)]


class Bench:
    """The memory of one worker's pieces, and its programs by piece and by the number of images they take.

    In a team, the worker has a `seat`.
    """

    def __init__(self, plan: Plan, tables: Tables, worker: int, seat: Seat | None = None) -> None:
        self.worker, self._seat = worker, seat
        self._plan, self._tables = plan, tables
        self._arenas: list[NDArray[np.uint8]] = []
        self._programs: dict[tuple[int, int], Program] = {}

    def program(self, piece: int, n: int) -> Program:
        """The program for `n` images in the memory of a piece, made when it is first asked for."""
        while len(self._arenas) <= piece:
            self._arenas.append(allocate(self._plan.arena_bytes))
        if (piece, n) not in self._programs:
            number = self.worker * self._plan.in_step + piece
            arena = self._arenas[piece]
            self._programs[piece, n] = Program(self._plan, n, arena, self._tables, number, self._seat)
        return self._programs[piece, n]

    def carry_out(self, task: Task, share: Share, call: Call, meeting: Meeting) -> Tally:
        """Do a share of a task, piece by piece, or all pieces side by side where they meet.

        Raises:
            Stopped: another worker failed.
        """
        if isinstance(task, Forward) and not self._plan.training:
            return self._predict(task, share, meeting)
        pieces = list(enumerate(share.pieces))
        hold: Callable[[Run], None] = partial(meeting.hold, self.worker)
        tallies = []
        for group in [pieces] if call.together else [[piece] for piece in pieces]:
            passes = [self._begin(task, number, images, share, call, meeting) for number, images in group]
            tallies.append(in_step(passes, hold))
        return add_up(tallies)

    def _predict(self, task: Forward, share: Share, meeting: Meeting) -> Tally:
        """Forward, of a plan for prediction: no piece waits for another one."""
        for images in share.pieces:
            meeting.go_on()
            program = self.program(0, images.stop - images.start)
            program.meeting = meeting
            task.at_once(program, slice(images.start - share.origin, images.stop - share.origin))
        return NO_TALLY

    def _begin(
        self, task: Task, number: int, images: slice, share: Share, call: Call, meeting: Meeting
    ) -> Pass:
        program = self.program(number if call.together else 0, images.stop - images.start)
        program.meeting, moment = meeting, program.moment
        moment.training, moment.seed, moment.step = call.training, call.seed, call.step
        moment.repeats, moment.first, moment.image = call.repeats, number == 0, images.start
        return task.begin(program, slice(images.start - share.origin, images.stop - share.origin))
