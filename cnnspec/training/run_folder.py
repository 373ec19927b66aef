"""What a run leaves behind, and keeps up to date while it goes on.

Every file is whole at every moment. Times stand in `times.csv` and `run.json` alone: the other logs, the
weights and the checkpoints of equal runs are equal, byte for byte.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cnnspec.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from cnnspec.training.errors import TrainingError
from cnnspec.training.files import ReadError, WriteError, append, remove_temporary, write_atomically
from cnnspec.training.loop import Epoch
from cnnspec.training.record import RunRecord
from cnnspec.training.tensors import Arrays, DamagedFile, serialize

if TYPE_CHECKING:
    from collections.abc import Mapping

RUNS: Final = Path("runs")
TIMES: Final = ("epoch", "seconds", "images_per_second")


class NoCheckpoint(TrainingError):  # noqa: N818 - a state of the folder
    """A run folder holds nothing that its run could go on from."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one run; `made` are the folders that were created for it, the innermost last."""

    path: Path
    made: tuple[Path, ...] = ()

    @property
    def weights(self) -> Path:
        """The weights after the last finished epoch."""
        return self.path / "weights.safetensors"

    @property
    def best(self) -> Path:
        """The weights after the best epoch."""
        return self.path / "best.safetensors"

    @property
    def checkpoint(self) -> Path:
        """What the run can go on from."""
        return self.path / "checkpoint.safetensors"

    @property
    def previous(self) -> Path:
        """The checkpoint before."""
        return self.path / "checkpoint.previous.safetensors"

    @property
    def metrics(self) -> Path:
        """The figures of each finished epoch, as a table."""
        return self.path / "metrics.csv"

    @property
    def events(self) -> Path:
        """The same figures to the last bit, a JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def times(self) -> Path:
        """How long each epoch took."""
        return self.path / "times.csv"

    @property
    def record(self) -> Path:
        """What was run, with what, and how it ended."""
        return self.path / "run.json"

    @property
    def curves(self) -> Path:
        """The drawing of the figures."""
        return self.path / "curves.svg"

    @property
    def report(self) -> Path:
        """The page about the run."""
        return self.path / "report.html"

    # --- writing ------------------------------------------------------------------------------------------

    def begin(self, record: RunRecord, history: Sequence[Epoch] = ()) -> None:
        """Write the record, and logs that hold so many epochs.

        What a run that was killed has left half written is removed, and what it logged behind its checkpoint.
        """
        remove_temporary(self.path)
        self.write_record(record)
        times = "".join(time_row(epoch) for epoch in history)
        write_atomically(self.times, f"{','.join(TIMES)}\n{times}".encode())
        write_atomically(self.metrics, (header(history[:1]) + "".join(map(row, history))).encode())
        write_atomically(self.events, "".join(map(event, history)).encode())

    def add_epoch(self, epoch: Epoch) -> None:
        """Add an epoch to the logs."""
        append(self.times, time_row(epoch).encode())
        if epoch.number == 1:
            write_atomically(self.metrics, (header([epoch]) + row(epoch)).encode())
        else:
            append(self.metrics, row(epoch).encode())
        append(self.events, event(epoch).encode())

    def write_weights(self, path: Path, weights: Arrays, network: str, epoch: int) -> None:
        """Write the weights after an epoch."""
        about = json.dumps({"network": network, "epoch": epoch})
        write_atomically(path, *serialize(weights, about))

    def write_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, and keep the one before."""
        write_checkpoint(self.checkpoint, self.previous, checkpoint)

    def write_record(self, record: RunRecord) -> None:
        """Write the record anew."""
        write_atomically(self.record, record.text().encode(errors="replace"))

    def write_curves(self, drawing: str) -> None:
        """Write the drawing."""
        write_atomically(self.curves, drawing.encode())

    # --- reading ------------------------------------------------------------------------------------------

    def latest_checkpoint(self) -> tuple[Checkpoint | None, str]:
        """The newest checkpoint that is whole, or nothing before the first; and what is to be said of it.

        Raises:
            NoCheckpoint: there are some, and none is whole.
        """
        problems: list[str] = []
        for path in (self.checkpoint, self.previous):
            try:
                found = read_checkpoint(path)
            except ReadError as error:
                problems += [error.message] if path.exists() else []
            except DamagedFile as error:
                problems.append(error.message)
            else:
                return found, "; ".join([*problems, f"going on from {path}"] if problems else [])
        if problems:
            help = "the run cannot go on; begin it anew, in another folder"
            raise NoCheckpoint("; ".join(problems), help)
        return None, "the run ended before its first checkpoint: it begins anew"

    def logged(self) -> tuple[Epoch, ...]:
        """The epochs in the logs; a line that a kill has cut short ends them."""
        epochs: list[Epoch] = []
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            for line in self.events.read_text("utf-8").splitlines():
                values = {name: float(value) for name, value in json.loads(line).items()}
                number, rate = int(values.pop("epoch")), values.pop("learning_rate")
                epochs.append(Epoch(number, values, rate))
        return self.with_times(epochs)

    def with_times(self, history: Sequence[Epoch]) -> tuple[Epoch, ...]:
        """The epochs with the times that were logged; zeros where they are lost."""
        return tuple(
            replace(epoch, seconds=seconds, images_per_second=speed)
            for epoch, (seconds, speed) in zip(history, self._times(len(history)), strict=True)
        )

    def _times(self, epochs: int) -> list[tuple[float, float]]:
        found = dict.fromkeys(range(1, epochs + 1), (0.0, 0.0))
        with contextlib.suppress(OSError, UnicodeDecodeError):
            for line in self.times.read_text("utf-8").splitlines()[1:]:
                with contextlib.suppress(ValueError):
                    number, seconds, speed = line.split(",")
                    if int(number) in found:
                        found[int(number)] = float(seconds), float(speed)
        return list(found.values())


