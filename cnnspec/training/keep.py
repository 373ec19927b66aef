"""Training from Python in a folder, as `cnnspec run` does it, without a word."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cnnspec.training.conduct import Job, Listener, closing, conduct, resume_job
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
) -> TrainingResult:
    """Train a checked network by a recipe, and keep the run in a folder, or go on with the run there.

    Raises:
        TrainingError: the folder cannot be written, or its run is another one.
    """
    folder, listener = RunFolder(Path(out)), Calls(on_epoch, on_step)
    if not resume or not folder.record.is_file():
        subject = make_subject(checked, recipe)
        with open_run_folder(folder.path, subject.graph.name) as made:
            return _conduct(made, Job(subject, data_dir), listener, data)
    record = read_record(folder.record)
    changes = [*differences(check_recorded(record), checked), *changed_recipe(record.recipe, recipe)]
    if changes:
        raise TrainingError(
            f"this is not what the run in {out} began with: {'; '.join(dict.fromkeys(changes))}",
            "only the number of epochs may change",
        )
    with reopen_run_folder(folder.path):
        return _conduct(folder, resume_job(folder, record, data_dir, recipe.epochs, listener), listener, data)


def _conduct(folder: RunFolder, job: Job, listener: Listener, data: DataSet | None) -> TrainingResult:
    recorder = Recorder(folder, job.subject.graph.name, job.subject.recipe)
    with closing(recorder):
        return conduct(recorder, job, listener, data)
