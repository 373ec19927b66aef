"""A run in a folder, from its first step or from a checkpoint on. Who watches it is a `Listener`."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from cnnspec.numpy_backend.processes import WorkerLost as ProcessLost
from cnnspec.training.backend import Backend, NumpyBackend
from cnnspec.training.checkpoint import Checkpoint, NotFinite, PlanFacts, restore
from cnnspec.training.crew import Crew, WorkerLost
from cnnspec.training.datasets import load_data
from cnnspec.training.datasets.fit import check_fits
from cnnspec.training.errors import TrainingError
from cnnspec.training.loop import Diverged, Epoch, Step
from cnnspec.training.model import TrainableModel
from cnnspec.training.record import Preparation, RunRecord, Status, start_record
from cnnspec.training.recorder import Recorder
from cnnspec.training.report import write_report
from cnnspec.training.run_folder import RunFolder, Unwritten
from cnnspec.training.runs import SavedRun
from cnnspec.training.subject import Subject, recorded_subject, spec_of
from cnnspec.training.train import TrainingResult, follow_schedule, run_epochs, usable_batch

if TYPE_CHECKING:
    from cnnspec.training.datasets import DataSet


class Stopped(Exception):  # noqa: N818 - an outcome, not a mistake
    """A run was asked to stop, and has been saved."""

    status: ClassVar[Status] = "interrupted"


class Listener:
    """Sees nothing and lets everything pass; what watches a run overrides some of it."""

    def loading(self) -> AbstractContextManager[None]:
        """Around reading the data, and downloads."""
        return contextlib.nullcontext()

    def training(self, recorder: Recorder) -> AbstractContextManager[None]:
        """Around the epochs."""
        return contextlib.nullcontext()

    def downloading(self, name: str, done: int, total: int | None) -> None:
        """How far a download is."""

    def notice(self, words: str) -> None:
        """Something that the user should know."""

    def begins(self, recorder: Recorder, subject: Subject, data: DataSet) -> None:
        """The data are there, and the model is built."""

    def step(self, step: Step) -> None:
        """A batch is done."""

    def epoch(self, epoch: Epoch, model: TrainableModel) -> object:
        """An epoch is done, and written; what is given back, if it is true, ends the run."""
        return None

    def wants_to_stop(self) -> bool:
        """Whether the run is to be saved and to end after this batch."""
        return False


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be run, and from where on.

    Attributes:
        subject: the network and its recipe.
        data_dir: the folder with the data set's files.
        record: of the run that goes on; nothing for a new one.
        checkpoint: from which it goes on; nothing where it ended before the first.
        backend: what computes it.
    """

    subject: Subject
    data_dir: Path | None = None
    record: RunRecord | None = None
    checkpoint: Checkpoint | None = None
    backend: Backend = field(default_factory=NumpyBackend)


def resume_job(
    folder: RunFolder,
    record: RunRecord,
    data_dir: Path | None,
    epochs: int | None,
    listener: Listener,
    backend: Backend | None = None,
) -> Job:
    """What is left of the run in a folder.

    Args:
        folder: the folder, locked.
        record: its record.
        data_dir: the folder with the data set's files.
        epochs: passes over the data in all, where they are to be others than those recorded.
        listener: told where a checkpoint is damaged.
        backend: what computes it; NumPy unless given.

    Raises:
        TrainingError: record and checkpoint do not belong together, or neither checkpoint is whole.
    """
    checkpoint, remark = folder.latest_checkpoint()
    if checkpoint is not None and checkpoint.about.spec != record.fingerprint():
        raise TrainingError(
            f"{folder.record} does not belong to the checkpoint beside it: one of them was changed",
            "put the record back as it was, or begin a new run",
        )
    if remark:
        listener.notice(remark)
    if checkpoint is not None and remark:  # the one that is damaged must not become the previous one
        folder.checkpoint.unlink(missing_ok=True)
    if epochs is not None:
        record = record.model_copy(update={"recipe": {**record.recipe, "epochs": epochs}})
    return Job(recorded_subject(record), data_dir, record, checkpoint, backend or NumpyBackend())


