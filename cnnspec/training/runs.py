"""Runs that have been: their record, figures and weights, and the network ready to be used."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from cnnspec.layers.activations import LogSoftmax, Sigmoid, Softmax
from cnnspec.numpy_backend.model import Model, compile_graph
from cnnspec.recipe.agreement import outputs_for_classes
from cnnspec.recipe.learning import BinaryCrossEntropy
from cnnspec.training.errors import TrainingError
from cnnspec.training.files import reason
from cnnspec.training.model import usable_loss
from cnnspec.training.record import RunRecord, Status, read_record
from cnnspec.training.run_folder import RUNS, RunFolder, is_running
from cnnspec.training.subject import Subject, recorded_subject
from cnnspec.training.tensors import read_arrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.training.loop import Epoch
    from cnnspec.training.model import Computes

Which = Literal["last", "best"]


@dataclass(frozen=True, eq=False)
class SavedRun:
    """A run folder, read."""

    folder: RunFolder
    record: RunRecord

    @property
    def path(self) -> Path:
        """The folder."""
        return self.folder.path

    @cached_property
    def subject(self) -> Subject:
        """The network that was run, and its recipe.

        Raises:
            RecordError: this version no longer understands them.
        """
        return recorded_subject(self.record)

    @cached_property
    def history(self) -> tuple[Epoch, ...]:
        """The figures of the finished epochs."""
        return self.folder.logged()

    @property
    def status(self) -> Status | Literal["killed"]:
        """How it ended; `killed` where it could not say so itself."""
        if self.record.status == "running" and not is_running(self.path):
            return "killed"
        return self.record.status

    @property
    def gives_classes(self) -> bool:
        """Whether the network gives a number for each class of the data, or one for yes and no."""
        graph, facts, loss = self.subject.graph, self.subject.facts, self.subject.recipe.loss
        classes = len(self.record.preparation.classes)
        if classes < 2 or len(graph.outputs) != 1:
            return False
        return facts.shape(graph.outputs[0]) in outputs_for_classes(classes, loss)

    def weights(self, which: Which = "last") -> dict[str, NDArray[np.float32]]:
        """The weights after the last finished epoch, or after the best one.

        Raises:
            TrainingError: no epoch was finished, or the file is gone or damaged.
            ValueError: there are no such weights.
        """
        path = self._file_of(which)
        if not path.exists():
            why = "" if self.history else ": no epoch of this run was finished"
            raise TrainingError(f"{path} is not there{why}")
        return {name: array.astype(np.float32) for name, array in read_arrays(path).arrays.items()}

    def _file_of(self, which: Which) -> Path:
        if which not in get_args(Which):
            raise ValueError(f"there are weights `last` and `best`, not `{which}`")
        return self.folder.weights if which == "last" else self.folder.best

    def epoch_of(self, which: Which) -> int:
        """The epoch that weights are from."""
        path = self._file_of(which)
        return int(json.loads(read_arrays(path).about)["epoch"])

    def compile(self, which: Which = "last", batch: int = 256) -> Model:
        """The trained network, ready to predict and to be evaluated.

        Raises:
            TrainingError: the weights cannot be had, or are not this network's.
        """
        graph, facts, recipe = self.subject.graph, self.subject.facts, self.subject.recipe
        weights = self.weights(which)
        loss = usable_loss(graph, facts, recipe)
        model = compile_graph(graph, facts, batch=batch, training=False, loss=loss)
        if set(weights) != set(model.weights):
            raise self._not_its_own(f"{len(weights)} arrays, not {len(model.weights)}")
        for name, array in weights.items():
            try:
                model.weights[name] = array
            except ValueError as error:
                raise self._not_its_own(str(error)) from None
        return model

    def _not_its_own(self, why: str) -> TrainingError:
        return TrainingError(f"the weights in {self.path} are those of another network: {why}")


def load_run(path: Path) -> SavedRun:
    """Read a run folder.

    Raises:
        TrainingError: it is none, or its record is damaged.
    """
    folder = RunFolder(path)
    if not path.is_dir():
        raise _no_folder(path)
    if not folder.record.is_file():
        raise TrainingError(f"{path} is no run folder: it holds no run.json", "`cnnspec runs` lists them")
    return SavedRun(folder, read_record(folder.record))


def _no_folder(path: Path) -> TrainingError:
    if path.suffix == ".cnn" and path.is_file():
        help = f"`cnnspec run {shlex.quote(str(path))}` trains what it says, into a folder that is one"
        return TrainingError(f"{path} is a spec, and no run folder", help)
    if path.exists():
        return TrainingError(f"{path} is no run folder: it is a file", "`cnnspec runs` lists the run folders")
    within = RUNS / path
    help = f"did you mean `{within}`?" if within.is_dir() else "`cnnspec runs` lists the run folders"
    return TrainingError(f"there is no folder {path}", help)


def runs_in(folder: Path) -> list[Path]:
    """The run folders in a folder, and it itself if it is one; the oldest first.

    Raises:
        TrainingError: the folder cannot be read.
    """
    try:
        inside = [path for path in folder.iterdir() if (path / "run.json").is_file()]
    except OSError as error:
        raise TrainingError(f"cannot read {folder}: {reason(error)}") from None
    own = [folder] if (folder / "run.json").is_file() else []
    return sorted([*own, *inside], key=lambda path: ((path / "run.json").stat().st_mtime_ns, path.name))


def as_probabilities(saved: SavedRun, model: Computes, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """A row for each sample, a column for each class: what the network says.

    Where it does not end with probabilities, its outputs go through a softmax or, with binary cross-entropy,
    each through a sigmoid. One output for yes and no gives both columns.
    """
    outputs: NDArray[np.float32] = np.asarray(model.predict(x), np.float32).reshape(len(x), -1)
    graph, loss = saved.subject.graph, saved.subject.recipe.loss
    last = graph.nodes[graph.outputs[0]].layer
    if isinstance(last, LogSoftmax):
        outputs = np.exp(outputs)
    elif not isinstance(last, Softmax | Sigmoid):
        outputs = _sigmoid(outputs) if isinstance(loss, BinaryCrossEntropy) else _softmax(outputs)
    return np.hstack((1 - outputs, outputs)) if outputs.shape[1] == 1 else outputs


def _sigmoid(z: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray((1 + np.tanh(z / 2)) / 2, np.float32)


def _softmax(z: NDArray[np.float32]) -> NDArray[np.float32]:
    shifted = np.exp(z - z.max(axis=1, keepdims=True))
    rows: NDArray[np.float32] = shifted / shifted.sum(axis=1, keepdims=True)
    return rows
