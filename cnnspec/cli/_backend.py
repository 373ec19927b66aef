"""What computes a run: the options that choose it, and the processes of torchrun that share one."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cnnspec.bridges.needed import MissingPackage
from cnnspec.cli._progress import Display
from cnnspec.cli._training import print_error
from cnnspec.cli._watch import Watch
from cnnspec.cli.main import FINDINGS, INTERRUPTED, OK, CommandError
from cnnspec.training.backend import Backend, NumpyBackend
from cnnspec.training.conduct import Job, Stopped, closing, conduct
from cnnspec.training.crew import WorkerLost, launched
from cnnspec.training.errors import TrainingError
from cnnspec.training.record import launch, read_record
from cnnspec.training.recorder import Recorder
from cnnspec.training.run_folder import RunFolder, Unwritten, newest_run

if TYPE_CHECKING:
    from cnnspec.training.checkpoint import PlanFacts


def check_backend(arguments: argparse.Namespace) -> None:
    """See that the options go together.

    Raises:
        CommandError: they do not.
    """
    place = launched()
    if place is not None and place.size > 1 and arguments.backend != "torch":
        message = f"torchrun has started {place.size} processes, and only PyTorch shares a run among them"
        raise CommandError(message, "add --backend torch")
    for option in ("device", "precision"):
        if getattr(arguments, option) is not None and arguments.backend == "numpy":
            raise CommandError(f"--{option} is for PyTorch", "add --backend torch")
    if arguments.backend is None and arguments.resume is None and (arguments.device or arguments.precision):
        option = "device" if arguments.device else "precision"
        raise CommandError(f"--{option} is for PyTorch", "add --backend torch")


@contextmanager
def open_backend(arguments: argparse.Namespace, recorded: PlanFacts | None = None) -> Iterator[Backend]:
    """What computes a run: as the command line says, or else as it was computed so far.

    Raises:
        TrainingError: PyTorch or a device is missing, or the other processes are not met.
    """
    name = arguments.backend or (recorded.backend if recorded else "numpy")
    if name == "numpy":
        yield NumpyBackend()
        return
    try:
        from cnnspec.torch_backend import TorchBackend
    except MissingPackage as error:
        raise TrainingError(f"--backend torch: {error.msg}", error.help) from None
    device, precision = arguments.device, arguments.precision
    if recorded is not None and recorded.backend == name:
        device = device or recorded.device.partition(":")[0]
        precision = precision or (recorded.precision if recorded.device.startswith(device) else None)
    with TorchBackend(device or "cpu", precision) as backend:
        yield backend


def restarted(out: Path | None, name: str) -> Path | None:
    """The folder of the run that torchrun has started again, and that is to go on."""
    place = launched()
    if place is None or not place.restarts:
        return None
    path = out or newest_run(name)
    if path is None or not RunFolder(path).record.is_file():
        return None
    record = read_record(RunFolder(path).record)
    same = record.sessions[-1].launch == launch() and record.status != "finished"
    return path if same else None


def call_the_others(job: Job | None, backend: Backend) -> None:
    """Tell the other processes what to run; nothing where there is nothing left to do.

    Raises:
        WorkerLost: one of them is gone.
    """
    backend.crew.from_first(None if job is None else (job.subject, job.record, job.checkpoint))


def follow(arguments: argparse.Namespace) -> int:
    """What every process but the first one does: its share, without a word and without a file."""
    with open_backend(arguments) as backend:
        called = backend.crew.from_first(None)
        if called is None:
            return OK
        subject, record, checkpoint = called
        job = Job(subject, arguments.data_dir, record, checkpoint, backend)
        recorder = Recorder(Unwritten(Path()), subject.graph.name, subject.recipe)
        try:
            with _Silent() as watch, closing(recorder):
                conduct(recorder, job, watch).model.close()
        except (KeyboardInterrupt, Stopped):
            return INTERRUPTED
        except TrainingError:
            return FINDINGS
    return OK


class _Silent(Watch):
    """Shows nothing but what is wrong with this machine's data."""

    def __init__(self) -> None:
        super().__init__(Display(), quiet=True, tensorboard=False)

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Around reading the data."""
        try:
            yield
        except WorkerLost:
            raise
        except TrainingError as error:
            print_error(error)
            raise