def call_the_others(job: Job | None, backend: Backend) -> None:
    """Tell the other processes what to run; nothing where there is nothing left to do.

    Raises:
        WorkerLost: one of them is gone.
    """
    backend.crew.from_first(None if job is None else (job.subject, job.record, job.checkpoint))


def called_by_first(backend: Backend, data_dir: Path | None) -> tuple[Recorder, Job] | None:
    """What process 0 tells this one to run, and a recorder that writes nothing; nothing where all is done.

    Raises:
        WorkerLost: process 0 is gone.
    """
    called: tuple[Subject, RunRecord | None, Checkpoint | None] | None = backend.crew.from_first(None)
    if called is None:
        return None
    subject, record, checkpoint = called
    recorder = Recorder(Unwritten(Path()), subject.graph.name, subject.recipe)
    return recorder, Job(subject, data_dir, record, checkpoint, backend)


def conduct(recorder: Recorder, job: Job, listener: Listener, data: DataSet | None = None) -> TrainingResult:
    """Run a job to its end, and keep its folder up to date; `closing` around it writes down other ends.

    Raises:
        TrainingError: it cannot begin or go on.
        WorkerLost: another of its processes is gone; where PyTorch computes, the run has been saved.
        Stopped: the listener asked for it; the run has been saved.
    """
    recipe, crew = job.subject.recipe, job.backend.crew
    crew.wish = listener.wants_to_stop
    if data is None:
        with listener.loading():
            with crew.in_turn():
                data = load_data(recipe.data, job.data_dir, listener.downloading)
            _check_same_data(crew, data)
    graph, facts = job.subject.graph, job.subject.facts
    check_fits(graph, facts, recipe, data)
    before = job.record.threads if job.record else None
    earlier = before if before is not None and before.backend == job.backend.name else None
    model = job.backend.build(graph, facts, recipe, usable_batch(recipe, data), earlier)
    follow_schedule(model, recipe, data)
    try:
        _begin(recorder, job, model, data, listener)
        listener.begins(recorder, job.subject, data)
        with listener.training(recorder):
            _run(recorder, model, data, listener, job.backend)
        recorder.end("finished")
        if crew.rank == 0:
            write_report(SavedRun(recorder.folder, recorder.ended), model.model, data)
    except Exception:
        model.close()
        raise
    return TrainingResult(model, tuple(recorder.history), recorder.seconds)


def _begin(recorder: Recorder, job: Job, model: TrainableModel, data: DataSet, listener: Listener) -> None:
    subject, now = job.subject, job.backend.facts(model)
    preparation = prepared(data)
    if job.record is None:
        spec = spec_of(subject.checked)
        recorder.begin(
            start_record(subject.graph, subject.facts, subject.recipe, spec, data, preparation, now)
        )
        return
    if preparation != job.record.preparation:
        changed = _changed(job.record.preparation, preparation)
        raise TrainingError(
            f"the data are not those that this run began with: {changed}",
            "name the folder with the same files with --data-dir, or begin a new run",
        )
    for words in plan_changes(job.record.threads, now):
        listener.notice(words)
    if job.checkpoint is not None:
        try:
            restore(model, job.checkpoint)
        except (ValueError, KeyError) as error:
            raise TrainingError(f"the checkpoint does not fit the network: {error}") from None
    recorder.go_on(job.record.model_copy(update={"threads": now}), job.checkpoint)


def _run(
    recorder: Recorder, model: TrainableModel, data: DataSet, listener: Listener, backend: Backend
) -> None:
    def on_step(step: Step) -> None:
        recorder.finish_step(step, model)
        listener.step(step)
        stop_where_asked()

    def on_epoch(epoch: Epoch, model: TrainableModel) -> object:
        recorder.finish_epoch(epoch, model)
        ends = listener.epoch(epoch, model)
        if epoch.number < recorder.recipe.epochs and not ends:
            stop_where_asked()
        return ends

    def stop_where_asked() -> None:
        if backend.crew.stops():
            recorder.save(model)
            raise Stopped

    try:
        run_epochs(
            model,
            recorder.recipe,
            data,
            start=recorder.position,
            history=recorder.history,
            on_epoch=on_epoch,
            on_step=on_step,
            backend=backend,
        )
    except WorkerLost:  # the model stands where it stood after the last batch
        recorder.save(model)
        raise
    except ProcessLost as error:  # and here it may have half of a batch's running statistics
        raise WorkerLost(str(error)) from None


