"""What one process does for a sweep: it takes trials and trains them, until there are none left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from cnnspec.language.errors import SpecError
from cnnspec.training.backend import Backend, NumpyBackend
from cnnspec.training.checkpoint import NotFinite
from cnnspec.training.conduct import Job, Listener, Stopped, closing, conduct, resume_job
from cnnspec.training.datasets import load_data
from cnnspec.training.errors import TrainingError
from cnnspec.training.files import WriteError
from cnnspec.training.loop import Diverged, Epoch
from cnnspec.training.record import Status, read_record
from cnnspec.training.recorder import Recorder

if TYPE_CHECKING:
    from cnnspec.recipe import DataKind
    from cnnspec.training.datasets import DataSet
    from cnnspec.training.model import TrainableModel
    from cnnspec.training.subject import Subject
    from cnnspec.training.sweep.space import Held
    from cnnspec.training.sweep.study import Claim, Sweep

SubjectOf = Callable[["Mapping[str, Held]"], "Subject"]
"""The network and the recipe of a trial; raises `SpecError` or `TrainingError` where they do not fit."""


class Onlooker(Protocol):
    """Who shows a sweep, and may stop it."""

    def loading(self) -> AbstractContextManager[None]:
        """Around reading the data, and downloads."""

    def downloading(self, name: str, done: int, total: int | None) -> None:
        """How far a download is."""

    def changed(self) -> None:
        """A trial has begun, is an epoch further, or has ended."""

    def wants_to_stop(self) -> bool:
        """Whether the trial is to be saved, and the work to end."""


class Pruned(Stopped):
    """A trial was worse than most, and has been saved."""

    status: ClassVar[Status] = "pruned"


class NotMeasured(TrainingError):  # noqa: N818 - a state of all trials
    """The figure that is to decide is none of a run's."""


class _Watch(Listener):
    """Tells the study of each epoch, and ends what has no hope."""

    def __init__(self, sweep: Sweep, claim: Claim, recorder: Recorder, onlooker: Onlooker) -> None:
        self._sweep, self._claim, self._recorder, self._onlooker = sweep, claim, recorder, onlooker

    def epoch(self, epoch: Epoch, model: TrainableModel) -> object:
        """An epoch is done, and written."""
        number, last = self._claim.number, self._recorder.recipe.epochs
        self._sweep.report(number, figures_of(self._recorder.history, self._sweep.aim.metric))
        self._onlooker.changed()
        if epoch.number < last and self._sweep.is_hopeless(number):
            raise Pruned
        return None

    def wants_to_stop(self) -> bool:
        """Whether the onlooker says so."""
        return self._onlooker.wants_to_stop()


class Worker:
    """Trains one trial after the other."""

    def __init__(
        self,
        sweep: Sweep,
        subject_of: SubjectOf,
        data_dir: Path | None,
        onlooker: Onlooker,
        backend: Backend | None = None,
    ) -> None:
        self._sweep, self._subject_of, self._data_dir, self._onlooker = sweep, subject_of, data_dir, onlooker
        self._backend = backend or NumpyBackend()
        self._loaded: tuple[DataKind, DataSet] | None = None

    def work(self) -> None:
        """Until all trials are done or somebody else is at work on them, or the onlooker wants to stop.

        Raises:
            TrainingError: no trial could come to anything: the data cannot be read, the disk is full.
        """
        while not self._onlooker.wants_to_stop():
            with self._sweep.claim() as claim:
                if claim is None:
                    return
                self._onlooker.changed()
                try:
                    self._try(claim)
                except (Stopped, KeyboardInterrupt):
                    self._sweep.leave(claim.number)
                    raise
            self._onlooker.changed()

    def load(self, kind: DataKind) -> DataSet:
        """The data of a trial, which are kept for the next.

        Raises:
            DataError: they cannot be read.
        """
        if self._loaded is None or self._loaded[0] != kind:
            with self._onlooker.loading():
                self._loaded = kind, load_data(kind, self._data_dir, self._onlooker.downloading)
        return self._loaded[1]

    def _try(self, claim: Claim) -> None:
        number, sweep = claim.number, self._sweep
        try:
            recorder = self._train(claim)
        except Pruned:
            sweep.end(number, "pruned", seconds=_seconds(claim))
        except (Diverged, NotFinite) as error:
            sweep.end(number, "diverged", seconds=_seconds(claim), why=str(error))
        except (WriteError, NotMeasured):
            raise
        except SpecError as error:
            sweep.end(number, "failed", why=error.diagnostics[0].message)
        except TrainingError as error:
            sweep.end(number, "failed", seconds=_seconds(claim), why=error.message)
        else:
            figures = figures_of(recorder.history, sweep.aim.metric)
            sweep.report(number, figures)
            best = max(figures.values()) if sweep.higher_is_better else min(figures.values())
            sweep.end(number, "finished", best, _seconds(claim))

    def _train(self, claim: Claim) -> Recorder:
        """Train from the beginning, or from where another process left the trial."""
        subject = self._subject_of(claim.held)
        job = Job(subject, self._data_dir, backend=self._backend)
        if claim.folder.record.is_file():
            record = read_record(claim.folder.record)
            epochs = subject.recipe.epochs
            job = resume_job(claim.folder, record, self._data_dir, epochs, Listener(), self._backend)
        recorder = Recorder(claim.folder, subject.graph.name, subject.recipe)
        watch = _Watch(self._sweep, claim, recorder, self._onlooker)
        with closing(recorder):
            conduct(recorder, job, watch, self.load(subject.recipe.data)).model.close()
        return recorder


def figures_of(history: list[Epoch], metric: str) -> dict[int, float]:
    """The figure that decides, by epoch.

    Raises:
        NotMeasured: it is none of theirs.
    """
    if history and metric not in history[-1].figures:
        there = ", ".join(f"`{name}`" for name in history[-1].figures)
        raise NotMeasured(f"`{metric}` is not measured in these runs", f"there is {there}: write --metric")
    return {epoch.number: epoch.figures[metric] for epoch in history}


def _seconds(claim: Claim) -> float:
    """What a trial took, in all its sessions."""
    if not claim.folder.record.is_file():
        return 0.0
    timing = read_record(claim.folder.record).timing
    return timing.total_seconds if timing else 0.0
