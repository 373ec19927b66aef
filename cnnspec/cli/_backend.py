"""What computes a run: the options that choose it, and the processes of torchrun that share one."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cnnspec.bridges.needed import MissingPackage
from cnnspec.cli._progress import Display
from cnnspec.cli._training import print_error
from cnnspec.cli._watch import Watch
from cnnspec.cli.main import FINDINGS, INTERRUPTED, OK, CommandError
from cnnspec.numpy_backend.choices import NO_CHOICES, Choices
from cnnspec.training.backend import Backend, Choice, NumpyBackend
from cnnspec.training.conduct import Stopped, called_by_first, closing, conduct
from cnnspec.training.crew import WorkerLost, launched
from cnnspec.training.errors import TrainingError
from cnnspec.training.record import launch, read_record
from cnnspec.training.run_folder import RunFolder, newest_run

if TYPE_CHECKING:
    from cnnspec.training.checkpoint import PlanFacts


def check_backend(arguments: argparse.Namespace, *, shares: Literal["batches", "trials"] = "batches") -> None:
    """See that the options go together.

    Raises:
        CommandError: they do not.
    """
    place = launched()
    started = f"torchrun has started {place.size} processes" if place is not None and place.size > 1 else ""
    if started and shares == "trials":
        message = f"{started} that share every batch, and a sweep shares out whole trials"
        raise CommandError(message, "without torchrun, `--jobs N` starts N processes")
    if started and arguments.backend != "torch":
        message = f"{started}, and only PyTorch shares a run among them"
        raise CommandError(message, "add --backend torch")
    resumes = shares == "batches" and arguments.resume is not None
    for option in ("device", "precision"):
        known = arguments.backend == "torch" or (arguments.backend is None and resumes)
        if getattr(arguments, option) is not None and not known:
            raise CommandError(f"--{option} is for PyTorch", "add --backend torch")


@contextmanager
def open_backend(
    arguments: argparse.Namespace,
    recorded: PlanFacts | None = None,
    turn: int | None = None,
    choices: Choices = NO_CHOICES,
) -> Iterator[Backend]:
    """What computes a run: as the command line says, or else as it was computed so far.

    Args:
        arguments: of the command line.
        recorded: how the run was computed.
        turn: the number of this process among those that train networks of their own on this machine.
        choices: what is settled about the plan of NumPy where a run begins.

    Raises:
        TrainingError: PyTorch or a device is missing, or the other processes are not met.
    """
    chosen = Choice(arguments.backend, arguments.device, arguments.precision).after(recorded)
    if chosen.backend == "numpy":
        yield NumpyBackend(choices)
        return
    try:
        from cnnspec.torch_backend import TorchBackend
    except MissingPackage as error:
        raise TrainingError(f"--backend torch: {error.msg}", error.help) from None
    with TorchBackend(chosen.device or "cpu", chosen.precision, turn) as backend:
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


def follow(arguments: argparse.Namespace) -> int:
    """What every process but the first one does: its share, without a word and without a file."""
    with open_backend(arguments) as backend:
        called = called_by_first(backend, arguments.data_dir)
        if called is None:
            return OK
        recorder, job = called
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