@contextlib.contextmanager
def closing(recorder: Recorder) -> Iterator[None]:
    """Write down how a run ended that did not end well; what it raised goes on."""
    try:
        yield
    except (KeyboardInterrupt, Stopped) as end:
        with contextlib.suppress(TrainingError):
            recorder.end(end.status if isinstance(end, Stopped) else "interrupted")
        raise
    except Exception as error:
        status: Status = "diverged" if isinstance(error, Diverged | NotFinite) else "failed"
        with contextlib.suppress(TrainingError):  # the disk may be full: the first error is raised
            recorder.end(status, str(error) or type(error).__name__)
        raise


def prepared(data: DataSet) -> Preparation:
    """What is kept of the data in the record of a run."""
    labels = hashlib.sha256(data.train_y.tobytes() + data.test_y.tobytes()).hexdigest()
    return Preparation(
        shape=data.train_x.shape[1:],
        classes=data.class_names,
        black=tuple(data.scale.black.tolist()),
        range=tuple(data.scale.range.tolist()),
        labels=labels,
    )


def _check_same_data(crew: Crew, data: DataSet) -> None:
    """Refuse to train on other data than process 0 has."""
    if crew.size == 1:
        return
    own = prepared(data)
    first = crew.from_first(own)
    if own != first:
        raise TrainingError(
            f"the data of process {crew.rank} are not those of process 0: {_changed(first, own)}",
            "every machine needs the same files; --data-dir names their folder",
        )


def _changed(old: Preparation, new: Preparation) -> str:
    pairs = ((name, getattr(old, name), getattr(new, name)) for name in Preparation.model_fields)
    return "; ".join(f"{name} {before} -> {after}" for name, before, after in pairs if before != after)


def plan_changes(old: PlanFacts, new: PlanFacts) -> list[str]:
    """What is different on this machine from where a run was before, in words."""
    if "torch" in (old.backend, new.backend):
        return _torch_changes(old, new)
    words = []
    if old.cpus != new.cpus:
        words.append(
            f"this process has {new.cpus} processors, and the run had {old.cpus}: it goes on with"
            f" {_workers(new.workers)} as before, so that its numbers stay the same"
        )
    changed = [
        f"{name} was {before}, is {after}"
        for name, before, after in (("NumPy", old.numpy, new.numpy), ("BLAS", old.blas, new.blas))
        if before != after
    ]
    if old.algorithms != new.algorithms:
        changed.append("the plan computes some layers in another way")
    if changed:
        effect = "from here on the last digits may differ from those of an uninterrupted run"
        words.append(f"{'; '.join(changed)}: {effect}")
    return words


def _torch_changes(old: PlanFacts, new: PlanFacts) -> list[str]:
    """The same where PyTorch computes, or computed."""
    if old.backend != new.backend:
        return [
            f"the run was computed by {old.backend}, and goes on by {new.backend}: from here on its numbers"
            " differ in the last digits, and dropout drops others"
        ]
    compared = {
        "PyTorch": (old.torch, new.torch),
        "the device": (old.device, new.device),
        "precision": (old.precision, new.precision),
        "the number of processes": (old.workers, new.workers),
        "the number of threads": (old.blas_threads, new.blas_threads),
    }
    changed = [f"{name} was {a}, is {b}" for name, (a, b) in compared.items() if a != b]
    effect = "from here on the last digits may differ from those of an uninterrupted run"
    return [f"{'; '.join(changed)}: {effect}"] if changed else []


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"
