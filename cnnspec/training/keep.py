"""Training from Python in a folder, as `cnnspec run` does it, without a word."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from cnnspec.training.backend import Backend
from cnnspec.training.checkpoint import PlanFacts
from cnnspec.training.conduct import (
    Job,
    Listener,
    call_the_others,
    called_by_first,
    closing,
    conduct,
    resume_job,
)
from cnnspec.training.crew import launched
from cnnspec.training.errors import TrainingError
from cnnspec.training.loop import Epoch, OnStep, Step
from cnnspec.training.record import read_record
from cnnspec.training.recorder import Recorder
from cnnspec.training.run_folder import RunFolder, open_run_folder, reopen_run_folder
from cnnspec.training.subject import changed_recipe, check_recorded, differences, make_subject

if TYPE_CHECKING:
    from cnnspec.network.check import Checked
    from cnnspec.recipe import Recipe
    from cnnspec.training.datasets import DataSet
    from cnnspec.training.model import TrainableModel
    from cnnspec.training.train import OnEpoch, TrainingResult

Opens = Callable[[PlanFacts | None], AbstractContextManager[Backend]]
"""Gives what computes a run, from how it was computed so far."""


class Calls(Listener):
    """Hands steps and epochs to functions."""

    def __init__(self, on_epoch: OnEpoch, on_step: OnStep) -> None:
        self._on_epoch, self._on_step = on_epoch, on_step

    def step(self, step: Step) -> None:
        """A batch is done."""
        self._on_step(step)

    def epoch(self, epoch: Epoch, model: TrainableModel) -> object:
        """An epoch is done, and written."""
        return self._on_epoch(epoch, model)


def train_in_folder(
    checked: Checked,
    recipe: Recipe,
    out: str,
    data: DataSet | None,
    data_dir: Path | None,
    *,
    resume: bool,
    on_epoch: OnEpoch,
    on_step: OnStep,
    opens: Opens,
) -> TrainingResult:
    """Train a checked network by a recipe, and keep the run in a folder, or go on with the run there.

    Of several processes the first one does so, and the others train along.

    Raises:
        TrainingError: the folder cannot be written, or its run is another one.
    """
    folder, listener = RunFolder(Path(out)), Calls(on_epoch, on_step)
    place = launched()
    if place is not None and place.rank:
        return _follow(opens, data_dir, listener, data)
    if not resume or not folder.record.is_file():
        subject = make_subject(checked, recipe)
        with opens(None) as backend, open_run_folder(folder.path, subject.graph.name) as made:
            return _conduct(made, Job(subject, data_dir, backend=backend), listener, data)
    record = read_record(folder.record)
    changes = [*differences(check_recorded(record), checked), *changed_recipe(record.recipe, recipe)]
    if changes:
        raise TrainingError(
            f"this is not what the run in {out} began with: {'; '.join(dict.fromkeys(changes))}",
            "only the number of epochs may change",
        )
    with opens(record.threads) as backend, reopen_run_folder(folder.path):
        job = resume_job(folder, record, data_dir, recipe.epochs, listener, backend)
        return _conduct(folder, job, listener, data)


def _conduct(folder: RunFolder, job: Job, listener: Listener, data: DataSet | None) -> TrainingResult:
    recorder = Recorder(folder, job.subject.graph.name, job.subject.recipe)
    with closing(recorder):
        call_the_others(job, job.backend)
        return conduct(recorder, job, listener, data)


def _follow(opens: Opens, data_dir: Path | None, listener: Listener, data: DataSet | None) -> TrainingResult:
    """Train along with process 0, without a file."""
    with opens(None) as backend:
        called = called_by_first(backend, data_dir)
        if called is None:
            raise TrainingError("process 0 of this run has not begun")
        recorder, job = called
        with closing(recorder):
            return conduct(recorder, job, listener, data)