class Unwritten(RunFolder):
    """The folder of a run that another process of the same run writes."""

    def begin(self, record: RunRecord, history: Sequence[Epoch] = ()) -> None:
        """Write nothing."""

    def add_epoch(self, epoch: Epoch) -> None:
        """Write nothing."""

    def write_weights(self, path: Path, weights: Arrays, network: str, epoch: int) -> None:
        """Write nothing."""

    def write_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Write nothing."""

    def write_record(self, record: RunRecord) -> None:
        """Write nothing."""

    def write_curves(self, drawing: str) -> None:
        """Write nothing."""


def header(history: Sequence[Epoch]) -> str:
    """The first line of the table. Before the first epoch, its figures are those of a classifier."""
    usual = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
    figures: Mapping[str, float] | tuple[str, ...] = history[0].figures if history else usual
    return ",".join(["epoch", *figures, "learning_rate"]) + "\n"


def row(epoch: Epoch) -> str:
    """One line of the table, each number as short as it can be exact to six digits."""
    figures = [f"{figure:.6g}" for figure in (*epoch.figures.values(), epoch.learning_rate)]
    return ",".join([str(epoch.number), *figures]) + "\n"


def event(epoch: Epoch) -> str:
    """One line of JSON, each number exact."""
    return json.dumps({"epoch": epoch.number, **epoch.figures, "learning_rate": epoch.learning_rate}) + "\n"


def time_row(epoch: Epoch) -> str:
    """One line of the table of times."""
    return f"{epoch.number},{epoch.seconds:.6g},{epoch.images_per_second:.6g}\n"


# --- where a run goes -------------------------------------------------------------------------------------


@contextlib.contextmanager
def open_run_folder(out: Path | None, name: str) -> Iterator[RunFolder]:
    """The folder for a run: `out`, or the first of `runs/<name>-1`, `runs/<name>-2` ... that does not exist.

    Where the run ends before anything was written, the folders that were created are removed again.

    Raises:
        TrainingError: `out` holds files or is one, or cannot be created.
    """
    try:
        folder = _first_free(name) if out is None else _asked_for(out)
    except OSError as error:
        raise WriteError(out or RUNS, error) from error
    try:
        with locked(folder.path):
            yield folder
    finally:
        for made in reversed(folder.made):
            with contextlib.suppress(OSError):  # not empty: the run wrote into it
                made.rmdir()


@contextlib.contextmanager
def reopen_run_folder(path: Path) -> Iterator[RunFolder]:
    """The folder of a run that is to go on.

    Raises:
        TrainingError: it is still going on.
    """
    with locked(path):
        yield RunFolder(path)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a run folder for this process alone; the lock ends with the process, however it ends.

    Raises:
        TrainingError: another process is running in it.
    """
    handle = _lock(path)
    if handle == BUSY:
        raise TrainingError(f"another process is training in {path}", "wait for it, or stop it first")
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


BUSY: Final = -1


def is_running(path: Path) -> bool:
    """Whether a process is at work in a run folder."""
    handle = _lock(path)
    if handle is not None and handle != BUSY:
        os.close(handle)
    return handle == BUSY


def _lock(path: Path) -> int | None:
    """A handle that holds the lock of a folder; `BUSY`, or nothing where folders cannot be locked."""
    try:
        import fcntl
    except ImportError:  # not a Unix
        return None
    handle = None
    try:
        handle = os.open(path, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        assert handle is not None
        os.close(handle)
        return BUSY
    except OSError:  # a file system without locks
        if handle is not None:
            os.close(handle)
        return None
    return handle


def newest_run(name: str) -> Path | None:
    """The newest of the folders `runs/<name>-1`, `runs/<name>-2` ... that holds a run."""
    numbered = [(_number(path, name), path) for path in RUNS.glob(f"{name}-*")]
    found = [(number, path) for number, path in numbered if number and RunFolder(path).record.is_file()]
    return max(found)[1] if found else None


def _number(path: Path, name: str) -> int:
    text = path.name.removeprefix(f"{name}-")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _first_free(name: str) -> RunFolder:
    parents = _make_folder(RUNS)
    for number in count(1):
        path = RUNS / f"{name}-{number}"
        with contextlib.suppress(FileExistsError):
            path.mkdir()
            return RunFolder(path, (*parents, path))
    raise AssertionError("there is always another number")


def _asked_for(out: Path) -> RunFolder:
    if out.exists() and not out.is_dir():
        raise TrainingError(f"{out} is a file: a run needs a folder", "give another name to --out")
    if out.is_dir() and any(out.iterdir()):
        raise TrainingError(
            f"the folder {out} is not empty, and a run overwrites nothing",
            "give another name to --out, or none: the run then takes the next free number in `runs`",
        )
    return RunFolder(out, _make_folder(out))


def _make_folder(folder: Path) -> tuple[Path, ...]:
    """Create a folder and those around it; those that were missing, the outermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return tuple(reversed(missing))
