"""What a run leaves behind: `weights.safetensors`, `metrics.csv`, `run.json` and `curves.svg`.

Every file is whole at every moment: the weights are those of the last finished epoch, the table has a row for
each finished epoch, and the record says how far the run has come.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, fields
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from cnnspec.training.errors import TrainingError
from cnnspec.training.files import WriteError, append, write_atomically
from cnnspec.training.loop import Epoch

if TYPE_CHECKING:
    from numpy.typing import NDArray

RUNS: Final = Path("runs")
COLUMNS: Final = ("epoch", *(field.name for field in fields(Epoch) if field.name != "number"))


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
    def metrics(self) -> Path:
        """The figures of each finished epoch."""
        return self.path / "metrics.csv"

    @property
    def record(self) -> Path:
        """What was run, with what, and how it ended."""
        return self.path / "run.json"

    @property
    def curves(self) -> Path:
        """The drawing of the figures."""
        return self.path / "curves.svg"

    def begin(self, record: Mapping[str, object]) -> None:
        """Write the record and the heading of the table."""
        self.write_record(record)
        write_atomically(self.metrics, (",".join(COLUMNS) + "\n").encode())

    def add_epoch(self, epoch: Epoch, weights: Mapping[str, NDArray[np.float32]], network: str) -> None:
        """Write the weights of an epoch, then its row of the table."""
        from safetensors.numpy import save

        whole = {name: np.ascontiguousarray(array) for name, array in weights.items()}
        # One entry: safetensors writes several in an order that differs from run to run.
        about = {"cnnspec": json.dumps({"network": network, "epoch": epoch.number})}
        write_atomically(self.weights, save(whole, about))
        append(self.metrics, row(epoch).encode())

    def write_record(self, record: Mapping[str, object]) -> None:
        """Write the record anew."""
        text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
        write_atomically(self.record, text.encode(errors="replace"))

    def write_curves(self, drawing: str) -> None:
        """Write the drawing."""
        write_atomically(self.curves, drawing.encode())


def row(epoch: Epoch) -> str:
    """One line of the table, each number as short as it can be exact to six digits."""
    number, *figures = astuple(epoch)
    return ",".join([str(number), *(f"{figure:.6g}" for figure in figures)]) + "\n"


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
        yield folder
    finally:
        for made in reversed(folder.made):
            with contextlib.suppress(OSError):  # not empty: the run wrote into it
                made.rmdir()


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
