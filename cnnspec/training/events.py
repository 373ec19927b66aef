"""Figures for TensorBoard, in the folder `tensorboard` of a run, by the package tensorboardX."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cnnspec.training.errors import TrainingError

if TYPE_CHECKING:
    from cnnspec.training.loop import Epoch, Step
    from cnnspec.training.run_folder import RunFolder

FOLDER: Final = "tensorboard"
EACH: Final = 10
"""Steps from one point of a curve to the next."""


class Events:
    """Writes what TensorBoard shows: the loss of batches by step, the figures of epochs by epoch."""

    def __init__(self, folder: RunFolder, step: int) -> None:
        """Begin behind a step; what earlier sessions wrote from there on is no longer shown.

        Raises:
            TrainingError: the package is missing.
        """
        self._writer = _writer(folder.path / FOLDER, step)

    def step(self, step: Step) -> None:
        """Note the loss of a batch, and the learning rate."""
        number = step.position.step
        if number % EACH == 0 or number == 1:
            self._writer.add_scalar("batch/loss", step.loss, number)
            self._writer.add_scalar("batch/learning_rate", step.learning_rate, number)

    def epoch(self, epoch: Epoch) -> None:
        """Note the figures of an epoch, and see that they can be looked at."""
        for name, figure in epoch.figures.items():
            part, _, measure = name.partition("_")
            self._writer.add_scalar(f"{measure}/{part}", figure, epoch.number)
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


def check_installed() -> None:
    """See that the package is there.

    Raises:
        TrainingError: it is missing.
    """
    if find_spec("tensorboardX") is None:
        help = "install it with `pip install 'cnnspec[tensorboard]'`"
        raise TrainingError("--tensorboard needs the package tensorboardX", help)


def _writer(folder: Path, step: int) -> Any:  # noqa: ANN401 - the package is optional
    check_installed()
    from tensorboardX import SummaryWriter

    suffix = f".{step}"  # the name is else of the second, and of two files of one second the later one stays
    return SummaryWriter(str(folder), purge_step=step + 1 if step else None, filename_suffix=suffix)
